"""Binds the import name `musicgraph` to this checkout, whatever its folder is called."""

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["MUSICGRAPH_ENGINE"] = (
    "torch"  # the reference, everywhere alike; the fast engines have tests of their own
)
# what the code under test, and Gradio, put aside lies in a folder that goes with the tests
FOLDER = Path(tempfile.mkdtemp(prefix="musicgraph-tests-"))
os.environ["MUSICGRAPH_CACHE"] = str(FOLDER / "cache")
os.environ["GRADIO_TEMP_DIR"] = str(FOLDER / "gradio")

spec = importlib.util.spec_from_file_location(
    "musicgraph", Path(__file__).parents[1] / "__init__.py"
)
sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[spec.name])

import pytest  # noqa: E402
import torch  # noqa: E402

# models here are tiny: threads that wait for each other cost more than they save
torch.set_num_threads(1)
sys.path.insert(0, str(Path(__file__).parent))  # for tests' own helpers, such as tiny.py

from tiny import Tiny  # noqa: E402

if TYPE_CHECKING:
    from style_layout import TinyStyle


def pytest_unconfigure() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)


@pytest.fixture(scope="session")
def mono(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("mono"), channels=1)


@pytest.fixture(scope="session")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("stereo"), channels=2)


@pytest.fixture(scope="session")
def melody_mono(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("melody-mono"), channels=1, melody=True)


@pytest.fixture(scope="session")
def melody_stereo(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("melody-stereo"), channels=2, melody=True)


@pytest.fixture(scope="session", params=["melody_mono", "melody_stereo"])
def melody(request: pytest.FixtureRequest) -> Tiny:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session", params=["mono", "stereo"])
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def style_model(melody_mono: Tiny, tmp_path_factory: pytest.TempPathFactory) -> "TinyStyle":
    from style_layout import TinyStyle

    return TinyStyle(tmp_path_factory.mktemp("style") / "mine", melody_mono.upstream)


@pytest.fixture
def every_call_is_shared(monkeypatch):
    """However little there is to do, and on a machine of however few processors."""
    from musicgraph.models.engines import numba_threads, turns

    monkeypatch.setattr(numba_threads, "WORTH_SHARING", 0)
    monkeypatch.setattr(numba_threads, "CORES", turns.Cores(16))
