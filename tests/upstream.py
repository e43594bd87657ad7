"""Transformers' modules with the weights that tests want, and ours with the same weights."""

from dataclasses import replace
from pathlib import Path

import torch
import transformers
from tiny import tiny_config
from torch.nn.utils import parametrize
from transformers import (
    EncodecConfig,
    EncodecModel,
    MusicgenForConditionalGeneration,
    T5Config,
    T5EncoderModel,
)

from musicgraph.models.config import ModelConfig
from musicgraph.models.encodec import Codec
from musicgraph.models.t5 import T5Encoder
from musicgraph.models.weights.checkpoint_config import codec_config, read_config, text_config
from musicgraph.models.weights.hugging_face import file_names
from musicgraph.models.weights.places import POCKET_FOLDER

POCKET = read_config(POCKET_FOLDER / "config.json")


def musicgen_model(folder: Path) -> MusicgenForConditionalGeneration:
    """A whole checkpoint in float32."""
    release = tuple(map(int, transformers.__version__.split(".")[:2]))
    name = "dtype" if release >= (4, 56) else "torch_dtype"
    return MusicgenForConditionalGeneration.from_pretrained(folder, **{name: torch.float32}).eval()


def encodec_model(**config) -> EncodecModel:
    """Random, with codebooks that differ."""
    torch.manual_seed(0)
    encodec = EncodecModel(EncodecConfig(**(tiny_config().audio_encoder.to_dict() | config))).eval()
    with torch.no_grad():
        for layer in encodec.quantizer.layers:
            layer.codebook.embed.normal_()
    return encodec


def our_codec(encodec: EncodecModel) -> Codec:
    levels = len(encodec.quantizer.layers)
    config = replace(POCKET, codec=codec_config(encodec.config.to_dict(), levels))
    state = {f"audio_encoder.{name}": tensor for name, tensor in encodec.state_dict().items()}
    for name, module in encodec.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            state[f"audio_encoder.{name}.weight"] = module.weight.detach()
    codec = Codec(config.codec)
    codec.fill(_ours(config, "codec", state))
    return codec.requires_grad_(False).eval()


def t5_model(**config) -> T5EncoderModel:
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 64,
        "d_model": 24,
        "d_kv": 8,
        "d_ff": 32,
        "num_layers": 2,
        "num_heads": 2,
    }
    t5 = T5EncoderModel(T5Config(**(sizes | config))).eval()
    with torch.no_grad():
        for parameter in t5.parameters():  # initial ones are so small that positions hardly matter
            parameter.normal_(std=0.3) if parameter.dim() > 1 else parameter.uniform_(0.5, 1.5)
    return t5


def our_t5(t5: T5EncoderModel) -> T5Encoder:
    config = replace(POCKET, text=text_config(t5.config.to_dict()))
    ours = T5Encoder(config.text)
    state = {f"text_encoder.{name}": tensor for name, tensor in t5.state_dict().items()}
    ours.load_state_dict(_ours(config, "text", state))
    return ours.eval()


def _ours(
    config: ModelConfig, part: str, state: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """A part's weights by our names."""
    names = file_names(config).items()
    return {
        ours.removeprefix(f"{part}."): state[theirs].clone()
        for ours, theirs in names
        if ours.startswith(f"{part}.")
    }
