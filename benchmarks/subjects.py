"""What is compared: ways to run one musicgen-small-shaped checkpoint, each giving the durations of
its steps.

A step is one pass over all K codebooks for every item and both halves of guidance, sampling
included (top-k 250, guidance 3). Steps are counted where they happen: by a stopping criterion
inside transformers' `generate`, by the frames of our own generator. Not run by itself; see
bench.py.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoTokenizer,
    MusicgenForConditionalGeneration,
    StoppingCriteria,
    StoppingCriteriaList,
)

from musicgraph.models.compose.composition import stream
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines.session import Engine, TorchEngine
from musicgraph.models.weights import checkpoint

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from full_shape import write_small_checkpoint  # noqa: E402 (the tests' own maker of full-sized random weights)

PROMPTS = ("a happy song with drums", "slow piano", "loud rock guitar", "a sad flute")
WARM_UP_STEPS = 3  # the first ones pack weights, allocate caches and read the prompt


class _Clock(StoppingCriteria):
    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(
        self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: object
    ) -> torch.Tensor:
        self.times.append(time.perf_counter())
        return torch.zeros(input_ids.shape[0], dtype=torch.bool)


def durations(times: list[float]) -> list[float]:
    """Seconds between steps, without the first ones."""
    gaps = [after - before for before, after in zip(times, times[1:], strict=False)]
    return gaps[WARM_UP_STEPS:]


@dataclass(frozen=True)
class Upstream:
    model: MusicgenForConditionalGeneration
    tokenizer: object

    def steps(self, items: int, steps: int) -> list[float]:
        clock = _Clock()
        inputs = self.tokenizer(list(PROMPTS[:items]), padding=True, return_tensors="pt")
        torch.manual_seed(0)
        with torch.inference_mode():
            self.model.generate(
                **inputs,
                do_sample=True,
                top_k=250,
                guidance_scale=3.0,
                max_new_tokens=steps,
                stopping_criteria=StoppingCriteriaList([clock]),
            )
        return durations(clock.times)


@dataclass(frozen=True)
class Ours:
    engine: Engine
    text: Callable

    def steps(self, items: int, steps: int) -> list[float]:
        times = []
        generation = Generation(steps - self.engine.config.max_delay, 0, Sampling())
        with_progress = stream(self.engine, generation, self.text(PROMPTS[:items]))
        for _ in with_progress:
            times.append(time.perf_counter())
        return durations(times)

    def first_and_late_steps(self, past: int, steps: int) -> tuple[list[float], list[float]]:
        """Bare steps after none and after `past` others, in turn: no sampling, one item."""
        config = self.engine.config
        heard = [self.text(PROMPTS[:1]).item(0), None]  # as with guidance
        tokens = torch.randint(0, config.codebook_size, (1, config.num_codebooks, past + steps))
        first, late = (self.engine.open(len(heard), room) for room in (steps, past + steps))
        slots = {
            session: [session.admit(heard, room)]
            for session, room in ((first, steps), (late, past + steps))
        }
        late.step(slots[late], tokens[:, :, :past])
        took: tuple[list[float], list[float]] = [], []
        for t in range(steps):
            for session, position, seconds in ((first, t, took[0]), (late, past + t, took[1])):
                started = time.perf_counter()
                session.step(slots[session], tokens[:, :, position : position + 1])
                seconds.append(time.perf_counter() - started)
        return took[0][WARM_UP_STEPS:], took[1][WARM_UP_STEPS:]


def write_checkpoint(folder: Path) -> Upstream:
    """Random weights of a fixed seed in musicgen-small's shape, 2.4 GB, and upstream's model of
    them.
    """
    model = write_small_checkpoint(folder)
    return Upstream(model, AutoTokenizer.from_pretrained(folder))


def load_ours(folder: Path) -> dict[str, Ours]:
    from musicgraph.models.engines.numba_engine import NumbaEngine
    from musicgraph.models.engines.numba_packed import packed_tensors

    opened = checkpoint.open_checkpoint(folder)
    packed_tensors(opened, "int4")  # kept: random weights hear no music that they be rounded for
    text = checkpoint.load_text_encoder(opened).encode
    lm = checkpoint.load_lm(opened, torch.float32, torch.device("cpu"))
    engines = {"torch fp32": TorchEngine(lm)}
    engines |= {
        f"numba {precision}": NumbaEngine(opened, precision)
        for precision in ("fp32", "int8", "int4")
    }
    return {name: Ours(engine, text) for name, engine in engines.items()}


def head_weights(folder: Path) -> int:
    """Of those of a step."""
    config = checkpoint.open_checkpoint(folder).config.lm
    return config.num_codebooks * config.codebook_size * config.hidden_size


def past_numbers(folder: Path) -> int:
    """Keys and values of one position of one item with guidance."""
    config = checkpoint.open_checkpoint(folder).config.lm
    return 2 * 2 * config.num_layers * config.hidden_size


def step_weights(folder: Path) -> int:
    """Numbers that a step reads once: the matrices of the layers and the heads, less what is used
    once a prompt.
    """
    config = checkpoint.open_checkpoint(folder).config.lm
    d = config.hidden_size
    layer = (
        4 * d * d + 2 * d * d + 2 * d * config.ffn_size
    )  # q k v out, text q and out, feed-forward
    return config.num_layers * layer + head_weights(folder)
