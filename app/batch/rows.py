"""Rows of a list as jobs: each the request that `musicgraph generate` would make of it.

A list is refused as a whole, before anything is made, for all that can be known then.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...models.quoting import shown
from ...models.refused import Refused
from ...models.weights.places import default_model, is_hub_id, locate
from ...nodes.host import model_folders
from ...workflows.default_texts import Wanted
from ...workflows.media.formats import FORMATS
from ...workflows.registry import NodeClasses, node_classes
from ...workflows.request import Request, seed_for
from ..studio.fields import Fields, read_fields, request_of, row_fields
from ..studio.music import music_job
from .jobs import BatchJob, RequestWork, all_or_refused, check_id, check_names
from .table import TableRow

OWN = "id"
DRAWN_ALIKE = (
    "model precision device duration_s cfg guidance_until_s temperature top_k top_p"
    " automation schedule loras"
).split()
"""fields that decide which requests may be composed side by side"""


def jobs_of(
    path: Path,
    rows: Sequence[TableRow],
    common: Mapping[str, str],
    elsewhere: NodeClasses | None = None,
) -> list[BatchJob]:
    """`common` are values, as texts, for all rows that say nothing of them. `elsewhere`: the
    classes of nodes where they are made, if that is not here.

    Raises Refused: unknown columns, no prompts, ids that are no names or not one for each row, and
    rows that cannot be used, of which the first few are named.
    """
    fields = row_fields()
    _check_columns(path, rows, common, fields)
    has_ids = any(OWN in row.values for row in rows)
    reader = _RowReader(path.parent, common, fields, has_ids, elsewhere)
    jobs, problems = [], []
    for row in rows:
        try:
            jobs.append(reader.job(row))
        except Refused as error:
            problems.append(f"row {row.number}: {error}")
    all_or_refused(str(path), problems, len(rows))
    check_names(str(path), jobs)
    return jobs


def columns_of(rows: Sequence[TableRow]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.values))


def id_of(row: TableRow, has_ids: bool) -> str:
    """What the column says, or the row's number. Raises Refused for what is no name."""
    value = row.values.get(OWN, "" if has_ids else row.number)
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise Refused(OWN, got=shown(value), expected="text or a whole number")
    check_id(str(value))
    return str(value)


def _check_columns(
    path: Path, rows: Sequence[TableRow], common: Mapping[str, str], fields: Fields
) -> None:
    known = [OWN, *(spec.name for spec in fields.values())]
    said = [*columns_of(rows), *common]
    unknown = [name for name in said if name not in known]
    if unknown:
        named = ", ".join(map(shown, unknown[:5]))
        expected = f"only {', '.join(known)}"
        remedy = "rename or remove it (columns such as 3.seed need --workflow)"
        raise Refused(f"{path}: columns", got=named, expected=expected, remedy=remedy)
    if OWN in common:
        raise Refused("--set id", got="one id for all rows", expected="a column of ids, or none")
    if not {"prompt", "schedule"} & set(said):
        expected = "a column prompt, which says what the music should be"
        raise Refused(f"{path}: columns", got=", ".join(said) or "none", expected=expected)


