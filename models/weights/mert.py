"""MERT, which a style model hears through: its settings, and its weights by transformers' names.

The published MERT-v1-95M lies in a pickle alone (`pytorch_model.bin`), which is read as weights
alone; safetensors are taken where somebody has made them. None of the code that lies beside the
weights is run: what it adds to HuBERT is off in this model, and refused where it is on.

Source: yizhilll/MERT, `mert_hf/modeling_MERT.py` and `configuration_MERT.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..config import MERTConfig
from ..parameters import MERT, mert_shapes, under
from ..refused import Refused
from . import archive_files
from .archive_files import Files, Place
from .checkpoint_config import REMEDY, Number, Numbers, OneOf, Rule, read_part
from .download import PICKLE, is_whole_hugging_face
from .hugging_face import open_mert_safetensors
from .torch_archive import TorchArchive

MODEL_TYPE = "mert_model"
CONVOLUTIONS = 7

SETTINGS: Mapping[str, Rule] = {
    "hidden_size": Number(1, 16384),
    "num_hidden_layers": Number(1, 256),
    "num_attention_heads": Number(1, 256),
    "intermediate_size": Number(1, 65536),
    "conv_dim": Numbers(Number(1, 16384), 16, [512] * CONVOLUTIONS),
    "conv_kernel": Numbers(Number(1, 64), 16, [10, 3, 3, 3, 3, 2, 2]),
    "conv_stride": Numbers(Number(1, 64), 16, [5, 2, 2, 2, 2, 2, 2]),
    "num_conv_pos_embeddings": Number(1, 4096, default=128),
    "num_conv_pos_embedding_groups": Number(1, 4096, default=16),
    "layer_norm_eps": Number(1e-12, 0.1, default=1e-5, whole=False),
    "sample_rate": OneOf((24000,), 24000),
    "feature_extractor_cqt": OneOf((False,), False),
    "deepnorm": OneOf((False,), False),
    "attention_relax": Number(-1, 0, default=-1.0, whole=False),
    "do_stable_layer_norm": OneOf((False,), False),
    "feat_proj_layer_norm": OneOf((True,), True),
    "feat_extract_norm": OneOf(("group",), "group"),
    "feat_extract_activation": OneOf(("gelu",), "gelu"),
    "hidden_act": OneOf(("gelu",), "gelu"),
    "conv_bias": OneOf((False,), False),
    "conv_pos_batch_norm": OneOf((False,), False),
}
"""Defaults are those of MERT's own configuration class. A relaxed attention is one above 0."""


def read_mert_config(path: Path) -> MERTConfig:
    """Raises Refused if it is no MERT's, a setting is missing or out of bounds, or it says that the
    model computes something that HuBERT does not.
    """
    found = read_part(path, SETTINGS, MODEL_TYPE)
    d = found["hidden_size"]
    convolutions = [found[f"conv_{name}"] for name in ("dim", "kernel", "stride")]
    for name in ("num_attention_heads", "num_conv_pos_embedding_groups"):
        _check(path, name, d % found[name] == 0, "a divisor of hidden_size")
    _check(path, "conv_kernel", len(set(map(len, convolutions))) == 1, "one for each convolution")
    sizes, kernels, strides = map(tuple, convolutions)
    return MERTConfig(
        hidden_size=d,
        num_layers=found["num_hidden_layers"],
        num_heads=found["num_attention_heads"],
        ffn_size=found["intermediate_size"],
        conv_sizes=sizes,
        conv_kernels=kernels,
        conv_strides=strides,
        position_kernel=found["num_conv_pos_embeddings"],
        position_groups=found["num_conv_pos_embedding_groups"],
        epsilon=found["layer_norm_eps"],
        sample_rate=found["sample_rate"],
    )


def _check(path: Path, name: str, fine: bool, expected: str) -> None:
    if not fine:
        raise Refused(f"{path}: {name}", got="another one", expected=expected, remedy=REMEDY)


def open_mert(folder: Path, config: MERTConfig) -> Files:
    """Its tensors, by `parameters.mert_shapes`. Raises Refused unless all are there, in these
    shapes and as floats.
    """
    shapes = mert_shapes(config)
    if is_whole_hugging_face(folder):
        return open_mert_safetensors(folder, shapes)
    archive = TorchArchive(folder / PICKLE)
    places = {f"{MERT}.{name}": Place((name,)) for name in shapes}
    expected = under(MERT, shapes)
    return archive_files.files_in(archive, archive.select(), places, expected, "config.json")
