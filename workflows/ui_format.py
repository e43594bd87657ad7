"""ComfyUI's UI format (what Save writes, version 0.4) → API format (what runs).

Does what ComfyUI's page does when the user presses Run: names the widget values, follows reroutes, passes bypassed
nodes by, leaves out muted ones, and puts the values of primitives where they point to.
"""

from __future__ import annotations

import copy
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..models.quoting import shown
from .inputs import InputSpec
from .media.names import page_tokens
from .problems import refused
from .registry import (
    DeclaredOnce,
    NodeClasses,
    declared_inputs,
    is_link,
    types_fit,
)

MUTED, BYPASSED = 2, 4
NOTES = frozenset({"Note", "MarkdownNote"})
REROUTE, PRIMITIVE = "Reroute", "PrimitiveNode"
PAGE_ONLY = NOTES | {REROUTE, PRIMITIVE}
GROUP_NODE_PREFIXES = ("workflow>", "workflow/")
CONTROL_VALUES = ("fixed", "increment", "increment-wrap", "decrement", "randomize")


def to_api(ui: Mapping[str, Any], classes: NodeClasses) -> dict[str, dict]:
    """The graph in API format. Nodes of unknown classes are kept with their links, for `validate` to name them all."""
    graph, declared = _Graph.of(ui), DeclaredOnce(classes)
    prompt: dict[str, dict] = {}
    cut_off = []
    for node in graph.nodes.values():
        if node.type in PAGE_ONLY or node.mode in (MUTED, BYPASSED):
            continue
        inputs, muted_inputs = _inputs(graph, node, declared)
        title = node.title or getattr(classes.get(node.type), "TITLE", node.type)
        prompt[node.id] = {"inputs": inputs, "class_type": node.type, "_meta": {"title": title}}
        if any(_is_required(declared, node.type, name) for name in muted_inputs):
            cut_off.append(node.id)
    _drop(prompt, cut_off, declared)
    return prompt


def widget_places(specs: Iterable[InputSpec], values: Sequence[Any]) -> dict[str, int]:
    """Widget name → index in `widgets_values`, where the control value of a seed takes a place of its own.

    Very old files lack that place; null stands in it where there are more values than widgets.
    """
    specs = [spec for spec in specs if spec.is_widget]
    has_more = len(values) > len(specs)
    places: dict[str, int] = {}
    index = 0
    for spec in specs:
        places[spec.name] = index
        index += 1
        control = values[index] if index < len(values) else ""
        if spec.has_seed_control and (_is_control(control) or (control is None and has_more)):
            index += 1
    return places


def with_widget(
    ui: Mapping[str, Any], node_id: str, name: str, value: Any, classes: NodeClasses
) -> dict[str, Any]:
    """A copy of a UI-format workflow in which one widget has another value; a link into the widget is cut."""
    ui = copy.deepcopy(dict(ui))
    node = next((node for node in ui["nodes"] if str(node.get("id")) == node_id), None)
    node_class = classes.get(node.get("type")) if node is not None else None
    specs = declared_inputs(node_class) if node_class is not None else {}
    if node is None or name not in specs or not specs[name].is_widget:
        raise refused(
            f"node {node_id} has no widget {name}",
            f"it has {', '.join(specs) or 'no known inputs'}",
        )
    values = node.get("widgets_values")
    if isinstance(values, dict) and not _is_indexed(values):
        values[name] = value
    else:
        values = _as_list(values) if isinstance(values, dict) else values
        node["widgets_values"] = _with_value(specs, list(values or ()), name, value)
    _cut_link(ui, node, name)
    return ui


# ---------------------------------------------------------------- the file, checked


@dataclass(frozen=True)
class _Slot:
    name: str
    type: Any
    link: int | None
    is_widget: bool


