"""A gap in music, filled so that what follows fits: the way music meets music, token by token.

Each item draws a candidate of its own for the gap, and then reads what follows, as it stands. How
likely the model finds that, after this candidate, is the candidate's score: so any checkpoint fills
gaps, though it has learned to go forward only. It is the teacher-forced likelihood that a language
model's loss is made of.

    frames      … before │ gap │ after │ …
    codebook 0  given    │ drawn │ asked for its likelihood
    codebook 3  given      │ drawn │ the same, three steps later
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import LMConfig
from ..engines.drawing import mixed
from ..engines.session import Engine
from ..refused import Refused
from .composition import Composition
from .direction import Direction, Schedule
from .voices import Voices
from .window import Bounds, Window

AFTER_S = 2.0
"""how much of what follows is asked: what lies further on hardly depends on the gap"""
BEFORE_SHARE = 0.1
"""of a window, which is heard before a gap at least, if there is so much"""


@dataclass(frozen=True)
class Gap:
    """Frames of a piece from `begin` to `end`, which are to be made anew."""

    begin: int
    end: int

    @classmethod
    def between(cls, begin_s: float, end_s: float, frame_rate: float, frames: int) -> Gap:
        """The frames nearest to these seconds of a piece of so many frames; 0 as end: its end.

        Raises Refused for what is no part of the piece.
        """
        end_s = end_s or frames / frame_rate
        fits = 0 <= begin_s < end_s <= (frames + 0.5) / frame_rate  # NaN fits nowhere
        gap = (
            cls(round(begin_s * frame_rate), min(frames, round(end_s * frame_rate)))
            if fits
            else None
        )
        if gap is None or gap.begin >= gap.end:
            raise Refused(
                "region",
                got=f"{begin_s:g} to {end_s:g} s",
                expected=f"a part of 0 to {frames / frame_rate:g} s, at least a frame long",
                remedy="choose times within the music",
            )
        return gap

    def __len__(self) -> int:
        return self.end - self.begin


def bounds_of(piece: Tensor, gap: Gap, config: LMConfig) -> Bounds:
    """The window in which a gap of `piece` `[B, K, T]` is filled.

    Raises Refused for one that leaves no room for what is around it.
    """
    room = config.window_frames
    after = min(piece.shape[2] - gap.end, round(AFTER_S * config.frame_rate))
    longest = room - after - min(gap.begin, round(BEFORE_SHARE * room))
    if len(gap) > longest:
        raise Refused(
            "region",
            got=f"{len(gap) / config.frame_rate:g} s",
            expected=f"at most {longest / config.frame_rate:g} s: the model sees "
            f"{room / config.frame_rate:g} s at once, with what is around",
            remedy="make it anew in several parts",
        )
    before = min(gap.begin, room - after - len(gap))
    return Bounds(
        piece[:, :, gap.begin - before : gap.begin],
        redrawn=0,
        length=before + len(gap) + after,
        first_frame=gap.begin - before,
        after=piece[:, :, gap.end : gap.end + after],
    )


class Filling(Composition):
    """A composition of one window that is given its beginning and its end."""

    def __init__(
        self,
        engine: Engine,
        direction: Direction,
        bounds: Bounds,
        *,
        seed: int = 0,
        schedule: Schedule = (),
    ):
        """
        Args:
            bounds: with tokens for as many items as the direction has.
        """
        super().__init__(engine, direction, seed=seed, schedule=schedule)
        self.engine = engine
        self._filled = Window(bounds, engine.config)
        # behind the last frame that is given, a step lacks what really came there
        asked = self._filled.holds(bounds.given_from, bounds.length)
        asked[bounds.length + 1 :] = False
        self._asked = asked
        self._given = self._filled.steps.to(engine.device)
        self._likelihood = torch.zeros(len(direction.positive), device=engine.device)

    def play(self) -> Generator[Tensor, None, None]:
        """Yields, step by step, `[B, K, 1 or 0]`: the gap's frames and those behind it."""
        self._window = self._filled
        yield from self._played(self._filled)

    @property
    def tokens(self) -> Tensor:
        """`[B, K, T]` of the gap, when all has been played."""
        bounds = self._filled.bounds
        return self._filled.frames()[:, :, bounds.known : bounds.given_from]

    @property
    def likelihood(self) -> Tensor:
        """`[B]`: of what follows, in nats a token (0 or less; nearer to 0 is likelier).

        Under what tokens are drawn from, guidance included, before temperature and top-k. 0 where
        nothing follows.
        """
        return (self._likelihood / max(1, int(self._asked.sum()))).cpu()

    def _is_news_at(self, frame: int) -> bool:
        """A gap and what is around it are one window, whatever is said within it."""
        return False

    def _heed(self, step: int, logits: Tensor, voices: Voices) -> None:
        books = self._asked[step].nonzero().flatten().to(logits.device)
        if len(books):
            found = mixed(logits[:, books], voices.weights).float().log_softmax(dim=-1)
            given = self._given[step][:, books].unsqueeze(-1)
            self._likelihood += found.gather(-1, given).sum(dim=(1, 2))


def likeliest(likelihood: Tensor, candidates: int) -> tuple[Tensor, Tensor]:
    """`[B · candidates]`, an item's candidates in a row → which of them each item keeps, counted
    from 0, and their rows among all: `[B]` both.
    """
    kept = likelihood.unflatten(0, (-1, candidates)).argmax(dim=1)
    return kept, kept + torch.arange(len(kept)) * candidates
