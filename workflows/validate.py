"""Is a graph fit to run? Everything that is wrong with it, found before anything runs.

The checks, their order and the names of the errors are ComfyUI's: literal values are converted and
checked, linked ones are checked by type, and only what leads to an output counts. Cycles and links
into nowhere, on which ComfyUI stumbles, have a message of their own.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from ..models.quoting import has_surrogates, one_line, shown
from ..models.refused import Refused
from ..nodes.host import current_run
from .bounds import composes, music_asked_s
from .graph import Graph, Node
from .missing import missing_classes, other_model
from .node_check import NodeCheck
from .problems import Problem, WorkflowError
from .registry import NodeSpecs, is_output_node

log = logging.getLogger("musicgraph")


@dataclass(frozen=True)
class Validation:
    """The outcome: the graph with literals converted, what to run, and what is wrong.

    A runner runs it as it is.
    """

    graph: Graph
    outputs: tuple[str, ...]
    specs: NodeSpecs
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()
    """what was filled in or left out, in sentences; logged, too, if there are no problems"""

    def raise_if_refused(self) -> None:
        if self.problems:
            raise WorkflowError(self.problems)


def validate(graph: Graph, specs: NodeSpecs) -> Validation:
    """Call it inside `host.running(...)`: LoadAudio looks into the run's input folder."""
    outputs = tuple(node.id for node in graph if is_output_node(specs.classes.get(node.class_type)))
    needed = graph.needed(outputs)
    notes: list[str] = []
    if outputs:
        graph, notes = _without_side_nodes(graph, needed, specs)
    problems = missing_classes(graph, specs)
    if problems and other_model(graph, specs):  # what else is wrong with it would hide the point
        return Validation(graph, outputs, specs, tuple(problems))
    if not problems and not outputs:
        problems = [_no_outputs(graph)]
    problems += _unreadable_titles(graph)
    checked, answers = {}, {}
    for node_id in needed:
        if graph[node_id].class_type in specs:
            check = NodeCheck(graph[node_id], graph, specs, answers)
            problems += check.run()
            notes += check.notes
            checked[node_id] = replace(graph[node_id], inputs=check.inputs)
    problems += _circle(graph, needed)
    graph = replace(graph, nodes={**graph.nodes, **checked})
    problems = problems or _too_much(graph, needed, specs)
    for note in () if problems else notes:
        log.warning("%s", note)
    return Validation(graph, outputs, specs, tuple(problems), tuple(notes))


def _without_side_nodes(
    graph: Graph, needed: list[str], specs: NodeSpecs
) -> tuple[Graph, list[str]]:
    """Without the unknown nodes on which no result depends, and what to say of it; those that save
    would be missed.
    """
    unknown = [node for node in graph if node.class_type not in specs]
    leads_on = set(needed)
    left_out = [
        node
        for node in unknown
        if node.id not in leads_on and not node.class_type.startswith("Save")
    ]
    notes = [
        one_line(
            f"node {node.id} ({shown(node.class_type)}) is unknown here; "
            "it leads to no result: left out"
        )
        for node in left_out
    ]
    return graph.without(node.id for node in left_out), notes


def _unreadable_titles(graph: Graph) -> list[Problem]:
    expected = "expected whole letters; type it anew"
    return [
        Problem(
            "invalid_prompt",
            "a title that is not Unicode",
            f"got {shown(node.name)}, {expected}",
            node.id,
        )
        for node in graph
        if has_surrogates(node.name)
    ]


def _too_much(graph: Graph, needed: list[str], specs: NodeSpecs) -> list[Problem]:
    """What the literals of all samplers together ask for, against the run's limits."""
    samplers = [graph[i] for i in needed if composes(specs[graph[i].class_type])]
    limits = current_run().limits
    try:
        limits.check_samplers(len(samplers))
        limits.check_music(sum(music_asked_s(node.inputs) for node in samplers))
    except Refused as error:
        return [Problem("invalid_prompt", "the graph makes too much", one_line(str(error)))]
    return []


def _no_outputs(graph: Graph) -> Problem:
    if not len(graph):
        detail = "the workflow has no active node; add some, or unmute them"
        return Problem("no_prompt", "nothing to run", detail)
    got = ", ".join(sorted({node.class_type for node in graph}))
    expected = "a node that saves or previews, such as Save Audio (Advanced); add or unmute one"
    detail = f"got {shown(got)}, expected {expected}"
    return Problem("prompt_no_outputs", "the workflow has no output", detail)


def _circle(graph: Graph, needed: list[str]) -> list[Problem]:
    ring = graph.circle(needed)
    if not ring:
        return []
    way = shown(" ← ".join([*ring, ring[0]]))
    detail = f"got {way}, expected links that run one way; cut one of them"
    return [_problem(graph[ring[0]], "the nodes run in a circle", detail, "dependency_cycle")]


def _problem(node: Node, message: str, details: str, type: str = "invalid_prompt") -> Problem:
    return Problem(type, message, details, node.id, node.name)
