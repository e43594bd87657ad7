"""Audio files in and out, and the tags in which ComfyUI keeps the graph that made a file.

WAV goes through soundfile, everything else through PyAV, as in ComfyUI. Files come from strangers: containers that
may point to other files (playlists, concatenations) are not opened, and length and size are bounded. A file appears
whole or not at all.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import secrets
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from ..models.dsp import resample
from ..models.refused import Refused
from ..nodes.host import check_stop
from .problems import shown

log = logging.getLogger("musicgraph")

MAX_FILE_BYTES = 512 * 2**20
MAX_TAG_BYTES = 32 * 2**20
MAX_SECONDS = 3600
MAX_VALUES = 3600 * 48000 * 2
"""samples times channels: an hour of stereo at 48 kHz"""
MAX_CHANNELS = 8
CHUNK_SAMPLES = 1 << 16

READABLE_CONTAINERS = "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,m4a,matroska,mov,mp3,mp4,mpeg,mpegts,ogg,tta,w64,wav,webm,wv"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


# ---------------------------------------------------------------- reading


def read_audio(path: str | Path, max_seconds: float = MAX_SECONDS) -> tuple[Tensor, int]:
    """The first audio stream of a file: float32 [C, T] and its sample rate."""
    import av

    with _opened(path) as (container, stream):
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
        limit = min(max_seconds * rate, MAX_VALUES / channels)
        parts: list[np.ndarray] = []
        samples = 0
        try:
            for frame in container.decode(stream):
                check_stop()
                parts.append(_frame_samples(frame, channels, path))
                samples += parts[-1].shape[1]
                if samples > limit:
                    expected = f"expected at most {limit / rate:.0f} s: cut the file first"
                    raise Refused(
                        f"audio file too long: {_name(path)} has more than {samples / rate:.0f} s, {expected}"
                    )
        except av.FFmpegError as error:
            raise _not_audio(path, error.strerror or error) from error
    if not samples:
        raise _not_audio(path, "it holds no samples")
    return torch.from_numpy(np.concatenate(parts, axis=1)), rate


def probe_audio(path: str | Path) -> None:
    """Refuses, without decoding it, a file that has no audio in it."""
    with _opened(path):
        pass


def read_tags(path: str | Path) -> dict[str, str]:
    """The text tags of an audio, video or PNG file, by lower-case name."""
    with _binary(path) as file:
        if file.read(len(PNG_SIGNATURE)) == PNG_SIGNATURE:
            return dict(_png_texts(file))
    with _container(path) as container:
        dictionaries = [container.metadata, *(stream.metadata for stream in container.streams)]
    return {name.lower(): text for found in reversed(dictionaries) for name, text in found.items()}


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, Any]]:
    """A container and its first audio stream, checked."""
    with _container(path) as container:
        stream = next(iter(container.streams.audio), None)
        context = stream.codec_context if stream is not None else None
        if context is None or not context.sample_rate:
            raise _not_audio(path, "it has no audio stream")
        if not 1 <= context.channels <= MAX_CHANNELS:
            raise _not_audio(
                path, f"it has {context.channels} channels, expected 1 to {MAX_CHANNELS}"
            )
        yield container, stream


def _container(path: str | Path):
    import av

    with _binary(path):  # says what is wrong with the path or the size before FFmpeg sees it
        pass
    options = {"format_whitelist": READABLE_CONTAINERS, "protocol_whitelist": "file"}
    try:
        return av.open(
            str(Path(path).absolute()), container_options=options, metadata_errors="replace"
        )
    except (av.FFmpegError, ValueError) as error:
        raise _not_audio(path, getattr(error, "strerror", None) or error) from error


def _binary(path: str | Path) -> BinaryIO:
    try:
        file = open(path, "rb")  # noqa: SIM115
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Refused(
            f"cannot open {_name(path)}: {reason}; name a file that can be read"
        ) from error
    size = os.fstat(file.fileno()).st_size
    if size > MAX_FILE_BYTES:
        file.close()
        raise Refused(
            f"file too large: {_name(path)} has {size >> 20} MB, expected at most {MAX_FILE_BYTES >> 20} MB"
        )
    return file


def _frame_samples(frame: Any, channels: int, path: str | Path) -> np.ndarray:
    """float32 [C, N], scaled as ComfyUI scales: full-scale integers become ±1."""
    data = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, frame.layout.nb_channels).T
    if data.shape[0] != channels:
        raise _not_audio(path, f"it changes from {channels} to {data.shape[0]} channels on the way")
    if data.dtype == np.uint8:
        return (data.astype(np.float32) - 128) / 128
    if data.dtype.kind == "i":
        return data.astype(np.float32) / float(2 ** (8 * data.dtype.itemsize - 1))
    return data.astype(np.float32)


def _png_texts(file: BinaryIO) -> Iterator[tuple[str, str]]:
    """The text chunks in front of the image data; damaged ones are passed over."""
    while len(head := file.read(8)) == 8:
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind in (b"IDAT", b"IEND") or size > MAX_TAG_BYTES:
            return
        body = file.read(size)
        file.read(4)
        if kind in (b"tEXt", b"zTXt", b"iTXt") and (text := _png_text(kind, body)) is not None:
            yield body.partition(b"\0")[0].decode("latin-1").lower(), text


def _png_text(kind: bytes, body: bytes) -> str | None:
    _, _, rest = body.partition(b"\0")
    if kind == b"tEXt":
        return rest.decode("latin-1")
    compressed = kind == b"zTXt" or rest[:1] == b"\x01"
    if kind == b"zTXt":
        data = rest[1:]
    else:
        data = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if compressed:
        try:
            data = zlib.decompressobj().decompress(data, MAX_TAG_BYTES)
        except zlib.error:
            return None
    return data.decode("latin-1" if kind == b"zTXt" else "utf-8", "replace")


def _not_audio(path: str | Path, reason: object) -> Refused:
    return Refused(
        f"not an audio file that can be read: {_name(path)} ({reason}); expected WAV, FLAC, MP3, Opus …"
    )


def _name(path: str | Path) -> str:
    return shown(str(path))


# ---------------------------------------------------------------- writing


@dataclass(frozen=True)
class Coding:
    """How PyAV writes a file of one suffix."""

    muxer: str
    encoder: str
    rates: tuple[int, ...] = ()
    """the sample rates that it can hold; empty = every one"""
    qualities: tuple[str, ...] = ()
    """the first is the default"""
    max_bit_rate_per_channel: int | None = None


OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
OPUS_QUALITIES = ("128k", "64k", "96k", "192k", "320k")
CODINGS = {
    ".flac": Coding("flac", "flac"),
    ".mp3": Coding(
        "mp3",
        "libmp3lame",
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
        ("V0", "128k", "320k"),
    ),
    ".opus": Coding("opus", "libopus", OPUS_RATES, OPUS_QUALITIES, 256_000),
    ".ogg": Coding("ogg", "libopus", OPUS_RATES, OPUS_QUALITIES, 256_000),
}
WRITABLE_SUFFIXES = (".wav", *CODINGS)


def write_audio(
    path: str | Path,
    waveform: Tensor,
    sample_rate: int,
    *,
    tags: Mapping[str, str] | None = None,
    quality: str | None = None,
) -> None:
    """Writes float [C, T] in the format that the suffix names. Samples beyond ±1 are clipped; WAV carries no tags."""
    path = Path(path)
    check_writable(path)
    samples = _checked_samples(waveform)
    if path.suffix.lower() == ".wav":
        content = _wav_bytes(samples, sample_rate)
    else:
        content = _encoded(samples, sample_rate, CODINGS[path.suffix.lower()], tags or {}, quality)
    replace_file(path, content)


def check_writable(path: str | Path) -> None:
    """Refuses, before any work is done for it, a file that could not be written."""
    path = Path(path)
    if path.suffix.lower() not in WRITABLE_SUFFIXES:
        expected = " ".join(WRITABLE_SUFFIXES)
        raise Refused(
            f"cannot write {_name(path)}: got the suffix {shown(path.suffix)}, expected one of {expected}"
        )
    if path.is_dir():
        raise Refused(f"cannot write {_name(path)}: it is a folder; name a file in it")
    check_folder_writable(path.parent)


def check_folder_writable(folder: str | Path) -> None:
    """Refuses a folder that does not exist and could not be made, or that is read-only."""
    nearest = Path(folder).absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        reason = f"{_name(nearest)} is not a folder that you may write to"
        raise Refused(f"cannot write into {_name(folder)}: {reason}; choose another folder")


def replace_file(path: Path, content: bytes) -> None:
    """Writes beside the target and renames, so that no reader ever sees half a file."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise Refused(
            f"cannot write {_name(path)}: {error.strerror}; choose another place or free some room"
        ) from error


