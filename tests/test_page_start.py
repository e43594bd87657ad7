"""Starting the page and the server: nothing heavy before it is needed, options, where files and
looks come from.
"""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from page_settings import SETTINGS

from musicgraph import cli
from musicgraph.app import serve
from musicgraph.app.page import theme
from musicgraph.app.serve import build_app
from musicgraph.app.serve_cli import usual_library
from musicgraph.app.studio.settings import AppSettings
from musicgraph.models.weights import checkpoint

ROOT = Path(__file__).parents[1]


def test_building_the_page_loads_no_model_and_writes_nothing(monkeypatch):
    def refuse(*_):
        raise AssertionError("a model was opened")

    monkeypatch.setattr(checkpoint, "open_checkpoint", refuse)
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    page = build_app(SETTINGS)
    assert isinstance(page, gr.Blocks)
    assert not page.analytics_enabled
    assert {fn.api_name for fn in page.fns.values() if fn.api_visibility == "public"} == {
        "generate",
        "run_workflow",
    }


def test_gradio_app_starts_from_a_folder_of_any_name(tmp_path):
    (tmp_path / "Music-Graph v1.2 (copy)").symlink_to(ROOT, target_is_directory=True)
    program = tmp_path / "Music-Graph v1.2 (copy)" / "gradio_app.py"
    out = subprocess.run(
        [sys.executable, str(program), "--help"], capture_output=True, text=True, cwd=tmp_path
    )
    assert out.returncode == 0, out.stderr
    for option in (
        "--host",
        "--port",
        "--model",
        "--share",
        "--api-keys",
        "--queue-size",
        "--max-duration",
        "--mcp",
    ):
        assert option in out.stdout


def asked_to_serve(monkeypatch, *arguments):
    """What `musicgraph demo` makes of its options; it would serve now."""
    seen = []
    monkeypatch.setattr(
        serve, "serve", lambda settings, open_page: seen.append((settings, open_page))
    )
    monkeypatch.setattr(serve, "leave", lambda: None)
    with pytest.raises(SystemExit) as ended:
        cli.main(["demo", *arguments])
    assert not ended.value.code
    return seen[0]


def test_a_space_is_served_to_everybody_on_its_port(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/music")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7861")
    settings, _ = asked_to_serve(monkeypatch)
    assert (settings.host, settings.port) == ("0.0.0.0", 7861)


def test_every_option_of_the_server_reaches_it(monkeypatch, tmp_path):
    settings, opened = asked_to_serve(
        monkeypatch,
        "--host",
        "::1",
        "--port",
        "0",
        "--model",
        "tiny",
        "--share",
        "--api-keys",
        str(tmp_path),
        "--queue-size",
        "3",
        "--max-duration",
        "60",
        "--allowed-host",
        "a.example",
        "--allowed-host",
        "b.example",
        "--mcp",
        "--open",
        "--library",
        str(tmp_path / "music"),
        "--ray",
        "auto",
        "--replicas",
        "2-5",
    )
    hosts, library = ("a.example", "b.example"), tmp_path / "music"
    replicas = {"ray": "auto", "replicas": (2, 5)}
    assert opened and settings == AppSettings(
        *("::1", 0, "tiny", True, tmp_path, 3, 60.0),
        **{"mcp": True, "allowed_hosts": hosts, "takes_dir": library, **replicas},
    )


def test_an_option_out_of_range_is_refused_in_one_line(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["demo", "--max-duration", "nan"])
    assert ended.value.code == 2 and "max duration: got nan" in capsys.readouterr().err


def test_help_tells_the_servers_options(capsys):
    with pytest.raises(SystemExit):
        cli.main(["demo", "--help"])
    out = capsys.readouterr().out
    for option in ("--host", "--port", "--api-keys", "--allowed-host", "--open"):
        assert option in out


@pytest.mark.parametrize("path", [*theme.STYLES, *(theme.HERE / name for name in theme.SCRIPTS)])
def test_looks_and_scripts_are_there_where_the_package_is_installed(path):
    assert path.is_file()
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'"*{path.suffix}"' in re.search(r'"musicgraph.app.page" = (.*)', project)[1]


def test_the_look_comes_from_this_machine_only():
    sheets = [path.read_text(encoding="utf-8") for path in theme.STYLES]
    for text in [*sheets, theme.HEAD, theme.script(), theme.HEADER, theme.theme()._get_theme_css()]:
        assert "http://" not in text.replace("http://www.w3.org", "") and "https://" not in text
        assert "@import" not in text and "@font-face" not in text


LOCAL = AppSettings()
OTHERS_CAN_COME = [
    {"host": "0.0.0.0"},
    {"share": True},
    {"allowed_hosts": ("music.example",)},
]


def test_on_ones_own_machine_takes_lie_in_the_music_folder(monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setattr("platformdirs.user_music_path", lambda: Path("/home/anna/Music"))
    assert usual_library(LOCAL) == Path("/home/anna/Music/MusicGraph")


@pytest.mark.parametrize("change", OTHERS_CAN_COME)
def test_where_others_can_come_there_is_no_common_library(monkeypatch, change):
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert usual_library(replace(LOCAL, **change)) is None
    monkeypatch.setenv("SPACE_ID", "somebody/music")
    assert usual_library(LOCAL) is None


def test_requirements_ask_for_what_the_package_asks_for_and_bind_nothing_of_the_hosts():
    def asked(text):
        return dict(
            re.match(r"([\w-]+)(.*)", line.strip(' ",')).groups() for line in text if line.strip()
        )

    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = asked(line for line in lines if not line.startswith("#"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    package = asked(
        re.search(r"^dependencies = \[\n(.*?)^\]", project, re.S | re.M)[1].splitlines()
    )
    hosts = dict.fromkeys(("torch", "numpy", "filelock", "sentencepiece", "scipy", "pyyaml"), "")
    hosts |= {"tqdm": "", "safetensors": ">=0.4.2", "tokenizers": ">=0.13.3"}
    fast = {"numba": '>=0.61; python_version < "3.15'}  # the extra `cpu`
    assert required == {**package, **hosts, **fast}
