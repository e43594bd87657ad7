"""Hugging Face's layout: config.json, safetensors (one file or shards), tokenizer files.

The tables here are the only place that knows its names. Weights are memory-mapped, each by itself,
and a mapping is closed with its tensor. Nothing is unpickled and no remote code is run.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..codec_layers import LSTM, Layer, Residual, decoder_layers, encoder_layers
from ..config import CodecConfig, ModelConfig, T5Config
from ..disk.json_file import AGAIN, read_json
from ..parameters import (
    CODEC,
    LM,
    MERT,
    TEXT,
    Shapes,
    all_shapes,
    codec_shapes,
    lm_shapes,
    text_shapes,
    under,
)
from ..quoting import shown
from ..refused import Refused
from .checkpoint_config import read_config
from .contract import checked, fingerprint, normed, pieces_of
from .folder_kinds import check_kind, wrapped, wrapper_of
from .tensor_file import FLOATS, Stored, headers
from .tokenizer import Tokenizer, load_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

MAX_SHARDS = 1000


# ---------------------------------------------------------------- names

_LM = {
    "norm": "decoder.model.decoder.layer_norm",
    "text_projection": "enc_to_dec_proj",
    "sound_projection": "audio_enc_to_dec_proj",
}
_LM_LAYER = {
    "norm": "self_attn_layer_norm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "out": "self_attn.out_proj",
    "text_norm": "encoder_attn_layer_norm",
    "text_q": "encoder_attn.q_proj",
    "text_k": "encoder_attn.k_proj",
    "text_v": "encoder_attn.v_proj",
    "text_out": "encoder_attn.out_proj",
    "ffn_norm": "final_layer_norm",
    "fc1": "fc1",
    "fc2": "fc2",
}
_TEXT = {
    "embedding": "shared",
    "position_bias": "encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
    "norm": "encoder.final_layer_norm",
}
_TEXT_LAYER = {
    "norm": "layer.0.layer_norm",
    "q": "layer.0.SelfAttention.q",
    "k": "layer.0.SelfAttention.k",
    "v": "layer.0.SelfAttention.v",
    "out": "layer.0.SelfAttention.o",
    "ffn_norm": "layer.1.layer_norm",
    "gate": "layer.1.DenseReluDense.wi_0",
    "down": "layer.1.DenseReluDense.wo",
}
_RESIDUAL = {"first": "block.1.conv", "second": "block.3.conv", "shortcut": "shortcut.conv"}
_OTHER_NAMES = (
    ("shared.weight", ("encoder.embed_tokens.weight",)),
    (".conv.weight", tuple(f".conv.parametrizations.weight.original{i}" for i in (0, 1))),
    (".conv.weight", (".conv.weight_g", ".conv.weight_v")),
    (".parametrizations.weight.original0", (".weight_g",)),
    (".parametrizations.weight.original1", (".weight_v",)),
)
"""How a name may end → how what holds it ends in other files: one tensor, or two."""


def file_names(config: ModelConfig) -> dict[str, str]:
    """Every name of ours → what Hugging Face calls it."""
    return {
        **{f"{LM}.{name}": _lm_name(name) for name in lm_shapes(config.lm)},
        **_text_names(config.text),
        **_codec_names(config.codec),
    }


def _lm_name(name: str) -> str:
    decoder = "decoder.model.decoder"
    match name.split("."):
        case ["embedding", k, kind]:
            return f"{decoder}.embed_tokens.{k}.{kind}"
        case ["heads", k, kind]:
            return f"decoder.lm_heads.{k}.{kind}"
        case ["layers", i, part, kind]:
            return f"{decoder}.layers.{i}.{_LM_LAYER[part]}.{kind}"
    part, _, kind = name.partition(".")
    return f"{_LM[part]}.{kind}"


def _text_names(config: T5Config) -> dict[str, str]:
    return {f"{TEXT}.{name}": _text_name(name, config) for name in text_shapes(config)}


def _text_name(name: str, config: T5Config) -> str:
    up = "layer.1.DenseReluDense.wi_1" if config.gated else "layer.1.DenseReluDense.wi"
    match name.split("."):
        case ["layers", i, part, kind]:
            theirs = up if part == "up" else _TEXT_LAYER[part]
            return f"text_encoder.encoder.block.{i}.{theirs}.{kind}"
    part, _, kind = name.partition(".")
    return f"text_encoder.{_TEXT[part]}.{kind}"


def _codec_names(config: CodecConfig) -> dict[str, str]:
    halves = {"encoder": encoder_layers(config), "decoder": decoder_layers(config)}
    names = {}
    for name in codec_shapes(config):
        half, index, *rest = name.split(".")
        if half == "codebooks":
            theirs = f"quantizer.layers.{index}.codebook.embed"
        else:
            theirs = f"{half}.layers.{index}.{_layer_name(halves[half][int(index)], rest)}"
        names[f"{CODEC}.{name}"] = f"audio_encoder.{theirs}"
    return names


def _layer_name(layer: Layer, rest: list[str]) -> str:
    if isinstance(layer, Residual):
        return f"{_RESIDUAL[rest[0]]}.{rest[1]}"
    return f"{'lstm' if isinstance(layer, LSTM) else 'conv'}.{rest[0]}"


# ---------------------------------------------------------------- files


@dataclass(frozen=True)
class HuggingFaceFiles:
    """The tensors in a folder's files that we have names for."""

    folder: Path
    sources: Mapping[str, tuple[str, ...]]
    """our name → the tensor of the files that is it, or its length and its direction"""
    stored: Mapping[str, Stored]

    @property
    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in {one.file for one in self.stored.values()})

    def tensor(self, name: str) -> Tensor:
        """See `contract.Weights`."""
        sources = self.sources[name]
        parts = [self._read(source) for source in sources]
        if len(parts) == 1:
            return parts[0]
        return checked(f"{self.folder}: {sources[1]}", normed(*parts))  # a direction may be zero

    def _read(self, source: str) -> Tensor:
        return self.stored[source].read(source, f"{self.folder}: {source}")


