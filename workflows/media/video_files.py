"""Writes videos: H.264 and AAC in MP4, as ComfyUI does, with the graph in its tags.

A file appears whole or not at all. Pictures are encoded one at a time, and a loaded video that
needs no change is copied packet by packet.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.disk.files import check_new_path, name_of, written_whole
from ...models.refused import Refused
from ...nodes.host import check_stop, current_run
from .encode import LAYOUTS, Coding
from .video import (
    Audio,
    Clip,
    Pictures,
    StoredPictures,
    Video,
    decoded,
    opened_video,
    probe_video,
    unpacked_sound,
    upright,
)

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("musicgraph")

AAC = Coding(
    "mp4",
    "aac",
    (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
)
AAC_CHANNELS = (1, 2, 6)
CHUNK_SAMPLES = 1 << 16
PIXELS = {8: "yuv420p", 10: "yuv420p10le"}
"""bits of a colour → how pictures are stored"""

FULL_COLOURS = 2  # FFmpeg's AVCOL_RANGE_JPEG


@dataclass(frozen=True)
class _Stream:
    """Pictures on their way into a file."""

    frames: Iterable[Any]
    """PyAV's, in any pixel format"""
    width: int
    height: int
    rate: Fraction
    bit_depth: int
    ends_sound: bool
    """whether sound that is longer than the pictures is cut"""


def write_video(
    path: str | Path,
    video: Video,
    *,
    tags: Mapping[str, str] | None = None,
    container: str = "auto",
    codec: str = "auto",
    crf: float | None = None,
) -> None:
    """As MP4. `crf`: 0 (exact) to 51; without it the encoder's own choice.

    A whole file that is of this container and codec, or "auto", stays as it is encoded. Raises
    Refused for what cannot be written.
    """
    path, tags = Path(path), tags or {}
    check_new_path(path)
    with written_whole(path) as part, _explained(path):
        if isinstance(video, Clip) and crf is None and _may_be_copied(video, container, codec):
            _copy(part, video, tags)
        elif isinstance(video, Clip):
            _encode(part, _stream_of(video), unpacked_sound(video), tags, crf)
        else:
            _encode(part, _pictures(video), video.audio, tags, crf)


def write_drawn(
    path: Path,
    pictures: Iterable[np.ndarray],
    size: tuple[int, int],
    rate: Fraction,
    sound: Audio,
    tags: Mapping[str, str],
) -> None:
    """As MP4, of pictures `[height, width, 3]` of bytes that are drawn one after the other, each of
    this width and height. Raises Refused for what cannot be written.
    """
    import av

    frames = (av.VideoFrame.from_ndarray(one, format="rgb24") for one in pictures)
    stream = _Stream(frames, *size, rate, 8, ends_sound=False)
    with written_whole(path) as part, _explained(path):
        _encode(part, stream, sound, tags, None)


def _may_be_copied(clip: Clip, container: str, codec: str) -> bool:
    facts = probe_video(clip.path)
    return (
        clip.is_whole
        and container in ("auto", *facts.containers)
        and codec in ("auto", facts.codec)
    )


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    from av.error import FFmpegError

    try:
        yield
    except (FFmpegError, ValueError) as error:  # ValueError: PyAV's, of streams that fit no MP4
        raise Refused(f"cannot write the video {name_of(path)}", got=error) from error


def _opened_output(path: Path, tags: Mapping[str, str]) -> Any:
    """The name has no suffix while it is written, so the format is said."""
    import av

    options = {"movflags": "use_metadata_tags+faststart", "fflags": "+bitexact"}
    output = av.open(str(path), "w", format="mp4", options=options)
    output.metadata.update(tags)
    return output


def _written_rate(rate: Fraction) -> Fraction:
    """In thousandths, as ComfyUI writes it."""
    return Fraction(round(rate * 1000), 1000)


# ---------------------------------------------------------------- copying


def _copy(part: Path, clip: Clip, tags: Mapping[str, str]) -> None:
    """Pictures and sound as they are encoded; whatever else the file has is left out."""
    with opened_video(clip.path) as (container, _):
        kept = {**container.metadata, **tags}
        with _opened_output(part, kept) as output:
            streams = [*container.streams.video, *container.streams.audio]
            targets = {
                one: output.add_stream_from_template(template=one, opaque=True)
                for one in streams
                if one.codec_context is not None
            }
            for packet in container.demux(list(targets)):
                check_stop()
                if packet.dts is not None:
                    packet.stream = targets[packet.stream]
                    output.mux(packet)


# ---------------------------------------------------------------- encoding


def _pictures(video: Pictures) -> _Stream:
    images, rate = video.images, video.frame_rate
    stored = isinstance(images, StoredPictures)
    height, width = images.height_and_width if stored else images.shape[1:3]
    frames = (_frame(image, video.bit_depth) for image in _at_most(images, rate))
    return _Stream(frames, width, height, rate, 10 if video.bit_depth > 8 else 8, ends_sound=True)


