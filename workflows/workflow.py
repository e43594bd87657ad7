"""A workflow that is at work: its graph, and the document that it was read from."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..nodes.graph_tags import workflow_tags
from . import api_format, ui_format, ui_writer
from .canvas import Canvas, graph_of, with_page_tokens
from .graph import Graph
from .problems import WorkflowError
from .reader import Document
from .registry import NodeSpecs
from .subgraph_writer import NoPlace
from .subgraphs import laid_open

log = logging.getLogger("musicgraph")


@dataclass(frozen=True)
class Workflow:
    """The only place where a document becomes a graph, which it does once, and a graph a document
    again.
    """

    graph: Graph
    specs: NodeSpecs
    document: Document
    as_read: Graph
    """the graph that is in the document"""
    canvas: Canvas | None = None
    """what the page shows, if the graph was read from that"""

    @classmethod
    def of(cls, document: Document, specs: NodeSpecs) -> Workflow:
        """Where both formats are there, the API format is what really ran. Raises WorkflowError."""
        if document.api is not None:
            graph = _placed(api_format.read(document.api), document.ui)
            return cls(graph, specs, document, graph)
        assert document.ui is not None, "a document is in one format at least"
        canvas = laid_open(ui_format.read(document.ui), specs)
        graph = graph_of(canvas, specs)
        return cls(graph, specs, document, graph, canvas)

    def with_graph(self, graph: Graph) -> Workflow:
        return replace(self, graph=graph)

    @cached_property
    def runnable(self) -> Graph:
        """The graph as ComfyUI's page would send it: prefixes have lost the tokens that the page
        replaces.
        """
        if self.canvas is None:
            return self.graph
        return with_page_tokens(self.graph, self.canvas, self.specs)

    @property
    def prompt(self) -> dict[str, dict]:
        """What runs, in API format."""
        return api_format.write(self.runnable)

    @cached_property
    def ui(self) -> Mapping[str, Any] | None:
        """The document in UI format with what was changed in the graph; None if there is none, or
        no place for it.

        Raises WorkflowError for an input that no node of the document has, if no other format holds
        it.
        """
        if self.document.ui is None or self.graph == self.as_read:
            return self.document.ui
        try:
            ui = ui_writer.write(self.document.ui, self.as_read, self.graph, self.specs)
            if self.document.ui.get("definitions"):
                self._check_subgraphs(ui)
            return ui
        except WorkflowError as error:
            if self.document.api is None and not isinstance(error, NoPlace):
                raise
            log.warning(
                "the picture of the graph cannot follow (%s): results carry the API format only",
                error,
            )
            return None

    def _check_subgraphs(self, ui: Mapping[str, Any]) -> None:
        """Raises NoPlace if a changed document means another graph: one value may be shown for
        several widgets.
        """
        old, new = (
            graph_of(laid_open(ui_format.read(one), self.specs), self.specs)
            for one in (self.document.ui or {}, ui)
        )
        for node in new:
            is_changed = self.as_read.nodes.get(node.id) != self.graph.nodes.get(node.id)
            meant = self.graph if is_changed else old
            if node.id in meant and node.widgets != meant[node.id].widgets:
                raise NoPlace(node.id, "other widgets show it, too")

    def as_document(self) -> Document:
        """The workflow as it is now, in the formats in which it was read, or in API format where
        the picture cannot follow.
        """
        has_api = self.document.api is not None or self.ui is None
        return Document(api=self.prompt if has_api else None, ui=self.ui)

    @property
    def extra_pnginfo(self) -> dict[str, Any] | None:
        """What ComfyUI's page sends along, to be kept in the tags of the results."""
        return {"workflow": self.ui} if self.ui is not None else None

    @property
    def tags(self) -> dict[str, str]:
        """The graph as ComfyUI keeps it in a file."""
        return workflow_tags(self.prompt, self.extra_pnginfo)


def _placed(graph: Graph, ui: Mapping[str, Any] | None) -> Graph:
    """The graph with the places that its picture gives its nodes."""
    places = {} if ui is None else ui_format.positions(ui)
    nodes = [replace(node, pos=places.get(node.id)) for node in graph]
    return Graph.of(nodes, places)
