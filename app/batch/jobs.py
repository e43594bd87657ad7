"""What a batch does for one row: plain data that goes to a worker, here or elsewhere, as JSON."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ...models.disk.files import check_new_name
from ...models.quoting import shown
from ...models.refused import Refused
from ...workflows.overrides import Override
from ...workflows.request import Lora, Request

MAX_NAMED = 3
MANIFEST = "manifest.jsonl"
"""what is done, in the place of the results"""
OnMusic = Callable[[float], None]
"""called with the seconds of music that were just made"""


@dataclass(frozen=True)
class RequestWork:
    """The default graph, as `musicgraph generate` fills it in."""

    request: Request
    input_dir: str = "input"


@dataclass(frozen=True)
class WorkflowWork:
    """A workflow with other values, as `musicgraph run --set` runs it."""

    file: str
    overrides: tuple[Override, ...]
    input_dir: str = "input"


@dataclass(frozen=True)
class BatchJob:
    id: str
    files: tuple[str, ...]
    """names in the place for results; of a workflow one folder"""
    asked: Mapping[str, Any]
    """what the row says, and its seed: for the manifest"""
    kind: str
    """jobs of one kind may be made side by side"""
    music_s: float
    """of music that it makes, over all takes; 0 where nobody knows"""
    takes: int
    work: RequestWork | WorkflowWork = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """What `read` reads."""
        facts = asdict(self)
        facts["of"] = "request" if isinstance(self.work, RequestWork) else "workflow"
        return facts

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> BatchJob:
        told = dict(facts)
        work, kind = told.pop("work"), told.pop("of")
        if kind == "request":
            request = dict(work["request"])
            request["loras"] = tuple(Lora(**one) for one in request["loras"])
            told["work"] = RequestWork(Request(**request), work["input_dir"])
        else:
            overrides = tuple(Override(**one) for one in work["overrides"])
            told["work"] = WorkflowWork(work["file"], overrides, work["input_dir"])
        told["files"] = tuple(told["files"])
        return cls(**told)


@dataclass(frozen=True)
class JobOutcome:
    """What came of a job."""

    id: str
    files: tuple[str, ...] = ()
    error: str = ""
    """empty: it is done"""
    seconds: float = 0.0
    """that a worker was at it; of a group its share"""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> JobOutcome:
        return cls(**{**facts, "files": tuple(facts["files"])})


def check_id(text: str) -> None:
    """Raises Refused for what cannot be the name of a file in the folder of results."""
    plain = text and text == text.strip() and text[0] != "." and not set(text) & set('/\\:*?"<>|')
    if not plain:
        raise Refused(
            "id",
            got=shown(text),
            expected="a name for a file: no path, no dot in front, no space at the ends, none of "
            '/ \\ : * ? " < > |',
        )
    check_new_name(f"{text}.flac", ".")
    check_new_name(f"{text}_16.flac", ".")


def check_names(where: str, jobs: Iterable[BatchJob]) -> None:
    """Raises Refused for two jobs that would write one file, and for one that would write ours:
    also where a file system knows no letters' case, one way to write an accent, or no dot at the
    end.
    """
    owners = {_same_for_any_disk(MANIFEST): "the batch's own"}
    for job in jobs:
        for name in job.files:
            key = _same_for_any_disk(name)
            if key in owners:
                other = owners[key]
                got = f"{shown(job.id)} twice" if other == job.id else f"{other} and {job.id}"
                raise Refused(
                    f"{where}: id",
                    got=f"{got}, for the file {name}",
                    expected="an id of its own for each row",
                )
            owners[key] = job.id


def _same_for_any_disk(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold()).rstrip(". ")


def all_or_refused(where: str, problems: list[str], rows: int) -> None:
    """Raises Refused with the first of many rows' problems, if there are any."""
    if problems:
        more = len(problems) - MAX_NAMED
        named = " | ".join(problems[:MAX_NAMED]) + (f" | and {more} more" if more > 0 else "")
        raise Refused(f"{where}: {len(problems)} of {rows} rows cannot be used: {named}")
