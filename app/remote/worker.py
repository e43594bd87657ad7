"""The worker that has a ComfyUI server do the work: the same job as anywhere else."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ...models.quoting import one_line
from ...models.refused import Refused
from ...nodes.host import Interrupted, Run, running
from ...nodes.names import input_path
from ...workflows.events import (
    Event,
    Listener,
    NodeCached,
    NodeOutput,
    NodeProgress,
    NodeStarted,
)
from ...workflows.problems import NodeError
from ..studio.job import Job, JobResult
from .comfyui import ComfyServer

if TYPE_CHECKING:
    from .comfyui import Listening

TICK_S = 0.25
ASK_S = 5.0
"""after so long a silence a server is asked what came of the graph: messages can get lost"""
UPLOADED = {"LoadAudio": "audio", "RecordAudio": "audio", "LoadVideo": "file", "LoadImage": "image"}
"""classes whose input is a file of the input folder"""
UPLOADS = "musicgraph"
"""the folder there; below it one for each content, so that nobody's file is replaced"""


class FreeNames:
    """Names for files that are still to be written, also by other threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[Path] = set()

    def take(self, path: Path) -> Path:
        """This one, or the next that is free: nothing of a person's is written over."""
        number, free = 1, path
        with self._lock:
            while free in self._taken or free.exists():
                number += 1
                free = path.with_stem(f"{path.stem}_{number}")
            self._taken.add(free)
        return free


class ComfyUIWorker:
    """Runs jobs on one server, one after another. See `studio.job.Worker`.

    Files of the input folder go there, what nodes write comes back into the job's folders. What is
    streamed here is not there, and the server knows which models it may open. Workers that write
    into the same folders share `names`.
    """

    def __init__(self, server: ComfyServer, names: FreeNames | None = None):
        self.server, self._names = server, names or FreeNames()

    def has_room(self, job: Job, running: Sequence[Job]) -> bool:
        """A server has a queue of its own, and runs one prompt at a time."""
        return False

    def run(self, job: Job, listener: Listener, stopped: Callable[[], bool]) -> JobResult:
        """Raises ServerLost where the server does not answer any more."""
        began = time.perf_counter()
        prompt = self._with_uploads(job)
        with self.server.listening() as listening:
            prompt_id = self.server.submit(prompt, job.extra_pnginfo)
            ended = False
            try:
                outcome = self._followed(prompt_id, prompt, listening, listener, stopped)
                ended = True
            finally:
                if not ended:
                    self.server.drop(prompt_id)
        files = self._fetched(outcome, job, listener)
        return JobResult(files=files, engine=str(self.server),
                         generation_s=time.perf_counter() - began)  # fmt: skip

    def forget(self) -> None:
        """The server keeps what it keeps."""

    # ------------------------------------------------------------ before

    def _with_uploads(self, job: Job) -> dict[str, Any]:
        """The graph with the names that its files have there. What is not here may be there."""
        prompt = {}
        with running(Run(input_dir=Path(job.folders.input))):
            for node_id, node in job.graph.items():
                name = UPLOADED.get(node["class_type"], "")
                value = node["inputs"].get(name)
                if isinstance(value, str) and (path := input_path(value)).is_file():
                    there = self.server.upload(path, f"{UPLOADS}/{_digest(path)}")
                    node = {**node, "inputs": {**node["inputs"], name: there}}
                prompt[node_id] = node
        return prompt

    # ------------------------------------------------------------ meanwhile

    def _followed(
        self,
        prompt_id: str,
        prompt: Mapping[str, Any],
        listening: Listening,
        listener: Listener,
        stopped: Callable[[], bool],
    ) -> dict[str, Any]:
        """What the server says came of the graph, once it is done."""
        asked = time.monotonic()
        while True:
            if stopped():
                raise Interrupted("stopped by the user")
            message = listening.next(TICK_S)
            kind, data = (message or {}).get("type"), (message or {}).get("data")
            data = data if isinstance(data, dict) else {}
            if data.get("prompt_id") == prompt_id:
                _check_end(kind, data, prompt)
                for event in _events(kind, data, prompt):
                    listener(event)
            is_over = kind in ("execution_success", "executing") and data.get("node") is None
            if is_over or time.monotonic() - asked > ASK_S:
                asked = time.monotonic()
                outcome = self.server.outcome(prompt_id)
                if outcome is not None:
                    _check_outcome(outcome, prompt)
                    return outcome

    # ------------------------------------------------------------ afterwards

    def _fetched(self, outcome: Mapping[str, Any], job: Job, listener: Listener) -> tuple:
        temp = job.folders.temp or Path(tempfile.gettempdir(), "musicgraph")
        folders = {"output": Path(job.folders.output), "temp": Path(temp)}
        found: list[Path] = []
        for node, shown in _dicts(outcome.get("outputs")):
            entries = [one for some in shown.values() if isinstance(some, list) for one in some]
            files = []
            for entry in entries:
                folder = folders.get(str(entry.get("type"))) if isinstance(entry, dict) else None
                if folder is not None and isinstance(entry.get("filename"), str):
                    target = self._names.take(_place(folder, entry))
                    self.server.fetch(entry, target)
                    files.append(target.absolute())
            listener(NodeOutput(node, shown, tuple(files)))
            found += files
        return tuple(found)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _place(folder: Path, entry: Mapping[str, Any]) -> Path:
    """Inside the folder, whatever the server says."""
    parts = PurePosixPath(str(entry.get("subfolder", "")).replace("\\", "/")).parts
    inside = [part for part in parts if part not in ("/", "..", ".") and ":" not in part]
    name = PurePosixPath(entry["filename"].replace("\\", "/")).name
    if not name or name == "..":
        raise Refused("the server", got="a file without a name", expected="one that can be written")
    return folder.joinpath(*inside, name)


def _events(kind: object, data: Mapping[str, Any], prompt: Mapping[str, Any]) -> Iterator[Event]:
    """What a listener is told. Nodes inside a node that expands are none of the graph's."""
    node = data.get("node")
    if kind == "execution_cached":
        cached = data.get("nodes")
        yield from (NodeCached(one) for one in cached or () if one in prompt)
    elif node in prompt and kind == "executing":
        yield NodeStarted(str(node))
    elif node in prompt and kind == "progress":
        done, total = data.get("value"), data.get("max")
        if isinstance(done, (int, float)) and isinstance(total, (int, float)) and total > 0:
            yield NodeProgress(str(node), int(done), int(total))


def _check_end(kind: object, data: Mapping[str, Any], prompt: Mapping[str, Any]) -> None:
    """Raises what a graph ended with."""
    if kind == "execution_interrupted":
        raise Interrupted("stopped on the server")
    if kind == "execution_error":
        node, reason = str(data.get("node_id")), one_line(str(data.get("exception_message")))
        meta = prompt.get(node, {}).get("_meta") or {}
        class_type = str(data.get("node_type"))
        title = str(meta.get("title") or class_type)
        raise NodeError(node, title, class_type, Refused(reason))


def _check_outcome(outcome: Mapping[str, Any], prompt: Mapping[str, Any]) -> None:
    """The same, of a graph whose last messages were missed."""
    status = outcome.get("status")
    messages = status.get("messages") if isinstance(status, dict) else None
    for one in messages if isinstance(messages, list) else ():
        if isinstance(one, list) and len(one) == 2 and isinstance(one[1], dict):
            _check_end(one[0], one[1], prompt)


def _dicts(value: object) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, one in value.items() if isinstance(value, dict) else ():
        if isinstance(one, dict):
            yield str(name), one
