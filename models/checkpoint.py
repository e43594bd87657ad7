"""Reading a Hugging Face MusicGen folder: its parts, each by itself, straight to their final type and device.

Weights are memory-mapped. The LM is filled layer by layer and each mapping is closed behind it, so that loading needs
the weights once, not twice. Nothing is unpickled and no remote code is run.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .config import LMConfig
from .encodec import Codec
from .lm import MusicGenLM
from .refused import Refused
from .text import TextEncoder

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


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


@dataclass(frozen=True)
class Checkpoint:
    """An opened folder: its configuration, and which file holds which tensor."""

    folder: Path
    config: dict
    lm: LMConfig
    files: dict[str, Path]
    """tensor name → file"""

    @property
    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in set(self.files.values()))


def open_checkpoint(folder: Path) -> Checkpoint:
    """Reads the configuration and the tensor index of a folder, no weights.

    Raises Refused: no folder, no or broken config.json, another kind of model, missing or truncated weights.
    """
    config = _read_json(folder / "config.json", "a checkpoint's configuration")
    lm = _lm_config(folder, config)
    files = _tensor_files(folder)
    _check_complete(folder, lm, files)
    return Checkpoint(folder, config, lm, files)


def _read_json(path: Path, what: str) -> dict:
    if not path.is_file():
        raise Refused(
            f"{path.parent}: got no {path.name}, expected {what}; choose the folder that holds {path.name}"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise Refused(
            f"{path}: not readable as JSON ({error}), expected {what}; fetch the file again"
        ) from error
    if not isinstance(value, dict):
        raise Refused(
            f"{path}: got a JSON {type(value).__name__}, expected an object; fetch the file again"
        )
    return value


def _lm_config(folder: Path, config: dict) -> LMConfig:
    kind = config.get("model_type")
    if kind != "musicgen":
        raise Refused(
            f"{folder}: got a model of type {kind!r}, expected 'musicgen' (small, medium, large or their stereo forms); "
            "choose such a folder"
        )
    try:
        decoder, codec, text = config["decoder"], config["audio_encoder"], config["text_encoder"]
        _check_supported(folder, decoder)
        lm = LMConfig(
            hidden_size=decoder["hidden_size"],
            num_layers=decoder["num_hidden_layers"],
            num_heads=decoder["num_attention_heads"],
            ffn_size=decoder["ffn_dim"],
            codebook_size=decoder["vocab_size"],
            num_codebooks=decoder["num_codebooks"],
            channels=decoder.get("audio_channels", 1),
            text_size=text["d_model"],
            frame_rate=codec["sampling_rate"] / _hop(codec),
            sample_rate=codec["sampling_rate"],
            window_frames=_window_frames(folder),
        )
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise Refused(
            f"{folder / 'config.json'}: {error} is missing or of a wrong type, expected MusicGen's configuration; "
            "fetch the file again"
        ) from error
    _check_numbers(folder, lm)
    return lm


def _check_numbers(folder: Path, lm: LMConfig) -> None:
    for name, value in vars(lm).items():
        whole = isinstance(value, int) or name == "frame_rate"
        if not whole or isinstance(value, bool) or not 0 < value < 2**31:
            raise Refused(
                f"{folder / 'config.json'}: got {name} {value!r}, expected a positive whole number; fetch the file again"
            )
    if lm.hidden_size % lm.num_heads or lm.num_codebooks % lm.channels:
        raise Refused(
            f"{folder / 'config.json'}: got a width of {lm.hidden_size} for {lm.num_heads} heads and "
            f"{lm.num_codebooks} codebooks for {lm.channels} channels, expected multiples; fetch the file again"
        )


def _hop(codec: dict) -> int:
    hop = 1
    for ratio in codec["upsampling_ratios"]:
        hop *= ratio
    return hop


def _check_supported(folder: Path, decoder: dict) -> None:
    expected = {"activation_function": "gelu", "scale_embedding": False}
    for name, value in expected.items():
        if decoder.get(name, value) != value:
            raise Refused(
                f"{folder}: got {name}={decoder[name]!r}, expected {value!r}, as in every published MusicGen; "
                "choose another checkpoint"
            )


def _window_frames(folder: Path) -> int:
    """The official models say max_length 1500 in generation_config.json: 30 s."""
    path = folder / "generation_config.json"
    said = _read_json(path, "generation settings").get("max_length") if path.is_file() else None
    if said is None:
        return 1500
    if not isinstance(said, int) or said < 8:
        raise Refused(
            f"{path}: got max_length {said!r}, expected a number of steps; fetch the file again"
        )
    return said


def _tensor_files(folder: Path) -> dict[str, Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = _read_json(index, "an index of shards").get("weight_map")
        names = set(named.values()) if isinstance(named, dict) else {None}
        if not all(isinstance(name, str) and Path(name).name == name for name in names):
            raise Refused(
                f"{index}: expected a weight_map of file names in this folder; fetch the file again"
            )
        shards = [folder / name for name in sorted(names)]
    else:
        shards = [folder / "model.safetensors"]
    files = {}
    for shard in shards:
        files |= dict.fromkeys(_names_in(shard), shard)
    return files


def _names_in(path: Path) -> list[str]:
    if not path.is_file():
        raise Refused(
            f"{path.parent}: got no {path.name}, expected the weights as safetensors; "
            "download the file again or choose another folder"
        )
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except SafetensorError as error:
        raise Refused(
            f"{path}: not readable as safetensors ({error}), {path.stat().st_size} bytes; "
            "it is probably cut short: download it again"
        ) from error


def _check_complete(folder: Path, lm: LMConfig, files: dict[str, Path]) -> None:
    missing = [name for names in lm_sources(lm).values() for name in names if name not in files]
    if missing:
        raise Refused(
            f"{folder}: {len(missing)} tensors of the LM are missing, the first is {missing[0]}; "
            "download the checkpoint again"
        )


def read_tensors(checkpoint: Checkpoint, names: list[str]) -> dict[str, Tensor]:
    """Memory-mapped tensors; the mapping lives as long as they do."""
    by_file = defaultdict(list)
    for name in names:
        by_file[checkpoint.files[name]].append(name)
    tensors = {}
    for path, wanted in by_file.items():
        with safe_open(path, framework="pt") as file:
            tensors |= {name: file.get_tensor(name) for name in wanted}
    return tensors


# ---------------------------------------------------------------- the three parts


def load_lm(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> MusicGenLM:
    """The LM in `dtype` on `device`. Needs the weights once, plus one tensor."""
    with torch.device("meta"):
        lm = MusicGenLM(checkpoint.lm).requires_grad_(False)
    lm.to(dtype).to_empty(device=device)
    for name, sources in lm_sources(checkpoint.lm).items():
        parts = read_tensors(checkpoint, list(sources))
        check_fit(lm.get_parameter(name).shape, name, parts, checkpoint.folder)
        target = lm.get_parameter(name).data
        for piece, part in zip(target.chunk(len(parts)), parts.values(), strict=True):
            piece.copy_(part)
    return lm.eval()


def check_fit(shape: torch.Size, name: str, parts: dict[str, Tensor], folder: Path) -> None:
    """Raises Refused if the tensors are not the equal parts of our parameter `name`, which is of this shape."""
    expected = [shape[0] // len(parts), *shape[1:]]
    for source, part in parts.items():
        if list(part.shape) != expected:
            raise Refused(
                f"{folder}: {source} has shape {list(part.shape)}, which does not fit {name} {list(shape)} as config.json "
                f"describes it, expected {expected}; use the config.json of this checkpoint"
            )


def load_text_encoder(checkpoint: Checkpoint) -> TextEncoder:
    """T5 and its tokenizer, in float32: it runs once a prompt, and T5 overflows in half precision."""
    from transformers import AutoTokenizer, T5Config, T5EncoderModel

    # transformers 5 makes an empty tokenizer, without a word, of a folder that has none
    if not any((checkpoint.folder / name).is_file() for name in ("tokenizer.json", "spiece.model")):
        raise Refused(
            f"{checkpoint.folder}: got no tokenizer, expected tokenizer.json or spiece.model beside config.json; "
            "download the checkpoint again"
        )
    t5 = _load_part(checkpoint, "text_encoder", T5EncoderModel, T5Config)
    try:
        with _quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise Refused(
            f"{checkpoint.folder}: the tokenizer cannot be read ({error}), expected T5's; download the checkpoint again"
        ) from error
    return TextEncoder(t5, tokenizer).eval()


def load_codec(checkpoint: Checkpoint) -> Codec:
    """The codec, in float32: half precision is audible."""
    from transformers import EncodecConfig, EncodecModel

    return Codec(_load_part(checkpoint, "audio_encoder", EncodecModel, EncodecConfig)).eval()


def _load_part(checkpoint: Checkpoint, part: str, kind: type, config_kind: type) -> nn.Module:
    """A transformers model from one part's tensors. Refuses a checkpoint that would leave a weight unset."""
    names = [name for name in checkpoint.files if name.startswith(f"{part}.")]
    tensors = {
        name.removeprefix(f"{part}."): tensor
        for name, tensor in read_tensors(checkpoint, names).items()
    }
    try:
        with _quiet_transformers():
            model, report = kind.from_pretrained(
                None,
                config=config_kind(**checkpoint.config[part]),
                state_dict=tensors,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (
        RuntimeError,
        TypeError,
    ) as error:  # transformers' words for a shape or a setting that does not fit
        raise Refused(
            f"{checkpoint.folder}: {part} does not fit config.json ({' '.join(str(error).split())[:200]}); "
            "download the checkpoint again"
        ) from error
    if report["missing_keys"] or report["mismatched_keys"]:
        bad = sorted(report["missing_keys"]) or sorted(report["mismatched_keys"])
        raise Refused(
            f"{checkpoint.folder}: {len(bad)} tensors of {part} are missing or of another shape, "
            f"the first is {bad[0]}; download the checkpoint again"
        )
    return model.requires_grad_(False)


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
