"""What the HTTP API's tests share: addresses, a short request, a busy device, and how answers are
read.
"""

import io
import threading

import soundfile
from fastapi.testclient import TestClient

COMPATIBLE, GENERATE = "/v1/meta-musicgen-medium", "/v1/generate"
SHORT = {"prompt": "calm piano", "duration": 0.5, "seed": 7}
RATE = 8000  # of the tiny codec
SOON = 10.0


def local(app, **more):
    return TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 5000), **more)


class Holding:
    """Keeps the device busy, as somebody else's work."""

    def __init__(self, queue):
        self.queue, self.may_end = queue, threading.Event()

    def __enter__(self):
        started = threading.Event()
        self.handle = self.queue.submit(
            "holder", lambda *_: started.set() or self.may_end.wait(SOON)
        )
        assert started.wait(SOON)
        return self

    def __exit__(self, *_):
        self.may_end.set()
        self.handle.result(SOON)


def wav(response):
    assert response.status_code == 200, response.text
    samples, rate = soundfile.read(io.BytesIO(response.content), dtype="int16", always_2d=True)
    assert rate == RATE
    return samples


def error_of(response, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert error["type"] and error["message"]
    return error


def check_some_were_lost(answers, asked):
    """What a killed worker was making, and nothing else."""
    lost = [one for one in answers if one.status_code != 200]
    assert len(answers) == asked and 0 < len(lost) < asked
    for one in lost:
        assert error_of(one, 503)["type"] == "busy" and one.headers["retry-after"]
