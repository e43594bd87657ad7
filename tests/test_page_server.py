"""The page's server, asked by programs: gradio_client in another process, and what the pages are
made of.
"""

import json
import subprocess
import sys
import time
import urllib.request

import httpx
import pytest
from pagesite import tiny_site

from musicgraph.workflows.media.audio import read_audio
from musicgraph.workflows.reader import read_document


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    with tiny_site(tmp_path_factory.mktemp("site"), patch) as running:
        yield running
    patch.undo()
    assert running.asked_outside == [], "the server turned to other machines"


CLIENT = """
import json, sys
from gradio_client import Client, handle_file
client = Client(sys.argv[1], verbose=False, download_files=sys.argv[2], analytics_enabled=False)
wanted = dict(prompt="a calm piano", duration=1.5, seed=7, variations=2)
files, facts = client.predict(**wanted, api_name="/generate")
changed = dict(workflow=handle_file(files[0]), values='{"3.seed": 8}')
again = client.predict(**changed, api_name="/run_workflow")
try:
    client.predict(prompt="", api_name="/generate")
except Exception as error:
    refusal = str(error)
print(json.dumps({"files": files, "facts": facts, "again": again, "refusal": refusal}))
"""


def test_gradio_client_in_another_process_generates_runs_and_downloads(site, tmp_path):
    out = subprocess.run(
        [sys.executable, "-c", CLIENT, site.address, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert out.returncode == 0, out.stderr
    answer = json.loads(out.stdout.splitlines()[-1])
    assert len(answer["files"]) == 2 and answer["facts"]["seed"] == 7
    sound, rate = read_audio(answer["files"][0])
    assert sound.shape[-1] == 1.5 * rate and sound.abs().max() > 0.01
    assert read_document(answer["again"][0]).api["3"]["inputs"]["seed"] == 8
    assert "say what you want to hear" in answer["refusal"]


def test_the_page_and_the_api_share_a_port(site):
    for path, expected in (
        ("", "MusicGraph"),
        ("health", '"ok"'),
        ("openapi.json", "/v1/generate"),
    ):
        with urllib.request.urlopen(site.address + path) as answer:
            assert expected in answer.read().decode()


def test_what_lies_on_the_server_is_not_served(site, tmp_path):
    secret = site.shelf.folder("somebody", "takes") / "secret.txt"
    secret.write_text("mine")
    for path in (secret, "/etc/passwd", "gradio_app.py"):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{site.address}gradio_api/file={path}")


def said_by_generate(site, **changes):
    """The words of the error event that a call ends with."""
    values = {
        "prompt": "calm piano",
        "duration": 1,
        "seed": 7,
        "negative": "",
        "model": "",
        "variations": 1,
        "guidance": 3,
        "temperature": 1,
        "top_k": 250,
        "top_p": 0,
        "file_format": "flac",
        "loras": [],
        "melody": None,
        "style": None,
        "style_guidance": None,
    }
    url = site.address + "gradio_api/call/generate"
    event = httpx.post(url, json={"data": list((values | changes).values())}).json()["event_id"]
    answer = httpx.get(f"{url}/{event}", timeout=60).text
    assert "event: error" in answer
    return answer


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -2},
        {"seed": 1e20},
        {"seed": 1.5},
        {"duration": None},
        {"duration": 0},
        {"variations": 9},
        {"guidance": 99},
        {"top_k": 1.5},
        {"file_format": "exe"},
        {"model": "../x"},
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name_and_is_no_failure(site, capfd, change):
    (name,) = change
    assert f"{name}: got" in said_by_generate(site, **change)
    assert "Traceback" not in "".join(capfd.readouterr())


CANCELLING = """
import sys, time
from gradio_client import Client
client = Client(sys.argv[1], verbose=False, analytics_enabled=False)
job = client.submit(prompt="a calm piano", duration=120, seed=7, api_name="/generate")
if sys.argv[2] == "cancel":
    while not job.outputs():
        time.sleep(0.02)
    job.cancel()
    time.sleep(60)
else:
    time.sleep(60)
"""


@pytest.mark.parametrize("way", ["cancel", "leave"])
def test_a_client_that_cancels_or_leaves_ends_its_work(site, way):
    client = subprocess.Popen([sys.executable, "-c", CANCELLING, site.address, way])
    try:
        while not site.queue.busy():
            assert client.poll() is None
            time.sleep(0.02)
        if way == "leave":
            client.kill()
        site.wait_until_idle()
    finally:
        client.kill()
        client.wait()
