"""The page without a browser: what its handlers do, what it draws, whom it serves, and what it refuses."""

import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import wave
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import tiny
import torch
from fakes import opened

from musicgraph.app.page import create as page_create
from musicgraph.app.page import graph as page_graph
from musicgraph.app.page import live, theme
from musicgraph.app.page.create import IDEAS, compose, request_from, values_of
from musicgraph.app.page.follow import Desk, note
from musicgraph.app.page.graph import run_graph, shipped_workflow
from musicgraph.app.page.shelf import Shelf, Take, file_name
from musicgraph.app.serve import build_app, settings_from
from musicgraph.app.studio import failures, zero_gpu
from musicgraph.app.studio.choices import check_request, model_choices
from musicgraph.app.studio.failures import told
from musicgraph.app.studio.fields import BadField
from musicgraph.app.studio.paths import without_paths
from musicgraph.app.studio.queue import QueueFull, Studio
from musicgraph.app.studio.settings import AppSettings
from musicgraph.models.refused import Refused
from musicgraph.models.weights import checkpoint
from musicgraph.nodes.host import Interrupted
from musicgraph.workflows.default_graph import Request
from musicgraph.workflows.media.audio import read_audio, write_audio
from musicgraph.workflows.media.tags import read_tags
from musicgraph.workflows.problems import NodeError, WorkflowError, refused
from musicgraph.workflows.registry import node_classes

