"""Nodes that say what sound measures, and that choose by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models.refused import Refused
from . import host, wires

if TYPE_CHECKING:
    from ..models.analysis import Analysis


class AudioAnalyse:
    DESCRIPTION = (
        "Measures music: tempo, key, drums, loudness, true peak, clipping, silence, and whether it "
        "is stuck. The sound goes through unchanged. Each item of a batch by itself."
    )
    TITLE = "Audio Analyse"
    CATEGORY = "audio"
    SEARCH_ALIASES = ["bpm", "tempo detection", "key detection", "lufs meter", "audio info"]
    RETURN_TYPES = ("AUDIO", "STRING", "FLOAT", "STRING")
    RETURN_NAMES = ("audio", "report", "tempo", "key")
    OUTPUT_IS_LIST = (False, False, True, True)
    OUTPUT_TOOLTIPS = (
        "The same sound.",
        "A line for each item: what it measures, in words.",
        "Beats a minute, one for each item; 0 where there is no beat.",
        "Such as Dm or F#, one for each item; empty where there is no key.",
    )
    FUNCTION = "measure"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"audio": ("AUDIO", {"tooltip": "Any sound, up to five channels."})}}

    def measure(self, audio: dict[str, Any]) -> tuple[dict[str, Any], str, list[float], list[str]]:
        from ..models.analysis import analyse

        waveform, rate = wires.checked_audio(audio)
        progress, heard = host.Progress(len(waveform)), []
        for item, sound in enumerate(waveform):
            heard.append(analyse(sound, rate))
            progress.update(item + 1)
        report = "\n".join(one.words() for one in heard)
        host.say(report)
        return audio, report, [_bpm(one) for one in heard], [_key(one) for one in heard]


def _bpm(heard: Analysis) -> float:
    return round(heard.tempo.bpm, 1) if heard.tempo else 0.0


def _key(heard: Analysis) -> str:
    return heard.key.name if heard.key else ""


class AudioPick:
    DESCRIPTION = (
        "Keeps one take of several: the one that measures what is asked for, or comes closest. "
        "Make takes by variations, and ask for tempo, key, mode, loudness or drums."
    )
    TITLE = "Audio Pick"
    CATEGORY = "audio"
    SEARCH_ALIASES = ["best take", "choose audio", "retry", "select by tempo"]
    RETURN_TYPES = ("AUDIO", "INT", "STRING")
    RETURN_NAMES = ("audio", "take", "report")
    OUTPUT_TOOLTIPS = (
        "The take that is kept.",
        "Which one it is: 1 is the first.",
        "A line for each take: what it measures, and what of the wishes it is not.",
    )
    FUNCTION = "pick"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        until = {
            "default": "tempo=120±3 drums",
            "tooltip": "Wishes, separated by spaces: tempo=120±3 (or 117..123), key=Dm, "
            "mode=minor, loud=-16±2, drums, clipping, silence, stuck; the last four also after no.",
        }
        return {
            "required": {
                "audio": ("AUDIO", {"tooltip": "Takes, as a batch; up to five channels."}),
                "until": ("STRING", until),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, until: str | None = None) -> bool | str:
        """Before music is made for it; None stands for a linked input."""
        from ..models.wishes import read_wishes

        try:
            if until is not None:
                read_wishes(until)
        except Refused as error:
            return str(error)
        return True

    def pick(self, audio: dict[str, Any], until: str) -> tuple[dict[str, Any], int, str]:
        from ..models.analysis import analyse
        from ..models.wishes import distance, doubted, missed, read_wishes

        waveform, rate = wires.checked_audio(audio)
        wishes, progress, found = read_wishes(until), host.Progress(len(waveform)), []
        for item, sound in enumerate(waveform):
            heard = analyse(sound, rate)
            found.append((heard.words(), missed(wishes, heard), doubted(wishes, heard)))
            progress.update(item + 1)
        best = min(range(len(found)), key=lambda item: distance(*found[item][1:]))
        report = "\n".join(
            f"take {item + 1}: {words}" + "".join(f"; not {wish}" for wish in unfulfilled)
            for item, (words, unfulfilled, _) in enumerate(found)
        )
        host.say(f"{report}\nkept: take {best + 1}")
        return {"waveform": waveform[best : best + 1], "sample_rate": rate}, best + 1, report


NODES = (AudioAnalyse, AudioPick)
