"""Bad files of audiocraft's, at the command line: one line, nothing run, nothing half-written."""

import sys

import pytest
import torch
from audiocraft_layout import CODEC, STATE, write_audiocraft
from test_torch_archive import Writes

from musicgraph import cli

pytest_plugins = ["audiocraft_fixtures"]


def with_an_object(folder, mono, written):
    content = torch.load(folder / STATE, weights_only=True)
    torch.save(content | {"extra": Writes(written)}, folder / STATE)


def cut_short(name):
    def cut(folder, mono, written):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) * 2 // 3])

    return cut


def with_a_codec_that_is_nowhere(folder, mono, written):
    write_audiocraft(folder, mono.upstream, pointer="somebody/else")


BAD = {
    "a pickle that would write a file": (with_an_object, "objects besides tensors"),
    "an LM that is cut short": (cut_short(STATE), "probably cut short"),
    "a codec that is cut short": (cut_short(CODEC), "probably cut short"),
    "a codec that is nowhere": (with_a_codec_that_is_nowhere, '"somebody/else" is not on this'),
}


@pytest.mark.parametrize("command", ["generate", "convert"])
@pytest.mark.parametrize("kind", BAD)
def test_it_is_one_line_and_nothing_is_written(
    folder, mono, tmp_path, capsys, monkeypatch, kind, command
):
    spoil, words = BAD[kind]
    written, target = tmp_path / "written", tmp_path / "made.wav"
    spoil(folder, mono, written)
    arguments = {
        "generate": ["a tune", "--model", str(folder), "-d", "0.1", "-o", str(target)],
        "convert": [str(folder), str(target)],
    }[command]
    monkeypatch.setattr(sys, "argv", ["musicgraph", command, *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line.startswith("musicgraph:")]
    assert (caught.value.code, len(lines)) == (2, 1) and words in lines[0], err
    assert not written.exists() and not target.exists()
    assert not [one for one in tmp_path.rglob("*") if one.name.startswith(".mg-")]
