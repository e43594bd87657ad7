"""Rows of a list as jobs of one workflow, whose inputs the columns name: NODE.INPUT."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...models.quoting import shown
from ...models.refused import Refused
from ...nodes.host import Run, running
from ...workflows.bounds import composes, music_asked_s
from ...workflows.overrides import Override, named_by, with_overrides
from ...workflows.reader import read_document
from ...workflows.registry import NodeClasses, NodeSpecs, node_classes
from ...workflows.validate import validate
from ...workflows.workflow import Workflow
from .jobs import BatchJob, WorkflowWork, all_or_refused, check_names
from .rows import OWN, columns_of, id_of
from .table import TableRow

TOLD_APART = ("text", "seed", "filename_prefix")
"""inputs in which runs may differ that go side by side"""


def workflow_jobs_of(
    path: Path,
    rows: Sequence[TableRow],
    common: Mapping[str, str],
    workflow: Path,
    input_dir: Path,
    elsewhere: NodeClasses | None = None,
) -> list[BatchJob]:
    """`common` and `elsewhere`: as `rows.jobs_of` has them.

    Raises Refused: no such workflow, columns that are no inputs of it, ids that are no names or not
    one for each row, and rows with which it cannot run, of which the first few are named.
    """
    said = [*columns_of(rows), *common]
    for name in said:
        if name != OWN and "." not in name.strip("."):
            raise Refused(
                f"{path}: columns",
                got=shown(name),
                expected="id, and NODE.INPUT (a node's id or title), such as 3.seed",
            )
    reader = _WorkflowReader(
        workflow, input_dir, any(OWN in row.values for row in rows), elsewhere or node_classes()
    )
    jobs, problems = [], []
    for row in rows:
        try:
            jobs.append(reader.job(row, common))
        except Refused as error:
            problems.append(f"row {row.number}: {error}")
    all_or_refused(str(path), problems, len(rows))
    check_names(str(path), jobs)
    return jobs


class _WorkflowReader:
    def __init__(self, file: Path, input_dir: Path, has_ids: bool, classes: NodeClasses):
        self._file, self._input_dir, self._has_ids = file, input_dir, has_ids
        self._classes = classes
        self._document = read_document(file)

    def job(self, row: TableRow, common: Mapping[str, str]) -> BatchJob:
        job_id = id_of(row, self._has_ids)
        values = {**common, **{n: value for n, value in row.values.items() if n != OWN}}
        overrides = tuple(_override(name, value) for name, value in values.items())
        music_s, takes, digest = self._checked(overrides)
        apart = [vars(one) for one in overrides if one.input not in TOLD_APART]
        return BatchJob(
            job_id,
            (job_id,),
            {**values, "workflow": digest},
            json.dumps(apart, default=str),
            music_s,
            takes,
            WorkflowWork(str(self._file), overrides, str(self._input_dir)),
        )

    def _checked(self, overrides: Sequence[Override]) -> tuple[float, int, str]:
        """Seconds of music, takes at once, and a digest of the workflow as it is in its file."""
        named = named_by(overrides)
        terms = Run(input_dir=self._input_dir, named_models=named, named_adapters=named)
        with running(terms):
            specs = NodeSpecs(self._classes)
            read = Workflow.of(self._document, specs)
            opened = with_overrides(read, overrides)
            checked = validate(opened.runnable, specs)
        checked.raise_if_refused()
        samplers = [
            n for n in checked.graph if n.class_type in specs and composes(specs[n.class_type])
        ]
        music_s = sum(music_asked_s(one.inputs) for one in samplers)
        takes = [one.inputs.get("variations", 1) for one in samplers]
        most = max((one for one in takes if isinstance(one, int)), default=1)
        digest = hashlib.sha256(json.dumps(read.prompt, sort_keys=True).encode()).hexdigest()
        return music_s, most, digest[:16]


def _override(column: str, value: Any) -> Override:
    node, _, name = column.rpartition(".")
    if isinstance(value, (list, dict)):
        raise Refused(column, got=shown(value), expected="a single value")
    return Override(node, name, value)
