"""A picture in a file of sound, as players show it: packets are copied, not one sample changes."""

from __future__ import annotations

import io
from collections.abc import Mapping

from ...models.refused import Refused
from .encode import CODINGS

COVERED_SUFFIXES = (".mp3", ".flac")
"""of files that have a place for a picture beside the sound"""


def with_cover(file: bytes, suffix: str, jpeg: bytes, tags: Mapping[str, str]) -> bytes:
    """A file of one of COVERED_SUFFIXES with a picture and these tags. Raises Refused."""
    import av
    from av.error import FFmpegError
    from av.stream import Disposition

    whole = io.BytesIO()
    options = {"fflags": "+bitexact"}  # no version of a library in the file
    try:
        with (
            av.open(io.BytesIO(file)) as sound,
            av.open(io.BytesIO(jpeg)) as picture,
            av.open(whole, "w", format=CODINGS[suffix].muxer, container_options=options) as new,
        ):
            new.metadata.update(tags)
            target = new.add_stream_from_template(sound.streams.audio[0])
            cover = new.add_stream_from_template(picture.streams.video[0])
            cover.disposition = Disposition.attached_pic
            (image,) = [one for one in picture.demux(video=0) if one.size]
            image.stream, image.pts, image.dts = cover, 0, 0
            new.mux(image)
            for packet in sound.demux(audio=0):
                if packet.dts is not None:
                    packet.stream = target
                    new.mux(packet)
    except FFmpegError as error:
        raise Refused("the picture cannot be put into the file", got=error) from error
    return whole.getvalue()
