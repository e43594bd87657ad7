"""Sound for the page while it is being made: one MP3 that grows, and may be read from any byte on.

Every browser plays it by itself, from an address like any other: no program is needed beside this
one.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ...workflows.media.encode import Encoder

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.dsp import StreamLimiter
    from ...workflows.events import AudioChunk

SUFFIX, MEDIA_TYPE = ".mp3", "audio/mpeg"
CEILING_DB = -1.0
PEAK_S = 0.1
"""of sound behind each bar of the picture"""
LOOK_S = 0.05
"""how long whoever reads on waits before looking again"""


class RunningGain:
    """Brings sound that is not whole yet near a loudness: by the level of what was heard so far.

    The gain moves slowly, and along a straight line within each piece, so nobody hears a step.
    Only the whole can be brought to the loudness itself: the finished file is.
    """

    WINDOW_S = 20.0
    MAX_DB, MAX_STEP_DB_A_S = 24.0, 1.5

    def __init__(self, target_lufs: float, sample_rate: int):
        self._target, self._rate = target_lufs, sample_rate
        self._heard: deque[Tensor] = deque()
        self._samples = 0
        self._db: float | None = None

    def push(self, sound: Tensor) -> Tensor:
        """`[C, N]`, louder or quieter."""
        import torch

        before, length = self._db, sound.shape[-1]
        self._remember(sound)
        wanted = self._wanted(torch.cat([*self._heard], dim=-1))
        if wanted is None:  # silence so far
            return sound
        most = self.MAX_STEP_DB_A_S * length / self._rate
        now = wanted if before is None else before + max(-most, min(most, wanted - before))
        self._db = now
        start = now if before is None else before
        return sound * 10 ** (torch.linspace(start, now, length) / 20)

    def _remember(self, sound: Tensor) -> None:
        self._heard.append(sound)
        self._samples += sound.shape[-1]
        while self._samples - self._heard[0].shape[-1] > self.WINDOW_S * self._rate:
            self._samples -= self._heard.popleft().shape[-1]

    def _wanted(self, heard: Tensor) -> float | None:
        from ...models.dsp import SILENCE_DB, loudness_lufs

        level = loudness_lufs(heard, self._rate)
        return None if level <= SILENCE_DB else min(self.MAX_DB, self._target - level)


class LiveSound:
    """The first item of a run as it grows. One thread pushes; any number may read."""

    def __init__(self, loudness_lufs: float | None = None):
        self._loudness = loudness_lufs
        self._lock = threading.Lock()  # guards all that follows
        self._bytes = bytearray()
        self._peaks: list[int] = []
        self._is_whole = False
        self._encoder: Encoder | None = None
        self._limiter: StreamLimiter | None = None
        self._gain: RunningGain | None = None

    @property
    def has_begun(self) -> bool:
        with self._lock:
            return bool(self._bytes)

    @property
    def is_whole(self) -> bool:
        with self._lock:
            return self._is_whole

    def peaks(self) -> list[int]:
        """How high each tenth of a second reaches, 0 … 99."""
        with self._lock:
            return list(self._peaks)

    def push(self, event: AudioChunk) -> None:
        with self._lock:
            if self._is_whole:
                return
            sound = event.waveform[0].float().cpu()  # [C, N]
            if self._encoder is None:
                self._begin(sound.shape[0], event.sample_rate)
            if self._gain is not None:
                sound = self._gain.push(sound)
            assert self._limiter is not None and self._encoder is not None
            self._write(self._limiter.push(sound), event.sample_rate)

    def close(self) -> None:
        """The end, also of what was never begun; what comes later is not heard."""
        with self._lock:
            if not self._is_whole and self._limiter is not None and self._encoder is not None:
                if (rest := self._limiter.close()) is not None:
                    self._bytes += self._encoder.push(rest)
                self._bytes += self._encoder.close()
            self._is_whole = True

    def _begin(self, channels: int, rate: int) -> None:
        from ...models.dsp import StreamLimiter

        ceiling = 1.0 if self._loudness is None else 10 ** (CEILING_DB / 20)
        self._encoder = Encoder(SUFFIX, rate, channels)
        self._limiter = StreamLimiter(ceiling, rate)
        if self._loudness is not None:
            self._gain = RunningGain(self._loudness, rate)

    def _write(self, sound: Tensor, rate: int) -> None:
        if not sound.shape[-1]:
            return
        assert self._encoder is not None
        self._bytes += self._encoder.push(sound)
        parts = sound.abs().amax(dim=0).split(max(1, round(PEAK_S * rate)))
        self._peaks += [min(99, round(99 * float(part.max()))) for part in parts]

    async def read(self, start: int = 0) -> AsyncIterator[bytes]:
        """From this byte on, to the end, as it comes."""
        while True:
            with self._lock:
                new, is_whole = bytes(self._bytes[start:]), self._is_whole
            start += len(new)
            if new:
                yield new
            elif is_whole:
                return
            else:
                await asyncio.sleep(LOOK_S)


class KnownSounds:
    """Sounds that grow, each under a number that nobody can guess. The oldest go."""

    MOST = 64

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sounds: dict[str, LiveSound] = {}

    def add(self) -> tuple[str, LiveSound]:
        id, sound = secrets.token_hex(16), LiveSound()
        with self._lock:
            self._sounds[id] = sound
            while len(self._sounds) > self.MOST:
                del self._sounds[next(iter(self._sounds))]
        return id, sound

    def of(self, id: str) -> LiveSound | None:
        with self._lock:
            return self._sounds.get(id)
