"""Makes the five takes that the page ships, with pocket: python docs/first_takes.py

Run it when pocket changes. Each file carries its graph, as every file does;
`app/page/first_takes.py` has the words and seeds. `--tries N` makes each with so many seeds and
writes what can be measured of it, to choose among them.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    from musicgraph.app.page.first_takes import FIRST_TAKES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=0)
    tries = parser.parse_args().tries
    for take in FIRST_TAKES:
        if tries:
            compare(take, range(1, tries + 1))
        else:
            write(take)


def music_for(take, seed: int):
    from musicgraph.app.page.first_takes import DURATION_S, LOUDNESS_LUFS
    from musicgraph.app.studio.music import make_music
    from musicgraph.models.weights.places import POCKET
    from musicgraph.workflows.executor import Runner
    from musicgraph.workflows.request import Request

    request = Request(
        prompt=take.prompt, model=POCKET, duration_s=DURATION_S, seed=seed,
        loudness_lufs=LOUDNESS_LUFS,
    )  # fmt: skip
    return make_music(Runner(), request)


def write(take) -> None:
    from musicgraph.workflows.media.audio import write_audio

    music = music_for(take, take.seed)
    tags = {**music.tags[0], "title": take.prompt}
    take.path.parent.mkdir(exist_ok=True)
    write_audio(take.path, music.waveform[0], music.sample_rate, tags=tags)
    print(f"{take.path.relative_to(ROOT)}: {take.path.stat().st_size / 1000:.0f} kB")


def compare(take, seeds) -> None:
    from musicgraph.models.analysis import analyse

    for seed in seeds:
        music = music_for(take, seed)
        print(take.name, seed, analyse(music.waveform[0], music.sample_rate), flush=True)


if __name__ == "__main__":
    spec = importlib.util.spec_from_file_location("musicgraph", ROOT / "__init__.py")
    assert spec is not None and spec.loader is not None
    sys.modules["musicgraph"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["musicgraph"])
    main()
