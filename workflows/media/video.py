"""Videos as values of a graph, and what is read from their files.

Read through PyAV like sound, from containers that point nowhere else, and bounded while they are
unpacked: a file of a few kilobytes may claim hours of large pictures. As in ComfyUI a video that
was loaded stays a file until somebody asks for its pictures.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.disk.files import name_of
from ...models.refused import Refused
from ...nodes.host import check_stop, current_run
from .audio import open_container, read_audio

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("musicgraph")

Audio = dict[str, Any]
"""{"waveform": float32 [B, C, T], "sample_rate": int}"""

FULL_RANGE = frozenset({"yuvj420p", "yuvj422p", "yuvj444p", "rgb24", "rgba", "pal8"})
"""pixel formats that ComfyUI reads in 8 bits; all others in floats"""
HIGHEST_RATE = 1000
"""pictures a second"""
ALIGNED = 32
"""widths that are no multiple of this are filled up first, since FFmpeg's scaler reads on"""


@dataclass(frozen=True)
class StoredPictures:
    """The pictures of a file as a graph's IMAGE, which stay there until somebody needs them.

    In floats a second of HD takes 600 MB; a graph that only puts another sound to a video needs one
    picture at a time. `len` and `shape` count by decoding; `whole` makes a tensor, within the run's
    limits.
    """

    clip: Clip
    first: int = 0
    most: int | None = None

    def __iter__(self) -> Iterator[Tensor]:
        """float32 `[H, W, 3]` in 0 … 1, one after the other."""
        import torch

        for frame in self._frames():
            yield torch.from_numpy(_as_floats(frame))

    def __len__(self) -> int:
        return sum(1 for _ in self._frames())

    def _frames(self) -> Iterator[Any]:
        end = None if self.most is None else self.first + self.most
        return itertools.islice(decoded(self.clip), self.first, end)

    @property
    def height_and_width(self) -> tuple[int, int]:
        """Raises Refused if there is no picture."""
        first = next(iter(self), None)
        if first is None:
            raise _not_video(self.clip.path, "no picture in this part of it")
        return first.shape[0], first.shape[1]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self), *self.height_and_width, 3


@dataclass(frozen=True)
class Pictures:
    """A video made of pictures."""

    images: Tensor | StoredPictures
    """float32 `[B, H, W, 3]` in 0 … 1"""
    frame_rate: Fraction
    audio: Audio | None = None
    bit_depth: int = 8
    """8 or 10: what is written of each colour"""

    @property
    def duration_s(self) -> float:
        return float(len(self.images) / self.frame_rate)


@dataclass(frozen=True)
class Clip:
    """A video in a file, or a part of it."""

    path: Path
    start_s: float = 0.0
    """negative: from the end"""
    duration_s: float = 0.0
    """0: up to the end"""

    @property
    def is_whole(self) -> bool:
        return not self.start_s and not self.duration_s


Video = Pictures | Clip


@dataclass(frozen=True)
class VideoFacts:
    """What a file says of its first video stream."""

    width: int
    height: int
    frame_rate: Fraction
    bit_depth: int
    duration_s: float
    codec: str
    containers: tuple[str, ...]


def probe_video(path: str | Path) -> VideoFacts:
    """Without decoding. Raises Refused for what is no video, or has pictures beyond the limits."""
    with opened_video(path) as (container, stream):
        rate = Fraction(stream.average_rate or 1)
        if not 0 < rate <= HIGHEST_RATE:
            raise _not_video(path, f"{float(rate):g} pictures a second")
        return VideoFacts(
            width=stream.width,
            height=stream.height,
            frame_rate=rate,
            bit_depth=max((one.bits for one in stream.format.components), default=8),
            duration_s=_duration_s(container, stream, rate),
            codec=stream.codec_context.name,
            containers=tuple(container.format.name.split(",")),
        )


def _duration_s(container: Any, stream: Any, rate: Fraction) -> float:
    """What the container says, else what its count of frames says, else 0."""
    if container.duration is not None:
        return container.duration / 1e6  # AV_TIME_BASE
    return float(stream.frames / rate)


