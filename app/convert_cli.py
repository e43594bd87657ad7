"""`musicgraph convert`: a checkpoint of any layout, written in Hugging Face's, LoRAs merged in.

Quick to import: cli.py attaches it whenever it starts.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Loras

if TYPE_CHECKING:
    from ..models.weights.contract import Weights

Source = Annotated[
    str, typer.Argument(metavar="SRC", help="A folder, a model's name, or a hub id.")
]
Target = Annotated[Path, typer.Argument(metavar="DST", help="The folder to write: new, or empty.")]


def convert(source: Source, target: Target, lora: Loras = []) -> None:  # noqa: B006
    """Write a model in Hugging Face's layout: settings, safetensors, tokenizer; with --lora as one
    model with it.
    """
    from tqdm import tqdm

    from ..models.weights.convert import write_converted
    from ..nodes.host import Run, running
    from ..nodes.load import open_model

    with running(Run(named_models={source: source})):
        weights = _with_loras(open_model(source), lora)
    with tqdm(total=1, unit="tensor", file=sys.stderr, disable=None, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        write_converted(weights, target, show)
    typer.echo(str(target))


def _with_loras(weights: Weights, named: list[str]) -> Weights:
    """Raises Refused for one that is not there, does not fit, or whose strength is out of range."""
    from ..models.weights.adapted import adapted
    from ..models.weights.adapter_places import locate_adapter
    from ..models.weights.peft_adapter import open_peft
    from ..nodes.host import model_folders
    from ..workflows.request import Lora

    for lora in map(Lora.parse, named):
        folder = locate_adapter(lora.adapter, model_folders())
        weights = adapted(weights, open_peft(folder, weights.config), lora.strength)
    return weights
