"""Reading a Hugging Face MusicGen folder: its parts, each by itself, straight to their final type and device.

Weights are memory-mapped. The LM is filled layer by layer and each mapping is closed behind it, so that loading needs
the weights once, not twice. Nothing is unpickled and no remote code is run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..config import LMConfig
from ..disk.json_file import AGAIN, check_no_pointer, read_json
from ..encodec import Codec
from ..lm import MusicGenLM
from ..precision import NAMES
from ..quoting import shown
from ..refused import Refused
from ..text import TextEncoder
from .checkpoint_config import Settings, read_settings
from .folder_kinds import check_kind, wrapped, wrapper_of
from .tokenizer import load_tokenizer

if TYPE_CHECKING:  # imported for the types only: it takes seconds
    from transformers import PreTrainedConfig, PreTrainedModel

Part = TypeVar("Part", bound="PreTrainedModel")

FLOATS = ("F32", "F16", "BF16")
MAX_SHARDS = 1000


def lm_sources(config: LMConfig) -> dict[str, tuple[str, ...]]:
    """Every parameter of our LM → the Hugging Face tensors that make it, stacked along their first dimension."""
    decoder = "decoder.model.decoder"
    codebooks = range(config.num_codebooks)
    sources = {
        "embedding.weight": tuple(f"{decoder}.embed_tokens.{k}.weight" for k in codebooks),
        "heads.weight": tuple(f"decoder.lm_heads.{k}.weight" for k in codebooks),
        "norm.weight": (f"{decoder}.layer_norm.weight",),
        "norm.bias": (f"{decoder}.layer_norm.bias",),
    }
    if config.text_size != config.hidden_size:
        sources |= {
            f"text_projection.{part}": (f"enc_to_dec_proj.{part}",) for part in ("weight", "bias")
        }
    for layer in range(config.num_layers):
        sources |= {
            f"layers.{layer}.{ours}": tuple(f"{decoder}.layers.{layer}.{name}" for name in theirs)
            for ours, theirs in _LAYER_SOURCES.items()
        }
    return sources


_LAYER_SOURCES = {
    "norm.weight": ("self_attn_layer_norm.weight",),
    "norm.bias": ("self_attn_layer_norm.bias",),
    "qkv.weight": ("self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"),
    "out.weight": ("self_attn.out_proj.weight",),
    "text_norm.weight": ("encoder_attn_layer_norm.weight",),
    "text_norm.bias": ("encoder_attn_layer_norm.bias",),
    "text_q.weight": ("encoder_attn.q_proj.weight",),
    "text_kv.weight": ("encoder_attn.k_proj.weight", "encoder_attn.v_proj.weight"),
    "text_out.weight": ("encoder_attn.out_proj.weight",),
    "ffn_norm.weight": ("final_layer_norm.weight",),
    "ffn_norm.bias": ("final_layer_norm.bias",),
    "fc1.weight": ("fc1.weight",),
    "fc2.weight": ("fc2.weight",),
}


def lm_shapes(config: LMConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter of our LM → its shape, without making one."""
    d, K, V = config.hidden_size, config.num_codebooks, config.codebook_size
    shapes: dict[str, tuple[int, ...]] = {
        "embedding.weight": (K * (V + 1), d),
        "heads.weight": (K * V, d),
        "norm.weight": (d,),
        "norm.bias": (d,),
    }
    if config.text_size != d:
        shapes |= {"text_projection.weight": (d, config.text_size), "text_projection.bias": (d,)}
    outputs = {"qkv": 3 * d, "text_kv": 2 * d, "fc1": config.ffn_size}
    for layer in range(config.num_layers):
        for name in _LAYER_SOURCES:
            part = name.partition(".")[0]
            inputs = config.ffn_size if part == "fc2" else d
            shape = (d,) if part.endswith("norm") else (outputs.get(part, d), inputs)
            shapes[f"layers.{layer}.{name}"] = shape
    return shapes


@dataclass(frozen=True)
class Stored:
    """A tensor of the checkpoint: where it lies, and what its header says of it."""

    file: Path
    shape: tuple[int, ...]
    type: str
    """safetensors' word: F32, F16, BF16 …"""


@dataclass(frozen=True)
class Checkpoint:
    """An opened folder: its settings, and which file holds which tensor."""

    folder: Path
    settings: Settings
    tensors: dict[str, Stored]

    @property
    def lm(self) -> LMConfig:
        return self.settings.lm

    @property
    def files(self) -> dict[str, Path]:
        """tensor name → file"""
        return {name: stored.file for name, stored in self.tensors.items()}

    @property
    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in set(self.files.values()))


