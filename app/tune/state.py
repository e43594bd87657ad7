"""What a training has on disk: what it is of, its tokens, and the state that it goes on from.

    OUTPUT/adapter_config.json         the adapter with the lowest held-out loss,
    OUTPUT/adapter_model.safetensors   as PEFT keeps one
    OUTPUT/steps/000100/               the adapter then, and how it sounds at two guidances
    OUTPUT/losses.csv                  step, loss, held-out loss
    OUTPUT/tune/                       run.json, tokens, state

Every file appears whole, and nothing is pickled; so a process may be killed at any moment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...models.disk import part_files
from ...models.disk.json_file import read_json
from ...models.refused import Refused

ROOM, RUN, TOKENS, STATE = "tune", "run.json", "tokens.safetensors", "state.safetensors"
Look = tuple[int, float | None, float]
"""a step, the mean loss since the look before, the held-out loss then"""
ANOTHER = "choose another folder for --output, or remove this one"


@dataclass(frozen=True)
class TrainingState:
    step: int
    """how many are done"""
    parameters: Mapping[str, Tensor]
    first: Mapping[str, Tensor]
    """Adam's mean of the gradients, by parameter"""
    second: Mapping[str, Tensor]
    """and of their squares"""
    looks: tuple[Look, ...]
    losses: tuple[float, ...]
    """of the steps since the last look"""


class RunFolder:
    """A training's output folder, of this run or of none yet."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]):
        """`facts` decide what comes out: settings, model, sounds.

        Raises Refused if something else is in the folder, or another run.
        """
        self.folder, self._facts = folder, json.loads(json.dumps(facts))
        self.room = folder / ROOM
        if folder.exists() and not folder.is_dir():
            raise Refused(str(folder), got="a file", expected="a folder", remedy=ANOTHER)
        self.is_begun = (self.room / RUN).is_file()
        if self.is_begun:
            self._check_same()
        elif folder.is_dir() and any(folder.iterdir()):
            got, expected = "a folder with other files", "an empty or new one, or this same run's"
            raise Refused(str(folder), got=got, expected=expected, remedy=ANOTHER)

    def _check_same(self) -> None:
        found = read_json(self.room / RUN, "what the run is of")
        other = [name for name in self._facts if found.get(name) != self._facts[name]]
        if other:
            raise Refused(
                str(self.folder),
                got=f"a run of another {', '.join(other)}",
                expected="this same run, to go on with it",
                remedy=ANOTHER,
            )

    def begin(self, tokens: Sequence[Tensor]) -> None:
        """Keeps the sounds' tokens, each int64 `[K, T]`. Raises OSError."""
        self.room.mkdir(parents=True, exist_ok=True)
        part_files.sweep(self.room)
        with part_files.written(self.room / TOKENS) as part:
            narrow = {f"{i}": one.int().contiguous() for i, one in enumerate(tokens)}
            save_file(narrow, part)
        with part_files.written(self.room / RUN) as part:
            part.write_text(json.dumps(self._facts, indent=1), encoding="utf-8")
        self.is_begun = True

    def tokens(self) -> list[Tensor]:
        """What `begin` was given. Raises Refused if it is damaged."""
        try:
            found = load_file(self.room / TOKENS)
        except (OSError, SafetensorError) as error:
            raise _damaged(self.room / TOKENS) from error
        return [found[f"{i}"].long() for i in range(len(found))]

    def save(self, state: TrainingState) -> None:
        """Raises OSError."""
        tensors = {
            f"{kind}/{name}": tensor.detach().cpu().contiguous()
            for kind in ("parameters", "first", "second")
            for name, tensor in getattr(state, kind).items()
        }
        facts = {"step": state.step, "looks": state.looks, "losses": state.losses}
        with part_files.written(self.room / STATE) as part:
            save_file(tensors, part, metadata={"facts": json.dumps(facts)})
        rows = [f"{step},{'' if loss is None else loss},{held}" for step, loss, held in state.looks]
        with part_files.written(self.folder / "losses.csv") as part:
            part.write_text("\n".join(["step,loss,held_out", *rows, ""]), encoding="utf-8")

    def state(self) -> TrainingState | None:
        """The last one that was saved; None before the first. Raises Refused if it is damaged."""
        path = self.room / STATE
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                facts = json.loads((file.metadata() or {})["facts"])
            tensors = load_file(path)
            parts = {
                kind: {
                    name.removeprefix(f"{kind}/"): tensor
                    for name, tensor in tensors.items()
                    if name.startswith(f"{kind}/")
                }
                for kind in ("parameters", "first", "second")
            }
            looks = tuple((step, loss, held) for step, loss, held in facts["looks"])
            return TrainingState(facts["step"], looks=looks, losses=tuple(facts["losses"]), **parts)
        except (OSError, SafetensorError, LookupError, ValueError, TypeError) as error:
            raise _damaged(path) from error

    def at(self, step: int) -> Path:
        """Where the adapter of a step is kept, with its sound."""
        return self.folder / "steps" / f"{step:06}"


def _damaged(path: Path) -> Refused:
    return Refused(
        str(path), got="a damaged file", expected="what this run has saved", remedy=ANOTHER
    )
