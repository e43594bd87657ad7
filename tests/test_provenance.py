"""A file says how it was made, and its graph makes it again: also a take of a batch."""

import json
import os
import re
import shutil
import sys
from dataclasses import replace

import pytest
import tiny
import torch
from fakes import node

from musicgraph import cli
from musicgraph.app.studio.music import make_music
from musicgraph.models.weights.digest import content_digest
from musicgraph.nodes.made_with import MadeWith
from musicgraph.workflows import api_format
from musicgraph.workflows.default_graph import workflow_for
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.media.audio import write_audio
from musicgraph.workflows.media.tags import read_tags
from musicgraph.workflows.provenance import Provenance, alone, told_in
from musicgraph.workflows.reader import read_document
from musicgraph.workflows.registry import NodeSpecs, node_classes
from musicgraph.workflows.request import Request
from musicgraph.workflows.workflow import Workflow

SEED = 2**64 - 1  # the next one is 0
STEP = 1.01 / 32768  # of 16 bits


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny.write_tiny_checkpoint(folder, codebook_size=512)
    return folder


@pytest.fixture
def musicgraph(tmp_path, monkeypatch, capsys, model):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(model.parent))

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["musicgraph", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        return caught.value.code or 0, output.out, output.err

    return call


def batch(**changes):
    """Two texts, two takes of each, saved."""
    graph = {
        "1": node("MusicGenModelLoader", model="tiny", precision="auto", device="cpu"),
        "2": node("MusicGenTextEncode", text_encoder=["1", 1], text="calm piano\n\n loud drums "),
        "3": node(
            "MusicGenSampler", model=["1", 0], positive=["2", 0], duration=0.2, seed=SEED,
            cfg=3.0, temperature=1.0, top_k=50, top_p=0.0, variations=2, automation="", overlap=0.0,
            guidance_until=600.0,
        ),
        "4": node("EnCodecDecode", codec=["1", 2], tokens=["3", 0]),
        "5": node("AudioLoudness", audio=["4", 0], method="peak", target=-3.0, ceiling=-1.0),
        "6": node("SaveAudio", audio=["5", 0], filename_prefix="take"),
    }  # fmt: skip
    return graph | changes


def made_with(**changes):
    return {"3": (replace(MadeWith({"model": "tiny"}, SEED, 2, 2), **changes),)}


def own(item, graph=None, **changes):
    read = api_format.read(graph or batch())
    return alone(read, "6", item, 4, made_with(**changes))


# ---------------------------------------------------------------- a graph of its own


@pytest.mark.parametrize(
    ("item", "text", "seed"),
    [(0, "calm piano", SEED), (1, "calm piano", 0), (2, "loud drums", 1), (3, "loud drums", 2)],
)
def test_an_item_of_a_batch_has_a_graph_with_its_text_its_seed_and_nothing_beside_it(
    item, text, seed
):
    graph = own(item)
    assert graph["2"].inputs["text"] == text
    assert (graph["3"].inputs["seed"], graph["3"].inputs["variations"]) == (seed, 1)
    rest = {name: graph[name] for name in "1456"}
    assert rest == {name: api_format.read(batch())[name] for name in "1456"}


def test_a_text_for_all_stays_and_a_linked_seed_becomes_the_one_that_was_used():
    graph = batch()
    graph["7"] = node("MusicGenTextEncode", text_encoder=["1", 1], text="noise")
    graph["8"] = node("PrimitiveInt", value=9)
    graph["3"]["inputs"] |= {"negative": ["7", 0], "seed": ["8", 0]}
    found = own(2, graph)
    assert found["7"].inputs["text"] == "noise" and found["3"].inputs["seed"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"continued": 2},  # an item of what is continued
        {"variations": 3},  # items that came together later
    ],
)
def test_what_is_no_line_of_a_text_has_no_graph_of_its_own(changes):
    assert own(1, **changes) is None


