"""MAGNeT models in audiocraft's layout, on a tiny twin of transformers."""

from __future__ import annotations

from pathlib import Path

import torch
from audiocraft_layout import write_audiocraft
from tiny import Tiny

SEGMENT_S, FRAMES, SPAN = 2, 100, 3
GOLDEN_S = 1
EVERY = 4
"""frame of the golden logits is kept"""
GOLDEN = Path(__file__).with_name("audiocraft_magnet.safetensors")
DRAWS = {
    "likeliest": {"temperature": 0.0},
    "top_p": {"temperature": 3.0, "top_p": 0.9},
    "top_k": {"temperature": 2.0, "top_k": 20},
}
PROMPT = torch.arange(4 * 7).view(1, 4, 7) * 5 % 64
"""Of which the last frame begins a span."""


def write_magnet(folder: Path, twin: Tiny, segment_s: int = SEGMENT_S, **magnet) -> Path:
    write_audiocraft(folder, twin.upstream, segment_s=segment_s, magnet=magnet)
    return folder


def write_golden_magnet(folder: Path, twin: Tiny) -> Path:
    """Its weights come from a formula, so that every machine has the same ones."""
    with torch.no_grad():
        for index, (name, parameter) in enumerate(sorted(twin.upstream.named_parameters())):
            if not name.startswith("audio_encoder.") and "embed_positions" not in name:
                parameter.copy_(_values(parameter.shape, index, name))
    return write_magnet(folder, twin, GOLDEN_S)


def _values(shape: torch.Size, index: int, name: str) -> torch.Tensor:
    waves = torch.sin(torch.arange(shape.numel(), dtype=torch.float64) ** 1.5 + index).view(shape)
    if "norm" in name:
        return 1 + 0.2 * waves if name.endswith("weight") else 0.2 * waves
    return waves * (0.6 if name.startswith("decoder.") else 0.3)
