"""Which models the page offers, in what order and under which words; and the limits of what a visitor may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from ...models.refused import Refused
from ...models.weights.places import POCKET, known_models
from ...nodes.host import model_folders
from ...workflows.default_graph import Request
from .offered import offered_model, offered_models
from .settings import AppSettings

MAX_PROMPT_CHARACTERS = 2000
MAX_VARIATIONS = 4
GB, MB = 10**9, 10**6


@dataclass(frozen=True)
class ModelChoice:
    """A line of the model menu."""

    label: str
    name: str


def model_choices(settings: AppSettings) -> list[ModelChoice]:
    """The default first, then what is on disk, then what would be downloaded."""
    known = known_models(model_folders())
    choices = [
        ModelChoice(_label(one.name, one.size_bytes, one.licence), one.name)
        for one in offered_models(settings, known)
    ]
    names = [choice.name for choice in choices]
    for model in known:
        if not model.on_disk and model.name not in (POCKET, *names):
            label = f"{model.name} · downloads {_size(model.size_bytes)} first, {_licence(model.licence)}"
            choices.append(ModelChoice(label, model.name))
    return choices


def _label(name: str, size_bytes: int, licence: str) -> str:
    if not size_bytes:
        return f"{name} · not on this machine" if name == POCKET else name
    kind = "a sketchpad, " if name == POCKET else ""
    return f"{name} · {kind}{_size(size_bytes)}, {_licence(licence)}"


def _licence(licence: str) -> str:
    return licence + (" (not for commercial use)" if "-NC-" in licence else "")


def _size(size_bytes: int) -> str:
    return (
        f"{size_bytes / GB:.1f} GB" if size_bytes >= GB else f"{max(1, round(size_bytes / MB))} MB"
    )


def model_source(name: str, settings: AppSettings) -> str:
    """What the loader calls a model of the menu."""
    offered = offered_model(settings, name)
    return offered.source if offered is not None else name


def check_request(request: Request, settings: AppSettings) -> None:
    """Raises Refused for what this page does not take. Ranges of the rest are the nodes' business."""
    for name, text in (("prompt", request.prompt), ("negative prompt", request.negative)):
        if len(text) > MAX_PROMPT_CHARACTERS:
            raise Refused(
                name,
                got=f"{len(text)} characters",
                expected=f"at most {MAX_PROMPT_CHARACTERS}",
                remedy="shorten it",
            )
    if not request.prompt.strip():
        remedy = "say what you want to hear, or take one of the ideas"
        raise Refused("prompt", got="nothing", expected="a few words", remedy=remedy)
    check_duration(request.duration_s, settings)
    if not 1 <= request.variations <= MAX_VARIATIONS:
        expected = f"1 to {MAX_VARIATIONS}"
        raise Refused(
            "variations", got=request.variations, expected=expected, remedy="choose fewer"
        )
    check_model(request.model, settings)


def check_duration(duration_s: float, settings: AppSettings) -> None:
    limit = settings.max_duration_s
    if not 0.1 <= duration_s <= limit:  # NaN fails too
        raise Refused(
            "duration",
            got=f"{duration_s:g} s",
            expected=f"0.1 to {limit:g} s",
            remedy="choose a value in that range",
        )


def check_model(name: object, settings: AppSettings) -> None:
    """Visitors choose from the menu: no other folder is opened, and nothing else is downloaded, for them."""
    names = [choice.name for choice in model_choices(settings)]
    if name not in names:
        expected = f"one of {', '.join(names)}"
        raise Refused("model", got=repr(name), expected=expected, remedy="choose one of them")
