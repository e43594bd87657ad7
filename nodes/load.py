"""The model loader: one checkpoint, three parts."""

from __future__ import annotations

import logging
from typing import Any

import torch

from ..models import checkpoint, places
from ..models.refused import Refused
from . import engines, host, wires

log = logging.getLogger("musicgraph")


class MusicGenModelLoader:
    DESCRIPTION = (
        "Opens a MusicGen checkpoint and gives its three parts: the model that composes, the text encoder that reads "
        "prompts, and the EnCodec codec that turns tokens into sound. 'pocket' comes with MusicGraph and needs no "
        "download; it is a sketchpad. The facebook/ models are downloaded on first use; their weights are CC-BY-NC 4.0 "
        "(no commercial use)."
    )
    TITLE = "Load MusicGen"
    CATEGORY = "audio/musicgen"
    SEARCH_ALIASES = ["musicgen", "music", "audiocraft", "text to music"]
    RETURN_TYPES = (wires.MODEL, wires.TEXT_ENCODER, wires.CODEC)
    RETURN_NAMES = ("model", "text_encoder", "codec")
    OUTPUT_TOOLTIPS = (
        "The language model over audio tokens; goes to MusicGen Sampler.",
        "The T5 text encoder; goes to MusicGen Text Encode.",
        "The EnCodec codec; goes to EnCodec Decode and EnCodec Encode.",
    )
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        # a folder or another hub id only if the user named it: a stranger's graph cannot point anywhere it likes
        names = [model.name for model in places.known_models(host.model_folders())]
        names += [name for name in host.current_run().named_models if name not in names]
        return {
            "required": {
                "model": (
                    names,
                    {
                        "default": places.POCKET,
                        "tooltip": "pocket (shipped), a folder in models/musicgen, or a facebook/ model, which is "
                        "downloaded on first use (small 2.4 GB, medium 8 GB, large 13.7 GB).",
                    },
                ),
                "precision": (
                    list(engines.PRECISIONS),
                    {
                        "default": "auto",
                        "tooltip": "Of the composing model. auto: fp16 on a GPU; on a CPU int8, the fastest by far "
                        "and close to fp32 by measurement, where the fast CPU engine (Numba) is installed, else fp32. "
                        "The text encoder and the codec always run in fp32.",
                    },
                ),
                "device": (
                    ["auto", "cpu", "cuda", "mps"],
                    {
                        "default": "auto",
                        "tooltip": "auto: the GPU if there is one. cpu works everywhere.",
                    },
                ),
            }
        }

    @classmethod
    def IS_CHANGED(cls, model: str) -> str:
        """Weights that were replaced on disk are loaded anew. What is not here yet has no files to compare."""
        try:
            folder = places.locate(model, host.model_folders())
        except Refused:
            return ""
        return checkpoint.fingerprint(folder)

    def load(
        self, model: str, precision: str, device: str
    ) -> tuple[wires.Model, wires.TextEncoderPart, wires.CodecPart]:
        find = places.fetch if host.may_download(model) else places.locate
        opened = checkpoint.open_checkpoint(find(model, host.model_folders()))
        where = _device(device)
        choice = engines.choose(precision, where, opened.lm)
        source = engines.load(opened, choice)
        text = host.Resident(checkpoint.load_text_encoder(opened), where)
        codec = host.Resident(checkpoint.load_codec(opened), _codec_device(where))
        log.info("loaded %s from %s: %s", model, opened.folder, choice)
        config = opened.lm
        return (
            wires.Model(source, config, model, choice),
            wires.TextEncoderPart(text),
            wires.CodecPart(codec, config.num_codebooks, config.channels),
        )


def _device(choice: str) -> torch.device:
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if choice == "auto":
        return host.default_device()
    if not available.get(choice):
        there = ", ".join(name for name, yes in available.items() if yes)
        raise Refused(
            f"device: got {choice!r}, which this machine does not offer; choose auto or one of: {there}"
        )
    return torch.device(choice)


def _codec_device(device: torch.device) -> torch.device:
    """Apple's GPU computes EnCodec's transposed convolutions wrongly (audiocraft#612): there the codec stays on the CPU."""
    return torch.device("cpu") if device.type == "mps" else device


NODES = (MusicGenModelLoader,)
