"""What ComfyUI's registry, and ComfyUI itself, ask of a pack's files."""

import ast
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import checked, opened

from musicgraph.models.weights.places import OFFICIAL
from musicgraph.nodes import NODE_CLASS_MAPPINGS
from musicgraph.nodes.host import Run, running
from musicgraph.workflows.reader import Document
from musicgraph.workflows.registry import node_classes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMFY = PROJECT["tool"]["comfy"]
BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
SHIPPED = [
    path
    for folder in ("", "models", "nodes", "workflows", "app")
    for path in (ROOT / folder).glob("*.py" if not folder else "**/*.py")
]
ACCELERATORS = {"NVIDIA CUDA", "AMD ROCm", "Intel Arc", "Apple Metal"}


def test_the_name_is_one_that_the_registry_takes():
    name = PROJECT["project"]["name"]
    assert re.fullmatch(r"[a-z][a-z0-9._-]{0,98}", name) and "comfyui" not in name.lower()
    assert re.fullmatch(r"\d+\.\d+\.\d+", PROJECT["project"]["version"])
    assert (ROOT / PROJECT["project"]["license"]["file"]).is_file()
    assert COMFY["PublisherId"] and COMFY["DisplayName"] and PROJECT["project"]["description"]


def test_every_link_is_there_and_what_points_into_the_repository_is_in_it():
    urls = PROJECT["project"]["urls"]
    assert {"Repository", "Documentation", "Bug Tracker"} <= urls.keys()
    raw = urls["Repository"].replace("https://github.com", "https://raw.githubusercontent.com")
    for link, start in (
        (urls["Documentation"], f"{urls['Repository']}/blob/main/"),
        (COMFY["Icon"], f"{raw}/main/"),
        (COMFY["Banner"], f"{raw}/main/"),
    ):
        assert (ROOT / link.removeprefix(start)).is_file()


@pytest.mark.parametrize(("key", "shape"), [("Icon", 1.0), ("Banner", 21 / 9)])
def test_pictures_have_the_shape_that_the_registry_shows(key, shape):
    name = COMFY[key].rpartition("/")[2]
    header = (ROOT / "docs" / "images" / name).read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", header[16:])
    assert width / height == pytest.approx(shape, rel=0.01)
    assert key == "Banner" or width <= 400


def test_classifiers_are_known_ones_for_one_unknown_blanks_the_list():
    known = {f"Environment :: GPU :: {name}" for name in ACCELERATORS}
    told = PROJECT["project"]["classifiers"]
    assert {one for one in told if one.startswith("Environment ::")} <= known
    assert "Operating System :: OS Independent" in told


def test_the_oldest_comfyui_that_is_named_is_the_one_that_the_pack_was_run_in():
    assert COMFY["requires-comfyui"] == ">=0.3.64"


def test_requirements_name_neither_torchs_companions_nor_upper_bounds():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    asked = [line.partition(";")[0] for line in lines if line and not line.startswith("#")]
    assert not any(line.startswith(("torchvision", "torchaudio")) for line in asked)
    assert not any(mark in line for line in asked for mark in ("==", "<", "~=", "@"))
    assert not (ROOT / "install.py").exists() and not (ROOT / "prestartup_script.py").exists()


COMFYUI_ASKS_FOR = """
    torch torchvision torchaudio numpy>=1.25.0 transformers>=4.50.3 tokenizers>=0.13.3 sentencepiece
    safetensors>=0.4.2 aiohttp>=3.11.8 yarl>=1.18.0 pyyaml pillow scipy tqdm psutil filelock
    av>=16.0.0 requests
"""
"""of its requirements (0.30.0) those that a pack could ask for too"""


def asked_for(lines):
    """name → the oldest version that will do, by its parts; () for any."""
    asked = [re.fullmatch(r"([\w-]+)(?:>=([\d.]+))?(?:;.*)?", line.strip()) for line in lines]
    return {
        one[1].lower(): tuple(map(int, (one[2] or "").split(".") if one[2] else ()))
        for one in asked
    }


