"""What a decoder would play after a prompt, beside what it plays after the caption that the prompt
stands for: the divergence that teaches the text encoder what matters to the music. Not run by
itself; see polish_text.py.

Distillation on the teacher's own music (as in on-policy distillation, with the roles of drawing
fixed): the decoder makes music from captions; the divergence is that of the distributions tokens
are drawn from, with guidance and temperature, over the codebooks of each frame.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from lm import delayed
from subject import load
from torch import Tensor, nn
from torch.nn import functional
from words.pocket import caption_for
from words.wishes import Wish, draw_wish, put_into_words

from musicgraph.models.config import Sampling


@dataclass(frozen=True)
class HeardSettings:
    wishes: int = 3000  # each with music of its own; worded anew every time
    held_out: int = 96  # the last of them
    seconds: float = 3.0
    rows: int = 8  # in a step
    temperature: float = 0.9
    guidance: float = 3.0


def wish_of(seed: int) -> Wish:
    return draw_wish(random.Random(seed))


def record_music(folder: Path, settings: HeardSettings, first_seed: int) -> Tensor:
    """What the decoder in `folder` plays from the captions of wishes: int16 [wishes, K, T]."""
    pocket = load(folder)
    sampling = Sampling(temperature=settings.temperature, cfg=settings.guidance)
    captions = [caption_for(wish_of(first_seed + i)) for i in range(settings.wishes)]
    return pocket.tokens(captions, settings.seconds, sampling, first_seed, "fp32").short()


class GuidedMusic:
    """Music of a decoder that stays as it is, and how far it is from being played so again."""

    def __init__(
        self, decoder: nn.Module, tokens: Tensor, first_seed: int, settings: HeardSettings
    ) -> None:
        self.decoder, self.settings, self.first_seed = decoder, settings, first_seed
        self.special = decoder.config.vocab_size
        self.columns = delayed(tokens.long(), self.special)

    def draw(
        self, rng: random.Random, words: Sequence[str], held_out: bool = False
    ) -> tuple[list[tuple[str, str]], Tensor]:
        """Pairs of a prompt and its caption, and the music of each: columns [B, K, S]."""
        known = len(self.columns) - self.settings.held_out
        drawn_from = range(known, len(self.columns)) if held_out else range(known)
        chosen = [rng.choice(drawn_from) for _ in range(self.settings.rows)]
        wishes = [wish_of(self.first_seed + i) for i in chosen]
        pairs = [(put_into_words(wish, rng, words), caption_for(wish)) for wish in wishes]
        return pairs, self.columns[chosen]

    def divergence(
        self, read: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor], columns: Tensor
    ) -> Tensor:
        """Nats a frame, of all codebooks together; `read` and `wanted`: states [B, L, H], mask."""
        with torch.no_grad():
            silence = torch.zeros_like(read[0][:, :1])
            nothing = self._logits(silence, None, columns[..., :-1])
            target = self._guided(nothing, self._logits(*wanted, columns[..., :-1]))
        made = self._guided(nothing, self._logits(*read, columns[..., :-1]))
        apart = functional.kl_div(made, target, log_target=True, reduction="none").sum(-1)
        sounding = columns[..., 1:] != self.special
        return (apart * sounding).sum() / sounding[:, 0].sum()

    def _guided(self, nothing: Tensor, logits: Tensor) -> Tensor:
        s = self.settings
        return ((nothing + s.guidance * (logits - nothing)) / s.temperature).log_softmax(-1)

    def _logits(self, states: Tensor, mask: Tensor | None, columns: Tensor) -> Tensor:
        """[B, K, S, V]"""
        batch, codebooks, _ = columns.shape
        made = self.decoder(
            input_ids=columns.flatten(0, 1),
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
        ).logits
        return made.unflatten(0, (batch, codebooks)).float()