@dataclass(frozen=True)
class _Node:
    id: str
    type: str
    title: str
    mode: int
    inputs: tuple[_Slot, ...]
    output_types: tuple[Any, ...]
    widgets_values: list | dict
    search_name: str
    """the name for search and replace, by which prefixes point at the node's widgets"""

    @classmethod
    def of(cls, data: Any) -> _Node:
        if (
            not isinstance(data, dict)
            or not isinstance(data.get("type"), str)
            or not _is_id(data.get("id"))
        ):
            raise refused(
                "not a workflow",
                f"got the node {shown(data)}, expected an object with an id and a type",
            )
        node_id = str(data["id"])
        title, mode = data.get("title"), data.get("mode")
        return cls(
            id=node_id,
            type=data["type"],
            title=title if isinstance(title, str) else "",
            mode=mode if isinstance(mode, int) else 0,
            inputs=tuple(_slot(slot, node_id) for slot in _objects(data, "inputs", node_id)),
            output_types=tuple(slot.get("type") for slot in _objects(data, "outputs", node_id)),
            widgets_values=_widgets_values(data, node_id),
            search_name=_search_name(data),
        )


@dataclass(frozen=True)
class _Graph:
    nodes: dict[str, _Node]
    links: dict[int, tuple[str, int]]
    """link id → node and output slot that it comes from"""
    sources: dict[tuple[int | None, str], _Source] = field(default_factory=dict)
    """what `_source` has found out, by link and wanted type"""

    @classmethod
    def of(cls, ui: Mapping[str, Any]) -> _Graph:
        _refuse_later_formats(ui)
        nodes: dict[str, _Node] = {}
        for data in ui["nodes"]:
            node = _Node.of(data)
            if node.id in nodes:
                raise refused(
                    "not a workflow", f"two nodes have the id {node.id}; give each its own"
                )
            nodes[node.id] = node
        links = ui.get("links") or []
        if not isinstance(links, list):
            raise refused("not a workflow", f"got links {shown(links)}, expected a list")
        return cls(nodes, dict(_link(link) for link in links if link is not None))


def _refuse_later_formats(ui: Mapping[str, Any]) -> None:
    version = ui.get("version", 0.4)
    if isinstance(version, str) and re.fullmatch(r"\d{1,3}(\.\d{1,3})?", version):
        version = float(version)
    if not isinstance(version, (int, float)) or not version < 1:
        detail = f"got {shown(version)}, expected 0.4; export the workflow in API format (Export (API)) and use that file"
        raise refused("this version of the UI format is not supported yet", detail)
    definitions = ui.get("definitions")
    subgraphs = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    known = {
        graph["id"]: graph.get("name")
        for graph in (subgraphs if isinstance(subgraphs, list) else ())
        if isinstance(graph, dict) and isinstance(graph.get("id"), str)
    }
    for node in ui["nodes"]:
        kind = node.get("type") if isinstance(node, dict) else None
        if isinstance(kind, str) and (kind in known or kind.startswith(GROUP_NODE_PREFIXES)):
            detail = f"node {shown(node.get('id'))} is the subgraph {shown(known.get(kind, kind))}; export the workflow in "
            raise refused(
                "subgraphs are not supported yet",
                detail + "API format, or unpack the subgraph in ComfyUI",
            )


def _link(link: Any) -> tuple[int, tuple[str, int]]:
    fits = isinstance(link, list) and len(link) >= 5
    if not fits or not (_is_count(link[0]) and _is_id(link[1]) and _is_count(link[2])):
        raise refused(
            "not a workflow",
            f"got the link {shown(link)}, expected [id, from, slot, to, slot, type]",
        )
    return link[0], (str(link[1]), link[2])


def _slot(slot: dict, node_id: str) -> _Slot:
    widget, name, link = slot.get("widget"), slot.get("name"), slot.get("link")
    if isinstance(widget, dict) and isinstance(widget.get("name"), str):
        name = widget["name"]
    if not isinstance(name, str) or not (link is None or _is_count(link)):
        raise refused(
            "not a workflow",
            f"node {node_id}: got the input {shown(slot)}, expected a name and a link id",
        )
    return _Slot(name, slot.get("type"), link, is_widget=widget is not None)


