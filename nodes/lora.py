"""Adapters on top of a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..models.parameters import LM, TEXT
from ..models.refused import Refused
from ..models.weights import adapter_places, checkpoint
from ..models.weights.adapted import MAX_STRENGTH, Adapter, adapted, touches
from ..models.weights.contract import fingerprint
from ..models.weights.peft_adapter import open_peft, read_lora_config
from . import host, wires


class MusicGenLoraLoader:
    DESCRIPTION = (
        "Puts a LoRA on a model: a small file that was trained to change it, towards a style or a "
        "sound. Several can be chained, each with its strength. Nothing is changed on disk, and "
        "making music costs the same."
    )
    TITLE = "Load MusicGen LoRA"
    CATEGORY = "audio/musicgen"
    SEARCH_ALIASES = ["lora", "adapter", "peft", "fine-tune", "musicgen lora"]
    RETURN_TYPES = (wires.MODEL, wires.TEXT_ENCODER)
    RETURN_NAMES = ("model", "text_encoder")
    OUTPUT_TOOLTIPS = (
        "The model with the adapter; goes to MusicGen Sampler or another Load MusicGen LoRA.",
        "The text encoder, changed where the adapter does so; goes to MusicGen Text Encode.",
    )
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        # another folder only if the user named it, as with models
        names = adapter_places.known_adapters(host.model_folders())
        names += [name for name in host.current_run().named_adapters if name not in names]
        adapter = {"tooltip": "A PEFT folder in models/musicgen/loras; it must be of this model."}
        strength = {"default": 1.0, "min": -MAX_STRENGTH, "max": MAX_STRENGTH, "step": 0.05}
        words = "1: as it was trained; less is weaker, 0 is off, negative the opposite."
        return {
            "required": {
                "model": (wires.MODEL, {"tooltip": "From Load MusicGen, or with a LoRA on it."}),
                "text_encoder": (
                    wires.TEXT_ENCODER,
                    {"tooltip": "From where the model comes."},
                ),
                "adapter": (names, adapter),
                "strength": ("FLOAT", {**strength, "tooltip": words}),
            }
        }

    @classmethod
    def IS_CHANGED(cls, adapter: str | None = None, **_: object) -> str:
        """An adapter that was replaced on disk is put on anew."""
        if adapter is None:  # linked
            return ""
        try:
            return fingerprint(_folder(adapter))
        except Refused:
            return ""

    @classmethod
    def VALIDATE_INPUTS(cls, adapter: object = None) -> bool | str:
        """What can be known before running. None stands for an adapter that is linked."""
        try:
            if adapter is not None:
                read_lora_config(_folder(adapter))
        except Refused as refusal:
            return str(refusal)
        return True

    def load(
        self,
        model: wires.Model,
        text_encoder: wires.TextEncoderPart,
        adapter: str,
        strength: float,
    ) -> tuple[wires.Model, wires.TextEncoderPart]:
        opened = open_peft(_folder(adapter), model.weights.config)
        name = f"{model.name} + {Path(adapter).name}"
        return (
            _with_model(model, opened, strength, name),
            _with_text(text_encoder, opened, strength),
        )


def _folder(adapter: object) -> Path:
    """Raises Refused unless it lies in `loras/`, or the user named it."""
    folders = host.model_folders()
    if isinstance(adapter, str):
        named = adapter in host.current_run().named_adapters or host.called_by_hand()
        if named:
            return adapter_places.locate_adapter(adapter, folders)
        found = adapter_places.known_adapter(adapter, folders)
        if found is not None:
            return found
    raise adapter_places.no_adapter(adapter, folders)


def _with_model(model: wires.Model, adapter: Adapter, strength: float, name: str) -> wires.Model:
    from .resident_engine import WaitingEngine

    weights = adapted(model.weights, adapter, strength)
    if weights is model.weights or not touches(adapter, LM):
        return model
    source = WaitingEngine(weights, model.choice, model.device, name)
    return replace(model, source=source, name=name, weights=weights)


def _with_text(
    part: wires.TextEncoderPart, adapter: Adapter, strength: float
) -> wires.TextEncoderPart:
    """Loaded anew where the adapter changes it."""
    weights = adapted(part.weights, adapter, strength)
    if weights is part.weights or not touches(adapter, TEXT):
        return part
    encoder = host.stoppable(lambda _: checkpoint.load_text_encoder(weights))
    return wires.TextEncoderPart(host.Resident(encoder, part.encoder.device), weights)


NODES = (MusicGenLoraLoader,)
