"""Command-line options made of declared fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from ..workflows.inputs import InputSpec
from .studio.fields import Fields

AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON, last on stdout.")]
Loras = Annotated[
    list[str],
    typer.Option(
        metavar="FOLDER[:STRENGTH]",
        help="A LoRA on the model: its folder, or its name in the models' loras folder; "
        "strength 1 unless given. Repeatable.",
    ),
]


def give_options(command: Callable[..., Any], fields: Fields, letters: Mapping[str, str]) -> None:
    """To a command whose last parameter is `**values`: an option for each field.

    Values come by the fields' names. `letters`: the short forms, such as {"duration": "-d"}. Ranges
    are left to those who read the values, so that a refusal says the same at every door.
    """
    vars(command).pop("__signature__", None)  # of an earlier call
    known = inspect.signature(command, eval_str=True).parameters.values()
    own = [one for one in known if one.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters = [*own, *(_parameter(name, spec, letters) for name, spec in fields.items())]
    setattr(command, "__signature__", inspect.Signature(parameters))  # noqa: B010
    command.__annotations__ = {one.name: one.annotation for one in parameters}


def _parameter(name: str, spec: InputSpec, letters: Mapping[str, str]) -> inspect.Parameter:
    facts = spec.option()
    among = f" One of {', '.join(facts.choices)}." if facts.choices else ""
    kind: Any = facts.python_type if facts.default is not None else facts.python_type | None
    flags = [facts.flag, *([letters[spec.name]] if spec.name in letters else [])]
    option = typer.Option(*flags, help=facts.help + among)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=facts.default,
        annotation=Annotated[kind, option],
    )
