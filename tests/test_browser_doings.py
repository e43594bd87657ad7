"""In a real browser: what one does with a take, each by its button."""

import pytest
from pagesite import DESK, PHONE

pytest_plugins = ["browser_fixtures"]
pytestmark = pytest.mark.browser


def rows(someone):
    return someone.page.locator("#mg-takes .mg-take[data-take]")


def newest(someone, after):
    """The row that comes to be there after so many, open."""
    rows(someone).nth(after).wait_for()
    row = rows(someone).first
    row.locator("[aria-expanded=true]").wait_for()
    return row


def made(someone, prompt="a calm piano", duration=4):
    before = rows(someone).count()
    someone.generate(prompt, duration)
    return newest(someone, before)


def button(row, name):
    return row.get_by_role("button", name=name)


def take_of(someone, row):
    key = row.get_attribute("data-take")
    return someone.page.evaluate("id => MusicGraph.takes().find(one => one.id === id)", key)


def plays(someone, kind, at=0.0):
    someone.page.wait_for_function(
        "([kind, at]) => MusicGraph.sound.key.startsWith(kind) && MusicGraph.sound.isPlaying"
        " && MusicGraph.sound.position >= at",
        arg=[kind, at],
    )


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_one_press_goes_on_from_where_a_take_ends(visit, size):
    someone = visit(size=size)
    row = made(someone)
    first = take_of(someone, row)
    button(row, "+10 s: go on").click()
    plays(someone, "run ", at=1.9)
    longer = take_of(someone, newest(someone, 1))
    assert (longer["duration_s"], longer["of"]) == (14, first["id"])
    someone.until("document.querySelectorAll('#mg-takes [aria-expanded=true]').length === 1")


def test_more_like_this_runs_at_once_and_leaves_the_form_alone(visit):
    someone = visit()
    row = made(someone, duration=1)
    someone.page.fill("#mg-prompt textarea", "half a thought")
    button(row, "More like this").click()
    other = take_of(someone, newest(someone, 1))
    assert other["settings"]["prompt"] == "a calm piano"
    assert someone.page.input_value("#mg-prompt textarea") == "half a thought"


def drag(someone, row, begin, end):
    canvas = row.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    someone.page.mouse.move(box["x"] + begin * box["width"], box["y"] + 20)
    someone.page.mouse.down()
    someone.page.mouse.move(box["x"] + end * box["width"], box["y"] + 20, steps=5)
    someone.page.mouse.up()


def test_a_part_that_is_marked_on_the_wave_is_made_anew(visit):
    someone = visit()
    row = made(someone)
    drag(someone, row, 0.25, 0.5)
    button(row, "Make this part anew").click()
    form = row.get_by_role("form", name="Make a part anew")
    assert float(form.get_by_label("From second").input_value()) == pytest.approx(1, abs=0.05)
    drag(someone, row, 0.5, 0.75)
    assert float(form.get_by_label("From second").input_value()) == pytest.approx(2, abs=0.05)
    form.get_by_label("What it should be").fill("a flute")
    button(form, "Make it anew").click()
    other = take_of(someone, newest(someone, 1))
    assert other["doing"]["how"] == "repaint" and other["title"] == "a flute"
    assert other["duration_s"] == 4
    plays(someone, "take ")


def test_a_part_is_marked_with_the_keyboard(visit):
    someone = visit()
    row = made(someone)
    canvas = row.locator("canvas")
    canvas.press("Home")
    canvas.press("Shift+ArrowRight")
    canvas.press("Shift+ArrowRight")
    row.locator("canvas[aria-valuetext*='loop 0:00 to 0:0']").wait_for()
    button(row, "Keep only this").focus()


def test_a_loop_goes_round_and_its_bars_are_a_guess_that_one_may_change(visit):
    someone = visit()
    row = made(someone, "house, 100 bpm", duration=6)
    button(row, "Loop …").click()
    form = row.get_by_role("form", name="Make a loop of it")
    guessed = "[...document.querySelectorAll('.mg-panel input')].map(one => one.value).join()"
    someone.until(f"{guessed} === '2,4,100,0'")
    form.get_by_label("Bars").fill("1")
    button(form, "Make the loop").click()
    loop = take_of(someone, newest(someone, 1))
    assert (loop["duration_s"], loop["doing"]["how"]) == (2.4, "loop")
    plays(someone, "take ")
    someone.until("MusicGraph.sound.audio.loop")


