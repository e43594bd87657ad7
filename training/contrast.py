"""Captions that are wrong in one fact, and how surely the music tells them from its own.

Cross-entropy alone learns last what a caption says once and the music shows softly: of 600 codes
that a minor third lies in, one word is a thousandth. So some batches hear every crop twice, under
its caption and under one with another mode, tonic, lead, tempo or genre. The likelihoods of the
same codes under both make a posterior (Bayes, each caption as likely before); its negative
logarithm is the loss. Where likelihoods are true, so is the posterior: the loss asks for nothing
else than cross-entropy does, but all that the music says of itself cancels out of its gradient.
(The negative half of condition contrastive alignment, Chen et al. 2024, without its reference
model.)

Not run by itself; see train_lm.py.
"""

import random
from collections.abc import Callable
from dataclasses import replace

from captions import canonical, thorough
from compose import Facts
from sound_world import FRAME_RATE, INSTRUMENTS, TONICS
from torch import Tensor
from torch.nn import functional
from world.genres import GENRES


def other_mode(_: random.Random, facts: Facts) -> Facts | None:
    return replace(facts, mode="minor" if facts.mode == "major" else "major")


def other_lead(rng: random.Random, facts: Facts) -> Facts | None:
    """One of the genre's own where there is one of a family that is not heard, else any such."""
    heard = {INSTRUMENTS[n].family for n in (facts.lead, facts.backing, facts.second) if n}
    played = [GENRES[facts.style].leads, *(genre.leads for genre in GENRES.values())]
    fitting = ([n for n in leads if INSTRUMENTS[n].family not in heard] for leads in played)
    return replace(facts, lead=rng.choice(next(names for names in fitting if names)))


def other_tempo(rng: random.Random, facts: Facts) -> Facts | None:
    frames = GENRES[facts.style].beat_frames
    tempi = sorted({round(60 * FRAME_RATE / f) for f in frames} - {facts.tempo_bpm})
    return replace(facts, tempo_bpm=rng.choice(tempi)) if tempi else None


def other_genre(rng: random.Random, facts: Facts) -> Facts | None:
    fitting = [n for n in GENRES if n != facts.style and facts.lead in GENRES[n].leads]
    return replace(facts, style=rng.choice(fitting)) if fitting else None


def other_tonic(rng: random.Random, facts: Facts) -> Facts | None:
    return replace(facts, tonic=rng.choice(sorted(set(TONICS) - {facts.tonic})))


OTHERS: dict[Callable, float] = {  # how often each; the mode is what is hardest to hear
    other_mode: 0.5,
    other_lead: 0.15,
    other_tempo: 0.1,
    other_genre: 0.1,
    other_tonic: 0.15,
}


def told_apart(facts: Facts, rng: random.Random) -> tuple[str, str] | None:
    """A caption of a piece with a lead, and the same wrong in one fact; None where they agree."""
    wrong = rng.choices(list(OTHERS), list(OTHERS.values()))[0](rng, facts)
    if wrong is None:
        return None
    if rng.randrange(3) == 0:  # every wording, in which all is said
        seed = rng.randrange(2**31)
        pair = tuple(thorough(some, random.Random(seed)) for some in (facts, wrong))
    else:  # as everyday words are understood
        pair = tuple(canonical(some) for some in (facts, wrong))
    return pair if pair[0] != pair[1] else None


def posterior_nats(right: Tensor, wrong: Tensor) -> Tensor:
    """Nats of the right caption given the music, mean of the batch.

    Cross-entropies [B, K, T] of the same codes under both captions. At ln 2 nothing is known.
    """
    return functional.softplus((right - wrong).sum((1, 2))).mean()