def workflow_tags(prompt: object, extra_pnginfo: Mapping[str, Any] | None) -> dict[str, str]:
    """The tags by which ComfyUI finds the graph again: each value as JSON text."""
    tags = {} if prompt is None else {"prompt": json.dumps(prompt)}
    return tags | {name: json.dumps(value) for name, value in (extra_pnginfo or {}).items()}


def _checked_samples(waveform: Tensor) -> Tensor:
    """float32 [C, T] with one or two channels and at least one sample, all finite."""
    if waveform.ndim != 2 or waveform.shape[0] not in (1, 2) or not waveform.shape[1]:
        got = list(waveform.shape)
        raise Refused(
            f"cannot write audio: got the shape {got}, expected [1 or 2 channels, 1 or more samples]"
        )
    if not torch.isfinite(waveform).all():
        raise Refused(
            "cannot write audio: got samples that are NaN or infinite, expected numbers within ±1"
        )
    return waveform.detach().float().cpu()


def _wav_bytes(samples: Tensor, sample_rate: int) -> bytes:
    """16 bits, rounded as FFmpeg rounds for FLAC, so that both formats hold the same samples."""
    import soundfile

    integers = np.clip(np.rint(samples.numpy().T * 32768.0), -32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, integers, sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _encoded(
    samples: Tensor, rate: int, coding: Coding, tags: Mapping[str, str], quality: str | None
) -> bytes:
    import av

    if coding.rates and rate not in coding.rates:
        new_rate = min((r for r in coding.rates if r > rate), default=coding.rates[-1])
        log.info("%s holds no %d Hz: resampling to %d Hz", coding.muxer, rate, new_rate)
        samples, rate = resample(samples, rate, new_rate), new_rate
    layout = "mono" if samples.shape[0] == 1 else "stereo"
    buffer = io.BytesIO()
    try:
        with av.open(buffer, mode="w", format=coding.muxer) as container:
            container.metadata.update(tags)
            stream = container.add_stream(coding.encoder, rate=rate, layout=layout)
            set_quality(stream, coding, quality, samples.shape[0])
            for frame in _frames(samples, rate, layout):
                check_stop()
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as error:
        raise Refused(f"cannot write {coding.muxer} at {rate} Hz: {error}") from error
    return buffer.getvalue()


def set_quality(stream: Any, coding: Coding, quality: str | None, channels: int) -> None:
    if not coding.qualities:
        return
    quality = quality or coding.qualities[0]
    if quality not in coding.qualities:
        raise Refused(
            f"got the quality {shown(quality)}, expected one of {' '.join(coding.qualities)}"
        )
    if quality == "V0":
        stream.codec_context.qscale = True
        return
    bit_rate = int(quality.removesuffix("k")) * 1000
    stream.bit_rate = min(bit_rate, (coding.max_bit_rate_per_channel or bit_rate) * channels)


def _frames(samples: Tensor, rate: int, layout: str) -> Iterator[Any]:
    import av

    interleaved = samples.T.contiguous().numpy()  # [T, C]
    for start in range(0, len(interleaved), CHUNK_SAMPLES):
        chunk = interleaved[start : start + CHUNK_SAMPLES].reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(chunk, format="flt", layout=layout)
        frame.sample_rate, frame.pts = rate, start
        yield frame
