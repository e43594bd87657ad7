"""A hub on loopback that takes uploads to a Space as the real one does: it says which files are to
be stored as large ones, takes these apart from the commit, and refuses a commit that has a large or
a binary file in it.
"""

import base64
import contextlib
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

MOST_BYTES = 10 * 2**20
SAMPLE_BYTES = 512  # of each file the Hub is shown, and judges by
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class SpaceHub:
    files: dict = field(default_factory=dict)
    """path → content, as a Space would have it"""
    large: set = field(default_factory=set)
    """paths that were stored apart"""
    made: dict = field(default_factory=dict)
    """what was said when the Space was made"""
    tokens: set = field(default_factory=set)
    commits: int = 0
    stored: dict = field(default_factory=dict)
    url: str = ""

    def answer(self, method, path, body):
        """(status, JSON) of a request."""
        if path == "/api/repos/create":
            self.made = made = json.loads(body)
            return 200, {"url": f"{self.url}/spaces/{made['organization']}/{made['name']}"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if "/tree/" in path:
            return 200, [{"type": "file", "path": p, "size": 1, "oid": "0"} for p in self.files]
        if "/preupload/" in path:
            return 200, {"files": [self._mode(one) for one in json.loads(body)["files"]]}
        if path.endswith("/info/lfs/objects/batch"):
            return 200, {"transfer": "basic", "objects": self._places(json.loads(body)["objects"])}
        if "/store/" in path and method == "PUT":
            self.stored[path.rpartition("/")[2]] = body
            return 200, {}
        if "/commit/" in path:
            return self._commit([json.loads(line) for line in body.splitlines()])
        return 404, {"error": f"{method} {path}"}

    def _mode(self, file):
        is_large = file["size"] > MOST_BYTES or b"\0" in base64.b64decode(file["sample"])
        mode = "lfs" if is_large else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}

    def _places(self, objects):
        return [
            {**one, "actions": {"upload": {"href": f"{self.url}/store/{one['oid']}", "header": {}}}}
            for one in objects
        ]

    def _commit(self, lines):
        given = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                content = base64.b64decode(value["content"])
                if len(content) > MOST_BYTES or b"\0" in content[:SAMPLE_BYTES]:
                    return 400, {"error": f"{value['path']} belongs into large storage"}
                given[value["path"]] = content
            elif line["key"] == "lfsFile":
                content = self.stored.get(value["oid"], b"")
                if hashlib.sha256(content).hexdigest() != value["oid"]:
                    return 400, {"error": f"{value['path']} was not stored"}
                given[value["path"]] = content
                self.large.add(value["path"])
            elif line["key"] == "deletedFile":
                self.files.pop(value["path"], None)
        self.files |= given
        self.commits += 1
        return 200, {
            "commitUrl": f"{self.url}/spaces/anna/music/commit/{COMMIT}",
            "commitOid": COMMIT,
        }


@contextlib.contextmanager
def space_hub():
    hub = SpaceHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def _answer(self):
            hub.tokens.add(self.headers.get("Authorization", ""))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, found = hub.answer(self.command, urlsplit(self.path).path, body)
            content = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _answer

    return Handler