@contextlib.contextmanager
def opened_video(path: str | Path) -> Iterator[tuple[Any, Any]]:
    """A container and its first video stream, checked."""
    with open_container(path) as container:
        stream = next(iter(container.streams.video), None)
        readable = (
            stream is not None
            and stream.codec_context is not None
            and stream.format is not None
            and bool(stream.width and stream.time_base)
        )
        if stream is None or not readable:
            raise _not_video(path, "no video stream that can be read")
        current_run().limits.check_pictures(1, stream.width, stream.height)
        yield container, stream


def window_s(clip: Clip) -> tuple[float, float]:
    """Where a clip begins, and how long it is; 0 is up to the end."""
    start_s = clip.start_s
    if start_s < 0:
        start_s = max(0.0, probe_video(clip.path).duration_s + start_s)
    return start_s, clip.duration_s


def length_s(video: Video) -> float:
    if isinstance(video, Pictures):
        return video.duration_s
    start_s, duration_s = window_s(video)
    left_s = max(0.0, probe_video(video.path).duration_s - start_s)
    return min(duration_s, left_s) if duration_s else left_s


def bit_depth(video: Video) -> int:
    return (video if isinstance(video, Pictures) else probe_video(video.path)).bit_depth


def size(video: Video) -> tuple[int, int]:
    """Width and height."""
    if isinstance(video, Pictures):
        return video.images.shape[2], video.images.shape[1]
    facts = probe_video(video.path)
    return facts.width, facts.height


# ---------------------------------------------------------------- parts


def trimmed(video: Video, start_s: float, duration_s: float) -> Video:
    """The part from `start_s` on, negative: from the end; `duration_s` of 0: up to the end."""
    if isinstance(video, Clip):
        return replace(video, start_s=video.start_s + start_s, duration_s=duration_s)
    count = len(video.images)
    whole_s = min(start_s, video.duration_s) if start_s >= 0 else video.duration_s + start_s
    first = round(max(0.0, whole_s) * video.frame_rate)
    asked = round(min(duration_s, video.duration_s) * video.frame_rate) if duration_s else count
    images = _part(video.images, first, asked)
    sound = part_of_sound(
        video.audio, float(first / video.frame_rate), float(len(images) / video.frame_rate)
    )
    return replace(video, images=images, audio=sound)


def _part(images: Tensor | StoredPictures, first: int, most: int) -> Tensor | StoredPictures:
    if isinstance(images, StoredPictures):
        left = most if images.most is None else max(0, min(most, images.most - first))
        return replace(images, first=images.first + first, most=left)
    return images[first : first + most]


def part_of_sound(audio: Audio | None, start_s: float, duration_s: float) -> Audio | None:
    """`duration_s` of 0: up to the end."""
    if audio is None:
        return None
    rate, length = audio["sample_rate"], audio["waveform"].shape[-1]
    first = int(min(start_s * rate, length))
    last = first + int(min(duration_s * rate, length)) if duration_s else length
    return {"waveform": audio["waveform"][..., first:last], "sample_rate": rate}


# ---------------------------------------------------------------- reading


def unpacked(video: Video) -> Pictures:
    """The pictures, and the last sound stream, as ComfyUI takes them.

    Raises Refused for a file without any picture.
    """
    if isinstance(video, Pictures):
        return video
    facts, images = probe_video(video.path), StoredPictures(video)
    current_run().limits.check_pictures(1, *images.height_and_width)
    return Pictures(images, facts.frame_rate, unpacked_sound(video), facts.bit_depth)


def whole(images: Tensor | StoredPictures) -> Tensor:
    """`[B, H, W, 3]`; checks the run's limits at each picture that is read."""
    if not isinstance(images, StoredPictures):
        return images
    pictures = []
    for picture in images:
        height, width = picture.shape[:2]
        _check_count(images.clip.path, len(pictures) + 1, width, height)
        pictures.append(picture.numpy())
    if not pictures:
        raise _not_video(images.clip.path, "no picture in this part of it")
    return _stacked(pictures)


