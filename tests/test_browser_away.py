"""The server is away and somebody else answers in its place: a Space's host with a page of its own.
The fake answers are as such a host's are, in status, kind and words.
"""

import pytest

pytestmark = pytest.mark.browser

pytest_plugins = ["browser_fixtures"]
ASLEEP = "This Space was asleep and is waking up"
AWAY = {
    "asleep": ("Hugging Face: this Space is sleeping due to inactivity", 503, ASLEEP),
    "building": ("Hugging Face: Building. Your Space is being prepared", 200, "is being built"),
    "paused": ("Hugging Face: this Space has been paused by its owner", 503, "is paused"),
    "a proxy's": ("Bad Gateway", 502, "Connection lost, trying again"),
}


def away(route, words, status):
    page = f"<!doctype html><html><body><h1>{words}</h1></body></html>"
    route.fulfill(status=status, content_type="text/html; charset=utf-8", body=page)


@pytest.mark.parametrize("kind", AWAY)
def test_a_page_in_the_servers_place_is_said_as_what_it_is_and_the_page_goes_on(visit, kind):
    words, status, said = AWAY[kind]
    someone = visit()
    someone.page.fill("#mg-prompt textarea", "a waltz")
    someone.page.route("**/page/**", lambda route: away(route, words, status))
    someone.page.evaluate("MusicGraph.loadTakes()")
    someone.page.wait_for_selector(f"#mg-toast.shown >> text={said}")
    someone.page.unroute("**/page/**")
    someone.page.wait_for_selector("#mg-toast.shown >> text=Connected again")
    assert someone.page.input_value("#mg-prompt textarea") == "a waltz"
    someone.complaints.clear()  # of the browser itself, about requests that failed


def test_a_space_that_falls_asleep_in_a_run_says_so_in_the_pages_language(visit):
    someone = visit(locale="de-DE")
    someone.generate("rain", duration=120)
    someone.page.wait_for_selector("#mg-status .mg-note.busy")
    words, status, _ = AWAY["asleep"]
    someone.page.route("**/page/**", lambda route: away(route, words, status))
    someone.page.wait_for_selector("#mg-status >> text=Dieser Space hat geschlafen")
    someone.page.wait_for_selector("#mg-toast.shown >> text=Dieser Space hat geschlafen")
    assert someone.page.get_attribute("#mg-generate", "aria-disabled") == "false"
    someone.page.unroute("**/page/**")
    someone.page.wait_for_selector("#mg-toast.shown >> text=Wieder verbunden")
    someone.page.click("#mg-stop")
    someone.page.wait_for_selector("#mg-status .mg-note:not(.busy)")
    someone.complaints.clear()


def test_a_redirect_to_the_hosts_own_page_counts_as_asleep(visit):
    someone = visit()
    elsewhere = {"location": "https://huggingface.invalid/spaces/somebody/something"}
    someone.page.route("**/page/takes", lambda route: route.fulfill(status=302, headers=elsewhere))
    someone.page.evaluate("MusicGraph.loadTakes()")
    someone.page.wait_for_selector(f"#mg-toast.shown >> text={ASLEEP}")
    someone.page.unroute("**/page/takes")
    someone.page.wait_for_selector("#mg-toast.shown >> text=Connected again")
    someone.complaints.clear()
