"""Engines know of weights what the contract says, and nothing of layouts or files."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from sessions import opened

from musicgraph.models.config import ModelConfig
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.parameters import all_shapes
from musicgraph.models.weights import checkpoint
from musicgraph.models.weights.tokenizer import Tokenizer

CPU = torch.device("cpu")


@dataclass(frozen=True)
class InMemory:
    """Another layout: q, k and v are rows of one tensor, as audiocraft has them."""

    config: ModelConfig
    tensors: dict[str, torch.Tensor]
    read: Tokenizer
    fingerprint: str = "in memory"
    folder: Path = Path("nowhere")
    size_bytes: int = 0

    def tensor(self, name):
        owner, _, part = name.removesuffix(".weight").rpartition(".")
        if part in ("q", "k", "v") and owner.startswith("lm."):
            rows = self.tensors[f"{owner}.in_proj"].chunk(3)
            return rows["qkv".index(part)]
        return self.tensors[name]

    def tokenizer(self):
        return self.read


def in_memory(weights, change=lambda name, tensor: tensor):
    names = list(all_shapes(weights.config))
    tensors = {name: change(name, weights.tensor(name).clone()) for name in names}
    for layer in range(weights.config.lm.num_layers):
        parts = [tensors.pop(f"lm.layers.{layer}.{part}.weight") for part in "qkv"]
        tensors[f"lm.layers.{layer}.in_proj"] = torch.cat(parts)
    return InMemory(weights.config, tensors, weights.tokenizer())


def engine_of(kind, weights):
    if kind == "torch":
        return TorchEngine(checkpoint.load_lm(weights, torch.float32, CPU))
    return NumbaEngine(weights, kind)


@pytest.mark.parametrize("kind", ["torch", "fp32", "int8", "int4"])
def test_an_engine_takes_weights_of_any_layout(mono, kind):
    """The same bits from a file, from another layout, and no longer the same with other weights."""
    heard = mono.text.encode(["a calm piano", "drums"])
    steps = torch.randint(0, 64, (2, 4, 6), generator=torch.manual_seed(0))

    def logits(weights):
        return opened(engine_of(kind, weights), heard, 6, cfg=3.0).step(steps)

    expected = logits(mono.checkpoint)
    assert torch.equal(logits(in_memory(mono.checkpoint)), expected)
    other = in_memory(mono.checkpoint, lambda name, one: -one if "fc2" in name else one)
    other = InMemory(other.config, other.tensors, other.read, fingerprint="others")
    assert not torch.equal(logits(other), expected)


def test_text_encoder_and_codec_take_weights_of_any_layout(mono):
    weights, text = in_memory(mono.checkpoint), ["a calm piano"]
    states = checkpoint.load_text_encoder(weights).encode(text).states
    assert torch.equal(states, mono.text.encode(text).states)
    tokens = torch.randint(0, 64, (1, 4, 60), generator=torch.manual_seed(0))
    assert torch.equal(
        checkpoint.load_codec(weights).decode(tokens, 1), mono.codec.decode(tokens, 1)
    )
