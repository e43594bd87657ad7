"""A node that says what sound measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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


NODES = (AudioAnalyse,)
