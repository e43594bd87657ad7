"""Take after take, until one measures what was asked for.

Seeds count up, so that each take can be made again by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...models.refused import Refused
from ...models.wishes import Wish, distance, doubted, missed

if TYPE_CHECKING:
    from ...models.analysis import Analysis
    from ...workflows.request import Request
    from .music import Music

MAX_TRIES = 64
SEEDS = 2**64


@dataclass(frozen=True)
class MeasuredTake:
    """One take of a request with one variation, and what it measures."""

    number: int
    request: Request
    music: Music
    analysis: Analysis
    missed: dict[str, float]
    """the wishes that it does not fulfil, by their text, with how far off it is"""
    doubted: dict[str, float]
    """those that it fulfils, but not surely, with how unsure that is"""

    @property
    def is_it(self) -> bool:
        """Whether no other is to be made."""
        return not self.missed and not self.doubted

    @property
    def distance(self) -> tuple[int, float, float]:
        """Fewest unfulfilled wishes first, then how far off these are, then how unsure."""
        return distance(self.missed, self.doubted)

    def facts(self) -> dict[str, Any]:
        return {
            "seed": self.request.seed,
            "fulfilled": not self.missed,
            "missed": list(self.missed),
            "doubted": list(self.doubted),
            "measured": self.analysis.facts(),
        }


def check_tries(tries: int, variations: int) -> None:
    """Raises Refused for a number of tries that cannot be, or with several variations."""
    if not 1 <= tries <= MAX_TRIES:
        raise Refused("tries", got=tries, expected=f"1 to {MAX_TRIES}")
    if variations != 1:
        raise Refused(
            "variations", got=variations, expected="1 beside until", remedy="leave one of them out"
        )


def takes_until(
    make: Callable[[Request], Music], request: Request, wishes: tuple[Wish, ...], tries: int
) -> Iterator[MeasuredTake]:
    """Takes with the request's seed, the next one, and so on, up to one that surely fulfils all
    wishes or to the last try.
    """
    from ...models.analysis import analyse

    for number in range(1, tries + 1):
        asked = replace(request, seed=(request.seed + number - 1) % SEEDS)
        music = make(asked)
        heard = analyse(music.waveform[0], music.sample_rate)
        verdict = missed(wishes, heard), doubted(wishes, heard)
        take = MeasuredTake(number, asked, music, heard, *verdict)
        yield take
        if take.is_it:
            return