def test_where_items_meet_or_texts_are_linked_there_is_none_either():
    mixed = batch()
    mixed["5"] = node("AudioConcat", audio1=["4", 0], audio2=["4", 0], direction="after")
    assert own(1, mixed) is None
    linked = batch()
    linked["2"]["inputs"]["text"] = ["9", 0]
    linked["9"] = node("PrimitiveStringMultiline", value="a\nb")
    assert own(1, linked) is None
    several = {"3": made_with()["3"] * 2}
    assert alone(api_format.read(batch()), "6", 1, 4, several) is None


def test_a_file_without_a_graph_of_its_own_says_which_take_it_is():
    graph = api_format.read(batch())
    specs = NodeSpecs(node_classes())
    provenance = Provenance(graph, {"workflow": {"nodes": []}}, specs, made_with(continued=2))
    prompt, beside = provenance.of("6", 1, 4)
    assert prompt == api_format.write(graph) and beside["workflow"] == {"nodes": []}
    told = told_in(json.dumps(beside["musicgraph"]))
    assert (told["take"], told["takes"], told["seed"]) == (2, 4, SEED)


def test_each_file_of_a_batch_carries_what_makes_it_again(musicgraph, tmp_path):
    (tmp_path / "batch.json").write_text(json.dumps(batch()))
    code, out, err = musicgraph("run", "batch.json")
    assert code == 0, err
    for item, file in enumerate(out.split()):
        assert read_document(file).api["3"]["inputs"]["seed"] == (SEED + item) % 2**64
        code, out, err = musicgraph("again", file, "--json")
        said = json.loads(out)
        assert code == 0 and said["largest_difference"] < STEP, (out, err)
        assert said["changed"] == {}


def test_the_picture_in_a_take_shows_the_takes_own_graph(model):
    wanted = Request("happy", model=str(model), duration_s=0.2, seed=5, variations=2)
    music = make_music(Runner(), wanted)
    specs = NodeSpecs(node_classes())
    for item, tags in enumerate(music.tags):
        alone_now = workflow_for(replace(wanted, seed=5 + item, variations=1), specs)
        assert json.loads(tags["prompt"]) == alone_now.prompt
        assert json.loads(tags["workflow"]) == alone_now.ui


# ---------------------------------------------------------------- what it was made with


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".opus"])
def test_a_file_says_what_it_was_made_with_and_is_made_again(musicgraph, tmp_path, model, suffix):
    words = ["generate", "happy", "-d", 0.5, "-m", "tiny", "--seed", 7, "--device", "cpu"]
    assert musicgraph(*words, "-o", f"a{suffix}")[0] == 0
    said = json.loads(musicgraph("info", f"a{suffix}", "--json")[1])
    told = said["made_with"]
    assert (told["model"], told["seed"], told["engine"]) == ("tiny", 7, "torch")
    assert (told["precision"], told["device"], told["adapters"]) == ("fp32", "cpu", [])
    assert told["digest"] == content_digest(model) and told["torch"]
    assert said["made_by"]["prompt"] == "happy" and "take" not in told
    assert musicgraph("again", f"a{suffix}") == (0, "same samples\n", "")


def test_again_says_what_changed_where_other_sound_comes(musicgraph, tmp_path, model, monkeypatch):
    mine = tmp_path / "models"
    shutil.copytree(model, mine / "tiny")
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(mine))
    assert musicgraph("generate", "x", "-d", 0.5, "-m", "tiny", "--seed", 1, "-o", "a.flac")[0] == 0
    shutil.rmtree(mine / "tiny")
    tiny.write_tiny_checkpoint(mine / "tiny", codebook_size=512, seed=1)
    code, out, _ = musicgraph("again", "a.flac")
    lines = out.splitlines()
    assert code == 1 and re.fullmatch(
        r"other samples: \d+ of 4000 samples differ, from 0.\d{3} s on, by up to 0.\d+ of 1",
        lines[0],
    )
    assert [line.partition(":")[0] for line in lines[1:]] == ["digest"]


