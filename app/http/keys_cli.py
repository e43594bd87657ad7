"""`musicgraph keys`: who may use the API, and how often.

Quick to import: cli.py attaches it whenever it starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from .keys import KeyStore

keys = typer.Typer(help="API keys and their credits.", no_args_is_help=True)

File = Annotated[
    Path,
    typer.Option("--api-keys", metavar="FILE", help="The file of keys, as the server gets it."),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Who has the key.")]
Credits = Annotated[
    int, typer.Option("--credits", metavar="N", help="Generations that the key may make.")
]


@keys.command("add")
def add_key(name: Name, api_keys: File, credits: Credits = 100) -> None:
    """Make a key and print it. It is not kept and cannot be shown again."""
    key = _store(api_keys, create=True).add(name, credits)
    typer.echo(f"{name}: {credits} credits; the key is shown this once:", err=True)
    typer.echo(key)


@keys.command("list")
def list_(api_keys: File) -> None:
    """Show every key's name and credits."""
    for row in _store(api_keys).rows():
        typer.echo(f"{row.name}\t{row.credits}")


@keys.command()
def remove(name: Name, api_keys: File) -> None:
    """Take a key back, at once."""
    _store(api_keys).remove(name)
    typer.echo(f"removed {name}", err=True)


@keys.command()
def credits(name: Name, api_keys: File, credits: Credits) -> None:
    """Set what a key has left."""
    _store(api_keys).set_credits(name, credits)
    typer.echo(f"{name}: {credits} credits", err=True)


def _store(path: Path, create: bool = False) -> KeyStore:
    from .keys import KeyStore

    return KeyStore(path, create=create)
