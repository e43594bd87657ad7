"""The Play tab in a real browser: hands, keys and MIDI move the music, and a take of it is kept."""

import pytest
from pagesite import DESK, PHONE

from musicgraph.workflows.media.audio import read_audio

pytest_plugins = ["browser_fixtures"]
pytestmark = pytest.mark.browser

SMALLEST = {"width": 320, "height": 640}
KEYBOARD = """
  window.knob = {name: "Knobs", onmidimessage: null};
  navigator.requestMIDIAccess = async () => Object.assign(new EventTarget(),
    {inputs: new Map([["1", window.knob]])});
"""
"""a MIDI device, as a browser shows one"""


def come(visit, **how):
    someone = visit(**how)
    someone.tab("Play")
    someone.page.wait_for_selector(".mgp-plane")
    return someone


def plays(someone, pieces=2):
    before = someone.page.evaluate("MusicGraph.play.sound.received")
    someone.page.wait_for_function(f"MusicGraph.play.sound.received >= {before + pieces}")


def begun(visit, **how):
    someone = come(visit, **how)
    someone.page.click(".mgp-go")
    plays(someone)
    return someone


def heard_shares(someone):
    return dict(someone.page.evaluate("MusicGraph.play.heardNow()"))


def drag(someone, right, down):
    box = someone.page.locator(".mgp-point").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    someone.page.mouse.move(x, y)
    someone.page.mouse.down()
    someone.page.mouse.move(x + right, y + down, steps=3)
    someone.page.mouse.up()


def test_the_point_is_dragged_and_the_change_is_heard_and_undone(visit):
    someone = begun(visit)
    before = heard_shares(someone)
    drag(someone, 250, 40)
    assert heard_shares(someone) != before
    someone.page.wait_for_function("MusicGraph.play.delays.length > 0")
    assert min(someone.page.evaluate("MusicGraph.play.delays")) > 0
    someone.page.keyboard.press("u")
    assert heard_shares(someone) == before
    plays(someone)


def test_a_player_whose_clock_stood_still_is_soon_as_near_as_before(visit):
    """As that of a phone that rang: what came meanwhile would else be heard late for minutes."""
    someone = begun(visit)
    ahead = "MusicGraph.play.sound.next - MusicGraph.play.sound.context.currentTime"
    someone.page.evaluate("MusicGraph.play.sound.context.suspend()")
    someone.until(f"{ahead} > 2")
    someone.page.evaluate("MusicGraph.play.sound.context.resume()")
    someone.until(f"{ahead} < 0.8")
    assert someone.page.evaluate("MusicGraph.play.sound.dropped") >= 1
    plays(someone)


def test_keys_go_to_places_move_the_point_and_pause(visit):
    someone = begun(visit)
    someone.page.keyboard.press("5")
    someone.page.wait_for_function(
        "MusicGraph.play.heardNow().some(([text, share]) => /strings/.test(text) && share > 0.95)"
    )
    someone.until("!MusicGraph.play.plane.glide")
    at = someone.page.evaluate("MusicGraph.play.state.point.y")
    someone.page.keyboard.press("ArrowUp")
    someone.until(f"MusicGraph.play.state.point.y > {at}")
    someone.page.locator(".mgp-plane").click(position={"x": 5, "y": 5})
    someone.page.evaluate("document.activeElement.blur()")
    someone.page.keyboard.press(" ")
    someone.page.wait_for_selector(".mgp-status >> text=Paused")
    someone.page.keyboard.press(" ")
    plays(someone)
    typed = someone.page.get_by_label("Words of place 1")
    typed.fill("m1 u2 r3")
    typed.press("Enter")
    someone.until("MusicGraph.play.state.places.some(one => one.text === 'm1 u2 r3')")
    assert someone.page.get_attribute(".mgp-record", "aria-pressed") == "false"


def test_what_was_played_is_kept_as_a_take_and_a_mark_is_gone_back_to(visit, site):
    someone = begun(visit)
    someone.page.click(".mgp-record")
    plays(someone, 8)
    someone.page.keyboard.press("m")
    mark = someone.page.get_by_role("button", name="go on from here")
    mark.wait_for()
    someone.page.locator("#mgp-energy").fill("2")
    plays(someone, 8)
    mark.click()
    someone.page.wait_for_function("MusicGraph.play.state.energy === 1")
    plays(someone, 10)
    someone.page.click(".mgp-record")
    someone.page.wait_for_selector("#mg-toast.shown >> text=Kept")
    someone.tab("Takes")
    someone.page.locator("#mg-library .mg-take").filter(has_text="(played)").wait_for()
    path = max(site.shelf._root.rglob("*.flac"), key=lambda one: one.stat().st_mtime)
    sound, rate = read_audio(path)
    assert sound.shape[1] > rate and sound.abs().max() > 0.01


