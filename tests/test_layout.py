"""The rules of the house: who may import whom, and that importing has no effects."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fresh import BOUND

ROOT = Path(__file__).parents[1]
DOORS = {"cli", "gradio_app", "__main__"}
MODELS = {"models", "models.disk", "models.weights", "models.engines", "models.compose"}
WORKFLOWS = {"workflows", "workflows.media", "workflows.twins"}
GRAPHS = MODELS | WORKFLOWS | {"nodes"}
MAY_IMPORT = {
    "models": set(),
    "models.disk": {"models"},
    "models.weights": {"models", "models.disk"},
    "models.engines": {"models", "models.disk", "models.weights"},
    "models.compose": {"models", "models.engines"},
    "nodes": MODELS,
    "workflows.media": MODELS | {"nodes"},
    "workflows.twins": MODELS | {"nodes", "workflows.media"},
    "workflows": GRAPHS,
    "app.studio": GRAPHS,
    "app.page": GRAPHS | {"app.studio"},
    "app.http": GRAPHS | {"app.studio"},
    "app.tune": GRAPHS,
    "app.remote": GRAPHS | {"app.studio"},
    "app.batch": GRAPHS | {"app.studio", "app.remote"},
    "app": GRAPHS | {"app.studio", "app.page", "app.http", "app.tune", "app.remote", "app.batch"},
}
"""Each room, and the rooms that it may import from besides itself.

Doors may import from all of them.
"""
ROOMS = sorted(MAY_IMPORT)


def imports(path):
    """(level, dotted name) of every import in a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield (node.level, node.module)
            yield from ((node.level, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.level, alias.name) for alias in node.names)


def sources(room):
    return sorted((ROOT / room.replace(".", "/")).glob("*.py"))


def modules():
    named = {f"{room}.{path.stem}" for room in ROOMS for path in sources(room)}
    return named | {path.stem for path in ROOT.glob("*.py")}


def imported_modules(room, path):
    """Ours that a file imports, as `room.file`."""
    known = modules()
    for level, name in imports(path):
        if level:
            above = room.split(".")[: len(room.split(".")) - level + 1]
            found = ".".join([*above, name])
            if found in known:
                yield found


@pytest.mark.parametrize("room", ROOMS)
def test_dependencies_point_one_way(room):
    for path in sources(room):
        for module in imported_modules(room, path):
            there = module.rpartition(".")[0] or module
            assert there in MAY_IMPORT[room] | {room}, f"{path} imports {module}"
        absolute = {name.split(".")[0] for level, name in imports(path) if not level}
        assert not absolute & {"musicgraph", *ROOMS}, f"{path}: import relatively"


def test_no_two_files_need_each_other():
    needs = {
        f"{room}.{path.stem}": set(imported_modules(room, path))
        for room in ROOMS
        for path in sources(room)
    }
    while leaves := [name for name, wanted in needs.items() if not wanted & needs.keys()]:
        for name in leaves:
            del needs[name]
    assert not needs


def test_no_room_holds_a_fifth_of_the_code():
    lines = {
        room: sum(len(path.read_text(encoding="utf-8").splitlines()) for path in sources(room))
        for room in ROOMS
    }
    doors = sum(len((ROOT / f"{d}.py").read_text(encoding="utf-8").splitlines()) for d in DOORS)
    assert max(lines.values()) < (sum(lines.values()) + doors) / 5, lines


def test_only_host_knows_comfyui():
    for room in ROOMS:
        for path in sources(room):
            if (room, path.name) != ("nodes", "host.py"):
                found = {name.split(".")[0] for level, name in imports(path) if level == 0}
                assert not found & {"comfy", "folder_paths", "comfy_api", "server", "execution"}, (
                    path
                )


def test_models_know_no_page_and_no_graph():
    for path in (path for room in MODELS for path in sources(room)):
        found = {name.split(".")[0] for level, name in imports(path) if level == 0}
        assert not found & {"gradio", "fastapi", "typer", "av"}, path


