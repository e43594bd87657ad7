"""In a real browser: one sound at a time, takes and settings that stay, and a connection that is
lost.
"""

import time

import pytest
from pagesite import DESK, PHONE

pytest_plugins = ["browser_fixtures"]
pytestmark = pytest.mark.browser


def rows(someone):
    return someone.page.locator("#mg-takes .mg-take[data-take]")


def plays(someone, key):
    someone.page.wait_for_function(
        "key => MusicGraph.sound.key.startsWith(key) && MusicGraph.sound.isPlaying",
        arg=key,
    )


def made(someone, prompt, duration=2):
    before = rows(someone).count()
    someone.generate(prompt, duration)
    rows(someone).nth(before).wait_for()


MADE_2_S = r"#mg-status:has(.mg-bar) >> text=/([2-9]|\d\d)\.\d of 120 s/"
GOES_ROUND = """() => {
  const {position, loop: [from, to]} = MusicGraph.sound, before = window.heardBefore ?? 0;
  window.heardBefore = position;
  return position < before && position >= from - .1 && before < to + 3;
}"""


def test_the_live_sound_becomes_the_takes_where_it_is(visit):
    someone = visit()
    someone.generate(duration=20)
    plays(someone, "run ")
    _, heard, _ = someone.sound()
    plays(someone, "take ")
    _, position, _ = someone.sound()
    assert position >= heard, "it goes on, and does not begin again"
    someone.page.wait_for_selector(".mg-live", state="detached")
    assert someone.page.locator("audio.mg-sound").count() == 1


def test_one_thing_sounds_at_a_time_and_a_click_on_the_wave_moves_it(visit):
    someone = visit()
    made(someone, "first", 20)
    made(someone, "second", 20)
    plays(someone, "take ")
    someone.page.get_by_role("button", name="Play: first").click()
    plays(someone, "take ")
    playing = "[...document.querySelectorAll('audio, video')].filter(one => !one.paused).length"
    assert someone.page.evaluate(playing) == 1
    opener = rows(someone).nth(1).locator(".mg-open")
    if opener.get_attribute("aria-expanded") == "false":
        opener.click()
    canvas = rows(someone).nth(1).locator("canvas")
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] * 0.75, "y": 20})
    someone.page.wait_for_function("MusicGraph.sound.position > 14")
    canvas.press("Home")
    someone.page.wait_for_function("MusicGraph.sound.position < 8")
    canvas.press(" ")
    someone.page.wait_for_function("!MusicGraph.sound.isPlaying")
    canvas.hover(position={"x": box["width"] * 0.2, "y": 20})
    someone.page.mouse.down()
    someone.page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20, steps=4)
    someone.page.mouse.up()
    plays(someone, "take ")
    loop = someone.until("MusicGraph.sound.loop")
    assert loop == pytest.approx([4, 5], abs=0.5)
    someone.until(GOES_ROUND)


def test_settings_and_takes_outlast_a_reload_and_are_in_a_second_tab(visit):
    someone = visit()
    made(someone, "slow strings", 2)
    row = rows(someone).first
    row.get_by_role("button", name="Favourite").click()
    row.locator("[aria-pressed=true]").wait_for()
    row.get_by_role("button", name="Rename").click()
    row.get_by_label("New name").fill("Nocturne")
    row.get_by_role("button", name="Save").click()
    someone.page.wait_for_selector("#mg-takes >> text=Nocturne")
    someone.page.reload()
    second = someone.context.new_page()
    second.goto(someone.page.url)
    for page in (someone.page, second):
        page.wait_for_function(
            "document.querySelector('#mg-prompt textarea')?.value === 'slow strings'"
        )
        page.wait_for_function(
            "document.querySelector('#mg-duration input[type=number]').value === '2'"
        )
        page.wait_for_selector("#mg-takes >> text=Nocturne")
        page.wait_for_selector("#mg-takes .mg-star[aria-pressed=true]")


def test_a_run_is_found_again_after_a_reload_and_stop_keeps_it(visit):
    someone = visit()
    someone.generate("long strings", duration=120)
    plays(someone, "run ")
    someone.page.reload()
    someone.page.wait_for_selector(MADE_2_S)
    someone.page.click("#mg-stop")
    someone.page.wait_for_selector("#mg-status >> text=are kept")
    rows(someone).filter(has_text="stopped").wait_for()


