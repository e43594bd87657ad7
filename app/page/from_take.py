"""What one does with a take: another like it, more of it, a part of it made anew, a loop, a piece.

Each is a request as any other, around the take's own sound, and a run as any other; so what comes
of it is a take that carries its graph.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...models.bars import Bars, named_tempo
from ...models.config import MAX_DURATION_S
from ...models.refused import Refused
from ...workflows.inputs import InputSpec
from ...workflows.media.audio import read_audio
from ...workflows.registry import NodeSpecs, node_classes
from ...workflows.request import Request, request_inputs
from ..studio.fields import page_fields
from ..studio.recordings import continued, region_of
from ..studio.settings import AppSettings
from ..studio.sounds import SOUNDS
from .form import LOUD, request_from, values_of
from .take_library import Library, Origin, Take

RECORDING = "recording"
"""the sound that a take was made around, by its name in the library's notes"""
LEAD_S = 2.0
"""heard before what is new, so that one hears the join"""
ANEW = ("more", "vary")
"""the ways in which a take is made once more, around the same recording, if there is one"""


@functools.cache
def doings() -> Mapping[str, tuple[InputSpec, ...]]:
    """Each with what must be said of it, as the nodes that do it declare it."""
    nodes = NodeSpecs(node_classes())
    loop, fade = nodes["AudioTokensLoop"].inputs, nodes["AudioFade"].inputs
    words = replace(request_inputs()["prompt"], required=True)
    other = replace(words, may_be_blank=True, **_otherwise(""))
    begin, end = (replace(nodes["MusicGenRepaint"].inputs[name]) for name in ("begin", "end"))
    seconds = replace(nodes["MusicGenSampler"].inputs["duration"], name="seconds")
    loudness = replace(nodes["AudioLoudness"].inputs["target"], name="loudness", may_be_null=True)
    fades = [replace(fade[name], **_otherwise(0.0)) for name in ("fade_in", "fade_out")]
    sure = [replace(one, has_default=False) for one in (begin, end, seconds)]
    begin, end, seconds = sure
    tempo = [replace(loop[name], has_default=False) for name in ("bars", "bpm")]
    tempo.append(replace(loop["beats"], **_otherwise(4)))
    return {
        "more": (),
        "vary": (words,),
        "continue": (seconds, other),
        "repaint": (begin, end, other),
        "loop": (begin, *tempo),
        "cut": (begin, end, *fades, replace(loudness, **_otherwise(None))),
    }


def _otherwise(default: Any) -> dict[str, Any]:
    return {"required": False, "has_default": True, "default": default}


@dataclass(frozen=True)
class PlannedTake:
    """A request whose sounds are paths, and what the take that comes of it will say of itself."""

    request: Request
    origin: Origin
    settings: Mapping[str, Any]
    """of the form, by the page's names"""
    begin_s: float = 0.0
    """where one begins to listen"""


