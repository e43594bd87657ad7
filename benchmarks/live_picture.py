"""What the picture on a sampler costs while it works: sampling and decoding with it and without it,
in turn, by pocket.

Run: `OMP_NUM_THREADS=1 python benchmarks/live_picture.py`, half a minute (one thread: two that wait
for one another count as work). A line for each run, and last of all a line of JSON with the medians
of their processor time. What ComfyUI does with a picture (JPEG, websocket) is its own and not in
here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from musicgraph.models.weights.places import POCKET
from musicgraph.nodes import host
from musicgraph.nodes.codec import EnCodecDecode
from musicgraph.nodes.load import MusicGenModelLoader
from musicgraph.nodes.sample import MusicGenSampler
from musicgraph.nodes.text import MusicGenTextEncode


def processor_s(parts: tuple, seconds: float, shown: list) -> float:
    """Of a run whose pictures go to `shown`."""
    heard = MusicGenTextEncode().encode(parts[1], "a happy piano tune with drums")[0]
    began, pictures = time.process_time(), len(shown)
    tokens = MusicGenSampler().sample(parts[0], heard, seconds, 7, 3.0, 1.0, 250, 0.0, 1)[0]
    EnCodecDecode().decode(parts[2], tokens)
    took = time.process_time() - began
    print(f"{len(shown) - pictures:3} pictures: {took:.2f} s of processor time", flush=True)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    shown: list[object] = []
    host.Progress.show = lambda self, picture: shown.append(picture)
    parts = MusicGenModelLoader().load(POCKET, "auto", "cpu")
    ways: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(args.rounds):
        for looks, times in ways.items():
            host.shows_pictures = lambda looks=looks: looks
            times.append(processor_s(parts, args.seconds, shown))
    without, with_it = (statistics.median(times) for times in ways.values())
    found = {"seconds": args.seconds, "without_s": without, "with_pictures_s": with_it}
    print(json.dumps(found | {"more_percent": 100 * (with_it / without - 1)}))


if __name__ == "__main__":
    main()
