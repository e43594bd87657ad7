"""The checks of one node before a run: its literals against its inputs, its links by type, then its
class's own check.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

from ..models.quoting import one_line, shown
from ..models.refused import Refused
from .graph import BrokenLink, Graph, Link, Node
from .inputs import BadInput, InputSpec
from .problems import Problem
from .registry import NodeSpecs, types_fit

CLASS_FAULTS = (Refused, ValueError, TypeError, LookupError, AttributeError, OSError, RuntimeError)
"""what a node class's own INPUT_TYPES or VALIDATE_INPUTS may raise when its folder or its argument
is odd
"""


class NodeCheck:
    """`run` gives the problems; `inputs` are the node's own, with literals converted and defaults
    filled in.
    """

    def __init__(self, node: Node, graph: Graph, specs: NodeSpecs, answers: dict[str, Any]):
        """`answers` keeps what classes have said of their values, for all nodes of a graph."""
        self.node, self.graph, self.specs, self.answers = node, graph, specs, answers
        self.node_class = specs.classes[node.class_type]
        self.inputs = dict(node.inputs)
        self.notes: list[str] = []
        self._received_types: dict[str, Any] = {}
        self._problems: list[Problem] = []

    def run(self) -> list[Problem]:
        try:
            checked_by_class = self._inputs_of_own_check()
            for spec in self.specs[self.node.class_type].inputs.values():
                self._check_input(spec, checked_by_class)
            if checked_by_class and not self._problems:
                self._call_own_check(checked_by_class)
        except CLASS_FAULTS as error:
            self._report(
                "exception_during_validation",
                "the node's own check failed",
                f"{type(error).__name__}: {error}",
            )
        return self._problems

    def _report(self, type: str, message: str, details: str, name: str | None = None) -> None:
        problem = Problem(type, message, one_line(details), self.node.id, self.node.name, name)
        self._problems.append(problem)

    def _inputs_of_own_check(self) -> set[str]:
        """The parameters of VALIDATE_INPUTS; `*` among them when it takes everything."""
        check = getattr(self.node_class, "VALIDATE_INPUTS", None)
        if check is None:
            return set()
        parameters = inspect.signature(check).parameters.values()
        return {"*" if one.kind is one.VAR_KEYWORD else one.name for one in parameters}

    # ------------------------------------------------------------ one input

    def _check_input(self, spec: InputSpec, checked_by_class: set[str]) -> None:
        value = self.inputs.get(spec.name)
        if spec.name not in self.inputs:
            self._fill_in(spec)
        elif isinstance(value, BrokenLink):
            expected = "expected a link [node id, output slot] or a single value"
            detail = f"got {shown(value.value)}, {expected}"
            self._report("bad_linked_input", "the link is malformed", detail, spec.name)
        elif isinstance(value, Link):
            self._check_link(spec, value, types_matter="input_types" not in checked_by_class)
        else:
            self._read(spec, checked_by_class)

    def _fill_in(self, spec: InputSpec) -> None:
        if spec.required and spec.is_widget and spec.has_default:
            self.inputs[spec.name] = spec.default
            note = f"{spec.name} is missing, so it has its default, {shown(spec.default)}"
            self.notes.append(one_line(f'node {self.node.id} "{self.node.name}": {note}'))
        elif spec.required:
            error = spec.missing()
            self._report(error.type, error.message, error.details, spec.name)

    def _check_link(self, spec: InputSpec, link: Link, types_matter: bool) -> None:
        if link.node not in self.graph:
            got = f"got a link to node {shown(link.node)}, which is not in the workflow"
            detail = f"{got}; expected {spec.type_name}"
            return self._report("bad_linked_input", "the link leads nowhere", detail, spec.name)
        source = self.graph[link.node]
        if source.class_type not in self.specs:
            return None  # reported as an unknown class
        types = self.specs.classes[source.class_type].RETURN_TYPES  # its INPUT_TYPES may fail
        if not 0 <= link.slot < len(types):
            got = f'got a link to output {link.slot} of node {source.id} "{source.name}"'
            detail = f"{got}, which has {len(types)}; expected {spec.type_name}"
            message = "the link leads to an output that is not there"
            return self._report("bad_linked_input", message, detail, spec.name)
        received = self._received_types[spec.name] = types[link.slot]
        if types_matter and not types_fit(received, spec.type):
            detail = f"got {shown(received)} from node {source.id}, expected {spec.type_name}"
            self._report("return_type_mismatch", "the linked types do not match", detail, spec.name)
        return None

    def _read(self, spec: InputSpec, checked_by_class: set[str]) -> None:
        """Converts a literal; its range is the class's business where that has its own check."""
        try:
            value = spec.convert(self.inputs[spec.name])
            self.inputs[spec.name] = value
            if not checked_by_class & {spec.name, "*"}:
                spec.check(value)
        except BadInput as error:
            self._report(error.type, error.message, error.details, spec.name)

    # ------------------------------------------------------------ the class's own check

    def _call_own_check(self, wanted: set[str]) -> None:
        """VALIDATE_INPUTS sees the constants; None stands for an input that is linked."""
        declared = self.specs[self.node.class_type]
        given = {
            name: None if isinstance(value, (Link, BrokenLink)) else value
            for name, value in self.inputs.items()
            if name in declared.inputs
        }
        given |= dict.fromkeys(declared.hidden)
        given = {name: value for name, value in given.items() if wanted & {name, "*"}}
        if "input_types" in wanted:
            given["input_types"] = self._received_types
        answer = self._own_answer(given)
        if answer is not True:
            reason = str(answer) if answer is not False else f"got {shown(given)}"
            name = next((name for name in given if name in declared.inputs), None)
            self._report("custom_validation_failed", "the node refuses its inputs", reason, name)

    def _own_answer(self, given: Mapping[str, Any]) -> bool | str:
        """Asked once for the same values: the answer may cost a look into a file."""
        key = json.dumps([self.node.class_type, given], sort_keys=True, default=repr)
        if key not in self.answers:
            self.answers[key] = self.node_class.VALIDATE_INPUTS(**given)
        return self.answers[key]
