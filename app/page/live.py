"""Sound for a player while it is being made, and the encoder that Gradio needs for it.

Gradio streams through a program called `ffmpeg`. Where there is none, the wheel `imageio-ffmpeg`
has one, under another name.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ...workflows.events import AudioChunk
from ...workflows.media.audio import audio_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.dsp import StreamLimiter

log = logging.getLogger("musicgraph")

LEAST_S = (0.0, 1.6)
CHUNK_S = 1.1
"""players stumble over pieces of less than a second"""


class LiveSound:
    """Gathers the pieces of the first take into WAV chunks of more than a second.

    The very first chunk goes out at once: it starts the encoder and the player, which begins to
    sound with the second. That one is longer, since players look for more only every two seconds.
    """

    def __init__(self) -> None:
        self._waiting: list[Tensor] = []
        self._limiter: StreamLimiter | None = None
        self._rate = 0
        self._least_s = iter((*LEAST_S, CHUNK_S))
        self._next_s = next(self._least_s)

    def push(self, event: AudioChunk) -> None:
        from ...models.dsp import StreamLimiter

        if self._limiter is None:
            self._limiter, self._rate = StreamLimiter(1.0, event.sample_rate), event.sample_rate
        self._waiting.append(self._limiter.push(event.waveform[0]))  # [C, N]

    def take(self, *, rest: bool = False) -> bytes | None:
        """The next chunk, if there is enough for one, or what is left at the end."""
        if rest and self._limiter is not None and (last := self._limiter.close()) is not None:
            self._waiting.append(last)
            self._limiter = None
        samples = sum(piece.shape[-1] for piece in self._waiting)
        if not samples or (not rest and samples < self._next_s * self._rate):
            return None
        import torch

        sound = torch.cat(self._waiting, dim=-1)
        self._waiting, self._next_s = [], next(self._least_s, CHUNK_S)
        return audio_bytes(".wav", sound, self._rate)


def can_stream() -> bool:
    return shutil.which("ffmpeg") is not None


def provide_ffmpeg(folder: Path) -> None:
    """Puts imageio-ffmpeg's program on this process's PATH, if there is no ffmpeg, with links in
    `folder`.

    Under the name of ffprobe too, whose questions it refuses with an error: that Gradio can bear, a
    missing one not.
    """
    missing = [name for name in ("ffmpeg", "ffprobe") if shutil.which(name) is None]
    if not missing:
        return
    try:
        import imageio_ffmpeg

        program = Path(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        log.warning(
            "no ffmpeg: music plays when it is done, not while it is made; "
            "pip install imageio-ffmpeg"
        )
        return
    folder.mkdir(parents=True)
    for name in missing:
        _link(folder / (name + (".exe" if program.suffix == ".exe" else "")), program)
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}{os.pathsep}{folder}"


def _link(target: Path, program: Path) -> None:
    try:
        target.symlink_to(program)
    except OSError:  # Windows without the right to make links
        shutil.copy2(program, target)