def test_again_takes_other_values_and_compares_what_comes(musicgraph):
    assert musicgraph("generate", "x", "-d", 0.5, "-m", "tiny", "--seed", 1, "-o", "a.wav")[0] == 0
    code, out, _ = musicgraph("again", "a.wav", "--set", "MusicGenSampler.duration=0.4")
    assert code == 1 and out.startswith("other sound: nothing as long")
    code, out, _ = musicgraph("again", "a.wav", "--set", "MusicGenSampler.seed=2", "--json")
    assert code == 1 and json.loads(out)["changed"] == {"seed": [1, 2]}


def test_a_graph_that_saves_no_sound_is_not_made_again(musicgraph, tmp_path):
    graph = {
        "1": node("EmptyAudio", duration=0.1, sample_rate=8000, channels=1),
        "2": node("AudioSpectrogram", audio=["1", 0], width=64, height=64),
        "3": node("SaveImage", images=["2", 0], filename_prefix="x"),
    }
    write_audio(tmp_path / "a.wav", torch.zeros(1, 800), 8000, tags={"prompt": json.dumps(graph)})
    code, out, err = musicgraph("again", "a.wav")
    assert (code, out, err.count("\n")) == (2, "", 1) and "got no sound" in err


def test_a_file_of_comfyuis_is_compared_though_it_says_less(musicgraph, tmp_path):
    graph = {
        "1": node("EmptyAudio", duration=0.1, sample_rate=8000, channels=1),
        "2": node("SaveAudio", audio=["1", 0], filename_prefix="x"),
    }
    tags = {"prompt": json.dumps(graph)}
    write_audio(tmp_path / "a.flac", torch.zeros(1, 800), 8000, tags=tags)
    write_audio(tmp_path / "b.flac", torch.full((1, 800), 0.5), 8000, tags=tags)
    assert musicgraph("again", "a.flac") == (0, "same samples\n", "")
    code, out, _ = musicgraph("again", "b.flac")
    assert code == 1 and out.endswith("the file does not say what it was made with\n")


STEPS = {(): "same samples", (300,): "same music: 1 of 1600 samples differ, from 0.037 s on"}
STEPS |= {(600, 700): "same music: 2 of 1600 samples differ, from 0.075 s on"}


@pytest.mark.parametrize("places", STEPS)
def test_again_counts_the_samples_that_differ(musicgraph, tmp_path, places):
    graph = {
        "1": node("EmptyAudio", duration=0.1, sample_rate=8000, channels=2),
        "2": node("SaveAudio", audio=["1", 0], filename_prefix="x"),
    }
    sound = torch.zeros(2, 800)
    sound[1, list(places)] = 1 / 32768
    write_audio(tmp_path / "a.flac", sound, 8000, tags={"prompt": json.dumps(graph)})
    code, out, _ = musicgraph("again", "a.flac")
    assert code == 0 and out.startswith(STEPS[places])
    assert ("by one step of 16 bits" in out) == bool(places)
    said = json.loads(musicgraph("again", "a.flac", "--json")[1])
    assert (said["different_samples"], said["samples"]) == (len(places), 1600)


@pytest.mark.parametrize(
    "words", [("generate", "x", "-d", 0.2, "-m", "tiny"), ("run", "flow.json")]
)
def test_no_metadata_means_none(musicgraph, tmp_path, words):
    (tmp_path / "flow.json").write_text(json.dumps(batch()))
    code, out, err = musicgraph(*words, "--no-metadata")
    assert code == 0, err
    assert [read_tags(file) for file in out.split()] == [{}] * len(out.split())


def test_a_result_that_is_used_again_is_said_to_be_made_with_the_same(musicgraph, model, tmp_path):
    runner, wanted = Runner(), Request("x", model=str(model), duration_s=0.2)
    first, second = (make_music(runner, wanted) for _ in range(2))
    assert first.tags == second.tags and "made_with" in first.tags[0]["musicgraph"]


