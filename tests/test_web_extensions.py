"""What the pack adds to ComfyUI's page (`web/*.js`), in a browser, on a page that stands in for it:
one that keeps what is registered, shown and handed to its loader.
"""

import base64
import json
from pathlib import Path

import pytest
import torch

from musicgraph.models.id3_chunk import id3_chunk
from musicgraph.models.refused import Refused
from musicgraph.workflows.media.audio import write_audio

pytest_plugins = ("browser_fixtures",)

WEB = Path(__file__).parents[1] / "web"
SITE = "http://comfyui.test"
APP = """
window.seen = { toasts: [], handed: [], events: {} };
window.LiteGraph = { registered_node_types: { Ours: { title: "Load Ours" } } };
export const app = {
  extensionManager: { toast: { add: (toast) => seen.toasts.push(toast) } },
  handleFile: async function (file, ...others) {
    seen.handed.push([file.name, file.type, await file.text(), this === app, others]);
  },
  registerExtension: async (extension) => {
    for (const node of NODES) await extension.beforeRegisterNodeDef?.({}, node);
    await extension.setup();
  },
};
"""
API = """
export const api = {
  addEventListener: (name, heard) => (seen.events[name] = heard),
  queuePrompt: async (answer) => { if (answer.response) throw answer; return answer; },
};
window.api = api;
"""
NODES = [
    {"name": "Ours", "python_module": "custom_nodes.some-pack"},
    {"name": "Theirs", "python_module": "custom_nodes.other"},
]


def test_a_refusal_has_the_name_that_the_page_waits_for():
    name = f"{Refused.__module__}.{Refused.__qualname__}"
    assert f"REFUSAL = '{name}'" in (WEB / "error_words.js").read_text(encoding="utf-8")


@pytest.fixture
def comfyui(browser):
    """A page with both extensions."""
    page, complaints = browser.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    files = {
        "/": "<!doctype html>",
        "/scripts/app.js": f"const NODES = {json.dumps(NODES)};{APP}",
        "/scripts/api.js": API,
        **{f"/extensions/some-pack/{path.name}": path.read_text() for path in WEB.glob("*.js")},
    }

    def answer(route):
        path = route.request.url.removeprefix(SITE)
        kind = "text/javascript" if path.endswith(".js") else "text/html"
        route.fulfill(body=files[path], content_type=kind)

    page.route("**/*", answer)
    page.goto(f"{SITE}/")
    for path in ("/scripts/app.js", *(path for path in files if path.startswith("/extensions"))):
        page.evaluate("(path) => import(path)", path)
    yield page
    page.close()
    assert complaints == []


def toasts(page):
    shown = page.evaluate("() => seen.toasts")
    return [(one["severity"], one["summary"], one["detail"]) for one in shown]


@pytest.mark.browser
def test_what_a_node_refuses_while_it_runs_is_shown_in_its_words(comfyui):
    failed = {"node_type": "Ours", "exception_message": "cfg: got 1, raise it\n"}
    for kind in ("musicgraph.Refused", "ZeroDivisionError"):
        detail = {**failed, "exception_type": kind}
        comfyui.evaluate("(detail) => seen.events.execution_error({ detail })", detail)
    assert toasts(comfyui) == [("error", "Load Ours", "cfg: got 1, raise it")]


def refused(node_class, *inputs, kind="custom_validation_failed"):
    errors = [
        {"type": kind, "details": f"{one} - no such model", "extra_info": {"input_name": one}}
        for one in inputs
    ]
    return {"class_type": node_class, "errors": errors, "dependent_outputs": ["9"]}


NODE_ERRORS = {
    "1": refused("Ours", "model", "device"),  # ComfyUI repeats it for each
    "2": refused("Ours", "top_k", kind="value_bigger_than_max"),  # its own words are good
    "3": refused("Theirs", "model"),
}


@pytest.mark.browser
def test_what_a_node_refuses_before_a_run_is_shown_once(comfyui):
    post = "(sent) => api.queuePrompt(sent).then((a) => ['got', a], (e) => ['thrown', e])"
    accepted = {"prompt_id": "1", "node_errors": NODE_ERRORS}
    assert comfyui.evaluate(post, accepted) == ["got", accepted]
    assert toasts(comfyui) == [("error", "Load Ours", "no such model")]
    rejected = {"response": {"error": {}, "node_errors": NODE_ERRORS}}
    assert comfyui.evaluate(post, rejected) == ["thrown", rejected]
    assert toasts(comfyui) == 2 * [("error", "Load Ours", "no such model")]
    for silent in ({"prompt_id": "2"}, {"response": {"error": {}}}):
        comfyui.evaluate(post, silent)
    assert len(toasts(comfyui)) == 2


def opened(page, content, name):
    page.evaluate(
        """async ([content, name]) => {
          const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
          const { app } = await import('/scripts/app.js');
          await app.handleFile(new File([bytes], name, { type: 'audio/wav' }), 'file_drop', 7);
        }""",
        [base64.b64encode(content).decode(), name],
    )
    return page.evaluate("() => seen.handed").pop()


def wav(path, tags):
    write_audio(path, torch.zeros(2, 999), 32000, tags=tags)
    return path.read_bytes()


@pytest.mark.browser
def test_a_wav_with_a_graph_opens_it(comfyui, tmp_path):
    workflow, prompt = '{"nodes": ["äöü 🎵"]}', '{"1": {"class_type": "X"}}'
    both = {"prompt": prompt, "workflow": workflow, "musicgraph": "{}"}
    for tags, graph in ((both, workflow), ({"prompt": prompt}, prompt)):
        content = wav(tmp_path / "a.wav", tags)
        handed = opened(comfyui, content, "take.2.WAV")
        assert handed == ["take.2.json", "application/json", graph, True, ["file_drop", 7]]


@pytest.mark.browser
def test_any_other_file_stays_the_pages(comfyui, tmp_path):
    plain, tagged = wav(tmp_path / "a.wav", {}), wav(tmp_path / "b.wav", {"prompt": "{}"})
    cut_off = plain + id3_chunk({"prompt": "{}" * 99})[:40]
    endless = plain[:12] + b"data\xff\xff\xff\xff" + plain[20:]
    others = {"a.wav": plain, "b.wav": cut_off, "c.wav": endless, "d.wav": b"", "e.wav": b"RIFF"}
    others |= {"f.wav": wav(tmp_path / "a.wav", {"title": "x"}), "g.mp3": tagged}
    for name, content in others.items():
        assert opened(comfyui, content, name)[:2] == [name, "audio/wav"]
