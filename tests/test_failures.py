"""What went wrong, in words: ours stays in the log, theirs is named, and no path is told."""

import tempfile
from pathlib import Path

import pytest

from musicgraph.app.page.status import note
from musicgraph.app.studio.failures import failure_of
from musicgraph.app.studio.paths import without_paths
from musicgraph.models.refused import Refused
from musicgraph.nodes.host import Interrupted
from musicgraph.workflows.problems import NodeError, refused

ROOT = Path(__file__).parents[1]


def test_what_broke_inside_stays_in_the_log(caplog):
    error = NodeError("3", "MusicGen Sampler", "MusicGenSampler", RuntimeError("secret detail"))
    error.__cause__ = RuntimeError("secret detail")
    words = failure_of(error)
    assert "MusicGen Sampler" in words.text and "secret" not in words.text
    number = words.text.rpartition(" ")[2].rstrip(".")
    assert number in caplog.text and "secret detail" in caplog.text


def test_refusals_name_the_node_and_a_stop_is_no_error():
    error = NodeError("3", "Sampler", "MusicGenSampler", Refused("top_k", got=0))
    error.__cause__ = Refused("top_k", got=0)
    assert (
        failure_of(error).title == "“Sampler” refuses" and failure_of(error).text == "top_k: got 0"
    )
    assert not failure_of(Interrupted("stopped")).is_error
    assert "got {}" in failure_of(refused("empty workflow", "got {}")).text


def test_nothing_of_a_message_is_markup():
    assert "<script>" not in note("<script>", "<script>")


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ('cannot open "{tmp}/x-1/in put/song.wav": no', 'cannot open "song.wav": no'),
        ("put it into /home/ann/ComfyUI/models/musicgen/small", "put it into small"),
        ("got C:\\Users\\ann\\song.wav, expected", "got song.wav, expected"),
        ("see https://example.org/a/b and 3/4", "see https://example.org/a/b and 3/4"),
    ],
)
def test_messages_do_not_say_where_things_lie(said, seen):
    assert without_paths(said.replace("{tmp}", tempfile.gettempdir())) == seen
