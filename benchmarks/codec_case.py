"""EnCodec's decoder: transformers, ours at once, ours while the tokens come.

Not run by itself; see bench.py.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch

from musicgraph.models.encodec import CodecStream
from musicgraph.models.weights import checkpoint

PIECE_FRAMES = 25  # as the sampler reports them


class CodecCase:
    def __init__(self, folder: Path, upstream, seconds: float):
        opened = checkpoint.open_checkpoint(folder)
        self._ours, self._theirs = checkpoint.load_codec(opened), upstream.model.audio_encoder
        shape = (1, opened.config.lm.num_codebooks, opened.config.lm.frames(seconds))
        self._tokens = torch.randint(
            0, opened.config.lm.codebook_size, shape, generator=torch.Generator().manual_seed(0)
        )

    def upstream(self) -> torch.Tensor:
        with torch.inference_mode():
            return self._theirs.decode(self._tokens[None], [None]).audio_values

    def at_once(self) -> torch.Tensor:
        return self._ours.decode(self._tokens, channels=1)

    def streaming(self) -> torch.Tensor:
        stream = CodecStream(self._ours, channels=1)
        pieces = [stream.push(piece) for piece in self._tokens.split(PIECE_FRAMES, dim=2)]
        return torch.cat([*pieces, stream.close()], dim=2)

    def rounds(self, count: int) -> dict[str, list[float]]:
        """Seconds of each way, interleaved."""
        ways = {
            "transformers": self.upstream,
            "ours": self.at_once,
            "ours, streaming": self.streaming,
        }
        took: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(count):
            for name, decode in ways.items():
                started = time.perf_counter()
                decode()
                took[name].append(time.perf_counter() - started)
        return took