def _frame(image: Tensor, bit_depth: int) -> Any:
    """`[H, W, C]` in 0 … 1, rounded down as ComfyUI does."""
    import av

    most = 65535 if bit_depth > 8 else 255
    pixels = (image[..., :3].float() * most).clamp(0, most).contiguous().cpu().numpy()
    if bit_depth > 8:
        return av.VideoFrame.from_ndarray(pixels.astype(np.uint16), format="rgb48le")
    return av.VideoFrame.from_ndarray(pixels.astype(np.uint8), format="rgb24")


def _stream_of(clip: Clip) -> _Stream:
    """The pictures of a file at its average rate, upright."""
    facts = probe_video(clip.path)
    frames = decoded(clip)
    first = next(frames, None)
    if first is None:
        raise Refused(f"no picture in this part of {name_of(clip.path)}", expected="one or more")
    turned = abs(round(first.rotation / 90)) % 2
    width, height = (first.height, first.width) if turned else (first.width, first.height)
    rate, depth = facts.frame_rate, 10 if facts.bit_depth > 8 else 8
    every = map(_upright_frame, _at_most(itertools.chain([first], frames), rate))
    return _Stream(every, width, height, rate, depth, ends_sound=False)


def _at_most(pictures: Iterable[Any], rate: Fraction) -> Iterator[Any]:
    """Raises Refused at the picture that makes a video too long."""
    most = int(current_run().limits.seconds * rate)
    for index, picture in enumerate(pictures):
        if index >= most:
            raise Refused(
                "this video is too long",
                got=f"more than {most} pictures",
                expected=f"{current_run().limits.seconds:g} s at most",
                remedy="cut it with Trim Video first",
            )
        yield picture


def _upright_frame(frame: Any) -> Any:
    import av

    if not round(frame.rotation / 90):
        return frame
    return av.VideoFrame.from_ndarray(upright(frame, frame.to_ndarray(format="rgb24")))


def _encode(
    part: Path, video: _Stream, sound: Audio | None, tags: Mapping[str, str], crf: float | None
) -> None:
    if video.width % 2 or video.height % 2:
        raise Refused(
            "H.264 takes no such pictures",
            got=f"{video.width} × {video.height}",
            expected="an even width and an even height",
            remedy="make the pictures one larger or smaller",
        )
    with _opened_output(part, tags) as output:
        rate = _written_rate(video.rate)
        stream = output.add_stream("h264", rate=rate)
        stream.width, stream.height = video.width, video.height
        stream.pix_fmt = PIXELS[video.bit_depth]
        if crf is not None:
            stream.options = {"crf": str(crf)}
        coded = None if sound is None else _Sound(output, sound)
        count = 0
        for frame in video.frames:
            check_stop()
            stored = _stored(frame, stream.pix_fmt)
            stored.pts, stored.time_base, stored.pict_type = count, 1 / rate, 0
            output.mux(stream.encode(stored))
            count += 1
        output.mux(stream.encode(None))
        if coded is not None:
            coded.write(count / rate if video.ends_sound else None)


def _stored(frame: Any, pixels: str) -> Any:
    """In the pixel format of the file, whose colours leave out the ends of the range."""
    how = {"format": pixels, **_one_thread()}
    if frame.color_range == FULL_COLOURS:
        how |= {"src_color_range": "JPEG", "dst_color_range": "MPEG"}
    return frame.reformat(**how)


def _one_thread() -> dict[str, int]:
    """On several threads FFmpeg gets one picture of ten bits in some hundred wrong. Before 17 PyAV
    knew no other way than one.
    """
    import av

    return {"threads": 1} if int(av.__version__.partition(".")[0]) >= 17 else {}


class _Sound:
    """The sound of a video: its stream is made before the first picture is, and filled after the
    last.
    """

    def __init__(self, output: Any, sound: Audio):
        from ...models.dsp import resample, with_channels

        waveform, rate = sound["waveform"][0].float().cpu(), sound["sample_rate"]
        if waveform.shape[0] not in AAC_CHANNELS:
            log.warning("%d channels: a video keeps the first two", waveform.shape[0])
            waveform = with_channels(waveform, 2)
        self._rate = AAC.fitting_rate(rate)
        current_run().limits.check_sound(
            (1, waveform.shape[0], waveform.shape[1] * self._rate // rate), self._rate
        )
        self._samples = resample(waveform, rate, self._rate)
        self._layout = LAYOUTS[waveform.shape[0] - 1]
        self._output = output
        self._stream = output.add_stream("aac", rate=self._rate, layout=self._layout)

    def write(self, length_s: Fraction | None) -> None:
        """All of it, or so much."""
        import av

        done, most = 0, self._samples.shape[1]
        if length_s is not None:
            most = min(most, math.ceil(length_s * self._rate))
        for chunk in self._samples[:, :most].split(CHUNK_SAMPLES, dim=1):
            check_stop()
            pieces = np.ascontiguousarray(chunk.numpy())
            frame = av.AudioFrame.from_ndarray(pieces, format="fltp", layout=self._layout)
            frame.sample_rate, frame.pts = self._rate, done
            done += chunk.shape[1]
            self._output.mux(self._stream.encode(frame))
        self._output.mux(self._stream.encode(None))