def test_a_guess_that_comes_late_leaves_alone_what_was_typed(visit):
    someone = visit()
    row = made(someone, "house, 100 bpm")
    held = []
    someone.page.route("**/tempo", lambda route: held.append(route), times=1)
    with someone.page.expect_request("**/tempo"):
        button(row, "Loop …").click()
    form = row.get_by_role("form", name="Make a loop of it")
    form.get_by_label("Beats a minute").fill("90")
    with someone.page.expect_response("**/tempo"):
        held[0].continue_()
    key = row.get_attribute("data-take")
    assert someone.page.evaluate("id => MusicGraph.tempo({id})", key) == 100, "by then it was told"
    assert form.get_by_label("Beats a minute").input_value() == "90"


def test_a_piece_is_kept_with_a_fade(visit):
    someone = visit()
    row = made(someone)
    button(row, "Trim, fade, loudness").click()
    form = row.get_by_role("form", name="Trim, fade, loudness")
    form.get_by_label("to second").fill("3")
    form.get_by_label("Fade out, s").fill("1")
    button(form, "Keep it as a new take").click()
    piece = take_of(someone, newest(someone, 1))
    assert piece["duration_s"] == 3 and piece["doing"]["fade_out"] == 1


def test_one_word_is_another_and_the_seed_stays(visit):
    someone = visit()
    row = made(someone, duration=1)
    first = take_of(someone, row)
    button(row, "Change the words").click()
    form = row.get_by_role("form", name="Change the words")
    button(form, "calm").click()
    form.get_by_label("Instead of calm").fill("wild")
    form.get_by_label("Instead of calm").press("Enter")
    other = take_of(someone, newest(someone, 1))
    assert other["settings"]["prompt"] == "a wild piano"
    assert other["settings"]["seed"] == first["settings"]["seed"]


def test_words_are_added_and_the_seed_stays(visit):
    someone = visit()
    row = made(someone, "a waltz", duration=1)
    first = take_of(someone, row)
    button(row, "Change the words").click()
    form = row.get_by_role("form", name="Change the words")
    button(form, "+ words").click()
    form.get_by_label("Words to add").fill("with drums")
    form.get_by_label("Words to add").press("Enter")
    other = take_of(someone, newest(someone, 1))
    assert other["settings"]["prompt"] == "a waltz with drums"
    assert other["settings"]["seed"] == first["settings"]["seed"]


def test_a_waltz_goes_round_in_threes_and_a_guess_is_said_to_be_one(visit):
    someone = visit()
    row = made(someone, "a waltz", duration=6)
    someone.page.route("**/tempo", lambda route: route.fulfill(json={"bpm": None}), times=1)
    button(row, "Loop …").click()
    form = row.get_by_role("form", name="Make a loop of it")
    form.get_by_text("No steady beat is heard in it").wait_for()
    assert form.get_by_label("Beats in a bar").input_value() == "3"
    button(form, "Make the loop").click()
    loop = take_of(someone, newest(someone, 1))
    assert (loop["duration_s"], loop["doing"]["beats"]) == (3, 3)


def test_what_is_begun_from_a_row_further_down_is_in_sight(visit):
    someone = visit(size={"width": 390, "height": 600})
    for words in ("first", "second", "third"):
        made(someone, words, duration=2)
    row = rows(someone).nth(2)
    row.locator(".mg-open").click()
    button(row, "Make a part anew").click()
    form = row.get_by_role("form", name="Make a part anew")
    someone.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    button(form, "Make it anew").click()
    form.wait_for(state="detached")
    top, bottom, height = someone.page.evaluate(
        "(({top, bottom}) => [top, bottom, innerHeight])"
        "(document.getElementById('mg-status').getBoundingClientRect())"
    )
    assert top >= 0 and bottom <= height
    newest(someone, 3)


def test_what_cannot_be_is_said_and_what_was_typed_stays(visit):
    someone = visit()
    row = made(someone, duration=1)
    button(row, "Loop …").click()
    form = row.get_by_role("form", name="Make a loop of it")
    form.get_by_label("Bars").fill("9")
    button(form, "Make the loop").click()
    someone.page.wait_for_selector("#mg-toast.shown >> text=a part of 0 to 1 s")
    assert form.get_by_label("Bars").input_value() == "9"
    someone.complaints.clear()  # of the browser itself, about an answer that is no


def test_a_and_b_are_heard_at_the_same_place(visit):
    someone = visit()
    made(someone, "first", 8)
    row = made(someone, "second", 8)
    other = rows(someone).nth(1).get_attribute("data-take")
    own = row.get_attribute("data-take")
    if not someone.sound()[2]:
        button(row, "Play: second").click()
    plays(someone, f"take {own}")
    someone.page.evaluate("MusicGraph.sound.loop = [4, 7]; MusicGraph.sound.seek(4)")
    button(row, "A/B: A").click()
    plays(someone, f"take {other}", at=3.9)
    button(row, "A/B: B").click()
    plays(someone, f"take {own}", at=3.9)
