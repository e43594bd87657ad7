"""Every recipe of docs/cookbook.md has its graph and its picture, and the command that it gives
runs.
"""

import re
import shlex
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from audiocraft_layout import exported, lm_settings, write_audiocraft
from style_layout import random_mert, write_style

from musicgraph import cli
from musicgraph.workflows.media.audio import read_audio
from musicgraph.workflows.media.video import Pictures, probe_video
from musicgraph.workflows.media.video_files import write_video
from musicgraph.workflows.reader import read_document

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"^## (\d+)\. (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = {
    re.search(r"workflows/(\w+)\.json", command)[1]: command
    for _, _, text in RECIPES
    for command in re.findall(r"^musicgraph run .*$", text, re.MULTILINE)
}
SAMPLERS = {
    "four_takes": {"3": 2},
    "continue_recording": {"8": 1, "3": 2},
    "chain": {"3": 5, "11": 2},
    "schedule": {"3": 2},
    "mix": {"3": 1},
    "song_form": {"3": 2, "7": 4},
    "score_video": {"3": 1},
    "melody": {"11": 1, "3": 1},
    "style": {"11": 4, "3": 1},
    "sound_effects": {"3": 1},
    "loop": {"3": 3},
}
"""the samplers of each graph, and the seconds that they make here"""


def test_there_are_eleven_recipes_and_the_list_above_leads_to_each():
    assert [number for number, _, _ in RECIPES] == [str(i + 1) for i in range(11)]
    for number, title, _ in RECIPES:
        anchor = re.sub(r"[^\w -]", "", f"{number}. {title}".lower()).replace(" ", "-")
        assert f"[{title}](#{anchor})" in PAGE.replace("\n", " ")


@pytest.mark.parametrize(("number", "title", "text"), RECIPES, ids=lambda one: one[:20])
def test_a_recipe_has_a_picture_of_its_graph(number, title, text):
    (picture,) = re.findall(r"^!\[.+\]\(\.\./(workflows/\w+)\.jpg\)$", text, re.MULTILINE)
    assert (ROOT / f"{picture}.jpg").is_file()
    assert set(re.findall(r"workflows/\w+(?=\.json)", text)) == {picture}


@pytest.fixture
def models(mono, tmp_path, request):
    """Small random models in their true layouts, by the names that the page has for them."""
    name = request.getfixturevalue("name")
    if name == "melody":
        return request.getfixturevalue("melody_mono").folder
    if name == "style":
        melody = request.getfixturevalue("melody_mono").upstream
        write_style(tmp_path / "style", melody, random_mert())
        return tmp_path / "style"
    if name == "sound_effects":
        folder = tmp_path / "audiogen"
        write_audiocraft(folder, mono.upstream)
        state = torch.load(folder / "state_dict.bin", weights_only=True)["best_state"]
        settings = {**lm_settings(mono.upstream), "solver": "audiogen"}
        torch.save(exported(state, settings), folder / "state_dict.bin")
        return folder
    return mono.folder


def arguments(name, folder, mono):
    """The page's command, with the tiny model, short music, and no more candidates than it has."""
    words = shlex.split(COMMANDS[name], comments=True)[1:]
    words[1] = str(ROOT / words[1])
    graph = read_document(Path(words[1])).ui
    sets = {}
    for node in graph["nodes"]:
        if node["type"] == "MusicGenModelLoader":
            own = node["id"] == 1
            sets |= {f"{node['id']}.model": folder if own else mono.folder}
            sets |= {f"{node['id']}.precision": "fp32", f"{node['id']}.device": "cpu"}
    for sampler, seconds in SAMPLERS[name].items():
        sets |= {f"{sampler}.duration": seconds, f"{sampler}.top_k": 50}
    if name == "loop":
        sets |= {"7.bars": 1, "5.bars": 1, "7.candidates": 1, "7.bridge": 0.5, "7.top_k": 50}
    if name == "schedule":
        sets |= {"7.second": 0.5, "7.blend": 0.2, "9.second": 1.0, "9.blend": 0.2}
    return words + [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_command_of_a_recipe_runs(name, models, mono, tmp_path, monkeypatch, capsys):
    (tmp_path / "input").mkdir()
    if name == "score_video":
        write_video(
            tmp_path / "input" / "holiday.mp4", Pictures(torch.rand(10, 32, 32, 3), Fraction(10))
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musicgraph", *arguments(name, models, mono)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr()
    assert not ended.value.code, told.err
    files = [Path(line) for line in told.out.splitlines() if line.startswith(str(tmp_path))]
    files = files or [Path(line) for line in told.out.splitlines() if Path(line).is_file()]
    (last,) = [file for file in files if "temp" not in file.parts]
    if name == "score_video":
        assert probe_video(last) is not None
    else:
        sound, rate = read_audio(last)
        assert sound.shape[1] > 0.9 * rate and sound.abs().max() > 0


def test_every_recipe_is_run_here():
    assert COMMANDS.keys() == SAMPLERS.keys()
