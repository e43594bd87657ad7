"""`musicgraph info` and `musicgraph generate --until`, as a script sees them."""

import json
import sys

import pytest
import tiny
import torch
from fakes import node

from musicgraph import cli
from musicgraph.workflows.media.audio import read_audio, write_audio

RATE = 16_000
GRAPH = {
    "1": node("MusicGenTextEncode", text="calm piano"),
    "2": node("MusicGenSampler", duration=2.0, seed=7, positive=["1", 0]),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny.write_tiny_checkpoint(folder, codebook_size=512)
    return str(folder)


@pytest.fixture
def musicgraph(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["musicgraph", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        output = capsys.readouterr()
        return caught.value.code or 0, output.out, output.err

    return call


def pulsing(seconds=4):
    """A tone that is struck twice a second."""
    t = torch.arange(seconds * RATE) / RATE
    return (0.4 * torch.sin(2 * torch.pi * 293.66 * t) * torch.exp(-6 * (t % 0.5)))[None]


# ---------------------------------------------------------------- info


def test_a_file_says_what_made_it_and_what_it_measures(tmp_path, musicgraph):
    write_audio(tmp_path / "a.flac", pulsing(), RATE, tags={"prompt": json.dumps(GRAPH)})
    code, out, _ = musicgraph("info", "a.flac", "--json")
    said = json.loads(out)
    assert code == 0 and said["file"] == "a.flac"
    assert said["made_by"] == {"prompt": "calm piano", "duration_s": 2.0, "seed": 7}
    assert said["measured"]["tempo_bpm"] == pytest.approx(120, abs=0.5)
    assert said["measured"]["duration_s"] == 4.0
    code, out, _ = musicgraph("info", "a.flac")
    assert code == 0
    assert "prompt: calm piano\n" in out and "tempo bpm: 120.0\n" in out and "clipped: no\n" in out


def test_a_file_without_a_graph_says_so(tmp_path, musicgraph):
    write_audio(tmp_path / "a.wav", torch.zeros(1, RATE), RATE)
    code, out, _ = musicgraph("info", "a.wav")
    assert code == 0 and "made by: the file does not say\n" in out and "key: none\n" in out
    assert json.loads(musicgraph("info", "a.wav", "--json")[1])["made_by"] is None


def test_what_several_nodes_say_is_a_list_and_links_are_left_out(tmp_path, musicgraph):
    two = {
        **GRAPH,
        "3": node("MusicGenSampler", seed=["1", 0]),
        "4": node("MusicGenSampler", seed=8, negative=["5", 0]),
        "5": node("MusicGenTextEncode", text="noise"),
        "6": node("MusicGenSampler", seed={"a": []}, negative=["nowhere", 0]),
    }
    write_audio(tmp_path / "a.flac", pulsing(), RATE, tags={"prompt": json.dumps(two)})
    said = json.loads(musicgraph("info", "a.flac", "--json")[1])["made_by"]
    assert (said["seed"], said["prompt"], said["negative"]) == ([7, 8], "calm piano", "noise")
    assert "seed: 7, 8\n" in musicgraph("info", "a.flac")[1]


def test_a_strangers_prompt_cannot_speak_to_the_terminal(tmp_path, musicgraph):
    evil = {"1": node("MusicGenTextEncode", text="a\x1b[2J\nseed: 5"), "2": GRAPH["2"]}
    write_audio(tmp_path / "a.flac", pulsing(), RATE, tags={"prompt": json.dumps(evil)})
    _, out, _ = musicgraph("info", "a.flac")
    assert "\x1b" not in out and "\nseed: 5" not in out


@pytest.mark.parametrize("content", [None, b"", b"no sound at all", b"RIFF\0\0\0\0WAVE"])
def test_what_is_no_sound_is_refused_in_one_line(tmp_path, musicgraph, content):
    if content is not None:
        (tmp_path / "a.wav").write_bytes(content)
    code, out, err = musicgraph("info", "a.wav")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_what_is_left_empty_is_not_told(tmp_path, musicgraph):
    empty = {**GRAPH, "2": node("MusicGenSampler", seed=7, automation="", positive=["1", 0])}
    write_audio(tmp_path / "a.flac", pulsing(), RATE, tags={"prompt": json.dumps(empty)})
    assert "automation" not in musicgraph("info", "a.flac")[1]


# ---------------------------------------------------------------- generate --until


def test_the_first_take_that_measures_what_was_asked_for_is_kept(tmp_path, musicgraph, model):
    plain = ["generate", "x", "-d", 0.5, "-m", model, "--seed", 5]
    code, out, err = musicgraph(*plain, "--until", "no silence", "-o", "a.wav", "--json")
    said = json.loads(out)
    assert code == 0 and said["fulfilled"] and said["seed"] == 5
    assert [one["seed"] for one in said["tries"]] == [5]
    assert err.count("seed 5: ") == 1
    musicgraph(*plain, "-o", "b.wav")
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_where_no_take_is_what_was_asked_for_the_closest_is_kept(tmp_path, musicgraph, model):
    """Half a second has no beat; how loud each seed is differs."""
    words = ["generate", "x", "-d", 0.5, "-m", model, "--seed", 5, "-o", "a.wav", "--json"]
    code, out, err = musicgraph(*words, "--until", "tempo=120 loud=0±0", "--tries", 3)
    said = json.loads(out)
    assert code == 0 and not said["fulfilled"]
    tries = {one["seed"]: one["measured"]["loudness_lufs"] for one in said["tries"]}
    assert list(tries) == [5, 6, 7]
    assert tries[said["seed"]] == max(tries.values())
    assert err.count("; not tempo=120; not loud=0±0") == 3 and "comes closest" in err
    kept, _ = read_audio(tmp_path / "a.wav")
    musicgraph(*words[:7], said["seed"], "-o", "b.wav")
    assert torch.equal(kept, read_audio(tmp_path / "b.wav")[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--until", "fast"], 'until: got "fast"'),
        (["--until", ""], "until: got no wish"),
        (["--until", "drums", "--tries", 0], "tries: got 0, expected 1 to 64"),
        (["--until", "drums", "--tries", 65], "tries: got 65, expected 1 to 64"),
        (["--tries", 3], "tries: got 3, expected it beside --until"),
        (["--until", "drums", "--variations", 2], "variations: got 2, expected 1"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_any_work(tmp_path, musicgraph, words, message):
    code, out, err = musicgraph("generate", "x", "-m", tmp_path / "none", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err and list(tmp_path.iterdir()) == []
