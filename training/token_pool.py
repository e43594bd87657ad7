"""Batches for the language model: crops of encoded pieces, each with a caption written anew.

Knows the token folder and the tokenizer, not the model. Not run by itself; see train_lm.py.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from captions import caption
from common import Piece, read_pieces
from compose import Facts
from contrast import told_apart
from text_tokenizer import MAX_TEXT_TOKENS
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    tokens: Tensor  # int64 [B, K, T]
    text_ids: Tensor  # [B, L]
    text_mask: Tensor  # [B, L]


def write_caption(facts: dict, rng: np.random.Generator) -> str:
    """The one place where a piece's facts become words."""
    return caption(Facts(**facts), int(rng.integers(2**31)))


class TokenPool:
    """The pieces of one split as tokens. `hop` is the codec's, samples a frame."""

    def __init__(
        self,
        folder: Path,
        validation: bool,
        tokenizer,
        hop: int,
        write: Callable[[dict, np.random.Generator], str] = write_caption,
    ) -> None:
        self.folder, self.validation, self.tokenizer, self.hop, self.write = (
            folder,
            validation,
            tokenizer,
            hop,
            write,
        )
        self.refresh()

    def refresh(self) -> None:
        """Reads the folder again, to which shards may have been added. Raises FileNotFoundError."""
        both = [read_pieces(self.folder, split) for split in (False, True)]
        paths = sorted(self.folder.glob("shard-????.jsonl"))
        self.shards = {
            int(p.stem[-4:]): np.load(p.with_suffix(".npy"), mmap_mode="r") for p in paths
        }
        self.pieces = both[self.validation]
        if not self.pieces:
            raise FileNotFoundError(
                f"got no tokens in {self.folder}; run training/encode_audio.py first"
            )
        self.starts = _starts([*both[0], *both[1]], self.hop)

    def frames(self, piece: Piece) -> int:
        return piece.samples // self.hop

    def batch(self, rng: np.random.Generator, count: int, frames: int, bar_start: float) -> Batch:
        """`bar_start` is the share of crops that begin on a bar line."""
        fitting = [piece for piece in self.pieces if self.frames(piece) >= frames]
        if not fitting:
            raise ValueError(
                f"got no piece of {frames} frames in {self.folder}, expected some: "
                "render longer ones"
            )
        chosen = [fitting[i] for i in rng.integers(len(fitting), size=count)]
        tokens = np.stack([self._crop(rng, piece, frames, bar_start) for piece in chosen])
        return self._told(tokens, [self.write(piece.facts, rng) for piece in chosen])

    def pairs(self, rng: np.random.Generator, count: int, frames: int) -> Batch:
        """`count` crops from a bar line on, twice: under their captions, then in the same order
        under such as are wrong in one fact.
        """
        fitting = [p for p in self.pieces if self.frames(p) >= frames and p.facts["lead"]]
        tokens, texts, draw = [], [], random.Random(int(rng.integers(2**31)))
        while len(tokens) < count:
            piece = draw.choice(fitting)
            if pair := told_apart(Facts(**piece.facts), draw):
                tokens.append(self._crop(rng, piece, frames, 1.0))
                texts.append(pair)
        right, wrong = zip(*texts, strict=True)
        return self._told(np.stack(tokens * 2), [*right, *wrong])

    def _told(self, tokens: np.ndarray, texts: list[str]) -> Batch:
        text = self.tokenizer(
            texts, padding=True, truncation=True, max_length=MAX_TEXT_TOKENS, return_tensors="pt"
        )
        return Batch(torch.from_numpy(tokens.astype(np.int64)), text.input_ids, text.attention_mask)

    def _crop(
        self, rng: np.random.Generator, piece: Piece, frames: int, bar_start: float
    ) -> np.ndarray:
        spare = self.frames(piece) - frames
        on_bar = rng.random() < bar_start
        step = piece.bar_frames if on_bar else 1
        start = self.starts[piece.shard, piece.offset] + step * int(rng.integers(spare // step + 1))
        return self.shards[piece.shard][:, start : start + frames]


def _starts(pieces: list[Piece], hop: int) -> dict[tuple[int, int], int]:
    """The first frame of each piece (by shard and offset) in its shard's tokens, which hold whole
    frames only.
    """
    starts, shard, frame = {}, -1, 0
    for piece in sorted(pieces, key=lambda p: (p.shard, p.offset)):
        frame = frame if piece.shard == shard else 0
        shard = piece.shard
        starts[shard, piece.offset] = frame
        frame += piece.samples // hop
    return starts
