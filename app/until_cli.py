"""`musicgraph generate --until`: takes until one measures what was asked for.

Quick to import: cli.py reads it whenever it starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..models.refused import Refused

if TYPE_CHECKING:
    from ..models.wishes import Wish
    from ..workflows.request import Request
    from .studio.music import Music
    from .studio.retakes import MeasuredTake

USUAL_TRIES = 8

Until = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="WISHES",
        help="Make takes until one measures this: tempo=120±3 (or 120+-3, 117..123), key=Dm, "
        "mode=minor, loud=-16±2, drums, no drums, no clipping, no silence, no stuck.",
    ),
]
Tries = Annotated[
    int | None,
    typer.Option(
        "--tries",
        help="How many takes --until makes at most, with seeds counting up: 1 to 64, else 8.",
    ),
]


@dataclass(frozen=True)
class Terms:
    """Of `--until` and `--tries`."""

    wishes: tuple[Wish, ...]
    tries: int


def terms_of(until: str | None, tries: int | None, variations: int) -> Terms | None:
    """None without --until. Raises Refused for what cannot be asked."""
    from ..models.quoting import has_surrogates
    from ..models.wishes import EXAMPLE, read_wishes
    from .studio.retakes import check_tries

    if until is None:
        if tries is not None:
            raise Refused("tries", got=tries, expected="it beside --until", remedy=EXAMPLE)
        return None
    if has_surrogates(until):
        raise Refused("until", got=ascii(until), expected="text in UTF-8", remedy="type it again")
    wanted = USUAL_TRIES if tries is None else tries
    check_tries(wanted, variations)
    return Terms(read_wishes(until), wanted)


def kept_take(
    make: Callable[[Request], Music], request: Request, terms: Terms
) -> tuple[MeasuredTake, list[dict[str, Any]]]:
    """The first take that surely fulfils all wishes, else the closest; and the facts of all, which
    are said on the way.
    """
    from .studio.retakes import takes_until

    kept, tried = None, []
    for take in takes_until(make, request, terms.wishes, terms.tries):
        missed = "".join(f"; not {wish}" for wish in take.missed)
        doubted = "".join(f"; perhaps not {wish}" for wish in take.doubted)
        measured = f"{take.analysis.words()}{missed}{doubted}"
        typer.echo(f"seed {take.request.seed}: {measured}", err=True)
        tried.append(take.facts())
        if kept is None or take.distance < kept.distance:
            kept = take
    assert kept is not None, "there is one try at least"
    if kept.missed:
        typer.echo(f"no take is all of that; seed {kept.request.seed} comes closest", err=True)
    return kept, tried
