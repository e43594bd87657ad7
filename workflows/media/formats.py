"""The kinds of file that music is written to: their suffixes, their media types, and the class of
node that saves them.

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
    """the class of the graph's last node; WAV has none of its own"""
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
        Format("wav", "audio/wav", "SaveAudio", ("audio/x-wav", "audio/wave", "audio/vnd.wave")),
        Format("flac", "audio/flac", "SaveAudio", ("audio/x-flac",)),
        Format("mp3", "audio/mpeg", "SaveAudioMP3", ("audio/mp3",)),
        Format("opus", "audio/ogg", "SaveAudioOpus", ("audio/opus", "application/ogg"), (".ogg",)),
    )
}
BY_SUFFIX = {suffix: one for one in FORMATS.values() for suffix in one.suffixes}
ZIP_TYPE = "application/zip"