def read_doing(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be done, checked: `how`, one of `doings`, and its values. Raises Refused."""
    how = given.get("how")
    if not isinstance(how, str) or how not in doings():
        expected = f"one of {', '.join(doings())}"
        raise Refused("what to do with this take", got="another thing", expected=expected)
    doing = {"how": how}
    for spec in doings()[how]:
        value = given.get(spec.name)
        if value is None and not spec.has_default:
            raise spec.missing("say it")
        doing[spec.name] = spec.default if value is None else spec.read_exactly(value)
    return doing


def loop_of(take: Take) -> Bars | None:
    """How long a loop the take is; None if it is none. Its note may be a stranger's."""
    with contextlib.suppress(Refused):
        doing = read_doing(take.note.doing)
        is_whole = doing["how"] == "loop" and not take.note.was_stopped
        return _bars(doing) if is_whole else None
    return None


def _bars(doing: Mapping[str, Any]) -> Bars:
    return Bars(doing["bars"], doing["bpm"], doing["beats"])


def tempo_of(take: Take) -> float | None:
    """Beats a minute: as its words say, else as it is heard; None where none is."""
    from ...models.analysis import analyse

    named = named_tempo(f"{take.note.title} {take.note.settings.get('prompt')}")
    if named is not None:
        return named
    tempo = analyse(*read_audio(take.path)).tempo
    return round(tempo.bpm, 2) if tempo is not None else None


def wanted_of(
    library: Library, take: Take, given: Mapping[str, Any], settings: AppSettings
) -> PlannedTake:
    """Raises Refused for what cannot be done with this take, in words without nodes."""
    doing, source = read_doing(given), take.path
    request = _as_it_was_asked(library, take, doing, settings)
    before = take.note.doing
    if doing["how"] in ANEW and before.get("how") not in (None, *ANEW, "cut"):
        recording = library.sound(take.id, RECORDING)
        if recording is None:
            raise Refused("this take", got="no sound that it was made of", remedy="it has gone")
        doing, source = read_doing({**before, "prompt": request.prompt}), recording
    around, begin_s = _AROUND[doing["how"]](source, doing, settings)
    title = take.note.title if not doing.get("prompt") else request.prompt
    kept = take.note.settings if doing["how"] == "cut" else _settings(request, settings)
    origin, asked = Origin(take.id, doing, title), replace(request, **around)
    return PlannedTake(asked, origin, kept, max(0.0, begin_s - LEAD_S))


def _settings(request: Request, settings: AppSettings) -> dict[str, Any]:
    values = values_of(page_fields(settings), request)
    return {name: value for name, value in values.items() if name not in SOUNDS}


def _as_it_was_asked(
    library: Library, take: Take, doing: Mapping[str, Any], settings: AppSettings
) -> Request:
    """By its note, which may be a stranger's: its values are checked as a form's."""
    fields, note = page_fields(settings), take.note
    known = {spec.name for spec in fields.values()} | {LOUD}
    values = {name: value for name, value in note.settings.items() if name in known}
    values["prompt"] = doing.get("prompt") or values.get("prompt") or note.title
    values["variations"] = 1
    if doing["how"] not in ("vary", "cut"):
        values["seed"] = secrets.randbelow(2**32)
    for how in SOUNDS:
        found = library.sound(take.id, how)
        values[how] = str(found) if found is not None else None
    return request_from(fields, values)


# ---------------------------------------------------------------- each


def _alone(path: Path, doing: Mapping[str, Any], _: AppSettings) -> tuple[dict[str, Any], float]:
    return {}, 0.0


def _longer(
    path: Path, doing: Mapping[str, Any], settings: AppSettings
) -> tuple[dict[str, Any], float]:
    """What is there stays as it is, its loudness too; only what is new counts as music made."""
    if doing["seconds"] > settings.max_duration_s:
        expected = f"at most {settings.max_duration_s:g} s at a time"
        raise Refused("to go on", got=f"{doing['seconds']:g} s", expected=expected)
    fields = continued(path, None, float("inf"))
    begin_s = fields["continue_from_s"]
    duration_s = begin_s + doing["seconds"]
    if duration_s > MAX_DURATION_S:
        got, most = f"{duration_s:.0f} s in all", f"at most {MAX_DURATION_S:g} s"
        raise Refused("to go on", got=got, expected=most, remedy="go on for less, or cut it first")
    around = {**fields, RECORDING: str(path), "duration_s": duration_s, "loudness_lufs": None}
    return around, begin_s


def _anew(path: Path, doing: Mapping[str, Any], _: AppSettings) -> tuple[dict[str, Any], float]:
    fields = region_of(path, doing["begin"], doing["end"])
    return {**fields, RECORDING: str(path), "loudness_lufs": None}, doing["begin"]


def _looped(path: Path, doing: Mapping[str, Any], _: AppSettings) -> tuple[dict[str, Any], float]:
    loop = _bars(doing)
    region_of(path, doing["begin"], doing["begin"] + loop.seconds, "loop")
    around = {
        RECORDING: str(path), "loop": loop, "loop_from_s": doing["begin"],
        "duration_s": loop.seconds, "loudness_lufs": None, "melody": "", "style": "",
        "style_guidance": None,
    }  # fmt: skip
    return around, 0.0


def _cut(path: Path, doing: Mapping[str, Any], _: AppSettings) -> tuple[dict[str, Any], float]:
    begin_s, end_s = region_of(path, doing["begin"], doing["end"], "piece")["repaint"]
    if doing["fade_in"] + doing["fade_out"] > end_s - begin_s:
        got = f"{doing['fade_in'] + doing['fade_out']:g} s of {end_s - begin_s:.4g} s"
        raise Refused("fades", got=got, expected="both within the piece", remedy="fade for less")
    around = {
        RECORDING: str(path), "kept": (begin_s, end_s), "duration_s": end_s - begin_s,
        "fade_in_s": doing["fade_in"], "fade_s": doing["fade_out"],
        "loudness_lufs": doing["loudness"], "melody": "", "style": "", "style_guidance": None,
        "loras": (), "model": "",
    }  # fmt: skip
    return around, 0.0


_AROUND = {
    "more": _alone, "vary": _alone, "continue": _longer, "repaint": _anew, "loop": _looped,
    "cut": _cut,
}  # fmt: skip
"""how → the fields of a Request around the sound at a path, and where the new part begins"""