def _objects(data: dict, key: str, node_id: str) -> list[dict]:
    found = data.get(key) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise refused(
            "not a workflow",
            f"node {node_id}: got {key} {shown(found)}, expected a list of objects",
        )
    return found


def _widgets_values(data: dict, node_id: str) -> list | dict:
    values = data.get("widgets_values")
    if values is None:
        return []
    if not isinstance(values, (list, dict)):
        raise refused(
            "not a workflow", f"node {node_id}: got widgets_values {shown(values)}, expected a list"
        )
    return _as_list(values) if isinstance(values, dict) and _is_indexed(values) else values


def _is_indexed(values: dict) -> bool:
    """Whether it is a list that was written as an object, {"0": …, "1": …}."""
    return bool(values) and set(values) == {str(i) for i in range(len(values))}


def _as_list(values: dict) -> list:
    return [values[str(i)] for i in range(len(values))]


def _search_name(data: dict) -> str:
    properties = data.get("properties")
    name = properties.get("Node name for S&R") if isinstance(properties, dict) else None
    return name if isinstance(name, str) else ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_id(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def _is_control(value: object) -> bool:
    return isinstance(value, str) and value in CONTROL_VALUES


# ---------------------------------------------------------------- widgets and links


def _inputs(graph: _Graph, node: _Node, declared: DeclaredOnce) -> tuple[dict[str, Any], list[str]]:
    """The inputs of one node, and the names of those left empty because what they are linked to is muted."""
    inputs = _named_widgets(node, declared)
    if isinstance(prefix := inputs.get("filename_prefix"), str):
        inputs["filename_prefix"] = page_tokens(prefix, partial(_widget_of, graph, declared))
    from_muted = []
    for slot in node.inputs:
        if slot.link is None:
            continue
        origin = _origin(graph, slot.link)
        if origin is not None and origin[0].type == PRIMITIVE:
            _take_primitive(inputs, slot.name, origin[0])
            continue
        source, is_muted = _source(graph, slot)
        if source is not None:
            inputs[slot.name] = list(source)  # its own: the source is shared
        elif is_muted and slot.name not in inputs:
            from_muted.append(slot.name)
    return inputs, from_muted


def _widget_of(graph: _Graph, declared: DeclaredOnce, name: str, widget: str) -> object:
    """The widget's value in the first node that has this name for search and replace, or else this title."""
    nodes = graph.nodes.values()
    found = [one for one in nodes if name == one.search_name] or [
        one for one in nodes if name == one.title
    ]
    return _named_widgets(found[0], declared).get(widget) if found else None


def _named_widgets(node: _Node, declared: DeclaredOnce) -> dict[str, Any]:
    """Widget values by name; a value that the file lacks (an older version of the node) is the widget's default."""
    values, specs = node.widgets_values, declared(node.type)
    widgets = {name: spec.default for name, spec in specs.items() if spec.is_widget}
    if isinstance(values, dict):
        given = values
    else:
        places = widget_places(specs.values(), values)
        given = {name: values[place] for name, place in places.items() if place < len(values)}
    return {name: _literal(value) for name, value in (widgets | given).items()}


def _literal(value: Any) -> Any:
    """In API format a bare list would be a link."""
    return {"__value__": value} if isinstance(value, list) else value


def _take_primitive(inputs: dict[str, Any], name: str, primitive: _Node) -> None:
    if isinstance(primitive.widgets_values, list) and primitive.widgets_values:
        inputs[name] = _literal(primitive.widgets_values[0])


def _origin(graph: _Graph, link: int | None) -> tuple[_Node, int] | None:
    """The node and output slot that a link comes from; None if it leads nowhere."""
    node_id, output = (None, 0) if link is None else graph.links.get(link, (None, 0))
    if node_id is None or node_id not in graph.nodes:
        return None
    return graph.nodes[node_id], output


_Source = tuple[list | None, bool]
_NOWHERE: _Source = (None, False)


def _source(graph: _Graph, slot: _Slot) -> _Source:
    """The output that feeds a slot, through reroutes and bypassed nodes; whether the way ends at a muted node."""
    wanted, link = str(slot.type), slot.link
    way = []
    source = None
    while source is None:
        source = graph.sources.get((link, wanted))
        if source is None:
            graph.sources[link, wanted] = _NOWHERE  # to stay so if the way comes back here
            way.append(link)
            source, link = _step(graph, link, slot.type)
    graph.sources.update(((link, wanted), source) for link in way)
    return source


def _step(graph: _Graph, link: int | None, wanted: Any) -> tuple[_Source | None, int | None]:
    """Where a link comes from: the source, or the link to follow further."""
    origin = _origin(graph, link)
    if origin is None:
        return _NOWHERE, None
    node, output = origin
    if node.type == REROUTE:  # whatever its mode
        return None, _link_at(node, 0)
    if node.mode == MUTED:
        return (None, True), None
    if node.mode == BYPASSED:
        return None, _link_at(node, _bypass_input(node, output, wanted))
    return (_NOWHERE if node.type in PAGE_ONLY else ([node.id, output], False)), None


def _link_at(node: _Node, index: int | None) -> int | None:
    return node.inputs[index].link if index is not None and index < len(node.inputs) else None


def _bypass_input(node: _Node, output: int, wanted: Any) -> int | None:
    """Which input stands in for an output: the one in the same place if the types fit, else the first of the type."""
    types = [slot.type for slot in node.inputs]
    given = node.output_types[output] if output < len(node.output_types) else wanted
    if output < len(types) and types_fit(types[output], given) and types_fit(types[output], wanted):
        return output
    if wanted in types:
        return types.index(wanted)
    return next(
        (i for i, kind in enumerate(types) if types_fit(kind, given) and types_fit(kind, wanted)),
        None,
    )


# ---------------------------------------------------------------- muted nodes


def _is_required(declared: DeclaredOnce, class_type: str, name: str) -> bool:
    spec = declared(class_type).get(name)
    return spec is not None and spec.required


def _drop(prompt: dict[str, dict], cut_off: Iterable[str], declared: DeclaredOnce) -> None:
    """Takes out the nodes that lack what a muted node would give, and those that need them in turn."""
    consumers = defaultdict(list)
    for node_id, node in prompt.items():
        for name, value in node["inputs"].items():
            if is_link(value):
                consumers[value[0]].append((node_id, name))
    waiting = list(cut_off)
    while waiting:
        node_id = waiting.pop()
        if prompt.pop(node_id, None) is None:
            continue
        for consumer, name in consumers[node_id]:
            if consumer in prompt:
                del prompt[consumer]["inputs"][name]
                if _is_required(declared, prompt[consumer]["class_type"], name):
                    waiting.append(consumer)


# ---------------------------------------------------------------- changing a document


def _with_value(specs: Mapping[str, InputSpec], values: list, name: str, value: Any) -> list:
    for (
        spec
    ) in specs.values():  # fill up what an older file lacks, so that every widget has its place
        place = widget_places(specs.values(), values).get(spec.name)
        if place is not None and place >= len(values):
            values.append(spec.default)
            if spec.has_seed_control:
                values.append("fixed")
    values[widget_places(specs.values(), values)[name]] = value
    return values


def _cut_link(ui: dict[str, Any], node: dict[str, Any], name: str) -> None:
    slots = [
        slot
        for slot in node.get("inputs") or ()
        if slot.get("name") == name and slot.get("link") is not None
    ]
    for slot in slots:
        link, slot["link"] = slot["link"], None
        ui["links"] = [other for other in _list(ui.get("links")) if not _has_id(other, link)]
        for output in (output for other in ui["nodes"] for output in other.get("outputs") or ()):
            output["links"] = [other for other in _list(output.get("links")) if other != link]


def _list(value: object) -> list:
    return value if isinstance(value, list) else []


def _has_id(link: object, link_id: object) -> bool:
    return isinstance(link, list) and link[:1] == [link_id]
