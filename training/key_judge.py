"""Major or minor, by a judge that has learnt what each sounds like after the codec. Not run by
itself; judges.py trains it.

Chroma turned so that a candidate tonic comes first is either of that key in major, in minor, or not
of that key at all: a logistic regression on such pieces tells the three apart, and the mode is the
one that the sound world's tonics together make likelier. It hears the whole, the bass, the median
and the first second. Key profiles (Krumhansl and Kessler's) know nothing of any training and stand
beside it, but are right less often.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sound_world import TONICS

NOT_OF_KEY = "none"
MODES = "major", "minor"


@dataclass
class KeyJudge:
    """How often it is right is of pieces that it did not hear."""

    accuracy: float
    model: object

    def mode(self, chromas: np.ndarray) -> str:
        """[4, 12], as `measures.chromas` has them."""
        likely = dict(zip(self.model.classes_, self._likely(chromas).sum(0), strict=True))
        return max(MODES, key=likely.get)

    def key(self, chromas: np.ndarray) -> tuple[str, str]:
        """One of the sound world's tonics, and the mode that is likeliest on it."""
        likely, classes = self._likely(chromas), list(self.model.classes_)
        keys = [(row, mode) for row in range(len(TONICS)) for mode in MODES]
        row, mode = max(keys, key=lambda key: likely[key[0], classes.index(key[1])])
        return list(TONICS)[row], mode

    def _likely(self, chromas: np.ndarray) -> np.ndarray:
        """[tonics, classes]"""
        turned = np.stack([_turned(chromas, tonic) for tonic in TONICS.values()])
        return self.model.predict_proba(turned)


def train_key_judge(
    train: list[tuple[np.ndarray, str, str]], test: list[tuple[np.ndarray, str, str]]
) -> KeyJudge:
    """Triples of (chromas [4, 12], tonic, mode)."""
    samples = [
        (_turned(chromas, pitch), mode if pitch == TONICS[tonic] else NOT_OF_KEY)
        for chromas, tonic, mode in train
        for pitch in range(12)
    ]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=2000))
    model.fit(np.stack([x for x, _ in samples]), [label for _, label in samples])
    judge = KeyJudge(0.0, model)
    judge.accuracy = float(np.mean([judge.mode(x) == mode for x, _, mode in test]))
    return judge


def _turned(chromas: np.ndarray, tonic: int) -> np.ndarray:
    turned = np.roll(np.asarray(chromas), -tonic, axis=1)
    return np.log(turned / (turned.sum(1, keepdims=True) + 1e-6) + 0.01).ravel()
