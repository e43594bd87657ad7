"""Is a graph in API format fit to run? Everything that is wrong with it, found before anything runs.

The checks, their order and the names of the errors are ComfyUI's: literal values are converted and checked, linked
ones are checked by type, and only what leads to an output counts. Cycles and links into nowhere, on which ComfyUI
stumbles, have a message of their own.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..models.quoting import has_surrogates, one_line, shown
from ..models.refused import Refused
from ..nodes.host import current_run
from .bounds import composes, music_asked_s
from .inputs import BadInput, InputSpec
from .problems import Problem, WorkflowError, refused
from .registry import (
    DeclaredOnce,
    NodeClasses,
    hidden_inputs,
    is_link,
    is_output_node,
    title_of,
    types_fit,
)

log = logging.getLogger("musicgraph")

CLASS_FAULTS = (Refused, ValueError, TypeError, LookupError, AttributeError, OSError, RuntimeError)
"""what a node class's own INPUT_TYPES or VALIDATE_INPUTS may raise when its folder or its argument is odd"""


@dataclass(frozen=True)
class Validation:
    """The outcome: a copy of the prompt with literals converted, what to run, and what is wrong."""

    prompt: dict[str, dict]
    outputs: tuple[str, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()
    """what was filled in or left out, in sentences; logged, too, if there are no problems"""

    def raise_if_refused(self) -> None:
        if self.problems:
            raise WorkflowError(self.problems)


def validate(prompt: Mapping[str, Any], classes: NodeClasses) -> Validation:
    """Call it inside `host.running(...)`: LoadAudio looks into the run's input folder."""
    prompt = plain_prompt(prompt)
    for node in prompt.values():
        node["inputs"] = {name: _unwrapped(value) for name, value in node["inputs"].items()}
    outputs = tuple(
        i for i, node in prompt.items() if is_output_node(classes.get(node["class_type"], object))
    )
    needed = _needed(prompt, outputs)
    notes = _leave_out_side_nodes(prompt, needed, classes) if outputs else []
    problems = _missing_classes(prompt, classes)
    if not problems and not outputs:
        problems = [_no_outputs(prompt)]
    problems += _unreadable_titles(prompt)
    declared, answers = DeclaredOnce(classes), {}
    for node_id in needed:
        if prompt[node_id]["class_type"] in classes:
            node = _Node(node_id, prompt, classes, declared, answers)
            problems += node.check()
            notes += node.notes
    problems += _cycle(prompt, needed)
    problems = problems or _too_much(prompt, needed, classes, declared)
    for note in () if problems else notes:
        log.warning("%s", note)
    return Validation(prompt, outputs, tuple(problems), tuple(notes))


def plain_prompt(prompt: Mapping[str, Any]) -> dict[str, dict]:
    """A copy with only the keys that mean something here, each of the right kind; else the whole is refused."""
    return {node_id: _plain_node(node_id, node) for node_id, node in prompt.items()}


def links_of(node: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """(input, upstream node, its output slot) of every linked input."""
    return [(name, *value) for name, value in node["inputs"].items() if is_link(value)]


# ---------------------------------------------------------------- the whole graph


def _plain_node(node_id: str, node: Any) -> dict[str, Any]:
    if not isinstance(node, dict):
        detail = f"node {shown(node_id)}: got {shown(node)}, expected an object with class_type and inputs"
        raise refused("not a workflow", detail)
    class_type, inputs, meta = node.get("class_type"), node.get("inputs", {}), node.get("_meta")
    if not isinstance(class_type, str):
        detail = f"node {shown(node_id)}: got class_type {shown(class_type)}, expected the name of a node class"
        raise refused("a node without class_type", detail)
    if not isinstance(inputs, dict):
        raise refused(
            "not a workflow",
            f"node {shown(node_id)}: got inputs {shown(inputs)}, expected an object",
        )
    title = meta.get("title") if isinstance(meta, dict) else None
    titled = {"_meta": {"title": title}} if isinstance(title, str) else {}
    return {"inputs": dict(inputs), "class_type": class_type, **titled}


def _unwrapped(value: Any) -> Any:
    """A list that is a value, not a link, travels inside an object; here a tuple stands for it."""
    if isinstance(value, dict) and "__value__" in value:
        inner = value["__value__"]
        return tuple(inner) if isinstance(inner, list) else inner
    return value


def _missing_classes(prompt: Mapping[str, Any], classes: NodeClasses) -> list[Problem]:
    expected = "expected a node of MusicGraph or one of ComfyUI's audio nodes; run it in ComfyUI, or take the node out"
    return [
        Problem(
            "invalid_prompt",
            "unknown node class",
            f"got {shown(kind)}, {expected}",
            node_id,
            title_of(node),
        )
        for node_id, node in prompt.items()
        if (kind := node["class_type"]) not in classes
    ]


def _leave_out_side_nodes(
    prompt: dict[str, dict], needed: list[str], classes: NodeClasses
) -> list[str]:
    """Takes out the unknown nodes on which no result depends, and says so; those that save would be missed."""
    unknown = [node_id for node_id, node in prompt.items() if node["class_type"] not in classes]
    kinds = {node_id: prompt[node_id]["class_type"] for node_id in unknown}
    left_out = [i for i in unknown if i not in set(needed) and not kinds[i].startswith("Save")]
    for node_id in left_out:
        del prompt[node_id]
    return [
        one_line(f"node {i} ({shown(kinds[i])}) is unknown here; it leads to no result: left out")
        for i in left_out
    ]


def _unreadable_titles(prompt: Mapping[str, Any]) -> list[Problem]:
    expected = "expected whole letters; type it anew"
    return [
        Problem(
            "invalid_prompt",
            "a title that is not Unicode",
            f"got {shown(title)}, {expected}",
            node_id,
        )
        for node_id, node in prompt.items()
        if has_surrogates(title := title_of(node))
    ]


def _too_much(
    prompt: Mapping[str, Any], needed: list[str], classes: NodeClasses, declared: DeclaredOnce
) -> list[Problem]:
    """What the literals of all samplers together ask for, against the run's limits."""
    kinds = {node_id: prompt[node_id]["class_type"] for node_id in needed}
    samplers = [i for i, kind in kinds.items() if composes(classes[kind], declared(kind))]
    limits = current_run().limits
    try:
        limits.check_samplers(len(samplers))
        limits.check_music(sum(music_asked_s(prompt[i]["inputs"]) for i in samplers))
    except Refused as error:
        return [Problem("invalid_prompt", "the graph makes too much", one_line(str(error)))]
    return []


def _no_outputs(prompt: Mapping[str, Any]) -> Problem:
    if not prompt:
        return Problem(
            "no_prompt",
            "nothing to run",
            "the workflow has no active node; add some, or unmute them",
        )
    got = ", ".join(sorted({node["class_type"] for node in prompt.values()}))
    detail = f"got {shown(got)}, expected a node that saves or previews, such as SaveAudio or PreviewImage; add or unmute one"
    return Problem("prompt_no_outputs", "the workflow has no output", detail)


def _needed(prompt: Mapping[str, Any], outputs: tuple[str, ...]) -> list[str]:
    """The nodes that lead to an output, in the order of the prompt."""
    found, waiting = set(outputs), list(outputs)
    while waiting:
        for _, upstream, _ in links_of(prompt[waiting.pop()]):
            if upstream in prompt and upstream not in found:
                found.add(upstream)
                waiting.append(upstream)
    return [node_id for node_id in prompt if node_id in found]


def _cycle(prompt: Mapping[str, Any], needed: list[str]) -> list[Problem]:
    """One problem if the needed nodes run in a circle: what is left when all that can be computed is taken away."""
    waits_for = {i: {up for _, up, _ in links_of(prompt[i]) if up in prompt} for i in needed}
    feeds: dict[str, list[str]] = {i: [] for i in needed}
    for node_id, upstream in waits_for.items():
        for up in upstream:
            feeds[up].append(node_id)
    ready = [i for i in needed if not waits_for[i]]
    while ready:
        done = ready.pop()
        for node_id in feeds[done]:
            waits_for[node_id].discard(done)
            if not waits_for[node_id]:
                ready.append(node_id)
    stuck = next((i for i in needed if waits_for[i]), None)
    if stuck is None:
        return []
    ring = _ring(waits_for, stuck)
    detail = f"got {shown(' ← '.join([*ring, ring[0]]))}, expected links that run one way; cut one of them"
    return [
        Problem(
            "dependency_cycle",
            "the nodes run in a circle",
            detail,
            ring[0],
            title_of(prompt[ring[0]]),
        )
    ]


def _ring(waits_for: Mapping[str, set[str]], start: str) -> list[str]:
    path: list[str] = []
    places: dict[str, int] = {}
    while start not in places:
        places[start] = len(path)
        path.append(start)
        start = next(up for up in sorted(waits_for[start]) if waits_for[up])
    return path[places[start] :]


# ---------------------------------------------------------------- one node


class _Node:
    """The checks of one node; converts the literals of its prompt entry in place."""

    def __init__(
        self,
        node_id: str,
        prompt: dict[str, dict],
        classes: NodeClasses,
        declared: DeclaredOnce,
        answers: dict[str, Any],
    ):
        self.declared, self.answers, self.notes = declared, answers, []
        self.id, self.prompt, self.classes = node_id, prompt, classes
        self.node = prompt[node_id]
        self.node_class = classes[self.node["class_type"]]
        self.inputs = self.node["inputs"]
        self.received_types: dict[str, Any] = {}
        self.problems: list[Problem] = []

    def check(self) -> list[Problem]:
        try:
            specs = self.declared(self.node["class_type"])
            checked_by_class = self._inputs_of_own_check()
            for spec in specs.values():
                self._check_input(spec, checked_by_class)
            if checked_by_class and not self.problems:
                self._call_own_check(specs, checked_by_class)
        except CLASS_FAULTS as error:
            self._report(
                "exception_during_validation",
                "the node's own check failed",
                f"{type(error).__name__}: {error}",
            )
        return self.problems

    def _report(self, type: str, message: str, details: str, name: str | None = None) -> None:
        title = title_of(self.node)
        self.problems.append(Problem(type, message, one_line(details), self.id, title, name))

    def _inputs_of_own_check(self) -> set[str]:
        """The parameters of VALIDATE_INPUTS; `*` among them when it takes everything."""
        check = getattr(self.node_class, "VALIDATE_INPUTS", None)
        if check is None:
            return set()
        parameters = inspect.signature(check).parameters.values()
        return {"*" if one.kind is one.VAR_KEYWORD else one.name for one in parameters}

    def _check_input(self, spec: InputSpec, checked_by_class: set[str]) -> None:
        if spec.name not in self.inputs:
            if spec.required and spec.is_widget and spec.has_default:
                self.inputs[spec.name] = spec.default
                note = f"{spec.name} is missing, so it has its default, {shown(spec.default)}"
                self.notes.append(one_line(f'node {self.id} "{title_of(self.node)}": {note}'))
            elif spec.required:
                expected = f"expected {'a link to' if not spec.is_widget else 'a value of type'} {spec.type_name}"
                self._report(
                    "required_input_missing",
                    "a required input is missing",
                    f"got nothing, {expected}",
                    spec.name,
                )
            return
        value = self.inputs[spec.name]
        if isinstance(value, list):
            self._check_link(spec, value, types_matter="input_types" not in checked_by_class)
        else:
            self._read(spec, checked_by_class)

    def _check_link(self, spec: InputSpec, link: list, types_matter: bool) -> None:
        if not is_link(link):
            detail = f"got {shown(link)}, expected a link [node id, output slot] or a single value"
            return self._report("bad_linked_input", "the link is malformed", detail, spec.name)
        source, slot = link
        if source not in self.prompt:
            detail = f"got a link to node {shown(source)}, which is not in the workflow; expected {spec.type_name}"
            return self._report("bad_linked_input", "the link leads nowhere", detail, spec.name)
        source_class = self.classes.get(self.prompt[source]["class_type"])
        if source_class is None:
            return None  # reported as an unknown class
        types = source_class.RETURN_TYPES
        if not 0 <= slot < len(types):
            name = f'node {source} "{title_of(self.prompt[source])}"'
            detail = f"got a link to output {slot} of {name}, which has {len(types)}; expected {spec.type_name}"
            return self._report(
                "bad_linked_input",
                "the link leads to an output that is not there",
                detail,
                spec.name,
            )
        self.received_types[spec.name] = types[slot]
        if types_matter and not types_fit(types[slot], spec.type):
            detail = f"got {shown(types[slot])} from node {source}, expected {spec.type_name}"
            self._report("return_type_mismatch", "the linked types do not match", detail, spec.name)
        return None

    def _read(self, spec: InputSpec, checked_by_class: set[str]) -> None:
        """Converts a literal; its range is the class's business where that has a check of its own."""
        try:
            value = spec.convert(self.inputs[spec.name])
            self.inputs[spec.name] = value
            if not checked_by_class & {spec.name, "*"}:
                spec.check(value)
        except BadInput as error:
            self._report(error.type, error.message, error.details, spec.name)

    def _call_own_check(self, specs: Mapping[str, InputSpec], wanted: set[str]) -> None:
        """VALIDATE_INPUTS sees the constants; None stands for an input that is linked."""
        given = {
            n: None if isinstance(v, list) else v for n, v in self.inputs.items() if n in specs
        }
        given |= dict.fromkeys(hidden_inputs(self.node_class))
        given = {name: value for name, value in given.items() if wanted & {name, "*"}}
        if "input_types" in wanted:
            given["input_types"] = self.received_types
        answer = self._own_answer(given)
        if answer is not True:
            reason = str(answer) if answer is not False else f"got {shown(given)}"
            name = next((name for name in given if name in specs), None)
            self._report("custom_validation_failed", "the node refuses its inputs", reason, name)

    def _own_answer(self, given: Mapping[str, Any]) -> bool | str:
        """Asked once for the same values: the answer may cost a look into a file."""
        key = json.dumps([self.node["class_type"], given], sort_keys=True, default=repr)
        if key not in self.answers:
            self.answers[key] = self.node_class.VALIDATE_INPUTS(**given)
        return self.answers[key]
