"""A stranger's file is read or refused in one line; nothing in it ends in another exception."""

import json
import os
import random
import struct
import zlib
from pathlib import Path

import pytest
import torch
from fakes import checked, node, opened

from musicgraph.nodes.graph_tags import workflow_tags
from musicgraph.workflows import reader
from musicgraph.workflows.media.audio import write_audio
from musicgraph.workflows.media.id3 import MAX_TAG_BYTES
from musicgraph.workflows.problems import WorkflowError

API = {"1": node("Number", value=2), "3": node("Show", value=["1", 0], label="é")}
UI = {
    "version": 0.4,
    "nodes": [
        {
            "id": 1,
            "type": "Number",
            "mode": 0,
            "outputs": [{"type": "NUM", "links": [1]}],
            "widgets_values": [2],
        },
        {
            "id": 3,
            "type": "Show",
            "mode": 0,
            "inputs": [{"name": "value", "type": "NUM", "link": 1}],
            "widgets_values": ["é"],
        },
    ],
    "links": [[1, 1, 0, 3, 0, "NUM"]],
    "definitions": {"subgraphs": [{"id": "unused"}]},
}
SHIPPED = Path(__file__).parents[1] / "workflows"


def written(tmp_path, content):
    path = tmp_path / "flow.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def plain(prompt):
    return {node_id: (one["class_type"], one["inputs"]) for node_id, one in prompt.items()}


def test_both_formats_are_told_apart_and_mean_the_same(tmp_path):
    ui = reader.read_document(written(tmp_path, "\ufeff \n" + json.dumps(UI)))
    api = reader.read_document(written(tmp_path, json.dumps(API)))
    assert plain(opened(ui).prompt) == plain(opened(api).prompt)
    assert opened(ui).extra_pnginfo == {"workflow": UI}
    assert opened(api).extra_pnginfo is None


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".opus", ".ogg"])
def test_the_graph_comes_back_out_of_the_tags_of_an_audio_file(tmp_path, suffix):
    path = tmp_path / f"song{suffix}"
    write_audio(path, torch.zeros(1, 4800), 48000, tags=workflow_tags(API, {"workflow": UI}))
    document = reader.read_document(path)
    assert opened(document).prompt == API and document.ui == UI


def png(*chunks):
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in [(b"IHDR", bytes(13)), *chunks, (b"IDAT", b""), (b"IEND", b"")]:
        data += (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )
    return data


@pytest.mark.parametrize(
    "chunk",
    [
        (b"tEXt", b"prompt\0" + json.dumps(API).encode()),
        (b"zTXt", b"prompt\0\0" + zlib.compress(json.dumps(API).encode())),
        (b"iTXt", b"prompt\0\0\0\0\0" + json.dumps(API, ensure_ascii=False).encode()),
        (
            b"iTXt",
            b"prompt\0\1\0\0\0" + zlib.compress(json.dumps(API, ensure_ascii=False).encode()),
        ),
    ],
)
def test_the_graph_comes_back_out_of_a_png(tmp_path, chunk):
    assert opened(reader.read_document(written(tmp_path, png(chunk)))).prompt == API


def test_what_comfyui_adds_to_a_prompt_does_no_harm(tmp_path):
    text = json.dumps({**API, "1": {**API["1"], "is_changed": [float("nan")], "_meta": None}})
    path = written(tmp_path, png((b"tEXt", b"prompt\0" + text.encode())))
    assert opened(reader.read_document(path)).prompt == API


