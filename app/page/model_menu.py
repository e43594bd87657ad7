"""The menu of models: in what order, and under which words."""

from __future__ import annotations

from dataclasses import dataclass

from ...models.config import SOUND
from ...models.refused import Refused
from ...models.weights.places import POCKET, POCKET_WORLD, official_of
from ..studio.models import Offer, offers, permitted
from ..studio.settings import AppSettings

GB, MB = 10**9, 10**6
FOR_A_TUNE = "To have a tune of yours followed, choose a model with melody in its name."


@dataclass(frozen=True)
class ModelChoice:
    """A line of the menu."""

    label: str
    name: str


def model_choices(settings: AppSettings) -> list[ModelChoice]:
    """The default first, then what is on disk, then what would be downloaded."""
    return [ModelChoice(_label(one), one.name) for one in offers(settings, downloads=True)]


def words_of(settings: AppSettings, name: str) -> str:
    """What is said of the model that is chosen."""
    try:
        offer = permitted(settings, name, downloads=True)
    except Refused:  # it has gone since the menu was made; Generate says so
        return "This model is not here any more."
    if offer.name == POCKET:
        return f"pocket knows {POCKET_WORLD}. {FOR_A_TUNE}"
    if offer.kind.makes == SOUND:
        return "It makes sound effects: say what is to be heard, such as a dog barking in the rain."
    heard = [how for how in ("melody", "style") if offer.follows(how)]
    also = f"It also follows a {heard[0]} that you upload or record." if heard else FOR_A_TUNE
    return f"It understands English, and plays nearly every style and instrument. {also}"


def _label(offer: Offer) -> str:
    """Facts with points between them: each is translated by itself."""
    known = official_of(offer.name)
    licence = offer.licence if known or offer.name == POCKET else ""  # of others we know nothing
    licence += " (not for commercial use)" if "-NC-" in licence else ""
    facts = [offer.name]
    if not offer.size_bytes:
        return " · ".join([*facts, "not on this machine"] if offer.name == POCKET else facts)
    if offer.name == POCKET:
        facts.append("a sketchpad")
    if known and known.sound:
        facts.append("sound effects")
    if known and known.piece_s:
        facts.append(f"{known.piece_s:g} s at once")
    size = _size(offer.size_bytes)
    facts.append(size if offer.on_disk else f"downloads {size} first")
    return " · ".join(filter(None, [*facts, licence]))


def _size(size_bytes: int) -> str:
    if size_bytes >= GB:
        return f"{size_bytes / GB:.1f} GB"
    return f"{max(1, round(size_bytes / MB))} MB"
