"""The kinds of file in which music is sent."""

from __future__ import annotations

from dataclasses import dataclass


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
