"""Audio files in and out.

Everything is read through PyAV, and written by the one encoder (`encode.py`). Files come from
strangers: containers that may point to other files (playlists, concatenations) are not opened, and
what is unpacked is bounded while it is read. A file appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ...models.disk.files import (
    check_file_writable,
    name_of,
    open_file,
    written_whole,
)
from ...models.quoting import shown
from ...models.refused import Refused
from ...nodes.host import check_stop, current_run
from .encode import CODINGS, LAYOUTS, Encoder, append_chunks, write_encoded
from .id3 import check_id3

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.bars import Bars

log = logging.getLogger("musicgraph")

MAX_FILE_BYTES = 512 * 2**20
CHUNK_SAMPLES = 1 << 16
BLOCK_SAMPLES = 1 << 20

READABLE_CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,m4a,matroska,mov,mp3,mp4,mpeg,mpegts,ogg,"
    "tta,w64,wav,webm,wv"
)
FULL_SCALE = {"u8": 128, "s16": 32768, "s32": 2**31, "flt": 1, "dbl": 1}
"""PyAV's sample formats, without the p of the planar ones: what becomes 1.0"""


# ---------------------------------------------------------------- reading


def read_audio(path: str | Path, *, last_stream: bool = False) -> tuple[Tensor, int]:
    """The first (or last) audio stream of a file: float32 `[C, T]` and its sample rate.

    Decodes into blocks and checks the run's limits at each, so that a small file which unpacks to
    hours of sound is refused when it reaches the bound. Raises Refused, with the file's name, for
    that, for what is no audio, and for samples that are NaN or infinite.
    """
    import torch

    with _opened(path, last_stream) as (container, stream):
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
        if (
            container.format.name == "flac" and stream.duration
        ):  # exact; elsewhere it may be a guess
            _check_length(path, channels, int(stream.duration * stream.time_base * rate), rate)
        blocks = list(_blocks(_decoded(container, stream, path), channels, rate, path))
    samples = sum(block.shape[1] for block in blocks)
    if not samples:
        raise _not_audio(path, "no samples")
    waveform = np.empty((channels, samples), np.float32)
    for end in _ends(blocks):
        block = blocks.pop()  # from the last to the first, so that each is freed once it is copied
        waveform[:, end - block.shape[1] : end] = block
    return torch.from_numpy(waveform), rate


def _ends(blocks: list[np.ndarray]) -> list[int]:
    return np.cumsum([block.shape[1] for block in blocks])[::-1].tolist()


def _blocks(
    pieces: Iterator[np.ndarray], channels: int, rate: int, path: str | Path
) -> Iterator[np.ndarray]:
    """Gathers float32 `[C, N]` into large blocks, as long as all of it is within the run's
    limits.
    """
    samples, filled = 0, 0
    block = np.empty((channels, BLOCK_SAMPLES), np.float32)
    for piece in pieces:
        samples += piece.shape[1]
        _check_length(path, channels, samples, rate)
        while piece.shape[1]:
            taken = piece[:, : BLOCK_SAMPLES - filled]
            block[:, filled : filled + taken.shape[1]] = taken
            filled, piece = filled + taken.shape[1], piece[:, taken.shape[1] :]
            if filled == BLOCK_SAMPLES:
                yield block
                block, filled = np.empty_like(block), 0
    yield block[:, :filled]


def _check_length(path: str | Path, channels: int, samples: int, rate: int) -> None:
    try:
        current_run().limits.check_sound((1, channels, samples), rate)
    except Refused as error:
        raise Refused(
            f"audio file too long or too large: {name_of(path)}",
            got=f"{samples / rate:.0f} s or more of {channels} channel(s) at {rate} Hz",
            expected=f"{error.expected} ({error.what})",
            remedy="cut the file first",
        ) from error


def probe_audio(path: str | Path) -> None:
    """Refuses, without decoding it, a file that has no audio in it."""
    with _opened(path):
        pass


