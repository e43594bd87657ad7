"""A visitor's performance on the Play tab: who listens, moments to go back to, and a recording.

Its sound and its news go down one stream, in order: a head of 16 bytes (what it is, of sound how
many channels, how many bytes follow, and of sound the number of its first sample), and then samples
as whole numbers of 16 bits, at half their height, or JSON.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...models.refused import Refused
from ..studio.failures import failure_of
from ..studio.follow import JobStream
from ..studio.stage import LivePlace
from .play_take import Recording

if TYPE_CHECKING:
    from torch import Tensor

    from ..studio.performance import Mark

SOUND, NEWS = 0, 1
HEAD = struct.Struct("<BB2xId")
HALF_SCALE = 2.0**14
"""so that peaks above full scale come through, for the player's limiter to turn down"""
GONE_S, PAUSED_S = 20.0, 300.0
"""after so long without a listener it ends: a page that lost its connection is back by then; and
after a page that said that it pauses
"""
MAX_BACKLOG = 100
"""pieces that a listener has not taken: some 10 s; who is further behind is let go"""
MAX_MARKS = 4
LAST = ("over", "closed", "failed")


def packed_sound(begin: int, sound: Tensor) -> bytes:
    """`[C, n]`, of which the first is sample `begin` of the performance."""
    import torch

    whole = (sound.T * HALF_SCALE).round().clamp(-32768, 32767).to(torch.int16)
    data = whole.contiguous().numpy().tobytes()
    return HEAD.pack(SOUND, sound.shape[0], len(data), begin) + data


def packed_news(told: dict[str, Any]) -> bytes:
    data = json.dumps(told).encode()
    return HEAD.pack(NEWS, 0, len(data), 0) + data


class PlayPlace:
    """Between a performance on the stage and the page of the one who steers it."""

    def __init__(self, on_end: Callable[[Recording | None], None]):
        """`on_end` is given what was being recorded when the music ended, however it did."""
        self.place: LivePlace
        """set as soon as there is one"""
        self._on_end = on_end
        self._lock = threading.Lock()  # guards all that follows
        self._streams: list[JobStream[bytes]] = []
        self._marks: list[Mark | None] = [None] * MAX_MARKS
        self._recording: Recording | None = None
        self._patience_s = GONE_S
        self._timer: threading.Timer | None = None
        self.has_ended = False

    # ------------------------------------------------------------ listening

    def listen(self) -> JobStream[bytes]:
        """Its sound from now on, and what happens."""
        stream: JobStream[bytes] = JobStream()
        with self._lock:
            is_first, self._patience_s = not self._streams, GONE_S
            stream.put(packed_news({"event": "here", **self._state()}))
            if self.has_ended:  # who comes too late hears so, and does not wait
                stream.end()
                return stream
            self._streams.append(stream)
        if is_first:
            self.place.listen(self._hear)
        return stream

    def leave(self, stream: JobStream[bytes]) -> None:
        with self._lock:
            if stream in self._streams:
                self._streams.remove(stream)
            is_last = not self._streams
        if is_last:
            self.place.leave(self._hear)
            self.watch()

    def wait(self) -> None:
        """The page pauses, and may be back later than one that has gone."""
        self._patience_s = PAUSED_S
        self.watch()

    def watch(self) -> None:
        """Closes it in a while, unless somebody listens then; what was to be a while before is
        forgotten, lest who asks often makes threads without end.
        """
        with self._lock:
            self._stop_watching()
            if not self.has_ended:
                self._timer = threading.Timer(self._patience_s, self._close_if_left)
                self._timer.daemon = True
                self._timer.start()

    def _stop_watching(self) -> None:
        """With the lock held."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_if_left(self) -> None:
        if self.place.unheard_s > self._patience_s - 1:
            self.place.close()

    def _hear(self, sound: Tensor | None) -> None:
        """In the thread that plays."""
        if sound is None:
            return
        begin = self.place.performance.begun_at
        if self._recording is not None:
            self._recording.push(begin, sound)
        self._send(packed_sound(begin, sound))

    def hear_news(self, told: dict[str, Any]) -> None:
        """What the stage tells, from any thread."""
        if told["event"] == "failed":
            failure = failure_of(told["error"])
            told = {"event": "failed", "words": f"{failure.title}: {failure.text}"}
        self._send(packed_news(told))
        if told["event"] in LAST:
            with self._lock:
                self.has_ended = True
                self._stop_watching()
                streams, self._streams = self._streams, []
                recording, self._recording = self._recording, None
                self._marks = [None] * MAX_MARKS
            for stream in streams:
                stream.end()
            self._on_end(recording)

    def _send(self, data: bytes) -> None:
        with self._lock:
            behind = [one for one in self._streams if one.waiting > MAX_BACKLOG]
            self._streams = [one for one in self._streams if one not in behind]
            streams = list(self._streams)
        for stream in streams:
            stream.put(data)
        for stream in behind:
            stream.end()
        if behind and not streams:
            self.place.leave(self._hear)
            self.watch()

    def _state(self) -> dict[str, Any]:
        performance = self.place.performance
        return {
            "rate": performance.sample_rate,
            "frame_rate": performance.frame_rate,
            "marks": [mark.samples if mark else None for mark in self._marks],
            "is_recording": self._recording is not None,
        }

    # ------------------------------------------------------------ going back

    def mark(self, number: int) -> dict[str, Any]:
        """Remembers this moment. Raises Refused before the first sound."""
        mark = self.place.mark()
        self._check_mark(number)
        with self._lock:
            self._marks[number] = mark
            return self._state()

    def go_back(self, number: int) -> dict[str, Any]:
        """The music goes on from there; what came since is no part of it any more."""
        self._check_mark(number)
        mark = self._marks[number]
        if mark is None:
            raise Refused("this mark", got="none that was set", remedy="set it first")
        self.place.go_back(mark)
        with self._lock:
            return self._state()

    def _check_mark(self, number: int) -> None:
        if not 0 <= number < MAX_MARKS:
            raise Refused("this mark", got=str(number), expected=f"0 to {MAX_MARKS - 1}")

    # ------------------------------------------------------------ recording

    def record(self) -> None:
        """From the next sound on. Raises Refused where no graph could hold it."""
        recording = Recording(self.place.performance)
        with self._lock:
            self._recording = self._recording or recording

    def recorded(self) -> Recording:
        """What was recorded until now, and the end of it. Raises Refused if nothing was."""
        with self._lock:
            recording, self._recording = self._recording, None
        if recording is None:
            raise Refused("the recording", got="none", remedy="press Record first")
        return recording
