"""The text encoder: a T5 encoder and its tokenizer, through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import nn

from .conditioning import Conditioning
from .refused import Refused

MAX_TOKENS = (
    512  # T5 was trained on no more; a longer prompt is refused rather than cut without a word
)


class Tokenizer(Protocol):
    def __call__(
        self, text: list[str], *, padding: bool, return_tensors: str
    ) -> dict[str, torch.Tensor]: ...


class TextEncoder(nn.Module):
    def __init__(self, t5: nn.Module, tokenizer: Tokenizer):
        super().__init__()
        self.t5 = t5
        self.tokenizer = tokenizer

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Conditioning:
        """One item a text. An empty text is unconditional: its mask is empty and its states are zeros.

        Raises Refused if there is no text at all, or one is longer than `MAX_TOKENS` tokens.
        """
        if not texts:
            raise Refused("text: got no text, expected at least one (it may be empty)")
        batch = self.tokenizer([text.strip() for text in texts], padding=True, return_tensors="pt")
        ids, mask = batch["input_ids"], batch["attention_mask"].bool()
        if ids.shape[1] > MAX_TOKENS:
            raise Refused(
                f"text: got {ids.shape[1]} tokens, expected at most {MAX_TOKENS}; shorten the prompt"
            )
        device = self.t5.shared.weight.device
        states = self.t5(
            input_ids=ids.to(device), attention_mask=mask.to(device)
        ).last_hidden_state.cpu()
        mask &= torch.tensor([bool(text.strip()) for text in texts]).unsqueeze(-1)
        return Conditioning(tuple(texts), states * mask.unsqueeze(-1), mask)
