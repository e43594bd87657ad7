"""A ComfyUI server, as its HTTP and WebSocket interface has it.

Sources: ComfyUI's server.py and its documentation of routes (/prompt, /history, /view,
/upload/image, /queue, /interrupt, /ws). Needs httpx and websockets.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from ...models.disk.files import open_file, written_whole
from ...models.limits import Limits
from ...models.quoting import one_line
from ...models.refused import Refused
from ...workflows.problems import Problem, WorkflowError

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE_S = 30.0
"""for a server's answer; listening to a run has no such end"""
MAX_MESSAGE_BYTES = 64 * 2**20
"""of pictures, above all, that nodes show while they work"""


class ServerLost(Refused):
    """A server that does not answer, or no longer does."""


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # brackets that hold no address, a port that is none
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0


class ComfyServer:
    """At an address such as http://127.0.0.1:8188. Raises Refused for what is none, ServerLost
    where nobody answers.
    """

    def __init__(self, url: str):
        if not _is_address(url):
            remedy = "name one such as http://127.0.0.1:8188"
            raise Refused("--server", got=url, expected="an address", remedy=remedy)
        self.url, self.client_id = url.rstrip("/"), uuid.uuid4().hex
        self._http = httpx.Client(base_url=self.url, timeout=PATIENCE_S, trust_env=False)

    def __str__(self) -> str:
        return self.url

    # ------------------------------------------------------------ asking

    def classes(self) -> dict[str, Any]:
        """What each class of nodes there declares."""
        return self._json(self._asked("GET", "/object_info"))

    def upload(self, path: Path, subfolder: str) -> str:
        """Into its input folder; how a graph calls the file there."""
        told = {"type": "input", "subfolder": subfolder, "overwrite": "true"}
        with open_file(path) as file:
            answer = self._asked(
                "POST", "/upload/image", data=told, files={"image": (path.name, file)}
            )
        said = self._json(answer)
        return "/".join(filter(None, (said.get("subfolder"), str(said.get("name")))))

    def submit(self, prompt: Mapping[str, Any], extra: Mapping[str, Any] | None) -> str:
        """Queues a graph in API format; its id there. Raises WorkflowError with all that the
        server finds wrong with it.
        """
        data = {"extra_pnginfo": dict(extra)} if extra else {}
        body = {"prompt": prompt, "client_id": self.client_id, "extra_data": data}
        answer = self._asked("POST", "/prompt", json=body, may_refuse=True)
        said = self._json(answer)
        if answer.status_code != 200:
            raise WorkflowError(_problems(said, prompt))
        return str(said["prompt_id"])

    def outcome(self, prompt_id: str) -> dict[str, Any] | None:
        """What came of a graph; None as long as it waits or runs."""
        said = self._json(self._asked("GET", f"/history/{quote(prompt_id)}"))
        found = said.get(prompt_id)
        return found if isinstance(found, dict) else None

    def fetch(self, entry: Mapping[str, Any], target: Path) -> None:
        """A file that a node has written, whole or not at all."""
        asked = {name: str(entry.get(name, "")) for name in ("filename", "subfolder", "type")}
        most, size = Limits().written_bytes, 0
        with (
            self._told(),
            written_whole(target) as part,
            open(part, "wb") as file,
            self._http.stream("GET", "/view", params=asked) as answer,
        ):
            self._check(answer)
            for piece in answer.iter_bytes():
                size += len(piece)
                if size > most:
                    raise Refused(f"{self}: {target.name}", got="a file without end")
                file.write(piece)

    def drop(self, prompt_id: str) -> None:
        """Takes a graph out of its queue, or stops it. A server that is gone need not be told."""
        with contextlib.suppress(ServerLost):
            self._asked("POST", "/queue", json={"delete": [prompt_id]})
            self._asked("POST", "/interrupt", json={"prompt_id": prompt_id})

    @contextlib.contextmanager
    def listening(self) -> Iterator[Listening]:
        """To what it tells of this client's graphs."""
        address = f"ws{self.url.removeprefix('http')}/ws?clientId={self.client_id}"
        opened = {"open_timeout": PATIENCE_S, "max_size": MAX_MESSAGE_BYTES, "proxy": None}
        with contextlib.ExitStack() as stack:
            with self._told():
                connection = stack.enter_context(connect(address, **opened))
            yield Listening(self, connection)

    # ------------------------------------------------------------ answers

    def _asked(
        self, method: str, path: str, may_refuse: bool = False, **more: Any
    ) -> httpx.Response:
        with self._told():
            answer = self._http.request(method, path, **more)
            if not (may_refuse and answer.status_code == 400):
                self._check(answer)
        return answer

    def _check(self, answer: httpx.Response) -> None:
        if answer.status_code >= 500:
            raise ServerLost(f"{self}", got=f"status {answer.status_code}")
        if answer.status_code >= 400:
            where, got = answer.request.url.path, f"status {answer.status_code}"
            raise Refused(f"{self}{where}", got=got, expected="a server of ComfyUI")

    def _json(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            said = answer.json()
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise Refused(f"{self}", got="what is no answer", expected="a server of ComfyUI")
        return said

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Raises ServerLost for what goes wrong on the way."""
        try:
            yield
        except (httpx.HTTPError, OSError, WebSocketException) as error:
            reason = one_line(str(error)) or type(error).__name__
            raise ServerLost(f"{self}", got=reason, expected="a server that answers") from error


class Listening:
    """An open connection."""

    def __init__(self, server: ComfyServer, connection: ClientConnection):
        self._server, self._connection = server, connection

    def next(self, wait_s: float) -> dict[str, Any] | None:
        """The next message, None if none comes so soon. Raises ServerLost."""
        with self._server._told():
            try:
                text = self._connection.recv(wait_s)
            except TimeoutError:
                return None
        if not isinstance(text, str):  # a picture
            return None
        try:
            said = json.loads(text)
        except ValueError:
            return None
        return said if isinstance(said, dict) else None


def _problems(said: Mapping[str, Any], prompt: Mapping[str, Any]) -> Sequence[Problem]:
    """What the server finds wrong, node by node, else with the whole."""
    found = []
    for node, told in _dict(said.get("node_errors")).items():
        title = _dict(_dict(prompt.get(node)).get("_meta")).get("title") or told.get("class_type")
        for one in told.get("errors") or ():
            name = _dict(one.get("extra_info")).get("input_name")
            found.append(Problem(*_words(one), node=node, title=str(title), input=name))
    return found or [Problem(*_words(_dict(said.get("error"))))]


def _words(error: Mapping[str, Any]) -> tuple[str, str, str]:
    kind, message = (str(error.get(name) or "refused") for name in ("type", "message"))
    return kind, message, str(error.get("details") or "")


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
