"""The kinds of file that music is written to: their suffixes, their media types, and the format in
which a graph saves them.

Imports nothing heavy: doors ask it before anything runs. How each is coded: `encode.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """A kind of file. Its name is its usual suffix without the dot."""

    name: str
    media_type: str
    save_as: str
    """what the graph's Save Audio (Advanced) is told; it has no WAV"""
    also_called: tuple[str, ...] = ()
    """other media types by which clients ask for it"""
    also_suffixes: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        return f".{self.name}"

    @property
    def suffixes(self) -> tuple[str, ...]:
        return (self.suffix, *self.also_suffixes)


FORMATS = {
    one.name: one
    for one in (
        Format("wav", "audio/wav", "flac", ("audio/x-wav", "audio/wave", "audio/vnd.wave")),
        Format("flac", "audio/flac", "flac", ("audio/x-flac",)),
        Format("mp3", "audio/mpeg", "mp3", ("audio/mp3",)),
        Format("opus", "audio/ogg", "opus", ("audio/opus", "application/ogg"), (".ogg",)),
    )
}
BY_SUFFIX = {suffix: one for one in FORMATS.values() for suffix in one.suffixes}
ZIP_TYPE = "application/zip"