@dataclass(frozen=True)
class HuggingFaceWeights:
    """An opened folder; see `contract.Weights`."""

    folder: Path
    config: ModelConfig
    fingerprint: str
    files: HuggingFaceFiles

    @property
    def size_bytes(self) -> int:
        return self.files.size_bytes

    @property
    def tokenizer_folder(self) -> Path:
        return self.folder

    def tensor(self, name: str) -> Tensor:
        return self.files.tensor(name)

    def tokenizer(self) -> Tokenizer:
        return load_tokenizer(self.folder)


def open_hugging_face(folder: Path) -> HuggingFaceWeights:
    """Reads the settings and the tensors' headers of a folder, no weights, and checks one against
    the other.

    Raises Refused: another kind of folder or of model, settings that are missing, out of bounds or
    contradict each other; weights that are missing, truncated, or of other shapes than the settings
    say.
    """
    check_kind(folder)
    return _as_it_is(folder, fingerprint(folder))


@functools.lru_cache(maxsize=8)  # each piece of music looks at its model twice
def _as_it_is(folder: Path, seen: str) -> HuggingFaceWeights:
    config = read_config(folder / "config.json")
    files = _opened(folder, file_names(config), all_shapes(config))
    return HuggingFaceWeights(folder, config, seen, files)


def open_text_encoder(folder: Path, config: T5Config) -> HuggingFaceFiles:
    """A T5 that lies by itself, under the names of our text encoder. Raises Refused."""
    return _opened(folder, _alone(_text_names(config)), under(TEXT, text_shapes(config)))


def open_codec(folder: Path, config: CodecConfig) -> HuggingFaceFiles:
    """An EnCodec that lies by itself, under the names of our codec. Raises Refused."""
    return _opened(folder, _alone(_codec_names(config)), under(CODEC, codec_shapes(config)))


def open_mert_safetensors(folder: Path, shapes: Shapes) -> HuggingFaceFiles:
    """A MERT that lies by itself, under the names of our MERT. Raises Refused."""
    return _opened(folder, {f"{MERT}.{name}": name for name in shapes}, under(MERT, shapes))


def _alone(names: Mapping[str, str]) -> dict[str, str]:
    """Without the name of the part, with which theirs begin in a whole checkpoint."""
    return {ours: theirs.partition(".")[2] for ours, theirs in names.items()}


def _opened(folder: Path, names: Mapping[str, str], shapes: Shapes) -> HuggingFaceFiles:
    stored = _stored_tensors(folder)
    sources = {ours: _found(theirs, stored) for ours, theirs in names.items()}
    expected = {}
    for ours, pieces in sources.items():
        expected |= dict(zip(pieces, pieces_of(shapes[ours], len(pieces)), strict=True))
    _check_stored(folder, stored, expected)
    return HuggingFaceFiles(folder, sources, stored)


def _found(name: str, stored: Mapping[str, Stored]) -> tuple[str, ...]:
    """The tensors of the files that hold `name`: under this name or under others."""
    if name not in stored:
        for ending, others in _OTHER_NAMES:
            candidates = tuple(name.removesuffix(ending) + other for other in others)
            if name.endswith(ending) and all(candidate in stored for candidate in candidates):
                return candidates
    return (name,)


def _check_stored(folder: Path, stored: Mapping[str, Stored], expected: Shapes) -> None:
    """Raises Refused unless all of these tensors are there, in these shapes and as floats."""
    missing = [name for name in expected if name not in stored]
    if missing:
        before = wrapper_of(stored, missing[0])
        if before:
            raise wrapped(folder, before)
        raise Refused(
            str(folder),
            got=f"no {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else ""),
            expected="all tensors of the model that config.json describes",
            remedy="download the checkpoint again, or use its own config.json",
        )
    for name, shape in expected.items():
        if stored[name].shape != shape or stored[name].type not in FLOATS:
            raise Refused(
                f"{folder}: {name} does not fit config.json",
                got=f"{stored[name].type} {list(stored[name].shape)}",
                expected=f"{' or '.join(FLOATS)} {list(shape)}",
                remedy="use the config.json of this checkpoint",
            )


def _stored_tensors(folder: Path) -> dict[str, Stored]:
    index = folder / "model.safetensors.index.json"
    shards = _shards(index) if index.is_file() else [folder / "model.safetensors"]
    tensors: dict[str, Stored] = {}
    for shard in shards:
        tensors |= headers(shard)
    return tensors


def _shards(index: Path) -> list[Path]:
    named = read_json(index, "an index of shards").get("weight_map")
    names = list(named.values()) if isinstance(named, dict) else []
    plain = all(isinstance(name, str) and Path(name).name == name for name in names)
    if not names or not plain or len(set(names)) > MAX_SHARDS:
        raise Refused(
            f"{index}: weight_map",
            got=shown(named),
            expected=f"1 to {MAX_SHARDS} names of files in this folder",
            remedy=AGAIN,
        )
    return [index.parent / name for name in sorted(set(names))]
