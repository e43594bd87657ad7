"""`musicgraph convert`: a checkpoint of any layout, written in Hugging Face's.

Quick to import: cli.py attaches it whenever it starts.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    str, typer.Argument(metavar="SRC", help="A folder, a model's name, or a hub id.")
]
Target = Annotated[Path, typer.Argument(metavar="DST", help="The folder to write: new, or empty.")]


def convert(source: Source, target: Target) -> None:
    """Write a model in Hugging Face's layout: settings, safetensors, tokenizer."""
    from tqdm import tqdm

    from ..models.weights.convert import write_converted
    from ..nodes.host import Run, running
    from ..nodes.load import open_model

    with running(Run(named_models={source: source})):
        weights = open_model(source)
    with tqdm(total=1, unit="tensor", file=sys.stderr, disable=None, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        write_converted(weights, target, show)
    typer.echo(str(target))