def test_nothing_that_comfyui_brings_along_is_asked_for_in_a_newer_version():
    """So whatever meets ComfyUI's requirements meets ours, and pip leaves it as it is."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    ours = asked_for(line for line in lines if line and not line.startswith("#"))
    theirs = asked_for(COMFYUI_ASKS_FOR.split())
    both = ours.keys() & theirs.keys()
    assert len(both) > 8 and all(ours[name] <= theirs[name] for name in both)


@pytest.mark.slow
@pytest.mark.skipif("COMFYUI_PYTHON" not in os.environ, reason="COMFYUI_PYTHON names no Python")
def test_pip_would_change_nothing_in_comfyuis_own_environment(tmp_path):
    """A dry run; it may ask the package index."""
    pip = [os.environ["COMFYUI_PYTHON"], "-m", "pip", "--disable-pip-version-check"]
    listed = subprocess.run([*pip, "list", "--format=json"], capture_output=True, check=True)
    there = {one["name"].lower().replace("_", "-") for one in json.loads(listed.stdout)}
    report = tmp_path / "report.json"
    wanted = ["--report", str(report), "-r", str(ROOT / "requirements.txt")]
    subprocess.run([*pip, "install", "--quiet", "--dry-run", *wanted], check=True)
    new = [one["metadata"]["name"] for one in json.loads(report.read_bytes())["install"]]
    assert not there & {name.lower().replace("_", "-") for name in new}


def test_nothing_is_evaluated_or_installed_while_it_runs():
    for path in SHIPPED:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "__import__"), path
        assert '"pip"' not in text and "ensurepip" not in text, path


def test_what_runs_nowhere_in_comfyui_is_not_published():
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()
    left_out = [line for line in lines if line and not line.startswith("#")]
    assert all((ROOT / line).exists() for line in left_out)
    needed = ("nodes", "models", "workflows", "subgraphs", "web", "locales", "README.md", "LICENSE")
    assert not [one for one in needed if one in {line.rstrip("/") for line in left_out}]
    assert {"tests/", "training/", "benchmarks/"} <= set(left_out)


def test_a_version_is_published_by_the_registrys_own_action():
    told = (ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8")
    assert "Comfy-Org/publish-node-action" in told and "REGISTRY_ACCESS_TOKEN" in told
    assert f"'{COMFY['PublisherId']}/{PROJECT['project']['name']}'" in told


# ---------------------------------------------------------------- blueprints


def blueprint(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_there_are_blueprints():
    assert [path.stem for path in BLUEPRINTS] == [
        "Continue a recording",
        "Text to music (MusicGen)",
    ]


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_blueprint_is_one_node_that_bears_its_files_name(path):
    ui = blueprint(path)
    ((node,), (inner,)) = ui["nodes"], ui["definitions"]["subgraphs"]
    assert node["type"] == inner["id"] and inner["name"] == path.stem
    assert inner["category"] and inner["description"]
    assert [one["name"] for one in node["inputs"]] == [one["name"] for one in inner["inputs"]]
    assert {one["type"] for one in inner["nodes"]} <= NODE_CLASS_MAPPINGS.keys()


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_blueprint_that_is_wired_up_is_fit_to_run_with_the_values_that_it_shows(path, tmp_path):
    ui, classes = blueprint(path), node_classes()
    node, saver = ui["nodes"][0], {"id": 90, "type": "PreviewAudio", "widgets_values": []}
    node["outputs"][0]["links"] = [900]
    saver |= {"inputs": [{"name": "audio", "type": "AUDIO", "link": 900}], "outputs": []}
    ui["nodes"].append(saver)
    ui["links"] = [[900, 1, 0, 90, 0, "AUDIO"]]
    if node["inputs"][0]["type"] == "AUDIO":
        node["inputs"][0]["link"] = 901
        sound = {"id": 91, "type": "EmptyAudio", "widgets_values": [1.0, 16000, 1]}
        sound |= {"inputs": [], "outputs": [{"name": "AUDIO", "type": "AUDIO", "links": [901]}]}
        ui["nodes"].append(sound)
        ui["links"].append([901, 91, 0, 1, 0, "AUDIO"])
    shown = [one["name"] for one in node["inputs"] if "widget" in one]
    node["widgets_values"][shown.index("duration")] = 7.5
    with running(Run(input_dir=tmp_path, named_models={one.id: one.id for one in OFFICIAL})):
        assert checked(Document(ui=ui), classes).problems == ()
        graph = opened(Document(ui=ui), classes).graph
    (sampler,) = graph.of_class("MusicGenSampler")
    assert sampler.inputs["duration"] == 7.5
