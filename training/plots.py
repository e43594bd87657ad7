"""Draws loss curves and spectrograms.

Run: `python training/plots.py --work-dir build/pocket` (writes PNGs beside the CSVs).
"""

import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot
from measures import log_mel_db


def _columns(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Column name -> (minutes, value), where there is a value."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        name: [(float(r["minutes"]), float(r[name])) for r in rows if r[name]]
        for name in (rows[0] if rows else ())  # a run shorter than its first log line has none
        if name not in ("step", "minutes", "lr")
    }


def curves(csv_path: Path) -> Path:
    figure, axes = pyplot.subplots(figsize=(9, 5))
    for name, points in _columns(csv_path).items():
        if points:
            axes.plot(
                *zip(*points, strict=True),
                label=name,
                linestyle="--" if name.startswith("val") else "-",
            )
    axes.set(xlabel="minutes of training", title=csv_path.stem)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, ncols=3)
    path = csv_path.with_suffix(".png")
    figure.savefig(path, dpi=110, bbox_inches="tight")
    pyplot.close(figure)
    return path


def spectrogram_page(path: Path, rows: list[tuple[str, np.ndarray, np.ndarray | None]]) -> None:
    """Rows of (title, audio, rendition or None) as log-mel pictures side by side."""
    columns = 2 if any(r[2] is not None for r in rows) else 1
    across = columns if columns == 2 else 2
    cells = [
        (t, a)
        for title, x, y in rows
        for t, a in ((title, x), (f"{title}: codec", y))
        if a is not None
    ]
    down = -(-len(cells) // across)
    figure, axes = pyplot.subplots(down, across, figsize=(9 * across, 2.4 * down), squeeze=False)
    for axis, (title, audio) in zip(axes.flat, cells, strict=False):
        axis.imshow(log_mel_db(audio), origin="lower", aspect="auto", vmin=-60, vmax=25)
        axis.set_title(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=60)
    pyplot.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work-dir", type=Path, default=Path("build/pocket"))
    for csv_file in sorted(parser.parse_args().work_dir.rglob("*.csv")):
        print(curves(csv_file))
