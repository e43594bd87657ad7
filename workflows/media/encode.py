"""The one encoder: samples in, the bytes of a file out, piece by piece.

A file on disk, an answer over HTTP and a piece for a player are three uses of it, so the same
samples give the same bytes wherever they go. What a stream cannot do is go back: lengths and
checksums at the beginning stay open there, and are `corrections` for whoever can.
"""

from __future__ import annotations

import contextlib
import logging
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np

from ...models.id3_chunk import id3_chunk
from ...models.quoting import shown
from ...models.refused import Refused

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("musicgraph")

UNKNOWN_LENGTH = 0xFFFFFFFF
"""what programs that write WAV into a pipe put where a length belongs; players read on to the
end
"""
WAV_LENGTHS_AT = (4, 40)
WAV_HEAD_BYTES = 44
PAGE_MICROSECONDS = 200_000
"""of an Ogg page: what a listener waits for"""


@dataclass(frozen=True)
class Coding:
    """How a file of one suffix is written."""

    muxer: str
    encoder: str
    rates: tuple[int, ...] = ()
    """the sample rates that it can hold; empty = every one"""
    qualities: tuple[str, ...] = ()
    """the first is the default"""
    max_bit_rate_per_channel: int | None = None
    max_channels: int = 2
    """sound of more is mixed down to stereo"""

    def fitting_rate(self, rate: int) -> int:
        """This one, or the next higher one that the format holds."""
        if not self.rates or rate in self.rates:
            return rate
        return min((one for one in self.rates if one > rate), default=self.rates[-1])


OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
OPUS_QUALITIES = ("128k", "64k", "96k", "192k", "320k")
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
CODINGS = {
    ".wav": Coding("wav", "pcm_s16le", max_channels=8),
    ".flac": Coding("flac", "flac", max_channels=8),
    ".mp3": Coding("mp3", "libmp3lame", MP3_RATES, ("V0", "128k", "320k")),
    ".opus": Coding("opus", "libopus", OPUS_RATES, OPUS_QUALITIES, 256_000),
    ".ogg": Coding("ogg", "libopus", OPUS_RATES, OPUS_QUALITIES, 256_000),
}
LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
"""what FFmpeg calls the usual speakers of 1 to 8 channels"""


class Encoder:
    """`push` the next samples, then `close`: both give the bytes that are ready by then.

    Samples are float32 `[C, N]` within ±1; beyond it they are clipped. Tags are kept, but not in
    WAV without `can_rewind`: nothing can stand behind samples whose number is not said, and in
    front of them many programs expect nothing. Raises Refused for a quality, a rate or a number of
    channels that the format does not know.
    """

    def __init__(
        self,
        suffix: str,
        sample_rate: int,
        channels: int,
        *,
        tags: Mapping[str, str] | None = None,
        quality: str | None = None,
        can_rewind: bool = False,
    ):
        coding = CODINGS[suffix]
        self._sink = _File() if can_rewind else _Pipe()
        rate, self._channels = coding.fitting_rate(sample_rate), channels
        self._resampler = _resampler(sample_rate, rate, channels)
        self._coder: _Coder
        if coding.encoder == "pcm_s16le":
            self._coder = _Wav(
                self._sink, rate, channels, id3_chunk(tags or {}) if can_rewind else b""
            )
        else:
            self._coder = _Coded(self._sink, coding, rate, channels, tags or {}, quality)

    @property
    def corrections(self) -> tuple[tuple[int, bytes], ...]:
        """After `close`: (offset, bytes) to be written over what came before, by who can go back.

        Without `can_rewind` only WAV has any.
        """
        return tuple(self._sink.corrections)

    def push(self, sound: Tensor) -> bytes:
        """The next samples, `[C, N]`."""
        self._write(np.ascontiguousarray(sound.numpy().T), last=False)
        return self._sink.take()

    def close(self) -> bytes:
        self._write(np.zeros((0, self._channels), np.float32), last=True)
        self._coder.close()
        return self._sink.take()

    def _write(self, samples: np.ndarray, last: bool) -> None:
        """float32 `[N, C]` at the rate that it was made at."""
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last=last)
        if len(samples):
            self._coder.write(samples)


def write_encoded(file: BinaryIO, encoder: Encoder, pieces: Iterable[Tensor]) -> None:
    """All of a sound into a file that is empty and can be rewound."""
    for piece in pieces:
        file.write(encoder.push(piece))
    file.write(encoder.close())
    for offset, correction in encoder.corrections:
        file.seek(offset)
        file.write(correction)


def append_chunks(file: BinaryIO, chunks: bytes) -> None:
    """To a WAV file that is whole, behind its samples."""
    size = file.seek(0, 2)
    file.write(b"\0" * (size % 2) + chunks)  # chunks begin at even places
    file.seek(WAV_LENGTHS_AT[0])
    file.write(struct.pack("<I", size + size % 2 + len(chunks) - 8))
    file.seek(0, 2)


