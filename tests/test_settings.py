"""How the app was started: ranges, the default model, and quick options."""

import subprocess
import sys
from pathlib import Path

import pytest
from fresh import BOUND

from musicgraph import cli
from musicgraph.app.studio.settings import AppSettings
from musicgraph.models.refused import Refused

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "change",
    [
        {"port": -1},
        {"port": 70000},
        {"queue_size": -1},
        {"max_duration_s": 0.5},
        {"max_duration_s": 601},
        {"max_duration_s": float("nan")},
        {"idle_unload_s": -1},
        {"idle_unload_s": float("inf")},
    ],
)
def test_settings_out_of_range_are_refused_by_name(change):
    name = next(iter(change)).removesuffix("_s").replace("_", " ")
    with pytest.raises(Refused, match=f"{name}: got .* expected .*; choose"):
        AppSettings(**change)


@pytest.mark.parametrize(
    "name",
    ["https://music.example", "music.example:443", "music.example/", "*", ".example", "[::1]"],
)
def test_what_no_browser_sends_as_a_host_is_refused(name):
    with pytest.raises(Refused, match="allowed host: got .* expected a name alone"):
        AppSettings(allowed_hosts=("music.example", name))


def test_names_and_numbers_of_hosts_are_taken():
    names = ("music.example", "gpu_box", "localhost", "10.0.0.3", "fe80::1", "")
    assert AppSettings(allowed_hosts=names).allowed_hosts == names


def test_a_library_that_is_a_file_is_refused_at_the_start(tmp_path, capsys, monkeypatch):
    file = tmp_path / "takes"
    file.touch()
    monkeypatch.setattr(sys, "argv", ["musicgraph", "demo", "--library", str(file)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "not a folder that you may write to" in capsys.readouterr().err


def test_a_named_model_goes_before_the_environments_and_that_before_pocket(monkeypatch):
    monkeypatch.setenv("MUSICGRAPH_MODEL", "from-the-environment")
    assert AppSettings(model="named").model_name() == "named"
    assert AppSettings().model_name() == "from-the-environment"


def test_settings_are_there_without_torch():
    script = BOUND + ("import musicgraph.app.studio.settings\nprint('torch' in sys.modules)\n")
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert out.stdout.strip() == "False", out.stderr