def _check_count(path: Path, count: int, width: int, height: int) -> None:
    try:
        current_run().limits.check_pictures(count, width, height)
    except Refused as error:
        raise Refused(
            f"video too long or too large: {name_of(path)}",
            got=f"{count} or more pictures of {width} × {height}",
            expected=f"{error.expected} values in all ({error.what})",
            remedy="cut it with Trim Video first, or make it smaller",
        ) from error


def decoded(clip: Clip) -> Iterator[Any]:
    """PyAV's frames, all of one size; damaged ones are passed over and logged."""
    from av.error import FFmpegError, InvalidDataError

    start_s, duration_s = window_s(clip)
    with opened_video(clip.path) as (container, stream):
        first = int(start_s / stream.time_base)
        last = int((start_s + duration_s) / stream.time_base) if duration_s else None
        shape = None
        try:
            if first:
                container.seek(first, stream=stream)
            for packet in container.demux(stream):
                check_stop()
                try:
                    frames = packet.decode()
                except InvalidDataError:
                    log.warning("%s: a damaged picture was passed over", name_of(clip.path))
                    continue
                for frame in frames:
                    if frame.pts is not None and frame.pts < first:
                        continue
                    if last is not None and frame.pts is not None and frame.pts >= last:
                        return
                    shape = shape or (frame.width, frame.height)
                    if (frame.width, frame.height) != shape:
                        raise _not_video(clip.path, "pictures of several sizes")
                    yield frame
        except (FFmpegError, ValueError) as error:  # ValueError: PyAV's, of odd pixel formats
            raise _not_video(clip.path, error) from error


def _as_floats(frame: Any) -> np.ndarray:
    """float32 `[H, W, 3]`, upright."""
    if frame.format.name in FULL_RANGE:
        pixels = frame.to_ndarray(format="rgb24").astype(np.float32) / 255
    elif frame.width % ALIGNED:
        pixels = _filled_up(frame).to_ndarray(format="gbrpf32le")[: frame.height, : frame.width]
    else:
        pixels = frame.to_ndarray(format="gbrpf32le")
    return upright(frame, pixels)


def upright(frame: Any, pixels: np.ndarray) -> np.ndarray:
    """Turned as the file says that it is to be shown."""
    return np.ascontiguousarray(np.rot90(pixels, k=round(frame.rotation / 90), axes=(0, 1)))


def _filled_up(frame: Any) -> Any:
    """The frame with its right and lower edge smeared out to whole blocks."""
    import av.filter

    width, height = (-(-side // ALIGNED) * ALIGNED for side in (frame.width, frame.height))
    more = f"left=0:right={width - frame.width}:top=0:bottom={height - frame.height}:mode=smear"
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format.name,
        time_base=frame.time_base or Fraction(1, 1000),
    )
    way = [source, graph.add("pad", f"{width}:{height}:0:0"), graph.add("fillborders", more)]
    way.append(graph.add("buffersink"))
    for one, following in zip(way, way[1:], strict=False):
        one.link_to(following)
    graph.configure()
    source.push(frame)
    return way[-1].pull()


def _stacked(pictures: list[np.ndarray]) -> Tensor:
    """`[B, H, W, 3]`; from the last to the first, so that each is freed once it is copied."""
    import torch

    images = np.empty((len(pictures), *pictures[0].shape), np.float32)
    for index in range(len(pictures))[::-1]:
        images[index] = pictures.pop()
    return torch.from_numpy(images)


def unpacked_sound(clip: Clip) -> Audio | None:
    with open_container(clip.path) as container:
        has_sound = any(stream.codec_context is not None for stream in container.streams.audio)
    if not has_sound:
        return None
    waveform, rate = read_audio(clip.path, last_stream=True)
    return part_of_sound({"waveform": waveform.unsqueeze(0), "sample_rate": rate}, *window_s(clip))


def _not_video(path: str | Path, got: object) -> Refused:
    return Refused(
        f"not a video that can be read: {name_of(path)}", got=got, expected="MP4, WebM, MKV …"
    )
