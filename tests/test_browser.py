"""The page in a real browser: music while it is made, stopping, graphs, the takes, errors,
keyboard, phone.

Needs Chromium (`chromium` on PATH, or its path in CHROMIUM) and the package playwright. Leave it
out with -m "not browser".
"""

import json
import re
import shutil

import pytest
from pagesite import DESK, PHONE

from musicgraph.app.page.runs import LEFT_S
from musicgraph.workflows.media.audio import read_audio
from musicgraph.workflows.reader import read_document

pytestmark = pytest.mark.browser

pytest_plugins = ["browser_fixtures"]
LONG_S = 120


def test_music_sounds_before_the_run_has_ended_and_the_file_is_whole(visit, tmp_path):
    someone = visit()
    someone.generate(duration=60)
    first = someone.until("MusicGraph.sound.position > 0 && MusicGraph.sound.key")
    assert first.startswith("run "), "the run ended before there was any sound"
    someone.wait_for(".done")
    path, name = someone.download("Download FLAC")
    assert name.startswith("a-calm-piano-") and name.endswith(".flac")
    file = shutil.copy(path, tmp_path / name)
    sound, rate = read_audio(file)
    assert sound.shape[-1] / rate == pytest.approx(60, abs=0.1)
    assert sound.abs().max() > 0.01
    document = read_document(file)
    assert document.ui is not None and document.api is not None


def test_stop_ends_the_run(visit, site):
    someone = visit()
    someone.generate(duration=LONG_S)
    someone.wait_for(":has(.mg-bar)")
    someone.page.click("#mg-stop")
    someone.page.wait_for_selector("#mg-status >> text=Stopped")
    site.wait_until_idle()
    someone.page.wait_for_selector("#mg-generate[aria-disabled=false]")


def test_one_persons_stop_leaves_the_other_alone(visit):
    first, second = visit(), visit()
    first.generate(duration=LONG_S)
    first.wait_for(":has(.mg-bar)")
    second.generate(duration=4)
    second.page.wait_for_selector("#mg-status >> text=Waiting for its turn")
    second.page.wait_for_selector("#mg-status >> text=you are next")
    first.page.click("#mg-stop")
    second.wait_for(".done")
    first.page.wait_for_selector("#mg-status >> text=Stopped")


def test_a_closed_page_ends_its_own_run(visit, site):
    someone = visit()
    someone.generate(duration=LONG_S)
    someone.wait_for(":has(.mg-bar)")
    someone.page.close()
    site.wait_until_idle(LEFT_S + 60)


def test_errors_are_readable_and_no_traceback(visit):
    someone = visit()
    someone.page.click("#mg-generate")
    someone.page.wait_for_selector("#mg-status [role=alert] >> text=Say what you want to hear")
    someone.tab("Graph")
    someone.page.set_input_files(
        "#mg-drop input[type=file]",
        {"name": "x.json", "mimeType": "application/json", "buffer": b"{"},
    )
    someone.page.wait_for_selector("#mg-trouble [role=alert] >> text=not JSON")


def test_a_file_of_the_app_opens_and_runs_on_the_graph_tab(visit, tmp_path):
    someone = visit()
    someone.generate("slow strings", duration=2)
    someone.wait_for(".done")
    path, name = someone.download("Download FLAC")
    shutil.copy(path, tmp_path / name)
    someone.tab("Graph")
    someone.page.set_input_files("#mg-drop input[type=file]", tmp_path / name)
    someone.page.wait_for_selector("#mg-graph-picture text:text('slow strings')")
    made = read_document(tmp_path / name).api["3"]["inputs"]["seed"]
    fields = "[...document.querySelectorAll('#mg-graph-body input')]"
    someone.until(f"{fields}.some((one) => one.value === '{made}')")  # the file's own form
    someone.page.get_by_label(re.compile(r"^\s*Seed")).last.fill("7")
    someone.page.click("#mg-run")
    someone.page.wait_for_selector("#mg-graph-status .mg-note.done")
    someone.until("document.querySelectorAll('#mg-graph-picture g.done').length === 6")
    again, name = someone.download("musicgraph_00001.flac", "button")
    document = read_document(shutil.copy(again, tmp_path / "again.flac"))
    assert document.api["3"]["inputs"]["seed"] == 7


def test_what_a_graph_needs_is_said_with_the_nodes_name_and_an_upload_cures_it(visit, tmp_path):
    from torch import rand

    from musicgraph.workflows.media.audio import write_audio

    someone = visit()
    someone.tab("Graph")
    graph = {
        "1": {
            "class_type": "LoadAudio",
            "inputs": {"audio": "a.wav"},
            "_meta": {"title": "Load Audio"},
        },
        "2": {"class_type": "PreviewAudio", "inputs": {"audio": ["1", 0]}},
    }
    file = {"name": "x.json", "mimeType": "application/json", "buffer": json.dumps(graph).encode()}
    someone.page.set_input_files("#mg-drop input[type=file]", file)
    someone.page.wait_for_selector("#mg-graph-picture text:text('Load Audio')")
    someone.page.wait_for_selector("text=upload or record")
    someone.page.click("#mg-run")
    refused = someone.page.locator("#mg-graph-status [role=alert]").filter(has_text="Load Audio")
    refused.filter(has_text="choose or record one in the form").wait_for()
    write_audio(tmp_path / "noise.wav", rand(1, 8000) - 0.5, 8000)
    someone.page.set_input_files("#mg-graph-body input[type=file]", tmp_path / "noise.wav")
    someone.page.wait_for_selector(
        "#mg-graph-body .mg-wide audio, #mg-graph-body .mg-wide [data-testid*=waveform]"
    )
    someone.page.click("#mg-run")
    someone.page.wait_for_selector("#mg-graph-status .mg-note.done")