@pytest.mark.parametrize("tag", [None, "", "[]", "{", '{"made_with": 3}', '{"versions": [1]}'])
def test_a_strangers_tag_is_passed_over(tag):
    assert told_in(tag) == {}


def test_several_samplers_are_told_apart():
    call = {"model": "tiny", "seed": 1}
    said = {"made_with": [{"node": "3", **call}, {"node": "7", **call}]}
    assert told_in(json.dumps(said)) == {
        "node 3 model": "tiny", "node 3 seed": 1, "node 7 model": "tiny", "node 7 seed": 1,
    }  # fmt: skip


# ---------------------------------------------------------------- which model that was


def written_later(path, content):
    """Than the file system's clock can tell from before."""
    later = path.stat().st_mtime_ns + 10**9
    path.write_bytes(content)
    os.utime(path, ns=(later, later))


def test_a_copy_has_the_same_digest_and_other_weights_have_another(model, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(model, copy)
    assert content_digest(copy) == content_digest(model) != ""
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    written_later(copy / "model.safetensors", weights)
    assert content_digest(copy) != content_digest(model)


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 0.75])
def test_of_large_files_a_look_is_taken_everywhere(tmp_path, share):
    """A stretch that was changed is seen if it is as long as the distance of two looks."""
    path, content = tmp_path / "model.safetensors", bytearray(8 * 2**20)
    path.write_bytes(content)
    before = content_digest(tmp_path)
    begin = int(share * len(content))
    content[begin : begin + len(content) // 60] = b"x" * (len(content) // 60)
    written_later(path, content)
    assert content_digest(tmp_path) != before


# ---------------------------------------------------------------- workflow


def test_a_graph_is_told_and_printed_in_both_formats(musicgraph, tmp_path):
    (tmp_path / "batch.json").write_text(json.dumps(batch()))
    code, out, _ = musicgraph("workflow", "show", "batch.json")
    assert code == 0 and "3: MusicGenSampler\n" in out
    assert "    positive: from 2, MusicGenTextEncode, output 0\n" in out
    code, out, _ = musicgraph("workflow", "to-api", "batch.json")
    assert code == 0 and json.loads(out) == batch()
    code, out, _ = musicgraph("workflow", "to-ui", "batch.json")
    drawn = Workflow.of(read_document(_written(tmp_path, out)), NodeSpecs(node_classes()))
    given = api_format.read(batch())
    for one in drawn.graph:
        assert one.inputs == given[one.id].inputs
    columns = [drawn.graph[name].pos[0] for name in "123456"]
    assert columns == sorted(columns) and len(set(columns)) == 6


def _written(tmp_path, text):
    path = tmp_path / "drawn.json"
    path.write_text(text)
    return path


def test_nodes_of_a_subgraph_get_numbers_when_they_are_drawn(musicgraph, tmp_path):
    graph = {
        "2": node("SaveAudio", audio=["9:3", 0], filename_prefix="x"),
        "9:3": node("EmptyAudio", duration=0.1, sample_rate=8000, channels=1),
    }
    (tmp_path / "a.json").write_text(json.dumps(graph))
    code, out, _ = musicgraph("workflow", "to-ui", "a.json")
    drawn = Workflow.of(read_document(_written(tmp_path, out)), NodeSpecs(node_classes()))
    assert code == 0 and {one.id for one in drawn.graph} == {"2", "3"}
    assert drawn.graph["2"].links["audio"].node == "3"


def test_what_only_comfyui_knows_is_not_drawn(musicgraph, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"1": node("KSampler", seed=1)}))
    code, out, err = musicgraph("workflow", "to-ui", "a.json")
    assert (code, out, err.count("\n")) == (2, "", 1) and "KSampler" in err