def test_the_prompt_that_ran_is_preferred_to_the_picture_of_it(tmp_path):
    other = {**API, "1": node("Number", value=9)}
    path = written(
        tmp_path,
        png(
            *(
                (b"tEXt", f"{k}\0{json.dumps(v)}".encode())
                for k, v in (("workflow", UI), ("prompt", other))
            )
        ),
    )
    assert opened(reader.read_document(path)).prompt["1"]["inputs"]["value"] == 9


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b" \n" * 5000, "the file is empty"),
        (b"null", "got null"),
        (b"[" + b"[]," * 1_100_000 + b"[]]", "workflow too large"),
        (json.dumps({"1": {"class_type": "Show", "_meta": {"title": "\ud83c"}}}), "not Unicode"),
        (json.dumps({"nodes": [], "extra": {"\udc00": 1}}), "not Unicode"),
        (b"hello", "not a workflow"),
        (b"{", "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a":' + "[" * 200 + "]" * 200 + "}", "nested too deeply"),
        ("[1, 2]", "expected an object"),
        ("{}", "empty workflow"),
        ('{"1": ' + "9" * 10_000 + "}", "not JSON that can be read"),
        (json.dumps({str(i): {} for i in range(reader.MAX_NODES + 1)}), "too large"),
        (json.dumps({"nodes": [{}] * (reader.MAX_NODES + 1)}), "too large"),
        (png(), "no workflow in the file"),
        (png((b"tEXt", b"prompt\0{")), "not JSON"),
    ],
)
def test_what_is_no_workflow_is_refused_with_a_reason(tmp_path, content, reason):
    with pytest.raises(WorkflowError, match=reason) as caught:
        reader.read_document(written(tmp_path, content))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("order", ["", "-le", "-be"])
def test_json_is_read_in_every_encoding_that_it_may_have(tmp_path, encoding, order):
    encoding += "" if encoding.startswith("utf-8") else order
    path = written(tmp_path, (" \n" * 3000 + json.dumps(API, ensure_ascii=False)).encode(encoding))
    assert opened(reader.read_document(path)).prompt == API


@pytest.mark.parametrize(
    "wrapping",
    [
        {"prompt": API, "client_id": "x", "extra_data": {"extra_pnginfo": {"workflow": UI}}},
        {"output": API, "workflow": UI},
        {"prompt": [3, "id", API, {"extra_pnginfo": {"workflow": UI}}, ["3"]], "outputs": {}},
        {"some-id": {"prompt": [3, "id", API, {"extra_pnginfo": {"workflow": UI}}, ["3"]]}},
        {"queue_running": [[3, "id", API, {"extra_pnginfo": {"workflow": UI}}, ["3"]]]},
        {"workflow": {"prompt": API, "extra_data": {"extra_pnginfo": {"workflow": UI}}}},
    ],
)
def test_a_graph_is_found_inside_what_it_is_sent_in(wrapping):
    document = reader.parse_document(json.dumps(wrapping))
    assert opened(document).prompt == API and document.ui == UI
    assert opened(reader.parse_document(json.dumps({"prompt": API}))).prompt == API


def test_a_picture_alone_is_found_inside_what_it_is_kept_in():
    assert reader.parse_document(json.dumps({"workflow": UI})).ui == UI


def test_one_of_several_runs_is_not_guessed():
    runs = {name: {"prompt": [1, name, API, {}, ["3"]]} for name in "ab"}
    with pytest.raises(WorkflowError, match="got 2 runs, expected one"):
        reader.parse_document(json.dumps(runs))


@pytest.mark.parametrize(
    "ui", [{"nodes": [3]}, {"nodes": [{"inputs": ["x"]}]}, {"nodes": [{"outputs": 5}]}, [], "x"]
)
def test_a_picture_that_is_broken_does_not_stop_the_graph_that_it_comes_with(tmp_path, ui):
    document = reader.parse_document(json.dumps({"output": API, "workflow": ui}))
    assert opened(document).prompt == API and document.ui is None
    tags = (
        (b"tEXt", f"{k}\0{json.dumps(v)}".encode())
        for k, v in (("prompt", API), ("workflow", {"nodes": [3]}))
    )
    document = reader.read_document(written(tmp_path, png(*tags)))
    assert opened(document).prompt == API and document.ui is None


@pytest.mark.parametrize(("tag", "graph"), [("prompt", UI), ("workflow", API)])
def test_a_graph_under_the_other_tag_is_read(tmp_path, tag, graph):
    path = written(tmp_path, png((b"tEXt", f"{tag}\0".encode() + json.dumps(graph).encode())))
    assert plain(opened(reader.read_document(path)).prompt) == plain(API)


