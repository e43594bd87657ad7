"""Writes an opened checkpoint of any layout in Hugging Face's: settings, shards, tokenizer.

Tensors keep their type (what an adapter changes is float32); those of the codec's convolutions are
written as length and direction, as transformers wants them, of which the product is the same to the
last bit.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import MUSIC, ChromaConfig, CodecConfig, LMConfig, ModelConfig, T5Config
from ..parameters import CODEC, all_shapes
from ..quoting import shown
from ..refused import Refused
from .checkpoint_config import MELODY_TYPE, TEXT_TYPE, TRAINED_FRAMES, bandwidth_of
from .contract import Weights
from .download import INDEX, SETTINGS, WEIGHTS
from .hugging_face import file_names

if TYPE_CHECKING:
    from torch import Tensor

OnProgress = Callable[[int, int], None]
"""Called with (tensors done, tensors in all); what it raises ends the work."""

SHARD_BYTES = 4 * 10**9
POSITIONS = 2048  # what the official files say
NO_TOKENIZER = frozenset({"config.json", "generation_config.json"})


def write_converted(
    weights: Weights, target: Path, on_progress: OnProgress, shard_bytes: int = SHARD_BYTES
) -> Path:
    """The folder `target`, which appears when it is whole.

    Needs memory for one shard. Raises Refused: something lies there, there is no room, a weight is
    no number, or the model has what a config.json cannot say.
    """
    config = _config_json(weights.config)
    with _written(target, weights.size_bytes) as folder:
        _write_tensors(weights, folder, on_progress, shard_bytes)
        _write_json(folder / "config.json", config)
        _write_json(folder / "generation_config.json", _generation(weights.config.lm))
        _write_json(folder / "preprocessor_config.json", _preprocessor(weights.config))
        mode = (folder / "config.json").stat().st_mode & 0o777
        for path in folder.glob("*.safetensors"):
            path.chmod(mode)  # its library writes for the user alone
        for name in sorted(SETTINGS - NO_TOKENIZER):
            if (weights.tokenizer_folder / name).is_file():
                shutil.copyfile(weights.tokenizer_folder / name, folder / name)
    return target


@contextlib.contextmanager
def _written(target: Path, size_bytes: int) -> Iterator[Path]:
    """A folder beside the target, which gets its name if the block ends well, and goes away if it
    does not.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise Refused(
            str(target),
            got="something that lies there already",
            expected="a folder that is new or empty",
            remedy="choose another name, or move it away",
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
        if size_bytes > free:
            raise Refused(
                f"no room for {target}",
                got=f"{free / 1e9:.2f} GB",
                expected=f"{size_bytes / 1e9:.2f} GB",
                remedy="make room, or choose another disk",
            )
        with tempfile.TemporaryDirectory(
            dir=target.parent, prefix=".mg-", suffix=".part", ignore_cleanup_errors=True
        ) as work:
            folder = Path(work, "model")
            folder.mkdir()
            yield folder
            if target.is_dir():
                target.rmdir()  # an empty one; Windows renames onto nothing
            folder.replace(target)
    except OSError as error:
        raise Refused(
            f"{target} cannot be written",
            got=error.strerror or type(error).__name__,
            expected="a folder that can be written, with room for the model",
            remedy="make room, or choose another folder",
        ) from error


# ---------------------------------------------------------------- tensors


def _write_tensors(
    weights: Weights, folder: Path, on_progress: OnProgress, shard_bytes: int
) -> None:
    from safetensors.torch import save_file

    parts: list[Path] = []
    weight_map: dict[str, int] = {}
    total = 0
    for shard in _shards(weights, on_progress, shard_bytes):
        part = folder / f"part-{len(parts)}"
        save_file(shard, part, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, len(parts))
        total += sum(tensor.nbytes for tensor in shard.values())
        parts.append(part)
    if len(parts) == 1:
        parts[0].replace(folder / WEIGHTS)
        return
    names = [f"model-{i:05}-of-{len(parts):05}.safetensors" for i in range(1, len(parts) + 1)]
    for part, name in zip(parts, names, strict=True):
        part.replace(folder / name)
    index = {"metadata": {"total_size": total},
             "weight_map": {key: names[number] for key, number in weight_map.items()}}  # fmt: skip
    _write_json(folder / INDEX, index)


def _shards(
    weights: Weights, on_progress: OnProgress, shard_bytes: int
) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    theirs = file_names(weights.config)
    for done, ours in enumerate(all_shapes(weights.config), start=1):
        for name, tensor in _as_stored(ours, theirs[ours], weights.tensor(ours)):
            if shard and size + tensor.nbytes > shard_bytes:
                yield shard
                shard, size = {}, 0
            shard[name] = tensor.clone(memory_format=_contiguous())  # it outlives its file
            size += tensor.nbytes
        on_progress(done, len(theirs))
    yield shard


def _contiguous() -> Any:
    import torch

    return torch.contiguous_format


def _as_stored(ours: str, theirs: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """What transformers has for one of our tensors."""
    if ours.startswith(f"{CODEC}.codebooks."):
        yield from _codebook(theirs.removesuffix("embed"), tensor)
    elif ours.startswith(f"{CODEC}.") and tensor.dim() == 3:
        length, direction = _length_and_direction(tensor)
        before = theirs.removesuffix("weight")
        yield f"{before}parametrizations.weight.original0", length
        yield f"{before}parametrizations.weight.original1", direction
    else:
        yield theirs, tensor


def _codebook(before: str, vectors: Tensor) -> Iterator[tuple[str, Tensor]]:
    """With what its training kept beside the vectors."""
    import torch

    yield f"{before}embed", vectors
    yield f"{before}embed_avg", vectors
    yield f"{before}cluster_size", torch.zeros(len(vectors))
    yield f"{before}inited", torch.ones(1)


def _length_and_direction(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Of which `contract.normed` makes the same weight, to the last bit: its own norm by the same
    operator, so that their quotient is 1. A row of zeros is any direction of length 0.
    """
    import torch

    weight = weight.float().contiguous()
    empty = ~weight.flatten(1).any(dim=1)
    direction = torch.where(empty[:, None, None], torch.ones_like(weight), weight)
    ones = torch.ones(len(weight), 1, 1)
    interface = torch._weight_norm_interface  # pyright: ignore[reportPrivateImportUsage]
    _, length = interface(direction, ones, 0)
    return torch.where(empty[:, None, None], torch.zeros_like(length), length), direction


# ---------------------------------------------------------------- settings


def _config_json(config: ModelConfig) -> dict[str, Any]:
    """Raises Refused for what it cannot say: a MAGNeT, other delays, a projection of text that
    transformers leaves out, chroma of another window.
    """
    lm = config.lm
    for what, got, fine in (
        ("way of composing", "a piece at once", lm.magnet is None),
        ("delays of the codebooks", lm.own_delays, lm.own_delays in (None, lm.usual_delays)),
        ("width of the text", lm.text_size, not lm.always_projects_text),
        ("style", "what hears it", config.style is None),
        ("window of the chroma", lm.chroma and lm.chroma.window,
         lm.chroma is None or lm.chroma.window == ChromaConfig().window),
    ):  # fmt: skip
        if not fine:
            raise Refused(
                f"the model's {what}",
                got=shown(got),
                expected="what a config.json of Hugging Face's can say",
                remedy="use it in its own layout",
            )
    melody = lm.chroma is not None
    kind = "MusicgenMelody" if melody else "Musicgen"
    whole = {
        "architectures": [f"{kind}ForConditionalGeneration"],
        "model_type": MELODY_TYPE if melody else TEXT_TYPE,
        "is_encoder_decoder": not melody,
        "dtype": "float32",
        "text_encoder": _text(config.text),
        "audio_encoder": _codec(config.codec),
        "decoder": _decoder(lm),
    }
    if lm.chroma is not None:
        whole |= {"num_chroma": lm.chroma.bins, "chroma_length": lm.chroma.frames}
    return whole | ({} if config.makes == MUSIC else {"makes": config.makes})


def _decoder(lm: LMConfig) -> dict[str, Any]:
    """Windows shorter than the usual one are said by how many positions there are."""
    usual, long_form = lm.window_frames >= TRAINED_FRAMES, lm.long_form
    return {
        **({} if long_form is None else {"long_form_frames": list(astuple(long_form))}),
        "model_type": "musicgen_decoder" if lm.chroma is None else "musicgen_melody_decoder",
        "hidden_size": lm.hidden_size,
        "num_hidden_layers": lm.num_layers,
        "num_attention_heads": lm.num_heads,
        "ffn_dim": lm.ffn_size,
        "vocab_size": lm.codebook_size,
        "num_codebooks": lm.num_codebooks,
        "audio_channels": lm.channels,
        "max_position_embeddings": POSITIONS if usual else lm.window_frames + lm.max_delay,
        "activation_function": "gelu",
        "scale_embedding": False,
        "tie_word_embeddings": False,
        "pad_token_id": lm.special_token,
        "bos_token_id": lm.special_token,
        "dtype": "float32",
    }


def _text(text: T5Config) -> dict[str, Any]:
    return {
        "model_type": "t5",
        "d_model": text.hidden_size,
        "vocab_size": text.vocab_size,
        "d_kv": text.head_size,
        "d_ff": text.ffn_size,
        "num_layers": text.num_layers,
        "num_heads": text.num_heads,
        "relative_attention_num_buckets": text.num_buckets,
        "relative_attention_max_distance": text.max_distance,
        "layer_norm_epsilon": text.epsilon,
        "feed_forward_proj": f"gated-{text.activation}" if text.gated else text.activation,
        "is_encoder_decoder": False,
        "use_cache": False,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "dtype": "float32",
    }


def _codec(codec: CodecConfig) -> dict[str, Any]:
    known = {
        "model_type": "encodec",
        "sampling_rate": codec.sample_rate,
        "audio_channels": 1,
        "upsampling_ratios": list(codec.strides),
        "codebook_size": codec.codebook_size,
        "codebook_dim": codec.hidden_size,
        "hidden_size": codec.hidden_size,
        "num_filters": codec.num_filters,
        "compress": codec.compress,
        "num_residual_layers": codec.num_residual_layers,
        "num_lstm_layers": codec.num_lstm_layers,
        "kernel_size": codec.kernel_size,
        "last_kernel_size": codec.last_kernel_size,
        "residual_kernel_size": codec.residual_kernel_size,
        "dilation_growth_rate": codec.dilation_growth,
        "trim_right_ratio": codec.trim_right,
        "pad_mode": codec.pad_mode,
        "use_causal_conv": codec.causal,
        "use_conv_shortcut": codec.conv_shortcut,
        "norm_type": "weight_norm",
        "normalize": False,
        "chunk_length_s": None,
        "dtype": "float32",
    }
    return known | {"target_bandwidths": [bandwidth_of(known, codec.num_codebooks)]}


def _generation(lm: LMConfig) -> dict[str, Any]:
    """audiocraft's defaults, as transformers says them."""
    return {
        "max_length": lm.window_frames,
        "do_sample": True,
        "guidance_scale": 3.0,
        "top_k": min(250, lm.codebook_size),
        "decoder_start_token_id": lm.special_token,
        "pad_token_id": lm.special_token,
        "bos_token_id": lm.special_token,
    }


def _preprocessor(config: ModelConfig) -> dict[str, Any]:
    lm, common = config.lm, {"padding_value": 0.0, "return_attention_mask": True}
    common |= {"sampling_rate": lm.sample_rate, "feature_size": lm.channels, "padding_side": "left"}
    if lm.chroma is None:
        return common | {
            "feature_extractor_type": "EncodecFeatureExtractor",
            "processor_class": "MusicgenProcessor",
            "chunk_length_s": None,
            "overlap": None,
        }
    return common | {
        "feature_extractor_type": "MusicgenMelodyFeatureExtractor",
        "processor_class": "MusicgenMelodyProcessor",
        "feature_size": lm.chroma.bins,
        "num_chroma": lm.chroma.bins,
        "n_fft": lm.chroma.window,
        "hop_length": lm.chroma.hop,
        "chunk_length": round(lm.window_frames / lm.frame_rate),
        "stem_indices": [3, 2],
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
