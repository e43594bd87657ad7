"""Judges of what is heard: classifiers trained on rendered pieces after the codec, and what every
measure says of such pieces.

Not run by itself. Listening to the pieces takes minutes; `--judges FILE` of the evaluations keeps
what was heard, and by which codec. Where that is another one now, they listen anew.
"""

import hashlib
import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import measures
import numpy as np
from key_judge import KeyJudge, train_key_judge
from render import piece, synthesize
from sound_world import LEADS, SAMPLE_RATE
from subject import HELD_OUT_FROM, Pocket

HEARD_S = 8


@dataclass(frozen=True)
class Heard:
    """One held-out piece after the codec."""

    lead: str
    solo: bool
    drums: bool
    tempo_bpm: int
    tonic: str
    mode: str
    features: list[float]
    sound: measures.Sound


@dataclass(frozen=True)
class Judges:
    drums: measures.Classifier
    solo_family: measures.Classifier  # of an instrument that plays alone
    family: measures.Classifier  # of the lead, among any others
    mode: KeyJudge
    heard: list[Heard]  # any pieces, as the data has them


def train_judges(pocket: Pocket, items: int, kept: Path | None = None) -> Judges:
    """`items` pieces with a lead for drums, as many solos for the lead's family; a fifth of each
    only to be judged.
    """
    pieces = heard_pieces(pocket, items, kept)
    pairs = {
        "drums": [(p.features, str(p.drums)) for p in pieces[:items]],
        "solo_family": [(p.features, LEADS[p.lead].family) for p in pieces if p.solo],
        "family": [(p.features, LEADS[p.lead].family) for p in pieces],
    }
    made = {name: _judge(some) for name, some in pairs.items()}
    return Judges(**made, mode=key_judge_of(pieces), heard=pieces[:items])


def key_judge_of(pieces: list[Heard]) -> KeyJudge:
    keyed = [(np.array(p.sound.chromas), p.tonic, p.mode) for p in pieces]
    fifth = len(keyed) // 5
    return train_key_judge(keyed[fifth:], keyed[:fifth])


def _judge(pairs: list[tuple[list[float], str]]) -> measures.Classifier:
    fifth = len(pairs) // 5
    return measures.train_classifier(pairs[fifth:], pairs[:fifth])


def heard_pieces(pocket: Pocket, items: int, kept: Path | None = None) -> list[Heard]:
    """Those that judges are trained on, as `train_judges` says."""
    made_by = {"items": items, "sample_rate": SAMPLE_RATE, "codec": _digest(pocket)}
    if kept and kept.exists():
        found = json.loads(kept.read_text())
        if isinstance(found, dict) and found.get("made_by") == made_by:
            rows = found["pieces"]
            return [Heard(**row | {"sound": measures.Sound(**row["sound"])}) for row in rows]
        print(f"{kept} was made otherwise than now: it is made anew", flush=True)
    pieces = []
    for song, audio in judged_pieces(items):
        clip, facts = pocket.reconstruct(audio[: HEARD_S * SAMPLE_RATE])[0], song.facts
        said = (facts.lead, facts.texture == "solo", facts.drums, facts.tempo_bpm)
        key = (facts.tonic, facts.mode)
        pieces.append(Heard(*said, *key, measures.features(clip).tolist(), measures.listen(clip)))
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        rows = [asdict(piece) for piece in pieces]
        kept.write_text(json.dumps({"made_by": made_by, "pieces": rows}))
    return pieces


def _digest(pocket: Pocket) -> str:
    """Of the codec's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(pocket.model.audio_encoder.state_dict().items()):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def judged_pieces(items: int):
    """Songs with a lead and their audio: first `items` of any kind, then solos until there are
    `items` of those.
    """
    count = solos = 0
    for index in itertools.count(HELD_OUT_FROM + 20_000):
        song = piece(index)
        solo = song.facts.texture == "solo"
        if song.facts.lead is None or (count >= items and not solo):
            continue
        count, solos = count + 1, solos + solo
        yield song, synthesize(song)
        if solos >= items:
            return


def data_ceiling(judges: Judges) -> dict[str, float]:
    """What the measures say of held-out pieces after the codec: nobody can be judged better than
    these.
    """
    heard = judges.heard
    drummed, still = ([h.sound for h in heard if h.drums is wanted] for wanted in (True, False))
    ranges = [(0.96 * h.tempo_bpm, 1.04 * h.tempo_bpm) for h in heard]
    rated = list(zip(heard, ranges, strict=True))
    figures = {
        "beat_strength": np.mean([s.beat for s in drummed]),
        "beat_strength_without_drums": np.mean([s.beat for s in still]),
        "steady": np.mean([s.steady for s in drummed]),
        "tempo_exact": np.mean(
            [measures.tempo_within(h.sound.beat_bpm, r, octaves=(1,)) for h, r in rated]
        ),
        "tempo_octave": np.mean([measures.tempo_within(h.sound.beat_bpm, r) for h, r in rated]),
        "mode": judges.mode.accuracy,
        "mode_by_profiles": np.mean([h.sound.mode_by_profiles == h.mode for h in heard]),
    }
    of_drums = judges.drums.by_label
    figures |= {"drums": of_drums["True"], "unwanted_drums": 1 - of_drums["False"]}
    figures |= {"family": judges.family.accuracy}
    figures |= level_figures([h.sound for h in heard])
    return {name: float(value) for name, value in figures.items()}


def level_figures(sounds: list[measures.Sound]) -> dict[str, float]:
    """Loudness, peaks, noise and faults of clips."""
    lufs = np.array([s.lufs for s in sounds])
    peaks = np.array([s.peak_db for s in sounds])
    return {
        "lufs": lufs.mean(),
        "lufs_deviation": lufs.std(),
        "lufs_within_-18_-14": np.mean((lufs >= -18) & (lufs <= -14)),
        "peak_db": peaks.mean(),
        "peak_below_-1_db": np.mean(peaks <= -1),
        "floor_db": np.mean([s.floor_db for s in sounds]),
        "flatness_db": np.mean([s.flatness_db for s in sounds]),
        "faulty": np.mean([bool(s.faults) for s in sounds]),
    }