def _resampler(from_rate: int, to_rate: int, channels: int) -> Any:
    if from_rate == to_rate:
        return None
    import soxr

    return soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32")


# ---------------------------------------------------------------- where libraries write to


class _Pipe:
    """What was written since the last look."""

    def __init__(self) -> None:
        self._new = bytearray()
        self.corrections: list[tuple[int, bytes]] = []

    def write(self, data: Any) -> int:
        self._new += data
        return len(data)

    def take(self) -> bytes:
        new = bytes(self._new)
        self._new.clear()
        return new


class _File(_Pipe):
    """The same, for those who want to go back: what they write over earlier bytes is a
    correction.
    """

    def __init__(self) -> None:
        super().__init__()
        self._at = self._end = 0

    def write(self, data: Any) -> int:
        data = bytes(data)
        over = min(len(data), self._end - self._at)
        if over:
            self.corrections.append((self._at, data[:over]))
        super().write(data[over:])
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        return self._at


# ---------------------------------------------------------------- the formats


class _Coder(Protocol):
    def write(self, samples: np.ndarray) -> None:
        """float32 `[N, C]`"""

    def close(self) -> None: ...


class _Wav:
    """16 bits by libsndfile, rounded as FFmpeg rounds for FLAC, so that both hold the same
    samples.

    Tags, a chunk of their own, stand behind the samples.
    """

    def __init__(self, sink: _Pipe, rate: int, channels: int, tags: bytes):
        import soundfile

        self._sink, self._own, self._tags = sink, _File(), tags
        file: Any = self._own  # a file as soundfile takes one, whatever its types say
        self._file = soundfile.SoundFile(file, "w", rate, channels, "PCM_16", format="WAV")
        head = bytearray(self._own.take())
        assert len(head) == WAV_HEAD_BYTES and head[36:40] == b"data", "a plain WAV header"
        for at in WAV_LENGTHS_AT:
            head[at : at + 4] = struct.pack("<I", UNKNOWN_LENGTH)
        sink.write(head)

    def write(self, samples: np.ndarray) -> None:
        self._file.write(np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16))
        self._sink.write(self._own.take())

    def close(self) -> None:
        self._file.close()
        self._sink.write(self._tags)
        at, head = self._own.corrections[-1]
        assert at == 0 and len(head) == WAV_HEAD_BYTES, "the header anew, with its lengths"
        whole, data = (struct.unpack_from("<I", head, place)[0] for place in WAV_LENGTHS_AT)
        for place, length in zip(WAV_LENGTHS_AT, (whole + len(self._tags), data), strict=True):
            self._sink.corrections.append((place, struct.pack("<I", length)))


class _Coded:
    """FLAC, MP3 or Opus by PyAV."""

    def __init__(
        self,
        sink: _Pipe,
        coding: Coding,
        rate: int,
        channels: int,
        tags: Mapping[str, str],
        quality: str | None,
    ):
        import av
        from av.audio.stream import AudioStream

        self._rate, self._layout, self._done = rate, LAYOUTS[channels - 1], 0
        self._name = f"{coding.muxer} at {rate} Hz"
        # bitexact: no random serial number, and no version of a library, in the file
        options = {"flush_packets": "1", "fflags": "+bitexact"}
        if coding.encoder == "libopus":
            options["page_duration"] = str(PAGE_MICROSECONDS)
        self._container = av.open(sink, mode="w", format=coding.muxer, container_options=options)
        self._container.metadata.update(tags)
        kept = _kept_channels(coding, channels)
        with self._explained():
            stream = self._container.add_stream(coding.encoder, rate=rate, layout=LAYOUTS[kept - 1])
        assert isinstance(stream, AudioStream), coding.encoder
        self._stream = stream
        _set_quality(stream, coding, quality, kept)

    def write(self, samples: np.ndarray) -> None:
        import av

        flat = samples.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(flat, format="flt", layout=self._layout)
        frame.sample_rate, frame.pts = self._rate, self._done
        self._done += len(samples)
        with self._explained():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        with self._explained():
            self._container.mux(self._stream.encode(None))
            self._container.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        from av.error import FFmpegError

        try:
            yield
        except (FFmpegError, ValueError) as error:
            raise Refused(f"cannot write {self._name}", got=error) from error


def _kept_channels(coding: Coding, channels: int) -> int:
    if channels <= coding.max_channels:
        return channels
    log.warning("%s: %d channels are mixed down to stereo", coding.muxer, channels)
    return 2


def _set_quality(stream: Any, coding: Coding, quality: str | None, channels: int) -> None:
    if not coding.qualities:
        return
    quality = quality or coding.qualities[0]
    if quality not in coding.qualities:
        expected = f"one of {' '.join(coding.qualities)}"
        raise Refused("this quality cannot be written", got=shown(quality), expected=expected)
    if quality == "V0":
        stream.codec_context.qscale = True
        return
    bit_rate = int(quality.removesuffix("k")) * 1000
    stream.bit_rate = min(bit_rate, (coding.max_bit_rate_per_channel or bit_rate) * channels)