@pytest.mark.parametrize("name", ["prompt", "output", "workflow", "queue_running"])
def test_a_node_may_be_called_like_a_wrapping(name):
    prompt = {name: node("Number", value=2), "3": node("Show", value=[name, 0])}
    assert opened(reader.parse_document(json.dumps(prompt))).prompt == prompt


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "flow.json")
    for path in (tmp_path / "flow.json", "/dev/zero"):
        with pytest.raises(WorkflowError, match="cannot read.*a (pipe|device).*expected a file"):
            reader.read_document(path)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_tag_that_unpacks_to_more_than_a_workflow_may_have_is_refused(tmp_path, kind):
    head = b"prompt\0\0" if kind == b"zTXt" else b"prompt\0\1\0\0\0"
    bomb = (kind, head + zlib.compress(bytes(MAX_TAG_BYTES + 1)))
    with pytest.raises(WorkflowError, match="tags of .* are too large"):
        reader.read_document(written(tmp_path, png(bomb)))


def test_other_tags_of_a_png_are_not_unpacked(tmp_path, monkeypatch):
    other = (b"zTXt", b"comment\0\0" + zlib.compress(bytes(1000)))
    path = written(tmp_path, png(other, (b"tEXt", b"prompt\0" + json.dumps(API).encode())))
    monkeypatch.setattr(zlib, "decompressobj", lambda: pytest.fail("unpacked"))
    assert opened(reader.read_document(path)).prompt == API


def test_numbers_that_are_none_become_null_in_the_tags():
    tags = workflow_tags({"1": [float("nan"), 1.5]}, {"workflow": {"pos": (float("inf"), 2)}})
    assert json.loads(tags["prompt"], parse_constant=pytest.fail) == {"1": [None, 1.5]}
    assert json.loads(tags["workflow"], parse_constant=pytest.fail) == {"pos": [None, 2]}


def test_a_huge_file_is_refused_unread(tmp_path):
    path = written(tmp_path, "{")
    with open(path, "r+b") as file:
        file.truncate(reader.MAX_JSON_BYTES + 1)
    with pytest.raises(WorkflowError, match="too large"):
        reader.read_document(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.json", tmp_path, "a\0b"):
        with pytest.raises(WorkflowError, match="cannot read"):
            reader.read_document(path)


# ---------------------------------------------------------------- fuzzing

ODD = [
    None,
    True,
    -1,
    2**70,
    1e400,
    float("nan"),
    "",
    "1",
    [],
    {},
    [[]],
    ["1", 0],
    ["1", 0.0],
    [None, None],
    {"__value__": [1]},
]
ODD += [{"class_type": "Show"}, {"id": 1, "type": "Add"}, "Add", "Reroute", "\ud800"]


def mutated(value, draw):
    """A copy with a few places replaced, dropped or doubled."""
    value = json.loads(json.dumps(value))
    places = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one))
        for key in keys:
            places.append((one, key))
            if isinstance(one[key], (dict, list)):
                waiting.append(one[key])
    for _ in range(draw.randint(1, 4)):
        holder, key = draw.choice(places)
        if isinstance(holder, dict) and draw.random() < 0.2:
            holder.pop(key, None)
        elif isinstance(holder, dict) or key < len(holder):
            holder[key] = draw.choice([*ODD, draw.choice(places)[0]])
            try:
                json.dumps(value)
            except ValueError:  # it now holds itself
                holder[key] = None
    return json.dumps(value)


@pytest.mark.parametrize("source", [API, UI])
def test_no_mutation_of_a_workflow_ends_in_anything_but_a_reason(source):
    draw = random.Random(7)
    for _ in range(1500):
        text = mutated(source, draw)
        try:
            problems = checked(reader.parse_document(text)).problems
        except WorkflowError as error:
            problems = error.problems
        assert all(problem.type and problem.message for problem in problems)


def test_no_cut_or_flipped_byte_of_a_file_ends_in_anything_but_a_reason(tmp_path):
    draw = random.Random(8)
    song = tmp_path / "song.flac"
    write_audio(song, torch.zeros(1, 4800), 48000, tags=workflow_tags(API, {"workflow": UI}))
    for whole in (
        json.dumps(UI).encode(),
        png((b"zTXt", b"prompt\0\0" + zlib.compress(b"{}"))),
        song.read_bytes(),
    ):
        for _ in range(60):
            broken = bytearray(whole[: draw.randint(0, len(whole))])
            for _ in range(draw.randint(0, 3) if broken else 0):
                broken[draw.randrange(len(broken))] = draw.randrange(256)
            try:
                opened(reader.read_document(written(tmp_path, bytes(broken))))
            except WorkflowError:
                pass
