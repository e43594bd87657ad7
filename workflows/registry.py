"""The node classes that a headless run knows, and what each declares, read once.

`NodeSpecs` is a snapshot: what a class declares may depend on the run in force
(`host.current_run`), such as the models that may be named or the files of the input folder. So each
run, check or form takes its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .inputs import InputSpec

CORE = "comfy-core"
"""the name by which documents say that a class is ComfyUI's own"""
NodeClasses = Mapping[str, type]
"""node id → V1 node class, as in a pack's NODE_CLASS_MAPPINGS"""


@dataclass(frozen=True)
class NodeSpec:
    """What a node class declares."""

    class_type: str
    node_class: Any
    inputs: Mapping[str, InputSpec]
    """required ones, then optional ones: the order of the widgets on ComfyUI's page"""
    hidden: Mapping[str, str]
    """parameter name → PROMPT, EXTRA_PNGINFO or UNIQUE_ID"""

    @classmethod
    def of(cls, class_type: str, node_class: Any) -> NodeSpec:
        """Asks INPUT_TYPES, which may look into folders."""
        declared = node_class.INPUT_TYPES()
        inputs = {
            name: InputSpec.of(name, entry, required=category == "required")
            for category in ("required", "optional")
            for name, entry in declared.get(category, {}).items()
        }
        hidden = {
            name: entry if isinstance(entry, str) else entry[0]
            for name, entry in declared.get("hidden", {}).items()
        }
        return cls(class_type, node_class, inputs, hidden)

    @property
    def output_types(self) -> tuple[Any, ...]:
        return tuple(self.node_class.RETURN_TYPES)

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(getattr(self.node_class, "RETURN_NAMES", self.node_class.RETURN_TYPES))

    @property
    def title(self) -> str:
        """What ComfyUI's page calls a node that nobody has given a title."""
        return getattr(self.node_class, "TITLE", self.class_type)

    @property
    def widgets(self) -> list[InputSpec]:
        """The inputs that ComfyUI's page draws a widget for."""
        return [spec for spec in self.inputs.values() if spec.is_widget]


class NodeSpecs(Mapping[str, NodeSpec]):
    """The specs of known classes by name.

    Each class is asked at most once, when it is first looked up.
    """

    def __init__(self, classes: NodeClasses):
        self.classes = classes
        self._read: dict[str, NodeSpec] = {}

    def __getitem__(self, class_type: str) -> NodeSpec:
        if class_type not in self._read:
            self._read[class_type] = NodeSpec.of(class_type, self.classes[class_type])
        return self._read[class_type]

    def __contains__(self, class_type: object) -> bool:
        return class_type in self.classes

    def __iter__(self) -> Iterator[str]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def inputs_of(self, class_type: str) -> Mapping[str, InputSpec]:
        """The declared inputs; none for an unknown class."""
        return self[class_type].inputs if class_type in self else {}

    def requires(self, class_type: str, name: str) -> bool:
        """Whether a node of this class cannot do without this input."""
        spec = self.inputs_of(class_type).get(name)
        return spec is not None and spec.required


def node_classes() -> dict[str, type]:
    """The twins of ComfyUI's nodes, and our own nodes."""
    from ..nodes import NODE_CLASS_MAPPINGS
    from .twins.catalogue import NODE_CLASS_MAPPINGS as TWINS

    return {**TWINS, **NODE_CLASS_MAPPINGS}


def pack_of(class_type: str) -> str:
    """The name, in ComfyUI's registry, of the pack that a class comes from."""
    from ..nodes import NODE_CLASS_MAPPINGS

    return "musicgraph" if class_type in NODE_CLASS_MAPPINGS else CORE


def is_output_node(node_class: type | None) -> bool:
    return getattr(node_class, "OUTPUT_NODE", False) is True


def types_fit(received: Any, wanted: Any) -> bool:
    """Whether an output of one type may be linked to an input of another; "A,B" fits A and B, "*"
    everything.
    """
    if isinstance(wanted, (list, tuple)) or isinstance(received, (list, tuple)):
        return received == wanted or "COMBO" in (received, wanted) or "*" in (received, wanted)
    if not received != wanted:  # an instance of a str subclass that overrides != to fit everything
        return True
    received_names = {name.strip() for name in str(received).split(",")}
    wanted_names = {name.strip() for name in str(wanted).split(",")}
    return bool(received_names & wanted_names) or "*" in received_names | wanted_names