ROOT = Path(__file__).parents[1]
SETTINGS = AppSettings(model="tiny")
REQUEST = Request("a calm piano", model="tiny", duration_s=3.0, seed=5)
CLASSES = node_classes()


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory):
    """A tiny random model is the only one there is."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("models")
    patch.setattr(tiny, "CODEBOOK_SIZE", 1024)
    tiny.write_tiny_checkpoint(folder / "tiny")
    patch.setenv("MUSICGRAPH_MODELS", str(folder))
    yield
    patch.undo()


@pytest.fixture
def desk():
    studio = Studio(max_waiting=2)
    yield Desk(studio)
    studio.close()


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "shelf")


# ---------------------------------------------------------------- starting


def test_building_the_page_loads_no_model_and_writes_nothing(monkeypatch):
    def refuse(*_):
        raise AssertionError("a model was opened")

    monkeypatch.setattr(checkpoint, "open_checkpoint", refuse)
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    page = build_app(SETTINGS)
    assert isinstance(page, gr.Blocks)
    assert not page.analytics_enabled
    assert {fn.api_name for fn in page.fns.values() if fn.api_visibility == "public"} == {
        "generate",
        "run_workflow",
    }


def test_gradio_app_starts_from_a_folder_of_any_name(tmp_path):
    (tmp_path / "Music-Graph v1.2 (copy)").symlink_to(ROOT, target_is_directory=True)
    program = tmp_path / "Music-Graph v1.2 (copy)" / "gradio_app.py"
    out = subprocess.run(
        [sys.executable, str(program), "--help"], capture_output=True, text=True, cwd=tmp_path
    )
    assert out.returncode == 0, out.stderr
    for option in (
        "--host",
        "--port",
        "--model",
        "--share",
        "--api-keys",
        "--queue-size",
        "--max-duration",
        "--mcp",
    ):
        assert option in out.stdout


def test_a_space_is_served_to_everybody_on_its_port(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/music")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7861")
    settings = settings_from([])
    assert (settings.host, settings.port) == ("0.0.0.0", 7861)


@pytest.mark.parametrize("program", [None, "ffmpeg"])
def test_an_encoder_is_put_on_the_path_when_none_is_there(monkeypatch, tmp_path, program):
    monkeypatch.setenv("PATH", str(tmp_path))
    if program:
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    live.provide_ffmpeg(tmp_path / "links")
    assert live.can_stream()
    assert shutil.which("ffprobe")
    if program:
        assert shutil.which("ffmpeg") == str(tmp_path / program), "what is there already goes first"


def test_the_look_comes_from_this_machine_only():
    texts = [
        theme.CSS,
        theme.HEAD,
        theme.HEADER,
        theme.empty_stage(),
        theme.theme()._get_theme_css(),
    ]
    for text in texts:
        assert "http://" not in text.replace("http://www.w3.org", "") and "https://" not in text
        assert "@import" not in text and "@font-face" not in text


# ---------------------------------------------------------------- Create


def test_what_the_widgets_hold_is_the_request_and_back():
    request = replace(
        REQUEST, negative="noise", loudness_lufs=-16.0, variations=2, top_p=0.9, cfg=4.5
    )
    assert request_from(*values_of(request)) == request
    assert request_from(*values_of(replace(request, loudness_lufs=None))).loudness_lufs is None


def test_a_seed_is_drawn_for_minus_one_and_for_nothing():
    for seed in (-1, None):
        assert 0 <= request_from(*values_of(replace(REQUEST, seed=seed))).seed < 2**32


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("seed", -2, "seed: got -2, expected a whole number from -1 to"),
        ("seed", 1e20, "seed: got 1e"),
        ("seed", 1.5, "seed: got 1.5"),
        ("seed", "7", 'seed: got "7"'),
        ("duration", None, "duration: got nothing"),
        ("duration", float("nan"), "duration: got NaN"),
        ("variations", 2.5, "variations: got 2.5, expected a whole number"),
        ("guidance", 99, "guidance: got 99, expected a number from"),
        ("temperature", -1, "temperature: got -1"),
        ("top_k", 0, "top_k: got 0"),
        ("top_p", 2, "top_p: got 2"),
        ("loudness", None, "loudness: got nothing"),
        ("loudness", 7, "loudness: got 7"),
    ],
)
def test_a_number_that_cannot_be_is_refused_by_the_fields_name(place, value, words):
    names = [
        "prompt", "duration", "model", "seed", "variations", "negative", "guidance", "temperature", "top_k", "top_p",
        "precision", "loud", "loudness",
    ]  # fmt: skip
    values = dict(zip(names, values_of(replace(REQUEST, loudness_lufs=-14.0)), strict=True))
    with pytest.raises(BadField, match=re.escape(words)) as refused_:
        request_from(*(values | {place: value}).values())
    assert refused_.value.field == place


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": "  "}, "prompt: got nothing"),
        ({"prompt": "x" * 2001}, "2001 characters"),
        ({"negative": "x" * 2001}, "negative prompt"),
        ({"duration_s": 121.0}, "expected 0.1 to 120"),
        ({"duration_s": float("nan")}, "duration: got nan"),
        ({"variations": 5}, "variations: got 5"),
        ({"model": "/etc"}, "model: got '/etc'"),
        ({"model": "somebody/unknown"}, "expected one of tiny"),
    ],
)
def test_what_the_page_does_not_take_is_said_in_words(change, words):
    with pytest.raises(Refused, match=words):
        check_request(replace(REQUEST, **change), SETTINGS)


def test_ideas_are_requests():
    for idea in IDEAS.values():
        check_request(replace(REQUEST, prompt=idea), SETTINGS)


def test_the_menu_has_the_default_first_and_tells_size_and_licence():
    choices = model_choices(SETTINGS)
    assert choices[0].name == "tiny"
    small = next(choice for choice in choices if choice.name == "facebook/musicgen-small")
    assert "2.4 GB" in small.label and "not for commercial use" in small.label


def test_sound_comes_at_once_then_in_pieces_over_a_second_and_adds_up_to_the_file(
    monkeypatch, desk, shelf
):
    monkeypatch.setattr("musicgraph.app.page.create.can_stream", lambda: True)
    shown = list(compose(desk, shelf, SETTINGS, "anna", REQUEST))
    pieces = [samples_of(one.chunk) for one in shown if one.chunk]
    (take,) = shown[-1].takes
    sound, rate = read_audio(take.files[0])
    assert all(len(piece) > rate for piece in pieces[1:-1])
    together = np.concatenate(pieces) / 32767
    assert together.shape == (sound.shape[-1],)
    np.testing.assert_allclose(together, sound[0].clamp(-1, 1).numpy(), atol=2e-4)
    assert {path.suffix for path in take.files} == {".flac", ".wav", ".mp3"}
    assert json.loads(read_tags(take.files[0])["prompt"])
    assert take.picture.read_bytes()[:2] == b"\xff\xd8"
    assert shelf.takes("anna") == (take,)


def samples_of(chunk):
    with wave.open(io.BytesIO(chunk)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)


def test_without_an_encoder_music_comes_at_the_end_and_the_page_says_so(monkeypatch, desk, shelf):
    monkeypatch.setattr("musicgraph.app.page.create.can_stream", lambda: False)
    shown = list(compose(desk, shelf, SETTINGS, "anna", replace(REQUEST, duration_s=1.5)))
    assert not any(one.chunk for one in shown)
    assert "without ffmpeg" in shown[-1].status


def test_each_variation_can_be_made_again_by_itself(desk, shelf):
    *_, both = compose(
        desk, shelf, SETTINGS, "anna", replace(REQUEST, duration_s=1.0, variations=2)
    )
    second = both.takes[1]
    assert second.request.seed == REQUEST.seed + 1 and second.request.variations == 1
    *_, alone = compose(desk, shelf, SETTINGS, "anna", second.request)
    sounds = [read_audio(take.files[0])[0] for take in (*alone.takes, second)]
    torch.testing.assert_close(*sounds, atol=1e-4, rtol=0)


def test_closing_the_handler_ends_the_run(desk, shelf):
    run = compose(desk, shelf, SETTINGS, "anna", replace(REQUEST, duration_s=120.0))
    while "Composing" not in next(run).status:
        pass
    run.close()
    started = time.monotonic()
    while desk.studio.busy():
        assert time.monotonic() - started < 5
        time.sleep(0.01)


def test_stopping_ends_ones_own_work_on_one_tab_only(desk):
    def wait(_runner, stopped, _listener):
        while not stopped():
            time.sleep(0.01)

    with (
        desk.submitted("anna", "create", wait) as hers,
        desk.submitted("anna", "graph", wait) as her_graph,
        desk.submitted("ben", "create", wait) as his,
    ):
        desk.stop("anna", "create")
        with pytest.raises(Interrupted):
            hers.ticket.result(2)
        assert not her_graph.ticket.done() and not his.ticket.done()
        desk.stop("anna")
        with pytest.raises(Interrupted):
            her_graph.ticket.result(2)
        assert not his.ticket.done()


def test_a_stop_is_heard_at_once_even_where_the_work_cannot_be_stopped(desk):
    over = threading.Event()
    with desk.submitted("anna", "create", lambda *_: over.wait(10)) as following:
        batches = following.batches()
        next(batches)
        desk.stop("anna", "create")
        with pytest.raises(Interrupted):
            next(batches)
    over.set()


def test_who_has_left_for_good_makes_no_more_work(desk):
    done = []
    desk.leave("anna")
    with pytest.raises(Interrupted), desk.submitted("anna", "create", lambda *_: done.append(1)):
        raise AssertionError
    with desk.submitted("ben", "create", lambda *_: 7) as his:
        assert his.ticket.result(5) == 7


def test_a_full_queue_is_said(desk, shelf):
    def wait(_runner, stopped, _listener):
        while not stopped():
            time.sleep(0.01)

    with desk.submitted("a", "x", wait) as first:
        while not desk.studio.busy():
            time.sleep(0.01)
        with desk.submitted("b", "x", wait), desk.submitted("c", "x", wait):
            assert first.ticket.position() == 0
            with pytest.raises(QueueFull) as full:
                next(compose(desk, shelf, SETTINGS, "anna", REQUEST))
    assert "2 are waiting already" in told(full.value).text


# ---------------------------------------------------------------- what went wrong


def test_what_broke_inside_stays_in_the_log(caplog):
    error = NodeError("3", "MusicGen Sampler", "MusicGenSampler", RuntimeError("secret detail"))
    error.__cause__ = RuntimeError("secret detail")
    words = told(error)
    assert "MusicGen Sampler" in words.text and "secret" not in words.text
    number = words.text.rpartition(" ")[2].rstrip(".")
    assert number in caplog.text and "secret detail" in caplog.text


def test_refusals_name_the_node_and_a_stop_is_no_error():
    error = NodeError("3", "Sampler", "MusicGenSampler", Refused("top_k", got=0))
    error.__cause__ = Refused("top_k", got=0)
    assert told(error).title == "“Sampler” refuses" and told(error).text == "top_k: got 0"
    assert not told(Interrupted("stopped")).is_error
    assert "got {}" in told(refused("empty workflow", "got {}")).text


def test_nothing_of_a_message_is_markup():
    assert "<script>" not in note("<script>", "<script>")


# ---------------------------------------------------------------- the shelf


def a_take(folder, made_at, seed=1):
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{seed}{suffix}" for suffix in (".flac", ".jpg")]
    for path in paths:
        path.write_bytes(b"x")
    return Take(
        f"t{seed}", replace(REQUEST, seed=seed), (paths[0],), paths[1], 1.0, "torch", 1.0, made_at
    )


def test_everybody_sees_their_own_takes_newest_first(shelf):
    shelf.add("anna", (a_take(shelf.folder("anna", "takes"), 0.0, 1),))
    shelf.add("anna", (a_take(shelf.folder("anna", "takes"), 0.0, 2),))
    assert [take.id for take in shelf.takes("anna")] == ["t2", "t1"]
    assert shelf.takes("ben") == ()
    shelf.remove("ben", "t1")
    assert len(shelf.takes("anna")) == 2
    assert "anna" not in str(shelf.folder("anna", "takes"))


def test_removed_and_old_takes_leave_no_file(tmp_path):
    shelf = Shelf(tmp_path, keep_s=60, now=time.time)
    folder = shelf.folder("anna", "takes")
    old, young = a_take(folder, time.time() - 61, 1), a_take(folder, time.time(), 2)
    for path in (*old.files, old.picture):
        os.utime(path, (old.made_at, old.made_at))
    shelf.add("anna", (old, young))
    shelf.sweep()
    assert shelf.takes("anna") == (young,)
    assert sorted(path.name for path in folder.iterdir()) == ["2.flac", "2.jpg"]
    shelf.remove("anna", "t2")
    assert list(folder.rglob("*")) == []
    shelf.close()
    assert not tmp_path.exists()


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ('cannot open "{tmp}/x-1/in put/song.wav": no', 'cannot open "song.wav": no'),
        ("put it into /home/ann/ComfyUI/models/musicgen/small", "put it into small"),
        ("got C:\\Users\\ann\\song.wav, expected", "got song.wav, expected"),
        ("see https://example.org/a/b and 3/4", "see https://example.org/a/b and 3/4"),
    ],
)
def test_messages_do_not_say_where_things_lie(said, seen):
    assert without_paths(said.replace("{tmp}", tempfile.gettempdir())) == seen


def test_file_names_are_plain():
    assert file_name("Lo-fi: Évening / ../etc\\passwd") == "lo-fi-vening-etc-passwd"
    assert file_name("音楽") == "music"
    assert len(file_name("word " * 100)) <= 40


# ---------------------------------------------------------------- graphs


def api_graph(**sampler):
    prompt = shipped_workflow("text_to_music.json", SETTINGS, CLASSES).prompt
    prompt["3"]["inputs"] |= {"duration": 1.0, **sampler}
    return prompt


def test_a_graph_runs_node_by_node_and_gives_its_files(desk, shelf):
    shown = list(run_graph(desk, shelf, SETTINGS, "anna", opened(api_graph(), CLASSES)))
    assert shown[-1].marks == dict.fromkeys("12345", "done")
    (made,) = shown[-1].made
    assert made.title == "Save Audio (FLAC)" and read_audio(made.files[0])[0].shape[-1] == 8000
    again = list(run_graph(desk, shelf, SETTINGS, "ben", opened(api_graph(), CLASSES)))
    assert again[-1].made[0].files != made.files
    assert shelf.folder("ben", "made") in again[-1].made[0].files[0].parents


@pytest.mark.parametrize("duration", [500.0, "500", {"__value__": 500}])
def test_music_longer_than_allowed_is_refused_however_it_is_written(desk, shelf, duration):
    with pytest.raises(WorkflowError, match="expected (0.1 to 120|at most 480)"):
        next(
            run_graph(desk, shelf, SETTINGS, "anna", opened(api_graph(duration=duration), CLASSES))
        )


@pytest.mark.parametrize("model", ["somebody/unknown", "/", {"__value__": "somebody/unknown"}])
def test_models_off_the_menu_are_neither_opened_nor_downloaded(desk, shelf, model):
    prompt = api_graph()
    prompt["1"]["inputs"]["model"] = model
    with pytest.raises(WorkflowError, match="Load MusicGen"):
        next(run_graph(desk, shelf, SETTINGS, "anna", opened(prompt, CLASSES)))


def test_files_outside_ones_own_input_folder_are_out_of_reach(desk, shelf, tmp_path):
    write_audio(shelf.folder("ben", "input") / "his.wav", torch.rand(1, 800) - 0.5, 8000)
    chain = shipped_workflow("chain.json", SETTINGS, CLASSES)
    for name in (
        "his.wav",
        "../../" + str(shelf.folder("ben", "input") / "his.wav"),
        "/etc/passwd",
    ):
        prompt = chain.prompt
        prompt["6"]["inputs"]["audio"] = name
        with pytest.raises(WorkflowError, match="Load Audio"):
            next(run_graph(desk, shelf, SETTINGS, "anna", opened(prompt, CLASSES)))


def test_a_failing_node_is_named_and_marked(desk, shelf):
    marks = {}
    with pytest.raises(NodeError, match="MusicGen Sampler"):
        for shown in run_graph(
            desk, shelf, SETTINGS, "anna", opened(api_graph(top_k=60000), CLASSES)
        ):
            marks = shown.marks
    assert marks["3"] == "broken" and marks["1"] == "done"


# ---------------------------------------------------------------- a GPU that is lent


class FakeSpaces:
    """What the package `spaces` does with a function, without another process; what is sent must bear pickling."""

    @staticmethod
    def GPU(duration):
        def decorate(function):
            def lent(*arguments):
                assert duration(*arguments) > 0
                for item in function(*pickle.loads(pickle.dumps(arguments))):
                    yield pickle.loads(pickle.dumps(item))

            return lent

        return decorate


@pytest.fixture
def lent_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "spaces", FakeSpaces)
    monkeypatch.setattr(zero_gpu, "is_zero_gpu", lambda: True)
    monkeypatch.setattr(page_create, "is_zero_gpu", lambda: True)
    monkeypatch.setattr(page_graph, "is_zero_gpu", lambda: True)
    zero_gpu._lent.cache_clear()
    yield
    zero_gpu._lent.cache_clear()
    zero_gpu._runner.cache_clear()


def test_music_and_graphs_come_back_from_a_lent_gpu(lent_gpu, desk, shelf):
    *_, shown = compose(desk, shelf, SETTINGS, "anna", replace(REQUEST, duration_s=1.0))
    assert read_audio(shown.takes[0].files[0])[0].abs().max() > 0
    *_, made = run_graph(desk, shelf, SETTINGS, "anna", opened(api_graph(), CLASSES))
    assert made.made[0].files


def test_a_refusal_on_a_lent_gpu_comes_in_the_same_words(lent_gpu, desk, shelf):
    with pytest.raises(failures.TellTale) as refusal:
        list(compose(desk, shelf, SETTINGS, "anna", replace(REQUEST, top_k=60000)))
    assert "top_k: got 60000" in told(refusal.value).text


def test_a_stop_reaches_a_lent_gpu(lent_gpu, desk, shelf):
    run = compose(desk, shelf, SETTINGS, "anna", replace(REQUEST, duration_s=120.0))
    while "Composing" not in next(run).status:
        pass
    run.close()
    started = time.monotonic()
    while desk.studio.busy():
        assert time.monotonic() - started < 5
        time.sleep(0.01)


# ---------------------------------------------------------------- what is installed


def test_requirements_ask_for_what_the_package_asks_for_and_bind_nothing_of_the_hosts():
    def asked(text):
        return dict(
            re.match(r"([\w-]+)(.*)", line.strip(' ",')).groups() for line in text if line.strip()
        )

    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = asked(line for line in lines if not line.startswith("#"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    package = asked(
        re.search(r"^dependencies = \[\n(.*?)^\]", project, re.S | re.M)[1].splitlines()
    )
    hosts = {"torch": "", "numpy": ""}
    assert required == {**package, **hosts}
