"""In a real browser: addresses that open something, what is loaded on the Graph tab, and sounds
that people bring along.
"""

import json

import pytest
import soundfile
from pagesite import PHONE
from torch import rand

pytest_plugins = ["browser_fixtures"]
pytestmark = pytest.mark.browser

OPEN_TAB = "document.querySelector('[role=tab][aria-selected=true]').id"


def file_of(name, content):
    return {"name": name, "mimeType": "application/json", "buffer": content}


def test_an_address_opens_with_its_words_and_settings_ready_to_play(visit, site):
    someone = visit()
    someone.page.goto(f"{site.address}?prompt=a+slow+waltz&seed=7&duration=2&model=nowhere")
    someone.until("document.querySelector('#mg-prompt textarea')?.value === 'a slow waltz'")
    someone.until("document.querySelector('#mg-duration input[type=number]').value === '2'")
    someone.complaints.clear()  # of the page that was left, about what it was asking then
    assert "prompt" not in someone.page.url, "a reload shows what was written since"
    someone.page.click("#mg-generate")
    someone.wait_for(".done")
    take = someone.until("MusicGraph.takes()[0]")
    assert (take["title"], take["settings"]["seed"]) == ("a slow waltz", 7)


def test_a_take_is_sent_as_a_link_that_makes_it_again(visit):
    someone = visit(size=PHONE)
    someone.generate("a music box", duration=2)
    row = someone.page.locator("#mg-takes .mg-take[data-take]").first
    row.get_by_role("button", name="Share").click()
    link = row.get_by_label("A link with its words, seed and settings").input_value()
    seed = someone.until("String(MusicGraph.takes()[0].settings.seed)")
    assert "prompt=a+music+box" in link and f"seed={seed}" in link
    path, name = someone.download("MP3 with picture")
    assert name.endswith(".mp3") and b"APIC" in path.read_bytes()


def test_tabs_have_addresses_and_back_goes_back(visit, site):
    someone = visit()
    someone.page.goto(f"{site.address}#takes")
    someone.page.wait_for_function(f"{OPEN_TAB} === 'mg-tab-takes-button'")
    someone.tab("Graph")
    assert someone.page.url.endswith("#graph")
    someone.page.go_back()
    someone.page.wait_for_function(f"{OPEN_TAB} === 'mg-tab-takes-button'")


def test_one_line_says_what_is_loaded_and_after_a_bad_file_it_is_nothing(visit):
    someone = visit()
    someone.tab("Graph")
    loaded = someone.page.locator("#mg-loaded")
    loaded.filter(has_text="Text to music · comes along · 5 nodes").wait_for()
    drop = "#mg-drop input[type=file]"
    someone.page.set_input_files(drop, file_of("x.json", b"{"))
    someone.page.wait_for_selector("#mg-loaded >> text=Nothing is loaded")
    someone.page.wait_for_selector("#mg-run[disabled]")
    someone.page.wait_for_function("!document.querySelector('#mg-graph-body .mg-fields')")
    someone.page.click("#mg-choose input")
    someone.page.get_by_role("option", name="Text to music").click()
    someone.page.wait_for_selector("#mg-loaded >> text=comes along")
    someone.page.wait_for_selector("#mg-run:not([disabled])")


def test_a_run_that_ended_with_its_page_is_said_by_the_next_one(visit):
    someone = visit()
    someone.tab("Graph")
    length = someone.page.get_by_label("Length in seconds · duration").first
    length.fill("100")
    length.press("Tab")
    someone.page.click("#mg-run")
    someone.page.wait_for_selector("#mg-graph-status .mg-note.busy >> text=at work")
    someone.page.reload()
    someone.page.wait_for_selector("#mg-ended >> text=The run before has ended")
    someone.page.wait_for_selector("#mg-run:not([disabled])")
    someone.page.reload()
    someone.page.wait_for_selector("#mg-run:not([disabled])")
    someone.complaints.clear()  # of the pages that were left, about what they were asking then
    assert someone.page.locator("#mg-ended").count() == 0, "it is said once"


def test_unknown_nodes_are_marked_before_anything_runs(visit):
    someone = visit()
    someone.tab("Graph")
    graph = {
        "1": {"class_type": "Nobodys", "inputs": {}},
        "2": {"class_type": "PreviewAudio", "inputs": {"audio": ["1", 0]}},
    }
    content = file_of("odd.json", json.dumps(graph).encode())
    someone.page.set_input_files("#mg-drop input[type=file]", content)
    someone.page.wait_for_selector("#mg-loaded >> text=Not known here, and marked: Nobodys")
    someone.until("document.querySelectorAll('#mg-graph-picture g.unknown').length === 1")


def test_the_picture_of_a_graph_moves_and_comes_nearer(visit):
    someone = visit(size=PHONE)
    someone.tab("Graph")
    view = "document.querySelector('.mg-graph svg').getAttribute('viewBox').split(' ').map(Number)"
    nearer = someone.page.get_by_role("button", name="Nearer")
    nearer.wait_for()
    before = someone.page.evaluate(view)
    nearer.click()
    someone.until(f"{view}[2] < {before[2]}")
    someone.page.focus(".mg-graph")
    left = someone.page.evaluate(view)[0]
    someone.page.keyboard.press("ArrowRight")
    someone.until(f"{view}[0] > {left}")
    someone.page.get_by_role("button", name="The whole graph").click()
    someone.until(f"{view}[2] >= {before[2]}")


def test_the_picture_stays_as_near_as_it_was_when_its_nodes_are_done(visit):
    someone = visit(size=PHONE)
    someone.tab("Graph")
    someone.page.get_by_role("button", name="Nearer").click()
    view = "document.querySelector('.mg-graph svg').getAttribute('viewBox')"
    near = someone.page.evaluate(view)
    length = someone.page.get_by_label("Length in seconds · duration").first
    length.fill("1")
    length.press("Tab")
    someone.page.click("#mg-run")
    someone.page.wait_for_selector("#mg-graph-status .mg-note.done")
    someone.until("document.querySelectorAll('#mg-graph-picture g.done').length >= 5")
    assert someone.until(f"document.querySelector('.mg-zoom') && {view}") == near
    someone.page.get_by_role("button", name="The whole graph").click()
    someone.until(f"{view} !== '{near}'")


def test_a_sound_of_ones_own_is_a_take_that_goes_on(visit, tmp_path):
    someone = visit()
    soundfile.write(tmp_path / "hum.wav", (rand(16000) - 0.5).numpy(), 8000)
    with someone.page.expect_file_chooser() as asked:
        someone.page.get_by_role("button", name="Your own sound").click()
    asked.value.set_files(tmp_path / "hum.wav")
    someone.page.wait_for_selector("#mg-toast.shown >> text=It is among your takes")
    row = someone.page.locator("#mg-takes .mg-take").first
    row.get_by_text("a sound of your own").wait_for()
    row.get_by_role("button", name="+10 s: go on").click()
    someone.until("MusicGraph.takes().length === 2")
    assert someone.until("MusicGraph.takes()[0].duration_s") == 12


def test_a_sound_is_added_on_the_takes_tab_too(visit, tmp_path):
    someone = visit(size=PHONE)
    soundfile.write(tmp_path / "hum.wav", (rand(8000) - 0.5).numpy(), 8000)
    someone.tab("Takes")
    with someone.page.expect_file_chooser() as asked:
        someone.page.get_by_role("button", name="Add a sound").click()
    asked.value.set_files(tmp_path / "hum.wav")
    row = someone.page.locator("#mg-library .mg-take").first
    row.get_by_role("button", name="+30 s: go on").wait_for()
