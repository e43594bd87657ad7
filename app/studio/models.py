"""Which models and adapters may be opened, and which downloaded: decided here, for everybody.

    a person at a terminal     any that they name, downloaded if need be (`make_music`, `run --set`)
    a client of the HTTP API   what is on this machine, and what the server was started with
    a visitor of the page      the same, and the official ones of the menu, which are downloaded
    somebody's graph           what is on the machine; on the page what a visitor may have

A job carries the answer as `named_models`; the loader opens no folder and fetches nothing else.
Graphs, and so the files that carry them, hold the names alone. Adapters are those in `loras/` of
the folders of models, by name; only a person at a terminal may name another folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...models.quoting import shown
from ...models.refused import Refused
from ...models.weights.adapter_places import known_adapter, known_adapters
from ...models.weights.kinds import ModelKind, kind_of
from ...models.weights.places import Found, is_official, known_models, weights_size
from ...nodes.host import model_folders
from ...workflows.inputs import BadInput
from ...workflows.request import Lora
from .settings import AppSettings


class ModelNotOffered(Refused):
    """No such model, or no such adapter, for whoever asks."""


@dataclass(frozen=True)
class Offer:
    """A model that may be asked for."""

    name: str
    """what a request calls it"""
    source: str
    """what the loader calls it; differs for a folder, whose path is nobody's business"""
    size_bytes: int
    licence: str
    is_default: bool = False
    folder: Path | None = None
    """where it lies, if it is on this machine"""

    @property
    def on_disk(self) -> bool:
        return self.folder is not None

    @property
    def kind(self) -> ModelKind:
        """Looked up in its files."""
        return kind_of(Found(self.name, self.folder, self.size_bytes, self.licence))

    def follows(self, how: str) -> bool:
        """A melody, or a style: one of `sounds.SOUNDS`."""
        return getattr(self.kind, how)


def offers(settings: AppSettings, *, downloads: bool = False) -> list[Offer]:
    """The default one first, then what is on this machine; then, with `downloads`, what can be
    fetched.
    """
    found = known_models(model_folders())
    source = settings.model_name(found)
    name = Path(source).name if Path(source).expanduser().is_dir() else source
    named = {model.name: model for model in found}
    known = named.pop(name, None) or _elsewhere(name, source)
    first = Offer(name, source, known.size_bytes, known.licence, True, known.folder)
    others = [
        Offer(one.name, one.name, one.size_bytes, one.licence, folder=one.folder)
        for one in named.values()
        if one.on_disk or (downloads and is_official(one.name))
    ]
    return [first, *sorted(others, key=lambda one: not one.on_disk)]


def _elsewhere(name: str, source: str) -> Found:
    """A folder that lies elsewhere, or a hub id of somebody else's."""
    folder = Path(source).expanduser()
    return Found(name, folder if folder.is_dir() else None, weights_size(folder), "its own")


def permitted(
    settings: AppSettings, name: object, *, follows: str = "", downloads: bool = False
) -> Offer:
    """By name; for an empty name the default one, or, to follow a sound, the first that can.

    Raises ModelNotOffered, and BadInput for one that cannot follow what was sent.
    """
    found = offers(settings, downloads=downloads)
    able = [one for one in found if one.follows(follows)] if follows else found
    if name == "" and able:
        return able[0]
    offer = found[0] if name == "" else next((one for one in found if one.name == name), None)
    if offer is None:
        expected = f"one of {', '.join(one.name for one in found)}"
        remedy = "choose one of them"
        raise ModelNotOffered("model", got=shown(name), expected=expected, remedy=remedy)
    if offer not in able:
        raise _deaf(offer, follows, able)
    return offer


def _deaf(offer: Offer, how: str, able: Sequence[Offer]) -> BadInput:
    there = f"one of {', '.join(one.name for one in able)}" if able else "none: there is none here"
    return BadInput(
        "value_not_in_list",
        "the model cannot follow it",
        "model",
        got=f"{offer.name}, which cannot follow a {how}",
        expected=f"a {how} model, {there}",
        remedy="choose one of them" if able else f"leave the {how} out",
    )


def check_loras(loras: Sequence[Lora]) -> None:
    """Raises ModelNotOffered for one that is not in `loras/`; a path is no name."""
    folders = model_folders()
    for lora in loras:
        if known_adapter(lora.adapter, folders) is None:
            there = known_adapters(folders)
            expected = f"one of {', '.join(there)}" if there else "none: this server has no LoRA"
            remedy = "choose one of them" if there else "leave it out"
            got = shown(lora.adapter)
            raise ModelNotOffered("loras", got=got, expected=expected, remedy=remedy)