@contextlib.contextmanager
def _opened(path: str | Path, last_stream: bool = False) -> Iterator[tuple[Any, Any]]:
    """A container and its first (or last) audio stream that has a decoder, checked."""
    limits = current_run().limits
    with open_container(path) as container:
        streams = [one for one in container.streams.audio if one.codec_context is not None]
        stream = streams[-1 if last_stream else 0] if streams else None
        context = stream.codec_context if stream is not None else None
        if context is None or not context.sample_rate:
            raise _not_audio(path, "no audio stream")
        if not 1 <= context.channels <= limits.channels:
            raise _not_audio(path, f"{context.channels} channels", f"1 to {limits.channels}")
        if not 1 <= context.sample_rate <= limits.highest_rate:
            got, expected = f"{context.sample_rate} Hz", f"at most {limits.highest_rate} Hz"
            raise _not_audio(path, got, expected)
        yield container, stream


def open_container(path: str | Path) -> Any:
    """PyAV's input container.

    Raises Refused for what is no file, too large, or no audio or video.
    """
    import av
    from av.error import FFmpegError

    with open_file(path) as file:
        size = file.seek(0, 2)
        if size > MAX_FILE_BYTES:
            raise Refused(
                f"file too large: {name_of(path)}",
                got=f"{size >> 20} MB",
                expected=f"at most {MAX_FILE_BYTES >> 20} MB",
            )
        check_id3(file, path)
    options = {"format_whitelist": READABLE_CONTAINERS, "protocol_whitelist": "file"}
    try:
        return av.open(
            str(Path(path).absolute()), container_options=options, metadata_errors="replace"
        )
    except (FFmpegError, ValueError) as error:
        raise _not_audio(path, getattr(error, "strerror", None) or error) from error


def _decoded(container: Any, stream: Any, path: str | Path) -> Iterator[np.ndarray]:
    """float32 `[C, N]`, frame by frame."""
    from av.error import FFmpegError

    channels = stream.codec_context.channels
    try:
        for frame in container.decode(stream):
            check_stop()
            yield _frame_samples(frame, channels, path)
    except FFmpegError as error:
        raise _not_audio(path, error.strerror or error) from error


def _frame_samples(frame: Any, channels: int, path: str | Path) -> np.ndarray:
    """float32 `[C, N]`, scaled as ComfyUI scales: full-scale integers become ±1."""
    form = frame.format.name.removesuffix("p")
    if form not in FULL_SCALE:
        raise _not_audio(path, f"samples of the format {form}", ", ".join(FULL_SCALE))
    data = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, frame.layout.nb_channels).T
    if data.shape[0] != channels:
        got = f"a change from {channels} to {data.shape[0]} channels on the way"
        raise _not_audio(path, got)
    if form == "u8":
        return (data.astype(np.float32) - 128) / 128
    if form in ("s16", "s32"):
        return data.astype(np.float32) / FULL_SCALE[form]
    if not np.isfinite(data).all():
        raise Refused(
            f"this file cannot be used: {name_of(path)}",
            got="samples that are NaN or infinite",
            expected="numbers",
            remedy="write the file anew with the program that made it",
        )
    return data.astype(np.float32)


def _not_audio(path: str | Path, got: object, expected: str = "WAV, FLAC, MP3, Opus …") -> Refused:
    return Refused(
        f"not an audio file that can be read: {name_of(path)}", got=got, expected=expected
    )


# ---------------------------------------------------------------- writing


WRITABLE_SUFFIXES = tuple(CODINGS)


def write_audio(
    path: str | Path,
    waveform: Tensor,
    sample_rate: int,
    *,
    tags: Mapping[str, str] | None = None,
    quality: str | None = None,
    loop: Bars | None = None,
) -> float:
    """Writes float `[C, T]` in the format that the suffix names. WAV (16 bits) carries no tags.

    `loop`: all of it is one, so long; the file says so, as samplers and players look for it.

    Returns what every sample was multiplied by: 1.0, or less where the peak was above full scale,
    so that nothing is clipped and the balance within the file stays. Raises Refused for what cannot
    be written, before it writes.
    """
    path = Path(path)
    check_writable(path)
    with written_whole(path) as part, open(part, "wb") as file:
        factor = _encode(
            file, path.suffix.lower(), waveform, sample_rate, loop, tags=tags, quality=quality
        )
    if factor < 1:
        loud = -20 * math.log10(factor)
        log.warning("%s: peaks %.1f dB above full scale; scaled by %.3f", path.name, loud, factor)
    return factor


