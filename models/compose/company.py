"""Pieces of music that are composed side by side, each with its own seeds: a step reads the weights
once for all of them.

Only on an engine whose rows are the same alone and in company (`Engine.reads_exactly`): a piece's
tokens are those that it has by itself.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..automation import STEADY, Automation
from ..config import Generation
from ..engines.session import Engine
from ..mix import AnyMix, InRow
from .composition import Composition, stream
from .direction import Direction
from .rows import rows_of
from .timeline import Timeline, score_of


@dataclass(frozen=True)
class SamplerCall:
    """What a sampler is asked for: the arguments of `composition.stream`."""

    engine: Engine
    generation: Generation
    positive: AnyMix | Timeline
    negative: AnyMix | None = None
    prompt: Tensor | None = None
    open_end: bool = False
    automation: Automation = STEADY

    def __len__(self) -> int:
        """How many items it has."""
        return len(self.positive)

    def stream(self) -> Generator[Tensor, None, None]:
        """By itself. Raises Refused as `composition.stream` does."""
        return stream(
            self.engine,
            self.generation,
            self.positive,
            self.negative,
            self.prompt,
            self.open_end,
            self.automation,
        )

    @property
    def begun(self) -> Direction:
        """What it follows from its beginning. Raises Refused as `composition.stream` does."""
        begun, _ = score_of(
            self.engine.config, self.generation, self.positive, self.negative, self.automation
        )
        return begun

    @property
    def rows(self) -> int:
        return rows_of(self.engine.config, self.begun, ())

    @property
    def company(self) -> Hashable:
        """Pieces in which this is equal may be composed side by side; None: only by itself.

        They are equally long, drawn alike, follow one direction from beginning to end, and are the
        same to the last bit in company.
        """
        changes = isinstance(self.positive, Timeline) and self.positive.changes
        if self.prompt is not None or changes or not self.engine.reads_exactly:
            return None
        plain = replace(self.generation, seed=0)
        prompts = max(len(sides.positive) for sides in self.begun.sides)
        return id(self.engine), plain, self.automation, prompts


def side_by_side(pieces: Sequence[SamplerCall]) -> Generator[tuple[Tensor, ...], None, None]:
    """Yields `[B, K, t]` of each piece, in order, t the same for all, as `composition.stream` does.

    `pieces` keep the same company. Raises Refused at once for more items or rows than a composition
    may have.
    """
    assert len({piece.company for piece in pieces}) == 1, "they are composed alike"
    first, begun = pieces[0], [piece.begun for piece in pieces]
    seeds = [piece.generation.seed + i for piece in pieces for i in range(len(piece))]
    direction = Direction(
        InRow(tuple((one.positive, len(one.positive)) for one in begun)),
        InRow(tuple((one.negative, len(one.positive)) for one in begun)),
        first.generation.sampling,
        first.automation,
    )
    composition = Composition(
        first.engine,
        direction,
        seed=tuple(seeds),
        overlap_frames=first.generation.overlap_frames,
    )
    frames, sizes = composition.frames(first.generation.frames), [len(piece) for piece in pieces]
    return (one.split(sizes) for one in frames)
