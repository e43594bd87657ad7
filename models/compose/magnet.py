"""A piece at once, as MAGNeT makes it: one codebook after the other, each in a few passes.

    codebook   passes   what is masked before each: spans of frames, the least sure ones
    0          20       ████████████  ██·███·█████  ·█··██·█··█·  ····█·······
    1, 2, 3    10       the same; attention reaches a few frames to either side

A pass draws every masked frame at once. Then the spans of which the model was least sure are masked
again, fewer each time; the others stay. Guidance falls from `cfg` to 1 with the share that is
masked, temperature to nearly 0 with the passes.

Source: audiocraft's lm_magnet.py, with its defaults: a span is as sure as its surest frame, spans
do not overlap, and nothing else judges them (Ziv et al. 2024).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence

import torch
from torch import Tensor

from ..config import Generation, LMConfig, MagnetConfig, Sampling
from ..engines.drawing import keep_top_k, keep_top_p, logit_sums, mixed
from ..engines.session import TorchEngine
from ..mix import AnyMix
from ..refused import Refused
from .checks import checked_batch, checked_prompt, no_numbers
from .guidance import Branch, Branches, Sides, sides_of, weights_of
from .noise import Noise

FIRST_PASSES, PASSES = 20, 10  # of the first codebook, and of each other
LEAST_TEMPERATURE = 0.01
SETTLED = -1e4  # less doubtful than anything that was drawn


def passes_of(config: LMConfig) -> list[int]:
    """How many passes each codebook takes."""
    return [FIRST_PASSES] + [PASSES] * (config.num_codebooks - 1)


def piece_at_once(
    engine: TorchEngine,
    generation: Generation,
    positive: AnyMix,
    negative: AnyMix | None = None,
    prompt: Tensor | None = None,
) -> Generator[Tensor, None, None]:
    """Yields `[B, K, T]` int64 CPU tokens after each pass, of which the last are the piece: whole
    spans, so up to `span − 1` frames less than asked for. A prompt `[B or 1, K, T0]` is its
    beginning, and kept.

    Raises Refused at once for another length than the model's, settings out of range, and what does
    not fit the model.
    """
    config, items = engine.config, checked_batch(len(positive))
    for heard in (positive, negative):
        if heard is not None:
            heard.check_fits(config)
    generation.sampling.check(config.codebook_size)
    check_length(generation.frames, config)
    known = torch.empty(items, config.num_codebooks, 0, dtype=torch.int64)
    if prompt is not None:
        known = checked_prompt(prompt, config, items)
    piece = _Piece(engine, generation, sides_of(positive, negative), known)
    return piece.play()


def check_length(frames: int, config: LMConfig) -> None:
    if frames != config.window_frames:
        seconds = config.window_frames / config.frame_rate
        raise Refused(
            "duration",
            got=f"{frames / config.frame_rate:g} s",
            expected=f"{seconds:g} s: a MAGNeT makes pieces of the length that it was trained on",
            remedy="choose that length, or a MusicGen",
        )


class _Piece:
    def __init__(
        self,
        engine: TorchEngine,
        generation: Generation,
        sides: Sequence[Sides],
        prompt: Tensor,
    ):
        assert engine.config.magnet is not None
        config, magnet = engine.config, engine.config.magnet
        device, items = engine.device, len(sides)
        self._config, self._magnet, self._precision = config, magnet, engine.precision
        self._sampling, self._sides = generation.sampling, sides
        self._spans = generation.frames // magnet.span
        frames = self._spans * magnet.span
        self._prompt = _checked_room(prompt, frames, magnet).to(device)
        shape = items, config.num_codebooks, frames
        self._tokens = torch.full(shape, config.special_token, device=device)
        self._tokens[:, :, : prompt.shape[2]] = self._prompt
        self._guided = self._sampling.cfg != 1 and not all(one.hears_nothing for one in sides)
        branches = self._branches(1.0)
        rows = [(item, one) for item, own in enumerate(branches) for one in own]
        self._item_of_row = torch.tensor([item for item, _ in rows], device=device)
        self._reader = engine.whole([one.conditioning for _, one in rows], frames)
        self._noise = Noise(generation.seed, items, frames, config.codebook_size, device)

    def play(self) -> Generator[Tensor, None, None]:
        for codebook, passes in enumerate(passes_of(self._config)):
            yield from self._filled(codebook, passes)

    def _filled(self, codebook: int, passes: int) -> Iterator[Tensor]:
        """Draws a codebook; what the later ones are, nobody knows yet."""
        span, known = self._magnet.span, self._prompt.shape[2]
        doubts = torch.zeros(len(self._tokens), self._spans, device=self._tokens.device)
        doubts[:, : known // span] = SETTLED
        # in float32, as upstream: a share of the spans that is nearly whole is cut off below
        shares = torch.cos(torch.linspace(0, 1, passes) * math.pi * 0.5)
        for number, share in enumerate(shares, 1):
            count = max(1, int((share * (self._spans - known // span)).item()))
            chosen = torch.zeros_like(doubts, dtype=torch.bool)
            chosen.scatter_(1, doubts.topk(count, dim=1).indices, value=True)
            self._mask(codebook, chosen.repeat_interleave(span, dim=1))
            cooling = (passes - number) / passes
            sure = self._drawn(codebook, float(share), self._sampling.temperature * cooling)
            doubts = 1 - sure.unflatten(1, (self._spans, span)).amax(dim=2)
            doubts = doubts.masked_fill(~chosen, SETTLED)
            yield self._tokens.to("cpu", copy=True)

    def _mask(self, codebook: int, frames: Tensor) -> None:
        """A span that begins within the prompt is masked behind it."""
        own = self._tokens[:, codebook]
        own.masked_fill_(frames, self._config.special_token)
        own[:, : self._prompt.shape[2]] = self._prompt[:, codebook]

    def _drawn(self, codebook: int, share: float, temperature: float) -> Tensor:
        """Draws what is masked; `[B, T]`, how likely what was drawn is, at every frame."""
        reach = self._magnet.reach if codebook else None
        read = self._reader.logits(self._tokens[self._item_of_row], codebook, reach)
        strength = self._sampling.cfg * share + (1 - share)
        logits = mixed(read, weights_of(self._branches(strength)))
        sums = logit_sums(logits).cpu()
        if not sums.isfinite().all():
            raise no_numbers(f"codebook {codebook}", sums, self._precision)
        noise = self._noise.draw() if self._sampling.temperature else None
        new, sure = _draw(logits, noise, self._sampling, temperature)
        own = self._tokens[:, codebook]
        own.copy_(torch.where(own == self._config.special_token, new, own))
        return sure

    def _branches(self, strength: float) -> tuple[Branches, ...]:
        """What each item hears, at this guidance; its number of branches is always the same."""
        return tuple(
            (
                *(Branch(one, strength * share) for one, share in sides.positive),
                *(Branch(one, (1 - strength) * share) for one, share in sides.negative),
            )
            if self._guided
            else tuple(Branch(one, share) for one, share in sides.positive)
            for sides in self._sides
        )


def _checked_room(prompt: Tensor, frames: int, magnet: MagnetConfig) -> Tensor:
    """Raises Refused for a prompt that leaves no span to be made."""
    most = frames - magnet.span
    if prompt.shape[2] > most:
        raise Refused(
            "audio prompt",
            got=f"{prompt.shape[2]} frames",
            expected=f"at most {most}: a MAGNeT makes {frames}, the prompt's among them",
            remedy="crop the prompt, or continue it with a MusicGen",
        )
    return prompt


def _draw(
    logits: Tensor, noise: Tensor | None, sampling: Sampling, temperature: float
) -> tuple[Tensor, Tensor]:
    """`[B, T, V]` logits and noise → `[B, T]` tokens, and how likely each was.

    Without noise: the likeliest. With top-k the likelihood is that among the k, as upstream has it.
    """
    likely = torch.softmax(logits / max(temperature, LEAST_TEMPERATURE), dim=-1)
    if noise is None:
        tokens = logits.argmax(dim=-1)
    elif sampling.top_p > 0:
        tokens = (keep_top_p(likely, sampling.top_p) / noise).argmax(dim=-1)
    else:
        likely = keep_top_k(likely, sampling.top_k)
        likely = likely / likely.sum(dim=-1, keepdim=True)
        tokens = (likely / noise).argmax(dim=-1)
    return tokens, likely.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