class _RowReader:
    def __init__(
        self,
        folder: Path,
        common: Mapping[str, str],
        fields: Fields,
        has_ids: bool,
        elsewhere: NodeClasses | None,
    ):
        self._folder, self._fields = folder, fields
        self._specs = {spec.name: spec for spec in fields.values()}
        self._common = {name: self._parsed(name, text) for name, text in common.items()}
        self._is_here = elsewhere is None
        self._classes: NodeClasses = elsewhere or node_classes()
        self._kinds: set[str] = set()
        self._has_ids = has_ids

    def job(self, row: TableRow) -> BatchJob:
        job_id = id_of(row, self._has_ids)
        values = self._values(row)
        read = read_fields(self._fields, values)
        sound = self._sound(read)
        seed = read["seed"] if read["seed"] != -1 else derived_seed(job_id, values)
        request = self._request({**read, "seed": seed}, sound)
        work = RequestWork(request, str(sound.parent) if sound else "input")
        kind = json.dumps([str(getattr(request, name)) for name in DRAWN_ALIKE])
        if kind not in self._kinds:  # a graph for each row would take minutes for a long list
            self._check_graph(work)
            self._kinds.add(kind)
        takes = request.variations
        suffix = FORMATS[read["format"]].suffix
        return BatchJob(
            job_id,
            tuple(take_names(job_id, suffix, takes)),
            {**values, "seed": request.seed, "model": request.model},
            kind,
            request.duration_s * takes,
            takes,
            work,
        )

    def _values(self, row: TableRow) -> dict[str, Any]:
        said = {name: value for name, value in row.values.items() if name != OWN}
        if row.are_texts:
            said = {name: self._parsed(name, text) for name, text in said.items()}
        return {"format": "flac", **self._common, **said}

    def _parsed(self, name: str, text: str) -> Any:
        if name == "loras":
            return [one for one in text.split(";") if one.strip()]
        spec = self._specs.get(name)
        return text if spec is None else spec.parse(text)

    def _sound(self, read: dict[str, Any]) -> Path | None:
        """The file that is followed; its name takes its place in `read`."""
        if read["melody"] and read["style"]:
            remedy = "choose one: no model follows both"
            raise Refused("style", got="a melody too", expected="one of them", remedy=remedy)
        if read["style_guidance"] is not None and not read["style"]:
            expected = "a style beside the text"
            raise Refused("style_guidance", got="no style", expected=expected, remedy="name one")
        how = next((name for name in ("melody", "style") if read[name]), None)
        if how is None:
            return None
        file = self._folder / read[how]
        if not file.is_file():
            expected = "a sound file, beside the list or by its whole path"
            raise Refused(how, got=shown(read[how]), expected=expected, remedy="check the path")
        read[how] = file.name
        return file

    def _request(self, read: dict[str, Any], sound: Path | None) -> Request:
        follows = "" if sound is None else "melody" if read["melody"] else "style"
        if not (read["prompt"].strip() or read["schedule"].strip()):
            expected = "what the music should be"
            raise Refused("prompt", got="nothing", expected=expected, remedy="fill the cell")
        read["model"] = read["model"] or _usual_model(follows)
        format = FORMATS[read["format"]]
        if not (self._is_here or format.name == format.save_as):
            expected = "a format that ComfyUI saves"
            raise Refused("format", got=format.name, expected=expected, remedy="choose flac")
        request = replace(request_of(read), save_as=format.save_as)
        Wanted.of(request)  # raises for a mix or a schedule that is none
        seed_for(request.seed)
        request.check_fades()
        return request

    def _check_graph(self, work: RequestWork) -> None:
        if self._is_here and not is_hub_id(work.request.model):
            locate(work.request.model, model_folders())
        music_job(
            work.request,
            self._classes,
            named_models={work.request.model: work.request.model},
            named_adapters=tuple(lora.adapter for lora in work.request.loras),
            input_dir=work.input_dir,
        )


@functools.cache
def _usual_model(follows: str) -> str:
    return default_model(model_folders(), follows=follows)[0]


def derived_seed(job_id: str, values: Mapping[str, Any]) -> int:
    """For a row that says none: always the same, so that a list gives the same music again.

    Within what a page's number can hold.
    """
    heard = {name: value for name, value in values.items() if name not in ("seed", "format")}
    said = json.dumps([job_id, heard], sort_keys=True, default=str)
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:4], "big")


def take_names(stem: str, suffix: str, takes: int) -> Iterator[str]:
    """As `musicgraph generate` names them."""
    if takes == 1:
        yield f"{stem}{suffix}"
    else:
        yield from (f"{stem}_{take}{suffix}" for take in range(1, takes + 1))