def test_what_a_server_kept_that_was_started_anew_is_found(visit, site):
    someone = visit()
    someone.generate("strings till the end", duration=120)
    someone.page.wait_for_selector(MADE_2_S)
    id = someone.page.evaluate("MusicGraph.ask('runs')")["run"]

    def ended_and_forgotten(route):
        for one in list(site.queue._running):
            one.cancel()
        while not list(site.shelf._root.rglob("strings-till-the-end-*.flac")):
            time.sleep(0.1)
        route.fulfill(json={"id": id, "state": "gone"})

    someone.page.route(f"**/page/runs/{id}", ended_and_forgotten)
    someone.page.wait_for_selector("#mg-status >> text=What was made until then is kept")
    rows(someone).filter(has_text="stopped").wait_for()


def test_a_lost_connection_is_said_and_the_take_is_found_when_it_is_back(visit):
    someone = visit()
    someone.generate("rain", duration=20)
    plays(someone, "run ")
    someone.context.set_offline(True)
    someone.page.wait_for_selector("#mg-toast.shown >> text=Connection lost, trying again")
    someone.page.wait_for_selector("#mg-generate[aria-disabled=false]")
    someone.page.wait_for_timeout(1000)
    someone.context.set_offline(False)
    someone.page.wait_for_selector("#mg-toast.shown >> text=Connected again")
    someone.wait_for(".done")
    rows(someone).filter(has_text="rain").wait_for()
    someone.complaints.clear()  # of the browser itself, about requests that failed
    someone.context.set_offline(True)
    someone.page.click("#mg-generate")
    someone.page.wait_for_selector("#mg-status >> text=The press did not arrive")
    someone.context.set_offline(False)
    someone.page.wait_for_selector("#mg-toast.shown >> text=Connected again")
    someone.complaints.clear()


def test_a_stop_that_did_not_arrive_is_said_again_when_it_can(visit, site):
    someone = visit()
    someone.generate("rain", duration=120)
    someone.page.wait_for_selector(MADE_2_S)
    someone.context.set_offline(True)
    someone.page.wait_for_selector("#mg-toast.shown >> text=Connection lost")
    someone.page.click("#mg-stop")
    someone.context.set_offline(False)
    someone.page.wait_for_selector("#mg-status >> text=are kept")
    someone.complaints.clear()  # of the browser itself, about requests that failed


def test_a_wrong_value_is_said_at_its_field_in_the_pages_words(visit):
    someone = visit()
    someone.page.fill("#mg-prompt textarea", "piano")
    someone.page.uncheck("#mg-random input")
    someone.page.fill("#mg-seed input", "1.5")
    someone.page.press("#mg-seed input", "Tab")
    someone.page.click("#mg-generate")
    said = someone.page.wait_for_selector("#mg-seed .mg-field-trouble").inner_text()
    assert "Got 1.5" in said and "whole number" in said
    someone.until("document.activeElement.getAttribute('aria-invalid') === 'true'")
    someone.page.fill("#mg-duration input[type=number]", "500")
    someone.page.press("#mg-duration input[type=number]", "Tab")
    said = someone.page.wait_for_selector("#mg-duration .mg-field-trouble").inner_text()
    assert said == "Got 500, possible is 1 to 120."


SMALL = """() => [...document.querySelectorAll('.mg-take button, .mg-take a, .mg-bar-of-takes > *')]
  .filter(one => one.offsetParent && !one.matches('.mg-unloop'))
  .map(one => [one.outerHTML.slice(0, 60), one.getBoundingClientRect()])
  .filter(([, box]) => box.width < 44 || box.height < 44).map(([html]) => html)"""


@pytest.mark.parametrize("size", [DESK, PHONE, {"width": 320, "height": 640}])
def test_what_one_presses_on_a_take_is_as_large_as_a_finger(visit, size):
    someone = visit(size=size)
    made(someone, "a calm piano", 1)
    for tab in ("Create", "Takes"):
        someone.tab(tab)
        if tab == "Takes":
            someone.page.locator("#mg-library .mg-open").first.click()
        someone.page.wait_for_timeout(300)
        assert someone.page.evaluate(SMALL) == []
        assert someone.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
