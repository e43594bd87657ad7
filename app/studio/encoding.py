"""The bytes of music: a whole file at once, or piece by piece while it is made. Both hold the same samples."""

from __future__ import annotations

import io
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ...models.dsp import StreamLimiter
from ...workflows.media.audio import CODINGS, set_quality, write_audio

UNKNOWN_SIZE = 0xFFFFFFFF
"""what programs that write WAV into a pipe put where the size belongs; players read on to the end"""
PAGE_MICROSECONDS = 200_000


@dataclass(frozen=True)
class Format:
    """A kind of file that the API makes."""

    name: str
    media_type: str
    save_as: str
    """the class of the graph's last node"""
    also_called: tuple[str, ...] = ()
    """other media types by which clients ask for it"""

    @property
    def suffix(self) -> str:
        return f".{self.name}"


FORMATS = {
    one.name: one
    for one in (
        Format("wav", "audio/wav", "SaveAudio", ("audio/x-wav", "audio/wave", "audio/vnd.wave")),
        Format("flac", "audio/flac", "SaveAudio", ("audio/x-flac",)),
        Format("mp3", "audio/mpeg", "SaveAudioMP3", ("audio/mp3",)),
        Format("opus", "audio/ogg", "SaveAudioOpus", ("audio/opus", "application/ogg")),
    )
}
ZIP_TYPE = "application/zip"


def whole_file(
    format: Format, waveform: Tensor, sample_rate: int, tags: Mapping[str, str]
) -> bytes:
    """One item, float [C, T], as a file."""
    with tempfile.TemporaryDirectory(prefix="musicgraph-") as folder:
        path = Path(folder, "music").with_suffix(format.suffix)
        write_audio(path, waveform, sample_rate, tags=tags)
        return path.read_bytes()


def zipped(format: Format, waveform: Tensor, sample_rate: int, tags: Mapping[str, str]) -> bytes:
    """Several items, float [B, C, T], as music_1.wav … in a ZIP file. Sound does not shrink, so it is stored as it is."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for take, item in enumerate(waveform, start=1):
            archive.writestr(
                f"music_{take}{format.suffix}", whole_file(format, item, sample_rate, tags)
            )
    return buffer.getvalue()


class SoundStream:
    """Encodes one item as it grows: `push` its pieces, then `close`. What is ready goes to `send`."""

    def __init__(self, format: Format, tags: Mapping[str, str], send: Callable[[bytes], None]):
        self._format, self._tags, self._send = format, tags, send
        self._encoder: _Wav | _Coded | None = None
        self._limiter: StreamLimiter | None = None
        self.samples = 0
        """how many were pushed"""

    def push(self, waveform: Tensor, sample_rate: int) -> None:
        """The next samples, float [C, N]."""
        if not waveform.shape[-1]:
            return
        if self._encoder is None or self._limiter is None:
            self._encoder = self._open(sample_rate, waveform.shape[0])
            self._limiter = StreamLimiter(1.0, sample_rate)
        self.samples += waveform.shape[-1]
        self._encode(self._encoder, self._limiter.push(waveform.float().cpu()))

    def close(self) -> None:
        assert self._encoder is not None and self._limiter is not None, "no sound was pushed"
        self._encode(self._encoder, self._limiter.close())
        self._pass_on(self._encoder.close())

    def _encode(self, encoder: _Wav | _Coded, sound: Tensor | None) -> None:
        """Peaks above full scale are turned down: a whole file is scaled, but this one is not whole yet."""
        if sound is not None and sound.shape[-1]:
            self._pass_on(encoder.push(sound.numpy().T))

    def _open(self, sample_rate: int, channels: int) -> _Wav | _Coded:
        if self._format.name == "wav":
            return _Wav(sample_rate, channels)
        return _Coded(self._format, sample_rate, channels, self._tags)

    def _pass_on(self, ready: bytes) -> None:
        if ready:
            self._send(ready)


class _Wav:
    """16 bits, rounded as `media.write_audio` rounds, behind a header that leaves the size open."""

    def __init__(self, sample_rate: int, channels: int):
        shape = struct.pack(
            "<IHHIIHH", 16, 1, channels, sample_rate, sample_rate * channels * 2, channels * 2, 16
        )
        size = struct.pack("<I", UNKNOWN_SIZE)
        self._header = b"RIFF" + size + b"WAVEfmt " + shape + b"data" + size

    def push(self, samples: np.ndarray) -> bytes:
        header, self._header = self._header, b""
        return header + np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2").tobytes()

    def close(self) -> bytes:
        return b""


class _Coded:
    """FLAC, MP3 or Opus by PyAV, into a file that cannot be rewound; resampled on the way if the format asks for it."""

    def __init__(self, format: Format, sample_rate: int, channels: int, tags: Mapping[str, str]):
        import av
        from av.audio.stream import AudioStream

        coding = CODINGS[format.suffix]
        self._rate = _fitting_rate(sample_rate, coding.rates)
        self._resampler = _resampler(sample_rate, self._rate, channels)
        self._layout = "mono" if channels == 1 else "stereo"
        self._written = _Pipe()
        options = {"flush_packets": "1"}
        if coding.encoder == "libopus":
            options["page_duration"] = str(PAGE_MICROSECONDS)
        self._container = av.open(
            self._written, mode="w", format=coding.muxer, container_options=options
        )
        self._container.metadata.update(tags)
        stream = self._container.add_stream(coding.encoder, rate=self._rate, layout=self._layout)
        assert isinstance(stream, AudioStream), coding.encoder
        self._stream = stream
        set_quality(self._stream, coding, None, channels)
        self._done = 0

    def push(self, samples: np.ndarray) -> bytes:
        self._encode(samples, last=False)
        return self._written.take()

    def close(self) -> bytes:
        self._encode(np.zeros((0, self._stream.codec_context.channels), np.float32), last=True)
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._written.take()

    def _encode(self, samples: np.ndarray, last: bool) -> None:
        """[N, C] at the rate it was made at."""
        import av

        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last=last)
        if not len(samples):
            return
        frame = av.AudioFrame.from_ndarray(
            samples.reshape(1, -1), format="flt", layout=self._layout
        )
        frame.sample_rate, frame.pts = self._rate, self._done
        self._done += len(samples)
        self._container.mux(self._stream.encode(frame))


def _fitting_rate(rate: int, allowed: tuple[int, ...]) -> int:
    """As `media.write_audio` chooses: the next higher rate that the format holds."""
    if not allowed or rate in allowed:
        return rate
    return min((one for one in allowed if one > rate), default=allowed[-1])


def _resampler(from_rate: int, to_rate: int, channels: int) -> Any:
    if from_rate == to_rate:
        return None
    import soxr

    return soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32")


class _Pipe:
    """A file that PyAV can only write to, and what was written since the last look."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