TRAINER = ROOT / "app/tune/lora_model.py"
"""what trains an adapter, between no sentence and no sound"""
MERT = ROOT / "models/style.py"
"""what builds a style model's MERT, which is transformers' HuBERT"""


def test_nothing_that_is_shipped_imports_transformers():
    """It is the judge in the tests; between a sentence and sound it would cost seconds."""
    for path in [*ROOT.glob("*.py"), *(path for room in ROOMS for path in sources(room))]:
        found = {name.split(".")[0] for level, name in imports(path) if not level}
        assert not found & {"transformers", "peft"} or path in (TRAINER, MERT), path


def test_of_transformers_a_style_takes_its_hubert_and_in_one_function():
    names = {name for _, name in imports(MERT) if name.split(".")[0] in ("transformers", "peft")}
    assert names == {"transformers", "transformers.HubertConfig", "transformers.HubertModel"}
    tree = ast.parse(MERT.read_text(encoding="utf-8"))
    (built,) = (node for node in tree.body if getattr(node, "name", "") == "hubert")
    (types,) = (node for node in tree.body if isinstance(node, ast.If))
    for place in (built, types):
        inside = [node for node in ast.walk(place) if isinstance(node, ast.ImportFrom)]
        assert [node.module for node in inside] == ["transformers"]


LIGHT = (
    "models.engines.choose models.weights.checkpoint models.weights.contract models.parameters"
    " models.weights.hugging_face models.weights.checkpoint_config models.engines.numba_sizes"
).split()


