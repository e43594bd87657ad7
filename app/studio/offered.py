"""The models that strangers may ask for: what is on this machine, and the one that the server was started with.

Nobody makes the server download a model, or look into a folder, by naming it in a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...models.weights.places import Found, known_models
from ...nodes.host import model_folders
from .settings import AppSettings


@dataclass(frozen=True)
class Offered:
    name: str
    """what a request calls it"""
    source: str
    """what the loader calls it; differs for a folder, whose path is nobody's business"""
    size_bytes: int
    licence: str
    is_default: bool


def offered_models(settings: AppSettings, known: Sequence[Found] | None = None) -> list[Offered]:
    """The default one first; `known` is what `known_models` has found, for who has asked already."""
    known = known_models(model_folders()) if known is None else known
    source = settings.model_name(known)
    name = Path(source).name if Path(source).expanduser().is_dir() else source
    named = {model.name: model for model in known}
    first = named.pop(name, None)
    if first is None:  # a folder that lies elsewhere, or a hub id of somebody else's
        first = Found(
            name,
            None,
            sum(file.stat().st_size for file in Path(source).glob("*.safetensors")),
            "its own",
        )
    default = Offered(name, source, first.size_bytes, first.licence, is_default=True)
    return [
        default,
        *(
            Offered(one.name, one.name, one.size_bytes, one.licence, False)
            for one in named.values()
            if one.on_disk
        ),
    ]


def offered_model(settings: AppSettings, name: str) -> Offered | None:
    """By name; the default one for an empty name; None if there is no such model here."""
    models = offered_models(settings)
    return models[0] if not name else next((model for model in models if model.name == name), None)
