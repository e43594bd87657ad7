"""The rules of the house: who may import whom, and that importing has no effects."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = ["models", "nodes", "workflows", "app"]
FRONT_DOORS = [path.name for path in ROOT.glob("*.py") if path.name != "__init__.py"]


def imports(path):
    """(level, dotted name) of every import in a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.level, node.module or node.names[0].name)


def sources(package):
    return sorted((ROOT / package).glob("*.py"))


@pytest.mark.parametrize("package", ORDER)
def test_dependencies_point_one_way(package):
    above = {
        *ORDER[ORDER.index(package) + 1 :],
        *(Path(door).stem for door in FRONT_DOORS),
        "training",
    }
    above -= (
        {"api"} if package == "app" else set()
    )  # api.py is the half of the app that programs see
    for path in sources(package):
        for level, name in imports(path):
            if level == 2:
                assert name.split(".")[0] not in above, f"{path} imports {name}"
            assert not (level == 0 and name.split(".")[0] in ["musicgraph", *ORDER]), (
                f"{path}: import relatively"
            )


def test_only_host_knows_comfyui():
    for package in ORDER:
        for path in sources(package):
            if (package, path.name) != ("nodes", "host.py"):
                found = {name.split(".")[0] for level, name in imports(path) if level == 0}
                assert not found & {"comfy", "folder_paths", "comfy_api", "server", "execution"}, (
                    path
                )


def test_models_know_no_page_and_no_graph():
    for path in sources("models"):
        found = {name.split(".")[0] for level, name in imports(path) if level == 0}
        assert not found & {"gradio", "fastapi", "typer", "av"}, path


def test_nothing_is_unpickled_but_compiled_code_of_our_own():
    """Numba's form of it, whose checksum and owner are checked first."""
    for package in ORDER:
        for path in sources(package):
            found = {name.split(".")[0] for _, name in imports(path)}
            assert "pickle" not in found or (package, path.name) == ("models", "numba_cache.py")
            assert "torch.load" not in path.read_text(encoding="utf-8")


def test_packages_are_flat_and_all_named_in_pyproject():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for package in ORDER:
        assert f'"musicgraph.{package}"' in text
        assert not list((ROOT / package).glob("*/*.py")), "no deeper packages"


def test_no_file_outgrows_what_one_can_read():
    for path in [*ROOT.glob("*.py"), *(p for package in ORDER for p in sources(package))]:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 500, path


LOAD_AS_COMFYUI_DOES = """
import importlib.util, json, sys, types
for name in ("nodes", "models", "workflows", "host", "utils"):   # ComfyUI's own modules, and other packs'
    sys.modules[name] = types.ModuleType(name)
folder = sys.argv[1]
name = folder.replace(".", "_x_")
spec = importlib.util.spec_from_file_location(name, folder + "/__init__.py")
module = importlib.util.module_from_spec(spec)
sys.modules[name] = module
spec.loader.exec_module(module)
heavy = [m for m in ("transformers", "gradio", "soxr", "soundfile", "av", "pyloudnorm") if m in sys.modules]
inputs = {k: list(v.INPUT_TYPES()["required"]) for k, v in module.NODE_CLASS_MAPPINGS.items()}
print(json.dumps({"nodes": inputs, "web": module.WEB_DIRECTORY, "heavy": heavy, "path": sys.path[0]}))
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
    script = (
        "import importlib, pathlib, sys, threading, torch\n"
        f"sys.path.insert(0, {str(ROOT / 'tests')!r})\n"
        "flags = lambda: (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads())\n"
        "before = flags()\n"
        "import importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('musicgraph', {str(ROOT / '__init__.py')!r})\n"
        "sys.modules['musicgraph'] = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(sys.modules['musicgraph'])\n"
        f"names = {[f'musicgraph.{package}.{path.stem}' for package in ORDER for path in sources(package)]!r}\n"
        f"names += {[f'musicgraph.{Path(door).stem}' for door in FRONT_DOORS if door == 'cli.py']!r}\n"
        "for name in names: importlib.import_module(name.removesuffix('.__init__'))\n"
        "assert flags() == before\n"
        "assert threading.active_count() == 1\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
