"""What a person does before the page is whole is not lost: a part of Gradio's files is held back
until it is done.
"""

import pytest
from pagesite import DESK, PHONE

pytestmark = pytest.mark.browser

pytest_plugins = ["browser_fixtures"]
EARLY = "#mg-early textarea"
LAST_FILES = "**/assets/Blocks-*.js"
LATER = """(find => {
  Document.prototype.querySelector = function (wanted) {
    const hides = wanted === "#mg-prompt textarea" && !window.formIsThere;
    return hides ? null : find.call(this, wanted);
  };
})(Document.prototype.querySelector)"""
"""a form that comes when somebody says so"""


@pytest.fixture
def slow(visit):
    """A person whose page is not whole until `go_on` is called, by the size of the window."""

    def come(**how):
        someone = visit(**how)
        held = []
        someone.page.route(LAST_FILES, lambda route: held.append(route))
        someone.page.reload(wait_until="commit")
        someone.page.wait_for_selector(EARLY)

        def go_on():
            for _ in range(100):
                if held:
                    break
                someone.page.wait_for_timeout(50)
            for route in held:
                route.continue_()
            someone.page.unroute(LAST_FILES)
            someone.until_whole()

        return someone, go_on

    return come


@pytest.mark.parametrize("size", [DESK, PHONE], ids=lambda size: str(size["width"]))
def test_words_and_cursor_are_where_they_were_when_the_page_is_whole(slow, size):
    someone, go_on = slow(size=size)
    assert someone.page.evaluate("document.activeElement.matches('#mg-early textarea')")
    someone.page.keyboard.type("calm piano")
    someone.page.keyboard.press("Home")
    someone.page.keyboard.type("a ")
    go_on()
    assert someone.page.input_value("#mg-prompt textarea") == "a calm piano"
    someone.page.keyboard.type("very ")  # where the cursor was
    assert someone.page.input_value("#mg-prompt textarea") == "a very calm piano"
    assert someone.status() == "" and not someone.page.query_selector("gradio-app[inert]")


def test_words_wait_for_a_form_that_comes_later_than_anybody_thought(visit):
    someone = visit()
    someone.page.add_init_script(LATER)
    someone.page.reload(wait_until="commit")
    someone.page.fill(EARLY, "calm piano")
    someone.until("Boolean(window.MusicGraph?.handOver)")
    someone.page.wait_for_timeout(4000)  # more than it waits for what was kept
    assert someone.page.input_value(EARLY) == "calm piano"
    someone.page.evaluate("window.formIsThere = true")
    someone.until_whole()
    assert someone.page.input_value("#mg-prompt textarea") == "calm piano"


@pytest.mark.parametrize("by", ["click", "Enter"])
def test_a_press_before_the_page_is_whole_generates_once_it_is(slow, by):
    someone, go_on = slow()
    someone.page.fill(EARLY, "a waltz")
    if by == "click":
        someone.page.click("#mg-early button")
    else:
        someone.page.press(EARLY, by)
    assert someone.page.inner_text("#mg-early [role=status]") == "Starting"
    go_on()
    someone.wait_for(".done")
    assert someone.page.locator("#mg-takes .mg-take[data-take] b").first.inner_text() == "a waltz"
    assert someone.page.locator("#mg-takes .mg-take[data-take]").count() == 1


def test_the_box_that_is_there_at_once_holds_what_was_kept_and_speaks_the_language(slow):
    someone, go_on = slow(locale="de-DE")
    go_on()
    someone.page.fill("#mg-prompt textarea", "kept words")
    someone.until("localStorage.getItem('musicgraph-form')?.includes('kept words')")
    someone.page.route(LAST_FILES, lambda route: None)  # never
    someone.page.reload(wait_until="commit")
    someone.page.wait_for_selector(EARLY)
    assert someone.page.input_value(EARLY) == "kept words"
    assert someone.page.inner_text("#mg-early button") == "Erzeugen"
    assert "Was willst du hören?" in someone.page.inner_text("#mg-early label")


@pytest.mark.parametrize("size", [DESK, PHONE, {"width": 320, "height": 640}], ids=str)
def test_nothing_moves_when_the_page_becomes_whole(slow, size):
    someone, go_on = slow(size=size)
    box = someone.page.locator(EARLY).bounding_box()
    button = someone.page.locator("#mg-early button").bounding_box()
    go_on()
    someone.page.wait_for_selector("#mg-prompt-help .mg-group")
    for before, now in ((box, "#mg-prompt textarea"), (button, "#mg-generate")):
        after = someone.page.locator(now).bounding_box()
        assert {key: abs(before[key] - after[key]) <= 4 for key in before} == dict.fromkeys(
            before, True
        ), (now, before, after)


def test_another_tabs_address_has_no_form_in_front_of_it(visit, site):
    someone = visit()
    someone.page.goto(f"{site.address}?x=1#play")
    someone.page.wait_for_selector("#mg-play canvas, #mg-play button")
    assert someone.page.locator("#mg-early").count() == 0