def test_a_recording_is_kept_when_its_page_is_loaded_anew(visit):
    someone = begun(visit)
    someone.page.click(".mgp-record")
    plays(someone, 12)
    someone.page.reload()
    someone.page.wait_for_selector(".mgp-go")
    someone.complaints.clear()  # of the page that was left, about what it was asking then
    with someone.page.expect_response("**/page/takes"):  # also of what came while one was away
        someone.tab("Takes")
    kept = someone.page.locator("#mg-library .mg-take").filter(has_text="(played)")
    kept.first.locator(".mg-open").click()
    kept.first.get_by_text("played live").wait_for()


def test_it_is_one_sound_among_the_pages_and_goes_with_its_page(visit, site):
    someone = visit()
    someone.generate(duration=20)
    someone.page.wait_for_selector("#mg-takes .mg-take[data-take]")
    someone.tab("Play")
    someone.page.click(".mgp-go")
    plays(someone)
    someone.until("!MusicGraph.sound.isPlaying")
    someone.tab("Create")
    someone.page.locator("#mg-takes .mg-play").first.click()
    someone.page.wait_for_function("!MusicGraph.play.sound.isOn && MusicGraph.sound.isPlaying")


def test_what_is_refused_and_what_has_ended_stays_to_be_read(visit):
    someone = come(visit)
    full = {"trouble": "Play: got 4 who play live already"}
    someone.page.route("**/page/play", lambda route: route.fulfill(status=400, json=full), times=1)
    someone.page.click(".mgp-go")
    someone.page.wait_for_selector(".mgp-status >> text=who play live already")
    over = {"trouble": "this music: got some that is over"}
    someone.page.route("**/page/play/*/stream", lambda route: route.fulfill(status=400, json=over))
    someone.page.click(".mgp-go")
    someone.page.wait_for_selector(".mgp-status >> text=the server was started anew")
    someone.complaints.clear()  # of the browser itself, about answers that are no


def test_a_second_tab_of_the_same_browser_takes_the_music_over(visit):
    someone = begun(visit)
    second = someone.context.new_page()
    second.goto(someone.page.url)
    second.get_by_role("tab", name="Play").click()
    second.click(".mgp-go")
    someone.page.wait_for_selector(".mgp-status >> text=plays elsewhere")
    second.wait_for_function("MusicGraph.play.sound.received > 1")


def test_a_knob_that_was_taught_moves_what_it_is_and_is_remembered(visit):
    someone = visit()
    someone.page.add_init_script(KEYBOARD)
    for is_known in (False, True):
        someone.page.reload()
        someone.complaints.clear()  # of the page that was left, about what it was asking then
        someone.tab("Play")
        someone.page.click(".mgp-more summary")
        someone.page.get_by_role("button", name="Connect MIDI").click()
        if not is_known:
            someone.page.get_by_role("button", name="Learn: Heat").click()
            someone.page.evaluate("window.knob.onmidimessage({data: [176, 21, 0]})")
        someone.page.wait_for_selector("text=CC 21 ch 1")
        for value, heat in ((127, 1.5), (0, 0.5)):
            someone.page.evaluate(f"window.knob.onmidimessage({{data: [176, 21, {value}]}})")
            someone.until(f"MusicGraph.play.state.temperature === {heat}")


SMALL = """() => [...document.querySelectorAll('#mg-play button, #mg-play input, #mg-play select')]
  .filter(one => one.checkVisibility() && one.type !== 'radio')
  .map(one => [one.outerHTML.slice(0, 60), one.getBoundingClientRect()])
  .filter(([, box]) => box.height < 43.5 || box.width < 43.5).map(([html]) => html)"""
NAMELESS = """() => [...document.querySelectorAll('#mg-play :is(button, input, select)')]
  .filter(one => !(one.innerText?.trim() || one.ariaLabel || one.labels?.length))
  .map(one => one.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("size", [DESK, PHONE, SMALLEST])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen_and_everything_has_a_name(visit, size, scheme):
    someone = come(visit, size=size, scheme=scheme)
    someone.page.click(".mgp-more summary")
    someone.page.wait_for_timeout(300)
    assert someone.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert someone.page.evaluate(SMALL) == []
    assert someone.page.evaluate(NAMELESS) == []
    said = someone.page.get_attribute("#mgp-x", "aria-valuetext")
    assert "a calm solo piano" in said and "%" in said
