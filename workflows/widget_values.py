"""`widgets_values` of the UI format: the values of a node's widgets, by place or by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .inputs import InputSpec
from .problems import refused

CONTROL_VALUES = ("fixed", "increment", "increment-wrap", "decrement", "randomize")


def as_places(values: Any) -> Any:
    """A list that was written as an object, {"0": …, "1": …}, perhaps with its length, as the list
    that it is.
    """
    if not isinstance(values, dict) or not values:
        return values
    count = len(values) - ("length" in values)
    is_list = count and values.keys() - {"length"} == {str(i) for i in range(count)}
    return [values[str(i)] for i in range(count)] if is_list else values


def widget_places(specs: Iterable[InputSpec], values: Sequence[Any]) -> dict[str, int]:
    """Widget name → index in `widgets_values`, where the control value of a seed takes a place of
    its own.

    Very old files lack that place. What stands in it is a word, or null or false, which the widget
    behind it could not have.
    """
    specs = [spec for spec in specs if spec.is_widget]
    has_more = len(values) > len(specs)
    places: dict[str, int] = {}
    chosen: dict[str, Any] = {}
    index = 0
    for spec, behind in zip(specs, [*specs[1:], None], strict=False):
        if not spec.comes_with(chosen):
            continue
        places[spec.name] = index
        chosen[spec.name] = values[index] if index < len(values) else spec.default_with(chosen)
        index += 1
        control = values[index] if index < len(values) else ""
        if spec.has_seed_control and (
            _is_control(control)
            or control is None
            or (control is False and (has_more or behind is None or behind.type != "BOOLEAN"))
        ):
            index += 1
    return places


def named(specs: Mapping[str, InputSpec], values: list | dict) -> dict[str, Any]:
    """Values by name; one that the file lacks (an older version of the node) is the widget's
    default.
    """
    if isinstance(values, list):
        places = widget_places(specs.values(), values)
        values = {name: values[at] for name, at in places.items() if at < len(values)}
    return settled(specs, values)


def settled(specs: Mapping[str, InputSpec], values: Mapping[str, Any]) -> dict[str, Any]:
    """With the default of each widget that has no value, and without those that do not come with
    what is chosen.
    """
    found: dict[str, Any] = {}
    for spec in specs.values():
        if spec.is_widget and spec.comes_with(found):
            found[spec.name] = values.get(spec.name, spec.default_with(found))
    others = {name: value for name, value in values.items() if not _is_widget(specs, name)}
    return found | others


def with_changes(specs: Mapping[str, InputSpec], values: Any, name: str, value: Any) -> list | dict:
    """A copy in which one widget has another value, and every widget before it has its place."""
    values = as_places(values)
    if isinstance(values, dict):
        return {**values, name: value}
    values = _filled(specs, list(values) if isinstance(values, list) else [])
    places = widget_places(specs.values(), values)
    if name not in places:
        raise refused(f"no place for {name}", f"expected one of {', '.join(places)}")
    if values[places[name]] != value:  # what came with the old value goes
        gone = [place for one, place in places.items() if one.startswith(f"{name}.")]
        values = [one for place, one in enumerate(values) if place not in gone]
    values[places[name]] = value
    return _filled(specs, values)


def _filled(specs: Mapping[str, InputSpec], values: list) -> list:
    """With the defaults of the widgets that have no place yet, each in its own."""
    missing = settled(specs, named(specs, values))
    for spec in specs.values():
        place = widget_places(specs.values(), values).get(spec.name)
        if place is not None and place >= len(values):
            values = [*values, *fresh(spec, missing)]
    return values


def put(node: dict[str, Any], specs: Mapping[str, InputSpec], name: str, value: Any) -> None:
    """Sets a value in each form in which the node of a document has its values."""
    named = node.get("widgets_values_named")
    if isinstance(named, dict):
        named[name] = value
    if node.get("widgets_values") or not isinstance(named, dict):
        node["widgets_values"] = with_changes(specs, node.get("widgets_values"), name, value)


def fresh(spec: InputSpec, beside: Mapping[str, Any]) -> list[Any]:
    """What a new node has in the places of one widget, beside these values of others."""
    default = spec.default_with(beside)
    return [default, "fixed"] if spec.has_seed_control else [default]


def all_fresh(specs: Mapping[str, InputSpec]) -> list[Any]:
    """What a new node has in all its places."""
    shown = settled(specs, {})
    return [one for name in shown for one in fresh(specs[name], shown)]


def _is_widget(specs: Mapping[str, InputSpec], name: str) -> bool:
    return name in specs and specs[name].is_widget


def _is_control(value: object) -> bool:
    return isinstance(value, str) and value in CONTROL_VALUES