def audio_bytes(
    suffix: str,
    waveform: Tensor,
    sample_rate: int,
    tags: Mapping[str, str] | None = None,
    loop: Bars | None = None,
) -> bytes:
    """What `write_audio` writes."""
    file = io.BytesIO()
    _encode(file, suffix, waveform, sample_rate, loop, tags=tags)
    return file.getvalue()


def _encode(
    file: BinaryIO,
    suffix: str,
    waveform: Tensor,
    sample_rate: int,
    loop: Bars | None,
    *,
    tags: Mapping[str, str] | None,
    quality: str | None = None,
) -> float:
    """All of it into a file that is empty. Scaled as it is encoded, since resampling adds peaks."""
    samples, sample_rate = _at_fitting_rate(_checked_samples(waveform), sample_rate, suffix)
    factor = full_scale_factor(samples)
    if loop is not None:
        tags = {**(tags or {}), **loop.tags(samples.shape[1])}
    encoder = Encoder(
        suffix, sample_rate, samples.shape[0], can_rewind=True, tags=tags, quality=quality
    )
    write_encoded(file, encoder, _chunks(samples, factor))
    if loop is not None and suffix == ".wav":
        append_chunks(file, loop.riff_chunks(samples.shape[1], sample_rate))
    return factor


def full_scale_factor(waveform: Tensor) -> float:
    """What brings a waveform of any shape within ±1: 1.0, or one factor for all of it."""
    low, high = (float(value) for value in waveform.aminmax())
    return 1 / max(1.0, high, -low)


def check_writable(path: str | Path) -> None:
    """Refuses, before any work is done for it, a file that could not be written."""
    path = Path(path)
    if path.suffix.lower() not in WRITABLE_SUFFIXES:
        raise Refused(
            f"cannot write {name_of(path)}",
            got=f"the suffix {shown(path.suffix)}",
            expected=f"one of {' '.join(WRITABLE_SUFFIXES)}",
        )
    check_file_writable(path)


def _checked_samples(waveform: Tensor) -> Tensor:
    """float32 `[C, T]` with one to eight channels and at least one sample, all finite."""
    fits = waveform.ndim == 2 and 1 <= waveform.shape[0] <= len(LAYOUTS) and waveform.shape[1]
    if not fits:
        raise Refused(
            "cannot write audio",
            got=f"the shape {list(waveform.shape)}",
            expected=f"[1 to {len(LAYOUTS)} channels, 1 or more samples]",
        )
    samples = waveform.detach().float().cpu()
    if not all(map(math.isfinite, samples.aminmax())):
        raise Refused(
            "cannot write audio", got="samples that are NaN or infinite", expected="numbers"
        )
    return samples


def _at_fitting_rate(samples: Tensor, rate: int, suffix: str) -> tuple[Tensor, int]:
    """At the next higher rate that the format holds, if it does not hold this one."""
    from ...models.dsp import resample

    new_rate = CODINGS[suffix].fitting_rate(rate)
    if new_rate == rate:
        return samples, rate
    current_run().limits.check_sound(
        (1, samples.shape[0], samples.shape[1] * new_rate // rate), new_rate
    )
    log.info("%s holds no %d Hz: resampling to %d Hz", suffix[1:], rate, new_rate)
    return resample(samples, rate, new_rate), new_rate


def _chunks(samples: Tensor, factor: float) -> Iterator[Tensor]:
    """`[C, N]`, piece by piece, scaled."""
    for chunk in samples.split(CHUNK_SAMPLES, dim=1):
        check_stop()
        yield chunk * factor if factor < 1 else chunk
