"""Other tags for a file of sound: its packets are copied as they are, so not one sample changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...models.disk.files import name_of, written_whole
from ...models.refused import Refused
from .audio import open_container
from .encode import CODINGS
from .tags import MAX_TAG_BYTES

TAGGED_SUFFIXES = tuple(suffix for suffix in CODINGS if suffix != ".wav")
"""of files that have a place for tags"""


def all_tags(path: str | Path) -> dict[str, str]:
    """Every tag of a file of sound, by its name in lower case; over-long ones are left out."""
    with open_container(path) as container:
        dictionaries = [container.metadata, *(stream.metadata for stream in container.streams)]
    found = {name.lower(): text for tags in reversed(dictionaries) for name, text in tags.items()}
    return {name: text for name, text in found.items() if len(text) <= MAX_TAG_BYTES}


def duration_of(path: str | Path) -> float:
    """Seconds, as the file says, without decoding it; 0 where it does not say."""
    with open_container(path) as container:
        return (container.duration or 0) / 1_000_000


def copy_with_tags(source: Path, target: Path, changes: Mapping[str, str]) -> None:
    """Writes the first sound of `source` to `target`, whole or not at all; both have one suffix of
    TAGGED_SUFFIXES. Tags that `changes` does not name stay.

    Raises Refused for a file that is no sound, or cannot be written.
    """
    import av
    from av.error import FFmpegError

    tags = {**all_tags(source), **changes}
    muxer = CODINGS[target.suffix.lower()].muxer
    no_sound = Refused(f"no sound in {name_of(source)}", remedy="choose a file of sound")
    copied = 0
    with written_whole(target) as part, open_container(source) as old:
        if not old.streams.audio:
            raise no_sound
        try:
            options = {"fflags": "+bitexact"}  # no version of a library in the file
            with av.open(str(part), "w", format=muxer, container_options=options) as new:
                new.metadata.update(tags)
                stream = new.add_stream_from_template(old.streams.audio[0])
                for packet in old.demux(old.streams.audio[0]):
                    if packet.dts is not None:
                        packet.stream = stream
                        new.mux(packet)
                        copied += 1
        except FFmpegError as error:
            raise Refused(f"cannot write {name_of(target)}", got=error) from error
        if not copied:
            raise no_sound