def open_checkpoint(folder: Path) -> Checkpoint:
    """Reads the settings and the tensors' headers of a folder, no weights, and checks one against the other.

    Raises Refused: another kind of folder or of model, settings that are missing, out of bounds or contradict each
    other; weights that are missing, truncated, or of other shapes than the settings say.
    """
    check_kind(folder)
    settings = read_settings(folder / "config.json")
    tensors = _stored_tensors(folder)
    shapes = lm_shapes(settings.lm)
    for name, sources in lm_sources(settings.lm).items():
        rows, *rest = shapes[name]
        check_stored(folder, tensors, dict.fromkeys(sources, (rows // len(sources), *rest)))
    return Checkpoint(folder, settings, tensors)


def fingerprint(folder: Path) -> str:
    """Changes whenever a file of the folder is added, removed, replaced or written to; reads none of them."""
    facts = []
    for path in sorted(folder.iterdir()):
        with contextlib.suppress(OSError):  # a link to nowhere, or removed in this moment
            status = path.stat()
            facts.append([path.name, status.st_size, status.st_mtime_ns, status.st_ino])
    return hashlib.sha256(json.dumps(facts).encode("utf-8", "surrogateescape")).hexdigest()


def check_stored(
    folder: Path, tensors: Mapping[str, Stored], expected: Mapping[str, tuple[int, ...]]
) -> None:
    """Raises Refused unless all of these tensors are there, in these shapes and as floats."""
    missing = [name for name in expected if name not in tensors]
    if missing:
        before = wrapper_of(tensors, missing[0])
        if before:
            raise wrapped(folder, before)
        raise Refused(
            str(folder),
            got=f"no {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else ""),
            expected="all tensors of the model that config.json describes",
            remedy="download the checkpoint again, or use its own config.json",
        )
    for name, shape in expected.items():
        stored = tensors[name]
        if stored.shape != shape or stored.type not in FLOATS:
            raise Refused(
                f"{folder}: {name} does not fit config.json",
                got=f"{stored.type} {list(stored.shape)}",
                expected=f"{' or '.join(FLOATS)} {list(shape)}",
                remedy="use the config.json of this checkpoint",
            )


def _stored_tensors(folder: Path) -> dict[str, Stored]:
    index = folder / "model.safetensors.index.json"
    shards = _shards(index) if index.is_file() else [folder / "model.safetensors"]
    tensors: dict[str, Stored] = {}
    for shard in shards:
        tensors |= _headers(shard)
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


def _headers(path: Path) -> dict[str, Stored]:
    if not path.is_file():
        raise Refused(
            str(path.parent),
            got=f"no {path.name}",
            expected="the weights as safetensors",
            remedy="download the file again or choose another folder",
        )
    check_no_pointer(path)
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            return {
                name: Stored(path, tuple(piece.get_shape()), piece.get_dtype())
                for name, piece in slices.items()
            }
    except SafetensorError as error:
        raise Refused(
            str(path),
            got=f"{path.stat().st_size} bytes that are not readable as safetensors ({error})",
            expected="the weights",
            remedy="it is probably cut short: download it again",
        ) from error


def read_tensors(checkpoint: Checkpoint, names: Iterable[str]) -> dict[str, Tensor]:
    """Memory-mapped tensors; the mapping lives as long as they do.

    Every value is looked at once, which costs about as much as reading the file does.

    Raises Refused if a value is NaN or infinite, or the file is another one than was opened.
    """
    by_file = defaultdict(list)
    for name in names:
        by_file[checkpoint.tensors[name].file].append(name)
    tensors = {}
    for path, wanted in by_file.items():
        with safe_open(path, framework="pt") as file:
            tensors |= {name: file.get_tensor(name) for name in wanted}
    for name, tensor in tensors.items():
        _check_values(checkpoint, name, tensor)
    return tensors


def _check_values(checkpoint: Checkpoint, name: str, tensor: Tensor) -> None:
    if tuple(tensor.shape) != checkpoint.tensors[name].shape:
        raise Refused(
            f"{checkpoint.folder}: {name}",
            got="another shape than a moment ago",
            expected="files that stay as they are while they are read",
            remedy="run it again",
        )
    if largest(tensor) == math.inf:
        raise Refused(
            f"{checkpoint.folder}: {name}",
            got="weights that are NaN or infinite",
            expected="numbers",
            remedy="the file is damaged: download it again",
        )


def largest(tensor: Tensor) -> float:
    """The largest magnitude; infinite also if there is a NaN. One pass, and no copy of the tensor."""
    if not tensor.numel() or not tensor.is_floating_point():
        return 0.0
    low, high = (float(end) for end in torch.aminmax(tensor))
    return max(-low, high) if math.isfinite(low) and math.isfinite(high) else math.inf


# ---------------------------------------------------------------- the three parts


def load_lm(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> MusicGenLM:
    """The LM in `dtype` on `device`. Needs the weights once, plus one tensor.

    Raises Refused if a weight is no number, or none of this type.
    """
    with torch.device("meta"):
        lm = MusicGenLM(checkpoint.lm).requires_grad_(False)
    lm.to(dtype).to_empty(device=device)
    for name, sources in lm_sources(checkpoint.lm).items():
        parts = read_tensors(checkpoint, sources)
        target = lm.get_parameter(name).data
        for piece, (source, part) in zip(target.chunk(len(parts)), parts.items(), strict=True):
            _check_range(checkpoint.folder, source, part, dtype)
            piece.copy_(part)
    return lm.eval()


def _check_range(folder: Path, name: str, part: Tensor, dtype: torch.dtype) -> None:
    most = torch.finfo(dtype).max
    if torch.finfo(part.dtype).max > most and largest(part) > most:
        raise Refused(
            f"{folder}: {name}",
            got=f"a weight of {largest(part):g}",
            expected=f"at most {most:g}, the largest number in {NAMES[dtype]}",
            remedy="choose precision bf16 or fp32",
        )


def load_text_encoder(checkpoint: Checkpoint) -> TextEncoder:
    """T5 and its tokenizer, in float32: it runs once a prompt, and T5 overflows in half precision.

    Raises Refused if a tensor or the tokenizer is missing or does not fit.
    """
    from transformers import T5Config, T5EncoderModel

    tokenizer, config = load_tokenizer(checkpoint.folder), T5Config(**checkpoint.settings.text)
    if tokenizer.size > config.vocab_size:
        raise Refused(
            f"{checkpoint.folder}: tokenizer",
            got=f"{tokenizer.size} pieces",
            expected=f"at most {config.vocab_size}, for which the text encoder has vectors",
            remedy="take the tokenizer files of this checkpoint",
        )
    t5 = _load_part(checkpoint, "text_encoder", T5EncoderModel, config)
    t5.tie_weights()
    return TextEncoder(t5, tokenizer).eval()


def load_codec(checkpoint: Checkpoint) -> Codec:
    """The codec, in float32: half precision is audible.

    Raises Refused if a tensor is missing or does not fit.
    """
    from transformers import EncodecConfig, EncodecModel

    config = EncodecConfig(**checkpoint.settings.codec)
    return Codec(_load_part(checkpoint, "audio_encoder", EncodecModel, config)).eval()


ALIASES = {
    "encoder.embed_tokens.weight": "shared.weight",
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}
"""How a name of transformers' modules may end → how that of an official file ends."""


def _load_part(
    checkpoint: Checkpoint, part: str, kind: type[Part], config: PreTrainedConfig
) -> Part:
    """A transformers model with one part's tensors. It is made without storage, so that checking comes first."""
    with _quiet_transformers(), torch.device("meta"):
        model = kind(config)
    wanted = model.state_dict()
    sources = {name: _source(f"{part}.{name}", checkpoint.tensors) for name in wanted}
    shapes = {sources[name]: tuple(tensor.shape) for name, tensor in wanted.items()}
    check_stored(checkpoint.folder, checkpoint.tensors, shapes)
    tensors = read_tensors(checkpoint, shapes)
    state = {name: tensors[source].to(torch.float32, copy=True) for name, source in sources.items()}
    model.load_state_dict(state, assign=True)
    for module in model.modules():  # what only upstream's own forward needs stays without storage
        for name in [name for name, held in module.named_buffers(recurse=False) if held.is_meta]:
            delattr(module, name)
    return model.requires_grad_(False)


def _source(name: str, tensors: Mapping[str, Stored]) -> str:
    """The tensor of the file that holds `name`: under this name, or an alias of it."""
    if name not in tensors:
        for ours, theirs in ALIASES.items():
            if name.endswith(ours) and name.removesuffix(ours) + theirs in tensors:
                return name.removesuffix(ours) + theirs
    return name


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No bars for parts that load in a moment, and no advice about configurations that are MusicGen's own."""
    from transformers.utils import logging as transformers_logging

    verbosity, bars = (
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
    )
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
