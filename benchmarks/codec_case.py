"""EnCodec's decoder: transformers, ours at once, ours while the tokens come, several streams at the
same time.

Not run by itself for the whole table, see bench.py; `python benchmarks/codec_case.py` measures ours
alone, of EnCodec 32 kHz's true shape with random weights, in processor time too, which says
something on a busy machine. Its last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the product's front doors do

import torch

from musicgraph.models.encodec import Codec, CodecStream
from musicgraph.models.engines.codec_conv import compile_decoder
from musicgraph.models.weights import checkpoint

PIECE_FRAMES = 25  # as the sampler reports them
STREAMS = 4


class OurCodec:
    """Ways to decode one clip. `make` gives the codec anew, with the same weights."""

    def __init__(self, make: Callable[[], Codec], frames: int):
        self._plain, self._exact, self._int8 = (make() for _ in range(3))
        compile_decoder(self._exact, "fp32")
        compile_decoder(self._int8, "int8")
        codebooks, size = len(self._plain.codebooks), self._plain.codebook_size
        dice = torch.Generator().manual_seed(0)
        self.tokens = torch.randint(0, size, (STREAMS, codebooks, frames), generator=dice)

    @property
    def ways(self) -> dict[str, Callable[[], torch.Tensor]]:
        one = self.tokens[:1]
        return {
            "ours, torch's LSTM": lambda: self._plain.decode(one, 1),
            "ours, fp32": lambda: self._exact.decode(one, 1),
            "ours": lambda: self._int8.decode(one, 1),
            "ours, streaming": lambda: self.streamed(one),
            f"ours, {STREAMS} streams": self.together,
        }

    def streamed(self, tokens: torch.Tensor) -> torch.Tensor:
        stream = CodecStream(self._int8, channels=1)
        pieces = [stream.push(piece) for piece in tokens.split(PIECE_FRAMES, dim=2)]
        return torch.cat([*pieces, stream.close()], dim=2)

    def together(self) -> torch.Tensor:
        """Each in a thread of its own, as listeners have it."""
        with ThreadPoolExecutor(STREAMS) as threads:
            return torch.cat(list(threads.map(self.streamed, self.tokens.split(1))))

    def error_db(self) -> float:
        """Of int8 weights: the error of the samples, against the samples."""
        exact, rough = (codec.decode(self.tokens[:1], 1) for codec in (self._plain, self._int8))
        return 10 * float(torch.log10((rough - exact).square().mean() / exact.square().mean()))


class CodecCase:
    """Ours beside transformers', for bench.py."""

    def __init__(self, folder: Path, upstream, seconds: float):
        opened = checkpoint.open_checkpoint(folder)
        self._theirs = upstream.model.audio_encoder
        self._ours = OurCodec(
            lambda: checkpoint.load_codec(opened), opened.config.lm.frames(seconds)
        )

    def upstream(self) -> torch.Tensor:
        with torch.inference_mode():
            return self._theirs.decode(self._ours.tokens[None, :1], [None]).audio_values

    @property
    def ways(self) -> dict[str, Callable[[], torch.Tensor]]:
        return {"transformers": self.upstream, **self._ours.ways}

    def rounds(self, count: int) -> dict[str, list[float]]:
        """Seconds of each way, interleaved."""
        return rounds(self.ways, count)[0]


def rounds(
    ways: dict[str, Callable[[], torch.Tensor]], count: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds, and processor seconds of all threads, of each way in turn."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    used: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(count):
        for name, decode in ways.items():
            began, cpu = time.perf_counter(), time.process_time()
            decode()
            took[name].append(time.perf_counter() - began)
            used[name].append(time.process_time() - cpu)
    return took, used


def _full_size() -> Callable[[], Codec]:
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from full_shape import small_config
    from transformers import EncodecModel
    from upstream import our_codec

    torch.manual_seed(0)
    model = EncodecModel(small_config().audio_encoder).eval()
    for layer in model.quantizer.layers:
        layer.codebook.embed.normal_()
    return lambda: our_codec(model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    ours = OurCodec(_full_size(), round(asked.seconds * 50))
    rounds(ours.ways, 1)
    took, used = rounds(ours.ways, asked.rounds)
    print(f"| decode {asked.seconds:g} s | seconds | best | processor s |\n|---|--:|--:|--:|")
    for way in ours.ways:
        wall, cpu = median(took[way]), median(used[way])
        print(f"| {way} | {wall:.3f} | {min(took[way]):.3f} | {cpu:.3f} |")
    wall_ratio, cpu_ratio = (
        median(times[f"ours, {STREAMS} streams"]) / median(times["ours, streaming"])
        for times in (took, used)
    )
    found = {
        "seconds": {way: round(median(one), 4) for way, one in took.items()},
        "processor_s": {way: round(median(one), 4) for way, one in used.items()},
        "streams_vs_one": round(wall_ratio, 3),
        "streams_vs_one_processor": round(cpu_ratio, 3),
        "int8_error_db": round(ours.error_db(), 1),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
