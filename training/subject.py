"""The model under evaluation, and held-out pieces to compare it with. Not run by itself.

Held-out pieces are composed and rendered on the spot from indices that no training stage uses.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from render import piece, synthesize
from sound_world import FRAME_RATE, SAMPLE_RATE
from transformers import AutoTokenizer, MusicgenForConditionalGeneration

from musicgraph.models.compose.composition import stream
from musicgraph.models.config import MAX_BATCH, Generation, Sampling
from musicgraph.models.encodec import Codec
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.refused import Refused
from musicgraph.models.text import TextEncoder
from musicgraph.models.weights import checkpoint

HELD_OUT_FROM = 1_000_000  # indices far above those of training
PRECISIONS = ("fp32", "int8", "int4")


@dataclass(frozen=True)
class Pocket:
    """Upstream's model, which encodes and is judged step by step, and the product's engines, which
    compose.
    """

    model: MusicgenForConditionalGeneration
    tokenizer: object
    text: TextEncoder
    codec: Codec
    engines: dict[str, NumbaEngine]  # by precision

    @torch.inference_mode()
    def reconstruct(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float32 [T] -> the codec's rendition [T], tokens [K, frames]"""
        codec = self.model.audio_encoder
        codes = codec.encode(torch.from_numpy(audio)[None, None]).audio_codes
        made = codec.decode(codes, [None]).audio_values[0, 0]
        return made.numpy()[: len(audio)], codes[0, 0].numpy()

    def generate(
        self, texts: list[str], seconds: float, sampling: Sampling, seed: int, precision: str
    ) -> list[np.ndarray]:
        """One clip a text."""
        tokens = self.tokens(texts, seconds, sampling, seed, precision)
        batches = tokens.split(MAX_BATCH)
        return [clip for some in batches for clip in self.codec.decode(some, 1)[:, 0].numpy()]

    def tokens(
        self, texts: list[str], seconds: float, sampling: Sampling, seed: int, precision: str
    ) -> torch.Tensor:
        """[B, K, T], one row a text; the seeds of further batches follow on the first's."""
        made = []
        for start in range(0, len(texts), MAX_BATCH):
            wanted = Generation(round(seconds * FRAME_RATE), seed + start, sampling)
            heard = self.text.encode(texts[start : start + MAX_BATCH])
            made.append(torch.cat(list(stream(self.engines[precision], wanted, heard)), dim=2))
        return torch.cat(made)


def load(folder: Path) -> Pocket:
    """Raises Refused for a model of another sampling rate than the sound world has."""
    opened = checkpoint.open_checkpoint(folder)
    rate = opened.config.codec.sample_rate
    if rate != SAMPLE_RATE:
        remedy = f"set MUSICGRAPH_SAMPLE_RATE={rate}"
        raise Refused(
            f"model {folder}", got=f"{rate} Hz", expected=f"{SAMPLE_RATE} Hz", remedy=remedy
        )
    model = MusicgenForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    engines = {precision: NumbaEngine(opened, precision) for precision in PRECISIONS}
    parts = checkpoint.load_text_encoder(opened), checkpoint.load_codec(opened)
    return Pocket(model, AutoTokenizer.from_pretrained(folder), *parts, engines)


def held_out(count: int, first: int = 0):
    """Songs and their audio, whole."""
    for index in range(HELD_OUT_FROM + first, HELD_OUT_FROM + first + count):
        song = piece(index)
        yield song, synthesize(song)