def test_a_checkpoint_is_opened_and_its_engine_chosen_without_torch():
    script = (
        "import importlib.util, pathlib, sys\n"
        "sys.modules['torch'] = sys.modules['numba'] = None  # importing them raises\n"
    )
    script += BOUND
    script += (
        f"for name in {LIGHT!r}: importlib.import_module('musicgraph.' + name)\n"
        "from musicgraph.models.weights.checkpoint import open_checkpoint\n"
        f"weights = open_checkpoint(pathlib.Path({str(ROOT / 'models/pocket')!r}))\n"
        "from musicgraph.models.engines.choose import choose\n"
        "print(choose('fp32', 'cpu', weights.config.lm, False).precision)\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (out.returncode, out.stdout) == (0, "fp32\n"), out.stderr


ARCHIVE = ROOT / "models/weights/torch_archive.py"
MESSAGES = ROOT / "app/studio/worker_process.py"


def test_nothing_is_unpickled_but_weights_and_what_a_process_of_this_program_says():
    """One file reads what `torch.save` wrote, by torch's reader for weights alone; one the pipes
    between a server and the processes that it has begun.
    """
    apart = ARCHIVE, MESSAGES
    for path in (path for room in ROOMS for path in sources(room) if path not in apart):
        assert not {name.split(".")[0] for _, name in imports(path)} & {"pickle", "marshal"}
        assert "torch.load" not in path.read_text(encoding="utf-8")
    names = {name for _, name in imports(ARCHIVE) if name.startswith("pickle")}
    assert names == {"pickle", "pickle.UnpicklingError", "pickletools"}
    calls = re.findall(r"torch\.load\(([^)]*\)[^)]*)\)", ARCHIVE.read_text(encoding="utf-8"))
    assert len(calls) == 1 and "weights_only=True" in calls[0]
    assert re.findall(r"pickle\.loads?\(.*\)", MESSAGES.read_text("utf-8")) == ["pickle.load(pipe)"]


def test_every_room_is_known_here_and_in_pyproject():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for top in ("models", "nodes", "workflows", "app"):
        for path in (ROOT / top).rglob("*.py"):
            room = ".".join(path.relative_to(ROOT).parent.parts)
            assert room in MAY_IMPORT and f'"musicgraph.{room}"' in text, path


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")))
def test_every_file_that_is_named_in_the_documentation_is_there(page):
    """By its path from the root, or by its name alone."""
    known = {path.name for path in ROOT.rglob("*.*") if ".venv" not in path.parts[:-1]}
    for name in re.findall(r"`([\w./-]+\.(?:py|css))`", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists() if "/" in name else name in known, f"{page.name}: {name}"


def test_no_file_outgrows_what_one_can_read():
    for path in [*ROOT.glob("*.py"), *(p for room in ROOMS for p in sources(room))]:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 500, path


LOAD_AS_COMFYUI_DOES = """
import importlib.util, json, sys, types
# ComfyUI's own modules, and other packs'
for name in ("nodes", "models", "workflows", "host", "utils"):
    sys.modules[name] = types.ModuleType(name)
folder = sys.argv[1]
name = folder.replace(".", "_x_")
spec = importlib.util.spec_from_file_location(name, folder + "/__init__.py")
module = importlib.util.module_from_spec(spec)
sys.modules[name] = module
spec.loader.exec_module(module)
libraries = "torch", "transformers", "gradio", "soxr", "soundfile", "av", "pyloudnorm"
heavy = [m for m in libraries if m in sys.modules]
inputs = {k: list(v.INPUT_TYPES()["required"]) for k, v in module.NODE_CLASS_MAPPINGS.items()}
facts = {"nodes": inputs, "web": module.WEB_DIRECTORY, "heavy": heavy, "path": sys.path[0]}
print(json.dumps(facts))
"""


@pytest.mark.parametrize("folder", ["ComfyUI-MusicGraph", "music_graph", "v1.2 (copy)", "nodes"])
def test_comfyui_can_load_the_pack_from_a_folder_of_any_name(tmp_path, folder):
    """Beside decoys, under a path-like module name, without the heavy libraries being touched."""
    (tmp_path / folder).symlink_to(ROOT, target_is_directory=True)
    out = subprocess.run(
        [sys.executable, "-c", LOAD_AS_COMFYUI_DOES, str(tmp_path / folder)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert out.returncode == 0, out.stderr
    loaded = json.loads(out.stdout)
    assert set(loaded["nodes"]) >= {
        "MusicGenModelLoader",
        "MusicGenTextEncode",
        "MusicGenSampler",
        "EnCodecDecode",
    }
    assert (ROOT / loaded["web"] / "docs").is_dir()
    assert loaded["heavy"] == []


def test_importing_any_module_has_no_effects(tmp_path):
    """No output, no file, no global flag, no thread."""
    names = [f"musicgraph.{room}.{path.stem}" for room in ROOMS for path in sources(room)]
    script = (
        "import importlib, pathlib, sys, threading, torch\n"
        f"sys.path.insert(0, {str(ROOT / 'tests')!r})\n"
        "flags = lambda: (torch.is_grad_enabled(), torch.get_default_dtype(), "
        "torch.get_num_threads())\n"
        "before = flags()\n"
    )
    script += BOUND
    script += (
        f"names = {names!r}\n"
        f"names += {['musicgraph.cli']!r}\n"
        "for name in names: importlib.import_module(name.removesuffix('.__init__'))\n"
        "assert flags() == before\n"
        "assert threading.active_count() == 1\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


ALIKE = {"main", "Plan", "TextKV", "Tokenizer"}
"""How programs are started; what each engine has of its own for a session; a protocol and its class
"""


def test_no_public_name_means_two_things():
    """Functions that are always called by their module's name (`cache.read`) may share a word."""
    homes, alone = {}, set()
    places = [(room, path) for room in ROOMS for path in sources(room)]
    for room, path in [*places, *(("", ROOT / f"{door}.py") for door in sorted(DOORS))]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                alone.add(node.name)
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                homes.setdefault(node.name, []).append(f"{room}/{path.name}")
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                alone |= {alias.name for alias in node.names}
    assert {
        name: where
        for name, where in homes.items()
        if len(where) > 1 and name in alone and name not in ALIKE and not name.startswith("_")
    } == {}
