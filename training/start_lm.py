"""What a language model begins with when another one of the same width is there: its body, and new
code tables.

The codes of a new codec mean other things, so tables and heads cannot be taken over as they are.
But both codecs can encode the same music: a new code starts as the mean of the old codes that stood
in its place. Not run by itself; see train_lm.py.
"""

import re
from pathlib import Path

import torch
from common import folder_tensors
from torch import Tensor

CODE_TABLES = re.compile(r"(embed_tokens\.\d+|lm_heads\.\d+)\.weight$")


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Everything but the codec of a MusicGen folder, float32 by name."""
    tensors = folder_tensors(folder).items()
    return {name: one for name, one in tensors if not name.startswith("audio_encoder.")}


@torch.no_grad()
def take_body(weights: dict[str, Tensor], source: dict[str, Tensor]) -> list[str]:
    """Copies what `source` has in the same shape, but no code tables; returns the names left.

    A layer that `source` lacks starts as one that adds nothing.
    """
    left = []
    for name, parameter in weights.items():
        if (
            name in source
            and source[name].shape == parameter.shape
            and not CODE_TABLES.search(name)
        ):
            parameter.copy_(source[name])
            continue
        left.append(name)
        if re.search(r"layers\.\d+\.(.*out_proj|fc2)\.weight$", name):
            parameter.zero_()
    return left


def mean_of_old(old: Tensor, old_codes: Tensor, new_codes: Tensor, size: int) -> Tensor:
    """old [V + 1 or V, D], codes int64 [N] of the same frames -> [size, D]; a code never seen gets
    the mean of all.
    """
    count = torch.zeros(size).index_add_(0, new_codes, torch.ones(len(new_codes)))
    total = torch.zeros(size, old.shape[1]).index_add_(0, new_codes, old[old_codes])
    overall = old[old_codes].mean(0)
    return torch.where(count[:, None] > 0, total / count.clamp(min=1)[:, None], overall)


@torch.no_grad()
def keep_code_tables(weights: dict[str, Tensor], source: dict[str, Tensor]) -> None:
    """Tables and heads from `source`'s as they are, where the codes mean what they meant."""
    for name, parameter in weights.items():
        if CODE_TABLES.search(name):
            parameter.copy_(source[name])


@torch.no_grad()
def take_code_tables(
    weights: dict[str, Tensor], source: dict[str, Tensor], old_codes: Tensor, new_codes: Tensor
) -> None:
    """Tables and heads from `source`'s, by codes int64 [K, N] of the same music in both codecs."""
    for name, parameter in weights.items():
        if not CODE_TABLES.search(name):
            continue
        level, old = int(re.search(r"\.(\d+)\.weight$", name)[1]), source[name]
        codes = len(parameter) - ("embed_tokens" in name)
        parameter[:codes] = mean_of_old(old, old_codes[level], new_codes[level], codes)
        parameter[codes:] = old[-1]  # of a table: the special id means what it meant
