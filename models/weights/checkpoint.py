"""A checkpoint's parts, each straight to its final type and device, whatever the layout.

The LM is filled one tensor at a time and each mapping is closed behind it, so that loading needs
the weights once, not twice. Opening needs no torch.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..parameters import (
    CODEC,
    LM,
    MERT,
    STYLE,
    TEXT,
    codec_shapes,
    mert_shapes,
    style_shapes,
    text_shapes,
)
from ..refused import Refused
from .contract import Weights, fingerprint, largest
from .folder_kinds import is_audiocraft
from .hugging_face import open_hugging_face

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..encodec import Codec
    from ..lm import MusicGenLM
    from ..style import StyleEncoder
    from ..text import TextEncoder


def open_checkpoint(folder: Path, folders: Sequence[Path] = ()) -> Weights:
    """Opens a folder, in the layout that it is in; reads settings and headers, no weights.

    `folders` are those of the models, where the parts may lie that audiocraft's layout only names.

    Raises Refused if this is no checkpoint, or a broken one, with what to do; `parts.PartMissing`
    if it is whole and a part that it names is not on this machine.
    """
    if is_audiocraft(folder):
        from .audiocraft import open_audiocraft

        return open_audiocraft(folder, folders)
    return open_hugging_face(folder)


def fingerprint_of(folder: Path, folders: Sequence[Path] = ()) -> str:
    """Of what is opened from there; of the folder alone, where only that counts or it cannot be
    opened yet.
    """
    if is_audiocraft(folder):
        with contextlib.suppress(Refused):
            return open_checkpoint(folder, folders).fingerprint
    return fingerprint(folder)


def load_lm(weights: Weights, dtype: torch.dtype, device: torch.device) -> MusicGenLM:
    """The LM in `dtype` on `device`. Needs the weights once, plus one tensor.

    Raises Refused if a weight is no number, or none of this type.
    """
    import torch

    from ..lm import MusicGenLM, tensors_of

    config = weights.config.lm
    with torch.device("meta"):
        lm = MusicGenLM(config)
    state = {}
    for name, parameter in lm.named_parameters():
        names = tensors_of(name, config.num_codebooks)
        state[name] = torch.empty(parameter.shape, dtype=dtype, device=device)
        for piece, one in zip(state[name].chunk(len(names)), names, strict=True):
            tensor = weights.tensor(f"{LM}.{one}")
            piece.copy_(tensor)
            _check_range(weights.folder, f"{LM}.{one}", piece, tensor)
    lm.load_state_dict(state, assign=True)
    return lm.requires_grad_(False).eval()


def _check_range(folder: Path, name: str, copied: Tensor, tensor: Tensor) -> None:
    """Raises Refused if a number became infinite in the narrower type that it was copied to."""
    import torch

    from ..precision import NAMES

    most = torch.finfo(copied.dtype).max
    if torch.finfo(tensor.dtype).max > most and largest(copied) == math.inf:
        raise Refused(
            f"{folder}: {name}",
            got=f"a weight of {largest(tensor):g}",
            expected=f"at most {most:g}, the largest number in {NAMES[copied.dtype]}",
            remedy="choose precision bf16 or fp32",
        )


def load_text_encoder(weights: Weights) -> TextEncoder:
    """T5 and its tokenizer, in float32: it runs once a prompt, and T5 overflows in half precision.

    Raises Refused if a weight is no number, or the tokenizer is missing or does not fit.
    """
    import torch

    from ..t5 import T5Encoder
    from ..text import TextEncoder

    tokenizer, config = weights.tokenizer(), weights.config.text
    if tokenizer.size > config.vocab_size:
        raise Refused(
            f"{weights.folder}: tokenizer",
            got=f"{tokenizer.size} pieces",
            expected=f"at most {config.vocab_size}, for which the text encoder has vectors",
            remedy="take the tokenizer files of this checkpoint",
        )
    with torch.device("meta"):
        t5 = T5Encoder(config)
    t5.load_state_dict(
        {name: _float32(weights, f"{TEXT}.{name}") for name in text_shapes(config)}, assign=True
    )
    return TextEncoder(t5.requires_grad_(False), tokenizer).eval()


def load_codec(weights: Weights) -> Codec:
    """The codec, in float32: half precision is audible.

    Raises Refused if a weight is no number.
    """
    import torch

    from ..encodec import Codec

    config = weights.config.codec
    with torch.device("meta"):
        codec = Codec(config)
    codec.fill({name: _float32(weights, f"{CODEC}.{name}") for name in codec_shapes(config)})
    return codec.requires_grad_(False).eval()


def load_style_encoder(weights: Weights) -> StyleEncoder | None:
    """What hears a style, in float32; None for models that follow none.

    Raises Refused if a weight is no number.
    """
    import torch

    config = weights.config.style
    if config is None:
        return None
    from ..style import Bottleneck, StyleEncoder, hubert

    with torch.device("meta"):
        bottleneck, mert = Bottleneck(config), hubert(config.mert)
    for module, part, shapes in (
        (bottleneck, STYLE, style_shapes(config)),
        (mert, MERT, mert_shapes(config.mert)),
    ):
        state = {name: _float32(weights, f"{part}.{name}") for name in shapes}
        module.load_state_dict(state, assign=True)
    return StyleEncoder(mert, bottleneck).requires_grad_(False).eval()


def _float32(weights: Weights, name: str) -> Tensor:
    """A copy: the file may change or go while the model is at work."""
    import torch

    return weights.tensor(name).to(torch.float32, copy=True)
