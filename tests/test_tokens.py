"""Tokens as data: files of them, and pieces cut, joined, repeated, gathered and picked."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from musicgraph.models.limits import Limits
from musicgraph.models.refused import Refused
from musicgraph.nodes import host, tokens
from musicgraph.nodes.codec import EnCodecDecode
from musicgraph.nodes.load import MusicGenModelLoader
from musicgraph.workflows.executor import Runner


@pytest.fixture(scope="module")
def codec(mono):
    return MusicGenModelLoader().load(str(mono.folder), "fp32", "cpu")[2]


def made(frames=50, items=1, seed=0, **changes):
    values = torch.randint(0, 64, (items, 4, frames), generator=torch.manual_seed(seed))
    facts = {"frame_rate": 50.0, "codebook_size": 64, "channels": 1, "sample_rate": 8000}
    return {"tokens": values, **facts, "open_end": True, **changes}


@pytest.fixture
def folders(tmp_path):
    run = host.Run(input_dir=tmp_path / "in", output_dir=tmp_path / "out")
    with host.running(run):
        yield tmp_path


def saved(codec, audio_tokens, folders, **more):
    result = tokens.AudioTokensSave().save(codec, audio_tokens, "takes/one", **more)
    (entry,) = result["ui"]["tokens"]
    return f"{entry['subfolder']}/{entry['filename']} [output]"


def test_what_is_saved_is_loaded_again_whole(codec, folders):
    audio_tokens = made(items=3)
    name = saved(codec, audio_tokens, folders)
    assert name == "takes/one_00001.safetensors [output]"
    (again,) = tokens.AudioTokensLoad().load(codec, name)
    assert torch.equal(again.pop("tokens"), audio_tokens.pop("tokens"))
    assert again == audio_tokens
    assert saved(codec, made(), folders) == "takes/one_00002.safetensors [output]"


def test_a_file_carries_the_graph_that_made_it(codec, folders):
    prompt, ui = {"1": {"class_type": "X", "inputs": {}}}, {"nodes": []}
    saved(codec, made(), folders, prompt=prompt, extra_pnginfo={"workflow": ui})
    with safe_open(folders / "out/takes/one_00001.safetensors", "pt") as file:
        metadata = file.metadata()
        assert file.get_tensor("tokens").dtype == torch.int16, "two bytes a token"
    assert (json.loads(metadata["prompt"]), json.loads(metadata["workflow"])) == (prompt, ui)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"codec": "0" * 32}, "tokens of another codec .codec 0000"),
        ({"sample_rate": "32000"}, "another codec .sample_rate 32000., expected sample_rate 8000"),
        ({"codebook_size": "2048"}, "another codec .codebook_size 2048"),
        ({"frame_rate": "75.0"}, "another codec .frame_rate 75.0"),
        ({"format": "pt"}, "a file of something else"),
        ({"channels": "[]"}, "metadata of other kinds"),
        ({"open_end": "{"}, "metadata that cannot be read"),
    ],
)
def test_a_file_of_another_codec_or_kind_is_refused_in_one_line(codec, folders, changes, words):
    saved(codec, made(), folders)
    path = folders / "out/takes/one_00001.safetensors"
    with safe_open(path, "pt") as file:
        metadata, values = file.metadata(), file.get_tensor("tokens")
    save_file({"tokens": values}, path, {**metadata, **changes})
    with pytest.raises(Refused, match=words) as refused:
        tokens.AudioTokensLoad().load(codec, "takes/one_00001.safetensors [output]")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tokens": torch.full((1, 4, 5), 64, dtype=torch.int16)},
        {"tokens": torch.full((1, 4, 5), -1, dtype=torch.int16)},
        {"tokens": torch.zeros(1, 4, 5)},
        {"tokens": torch.zeros(4, 5, dtype=torch.int16)},
        {"tokens": torch.zeros(1, 4, 0, dtype=torch.int16)},
        {"other": torch.zeros(1, 4, 5, dtype=torch.int16)},
    ],
)
def test_damaged_tokens_are_refused(codec, folders, wrong):
    saved(codec, made(), folders)
    path = folders / "out/takes/one_00001.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(wrong, path, metadata)
    with pytest.raises(Refused, match="expected tokens as Audio Tokens Save writes them"):
        tokens.AudioTokensLoad().load(codec, "takes/one_00001.safetensors [output]")


def test_what_is_no_file_of_the_folders_is_refused_before_anything_runs(codec, folders):
    (folders / "in").mkdir()
    (folders / "in/noise.safetensors").write_bytes(b"noise")
    check = tokens.AudioTokensLoad.VALIDATE_INPUTS
    assert "nothing outside this folder" in check("../x.safetensors")
    assert "cannot open" in check("none.safetensors")
    assert check("noise.safetensors") is True, "what it holds is seen when it is read"
    with pytest.raises(Refused, match="noise.safetensors"):
        tokens.AudioTokensLoad().load(codec, "noise.safetensors")
    assert "outside" in tokens.AudioTokensSave.VALIDATE_INPUTS("../x")


def test_another_file_under_the_name_is_noticed(codec, folders):
    name = saved(codec, made(), folders)
    before = tokens.AudioTokensLoad.IS_CHANGED(name)
    assert tokens.AudioTokensLoad.IS_CHANGED(name) == before
    saved(codec, made(seed=1), folders)
    (folders / "out/takes/one_00002.safetensors").replace(
        folders / "out/takes/one_00001.safetensors"
    )
    assert tokens.AudioTokensLoad.IS_CHANGED(name) != before


# ---------------------------------------------------------------- pieces


def test_cut_pieces_put_together_are_the_whole(codec):
    whole = made(frames=65)
    (head,) = tokens.AudioTokensCrop().crop(whole, 0.0, 0.5)
    (tail,) = tokens.AudioTokensCrop().crop(whole, 0.5, 0.0)
    assert (head["tokens"].shape[2], head["open_end"], tail["open_end"]) == (25, False, True)
    (joined,) = tokens.AudioTokensConcat().concat(head, tail)
    assert torch.equal(joined["tokens"], whole["tokens"])
    assert joined["open_end"]


@pytest.mark.parametrize(
    "times", [(0.5, 0.5), (0.6, 0.5), (1.0, 0.0), (0.0, 1.1), (-0.1, 0.5), (0.0, float("nan"))]
)
def test_a_part_that_is_not_there_is_refused(times):
    with pytest.raises(Refused, match="crop: got"):
        tokens.AudioTokensCrop().crop(made(), *times)


def test_repeated_tokens_are_heard_so_often():
    (twice,) = tokens.AudioTokensRepeat().repeat(made(), 3)
    assert torch.equal(twice["tokens"], torch.cat([made()["tokens"]] * 3, dim=2))
    few = host.Run(limits=Limits(seconds=100))
    with host.running(few), pytest.raises(Refused, match="this sound is too long"):
        tokens.AudioTokensRepeat().repeat(made(), 101)


def test_one_item_goes_before_all_of_the_others_and_other_numbers_are_refused():
    (joined,) = tokens.AudioTokensConcat().concat(made(), made(items=3, seed=1))
    assert joined["tokens"].shape == (3, 4, 100)
    assert torch.equal(joined["tokens"][2, :, :50], made()["tokens"][0])
    with pytest.raises(Refused, match="got 2 and 3 items"):
        tokens.AudioTokensConcat().concat(made(items=2), made(items=3))


def test_takes_that_are_gathered_are_picked_again(codec):
    (both,) = tokens.AudioTokensBatch().gather(made(items=2), made(seed=1, open_end=False))
    assert both["tokens"].shape[0] == 3 and not both["open_end"]
    (last,) = tokens.AudioTokensPick().pick(both, 3, 1)
    assert torch.equal(last["tokens"], made(seed=1)["tokens"])
    sound = EnCodecDecode().decode(codec, both)[0]["waveform"]
    alone = EnCodecDecode().decode(codec, last)[0]["waveform"]
    torch.testing.assert_close(sound[2:], alone, atol=1e-5, rtol=0)
    for take, count in ((4, 1), (3, 2), (0, 1), (1, 0)):
        with pytest.raises(Refused, match="take: got"):
            tokens.AudioTokensPick().pick(both, take, count)


@pytest.mark.parametrize("join", ["concat", "gather"])
def test_tokens_of_two_codecs_are_not_put_together(join):
    for changes in ({"sample_rate": 32000}, {"channels": 2}, {"codebook_size": 2048}):
        with pytest.raises(Refused, match="second: got .*as in the first"):
            joined(join, made(), made(**changes))
    eight = made()["tokens"].repeat(1, 2, 1)
    with pytest.raises(Refused, match="second: got 8 codebooks, expected 4"):
        joined(join, made(), made(tokens=eight))


def joined(join, first, second):
    node = tokens.AudioTokensConcat() if join == "concat" else tokens.AudioTokensBatch()
    return getattr(node, join)(first, second)


def test_takes_of_other_lengths_are_not_gathered():
    with pytest.raises(Refused, match="got 50 and 40 frames, expected equally many"):
        tokens.AudioTokensBatch().gather(made(), made(frames=40))


def test_a_runner_saves_tokens_and_loads_them_in_another_graph(mono, tmp_path):
    loader = {"model": str(mono.folder), "precision": "fp32", "device": "cpu"}
    sampler = {
        "duration": 0.5, "seed": 1, "cfg": 3.0, "temperature": 1.0, "top_k": 50, "top_p": 0.0,
        "variations": 1, "model": ["1", 0], "positive": ["2", 0],
    }  # fmt: skip
    graph = {
        "1": ("MusicGenModelLoader", loader),
        "2": ("MusicGenTextEncode", {"text_encoder": ["1", 1], "text": "drums"}),
        "3": ("MusicGenSampler", sampler),
        "4": ("AudioTokensSave", {"codec": ["1", 2], "tokens": ["3", 0], "filename_prefix": "t"}),
    }
    named = {str(mono.folder): str(mono.folder)}
    where = {"input_dir": tmp_path / "in", "output_dir": tmp_path, "named_models": named}
    (file,) = run(graph, **where).files
    assert file == tmp_path / "t_00001.safetensors"
    again = {
        "1": ("MusicGenModelLoader", loader),
        "2": ("AudioTokensLoad", {"codec": ["1", 2], "file": f"{file.name} [output]"}),
        "3": ("EnCodecDecode", {"codec": ["1", 2], "tokens": ["2", 0]}),
        "4": ("SaveAudio", {"audio": ["3", 0], "filename_prefix": "sound"}),
    }
    (sound,) = run(again, **where).files
    assert sound.stat().st_size > 1000


def run(nodes, **where):
    from fakes import run as run_graph

    prompt = {key: {"class_type": kind, "inputs": inputs} for key, (kind, inputs) in nodes.items()}
    return run_graph(Runner(), prompt, **where)
