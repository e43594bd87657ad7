"""Command-line options made of declared fields, and what those say that stand beside them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..models.quoting import has_surrogates
from ..models.refused import Refused
from ..workflows.inputs import InputSpec
from .studio.fields import Fields
from .studio.sounds import followed

AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON, last on stdout.")]
Loras = Annotated[
    list[str],
    typer.Option(
        metavar="FOLDER[:STRENGTH]",
        help="A LoRA on the model: its folder, or its name in the models' loras folder; "
        "strength 1 unless given. Repeatable.",
    ),
]

InputFolder = Annotated[
    Path, typer.Option("--input", metavar="DIR", help="Where LoadAudio finds its files.")
]
OutputFolder = Annotated[
    Path, typer.Option("--output", metavar="DIR", help="Where results are written.")
]
Sets = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="NODE.INPUT=VALUE", help="Another value; NODE is an id or a title."
    ),
]
NoMetadata = Annotated[bool, typer.Option("--no-metadata", help="Files do not say what made them.")]
Melody = Annotated[
    Path | None,
    typer.Option(
        "--melody",
        metavar="FILE",
        help="A sound whose tune the music follows; needs a melody "
        "model, such as -m facebook/musicgen-melody.",
    ),
]
Style = Annotated[
    Path | None,
    typer.Option(
        "--style",
        metavar="FILE",
        help="A sound to sound like; needs a style model, such as -m facebook/musicgen-style.",
    ),
]


def check_is_text(**values: str) -> None:
    """Arguments come as bytes; Python keeps those that are no UTF-8 as lone surrogates. Raises
    Refused.
    """
    for name, value in values.items():
        if has_surrogates(value):
            raise Refused(name, got=ascii(value), expected="text in UTF-8", remedy="type it again")


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


def sound_to_follow(
    melody: Path | None, style: Path | None, style_guidance: float | None
) -> tuple[str, Path | None]:
    """As `followed` has it. Raises Refused also if there is no such file."""
    how, path = followed(melody, style, style_guidance)
    return how, path and existing_file(how, path)


def existing_file(what: str, path: Path) -> Path:
    if not path.is_file():
        got = "a folder" if path.is_dir() else "no file" if path.exists() else "nothing there"
        raise Refused(f"{what}: {path}", got=got, expected="a sound file", remedy="check the path")
    return path