def test_the_form_before_takes_nothing_from_the_drop_on_until_the_new_one_is_there(visit):
    """Held back: the file on its way here, and then what is told of it."""
    someone = visit()
    someone.tab("Graph")
    body = someone.page.locator("#mg-graph-body")
    body.get_by_label("Words").first.wait_for()
    held, file = [], {"name": "x.json", "mimeType": "application/json", "buffer": b"no graph"}
    someone.page.route("**/upload?*", lambda route: held.append(route))
    someone.page.set_input_files("#mg-drop input[type=file]", file)
    someone.page.wait_for_selector("text=Reading it. Its form comes at once.")
    assert body.evaluate("body => body.inert")
    someone.until("document.querySelector('#mg-drop .uploading') !== null")
    held[0].abort()  # it does not arrive: what was there before is still there
    someone.until("!document.getElementById('mg-graph-body').inert")
    assert body.get_by_label("Words").first.is_visible()
    someone.complaints.clear()
    someone.page.unroute("**/upload?*")
    someone.page.route("**/queue/join?*", lambda route: held.append(route))
    someone.page.set_input_files("#mg-drop input[type=file]", file)
    someone.page.wait_for_selector("#mg-drop .file-preview")
    assert body.evaluate("body => body.inert")
    for route in held[1:]:
        route.continue_()
    someone.page.unroute("**/queue/join?*")
    someone.page.wait_for_selector("text=Nothing is loaded")
    someone.until("!document.getElementById('mg-graph-body').inert")
    assert body.get_by_label("Words").count() == 0 and body.locator("#mg-run").is_disabled()


def test_the_takes_tab_is_ones_own_and_gives_settings_back(visit):
    someone, other = visit(), visit()
    someone.generate("a lonely cello", duration=2)
    someone.wait_for(".done")
    someone.page.fill("#mg-prompt textarea", "something else")
    someone.tab("Takes")
    row = someone.page.locator("#mg-library .mg-take")
    row.locator(".mg-open").click()
    row.get_by_role("button", name="Use these settings").click()
    someone.until("document.querySelector('#mg-prompt textarea').value === 'a lonely cello'")
    someone.until("document.querySelector('#mg-seed input').value !== '-1'")
    other.tab("Takes")
    other.page.wait_for_selector("text=Nothing here yet")
    someone.tab("Takes")
    row.get_by_role("button", name="Delete").click()
    someone.page.wait_for_selector("text=Nothing here yet")
    someone.page.get_by_role("button", name="Undo").click()
    someone.page.wait_for_selector("#mg-library .mg-take")


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_simple_case_is_one_screen(visit, size):
    someone = visit(size=size)
    for selector in ("#mg-prompt textarea", "#mg-duration", "#mg-generate"):
        box = someone.page.locator(selector).first.bounding_box()
        assert box["y"] + box["height"] <= size["height"], selector
    for name in ("Create", "Graph", "Takes"):
        someone.tab(name)
        someone.page.wait_for_timeout(300)
        assert someone.page.evaluate("document.documentElement.scrollWidth") <= size["width"], name


def test_the_keyboard_is_enough(visit):
    someone = visit()
    someone.page.focus("#mg-prompt textarea")
    someone.page.keyboard.type("a music")
    someone.page.keyboard.press("Shift+Enter")
    someone.page.keyboard.type("box")
    assert someone.page.input_value("#mg-prompt textarea") == "a music\nbox"
    assert someone.status() == "", "that was a new line, and no press"
    for _ in range(30):
        someone.page.keyboard.press("Tab")
        if someone.page.evaluate("document.activeElement.id") == "mg-generate":
            break
    someone.page.keyboard.press("Enter")
    someone.wait_for(".done")
    assert someone.page.evaluate("document.activeElement.id") == "mg-generate", "focus stays"


NAMELESS = """() => [
  ...document.querySelectorAll('button, input, textarea, audio, select')
].filter(e => {
  if (!e.offsetParent || e.type === 'file') return false;
  const label = e.labels && [...e.labels].some(l => l.innerText.trim());
  const aria = e.getAttribute('aria-label') || e.getAttribute('aria-labelledby');
  return !(label || aria || e.innerText?.trim() || e.title);
}).map(e => e.outerHTML.slice(0, 160))"""


def test_everything_has_a_name(visit):
    someone = visit()
    someone.generate(duration=1)
    someone.wait_for(".done")
    for name in ("Create", "Graph", "Takes"):
        someone.tab(name)
        someone.page.wait_for_timeout(500)
        assert someone.page.evaluate(NAMELESS) == [], name
