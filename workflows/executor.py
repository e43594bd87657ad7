"""Runs a graph: in dependency order, once per node, and again only for what has changed.

A `Runner` keeps the results of its last run. A node's result is reused while its class, its inputs,
what IS_CHANGED says and everything above it are the same, so another seed does not load the model
again. It knows no particular node.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import secrets
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ..models.limits import Limits
from ..models.refused import Refused
from ..nodes.host import Interrupted, Run, TokenBlock, running
from ..nodes.made_with import MadeWith
from . import api_format
from .bounds import Ledger, composes
from .calls import (
    Arguments,
    Outcome,
    argument_sets,
    call_count,
    call_node,
    made_with,
    outcome_of,
)
from .events import (
    Event,
    Listener,
    NodeCached,
    NodeComposes,
    NodeFailed,
    NodeOutput,
    NodeProgress,
    NodeStarted,
    TokensFinished,
)
from .graph import Graph, Link
from .kept import KeptResults
from .node_check import CLASS_FAULTS
from .problems import NodeError
from .provenance import Provenance
from .registry import NodeClasses, NodeSpec, NodeSpecs, is_output_node, node_classes
from .streaming import NodeStream, plan_streams
from .validate import Validation, validate

log = logging.getLogger("musicgraph")


@dataclass(frozen=True)
class RunResult:
    """What a run gave.

    `outputs` holds a list of values for each output of each node that was needed.

    Large results that only other nodes needed are left out, where all together would have been too
    much to keep.
    """

    outputs: dict[str, tuple[list, ...]]
    ui: dict[str, dict[str, Any]]
    files: tuple[Path, ...]
    cached: tuple[str, ...]
    scaled_by: dict[Path, float] = field(default_factory=dict)
    """files whose sound was above full scale, and what it was multiplied by before it was written
    """
    made_with: dict[str, tuple[MadeWith, ...]] = field(default_factory=dict)
    """sampler → what each of its calls composed with"""

    def value(self, node: str, slot: int = 0) -> Any:
        """The value of an output that has exactly one."""
        (value,) = self.outputs[node][slot]
        return value


def _ignore(_: Event) -> None:
    pass


class Runner:
    """Runs graphs; keep it, and unchanged parts of the next graph are not computed again.

    From several threads it may run several at once: they share what they have in common.
    """

    def __init__(self, classes: NodeClasses | None = None):
        self.classes = node_classes() if classes is None else classes
        self._kept = KeptResults()

    def run(
        self,
        work: Graph | Validation,
        *,
        extra_pnginfo: Mapping[str, Any] | None = None,
        listener: Listener | None = None,
        stopped: Callable[[], bool] = lambda: False,
        stream: bool = False,
        targets: tuple[str, ...] | None = None,
        named_models: Mapping[str, str] | None = None,
        named_adapters: Collection[str] = (),
        limits: Limits | None = None,
        metadata: bool = True,
        input_dir: str | Path = "input",
        output_dir: str | Path = "output",
        temp_dir: str | Path | None = None,
    ) -> RunResult:
        """Runs what leads to outputs, or to the nodes in `targets` if they are given.

        A graph is validated first; what was validated already, with the same folders and named
        models and adapters, is not validated again. Raises WorkflowError with every problem before
        anything runs, NodeError with its cause when a node fails, and lets host.Interrupted pass
        when `stopped` says so.

        With `stream`, nodes that can work on blocks of tokens do, and AudioChunk events come while
        the sampler is at work. `named_models` are those that a person, not the graph, named: what
        the graph calls each → what it is; `named_adapters` are folders named so. `limits` bound
        what the graph makes; without them those of models/limits.py hold. Without `metadata` files
        do not say what made them.
        """
        temp_dir = Path(tempfile.gettempdir()) / "musicgraph" if temp_dir is None else temp_dir
        run = Run(
            stopped=stopped,
            input_dir=Path(input_dir),
            output_dir=Path(output_dir),
            temp_dir=Path(temp_dir),
            named_models=named_models or {},
            named_adapters=named_adapters,
            limits=limits or Limits(),
        )
        with torch.inference_mode(), running(run):
            if isinstance(work, Graph):
                work = validate(work, NodeSpecs(self.classes))
            work.raise_if_refused()
            job = _Job(work, targets, run, listener or _ignore, extra_pnginfo, metadata)
            with self._kept.in_use(frozenset(job.keys.values())):
                return job.work(self._kept, stream)

    def forget(self) -> None:
        """Drops every kept result, and with them the loaded models that no run is using."""
        self._kept.drop_all()


class _Job:
    """One run of one validated graph."""

    def __init__(
        self,
        valid: Validation,
        targets: tuple[str, ...] | None,
        run: Run,
        emit: Listener,
        extra_pnginfo: Mapping[str, Any] | None,
        metadata: bool,
    ):
        self.graph, self.specs, self.run, self.emit = valid.graph, valid.specs, run, emit
        self.outputs = valid.outputs if targets is None else targets
        self.extra_pnginfo, self.metadata = extra_pnginfo, metadata
        self.hidden = {"PROMPT": api_format.write(valid.graph)} if metadata else {}
        self.order = self.graph.order(self.outputs)
        self.keys = self._keys()
        self.done: dict[str, Outcome] = {}
        self.cached: list[str] = []
        self.wanted_lazily: dict[str, set[str]] = {}
        self.streams: dict[str, NodeStream] = {}
        self.consumers: dict[str, list[str]] = {}
        self.earlier: dict[str, set[str]] = {}
        self.ledger = Ledger(run.limits)
        self.users = self.graph.consumers(self.order)

    def work(self, kept: KeptResults, stream: bool) -> RunResult:
        """Computes every output; results go into `kept` as they come, so that a failed run loses
        none.
        """
        for node_id in self.order:
            self._reuse(node_id, kept)
        if stream:
            self.consumers, self.earlier = plan_streams(
                self.graph, self.specs, self.order, set(self.cached)
            )
        waiting = list(reversed(self.outputs))
        while waiting:
            node_id = waiting[-1]
            if node_id in self.done:
                waiting.pop()
            elif self._reuse(node_id, kept):  # another node, or another run, does just the same
                continue
            elif needs := [up for up in self._needs(node_id) if up not in self.done]:
                waiting += reversed(needs)
            elif not self._wants_more(node_id):
                self._make(node_id, kept)
        return self._result()

    def _reuse(self, node_id: str, kept: KeptResults) -> bool:
        """Whether there was a result."""
        outcome = kept.get(self.keys[node_id])
        if outcome is None:
            return False
        self.cached.append(node_id)
        self.emit(NodeCached(node_id))
        self._tell_made_with(node_id, outcome.made_with)
        self._make_room(node_id, outcome, kept)
        self._finish(node_id, outcome)
        return True

    def _make(self, node_id: str, kept: KeptResults) -> None:
        """What composes nobody waits for: its sound is to be heard while it is made."""
        key, alone = self.keys[node_id], composes(self._spec(node_id))
        with contextlib.nullcontext() if alone else kept.making(key, self.run.stopped):
            if not alone and self._reuse(node_id, kept):
                return
            outcome = self._compute(node_id)
            self._make_room(node_id, outcome, kept)
            self._finish(node_id, outcome)
            kept.keep(key, outcome)

    def _make_room(self, node_id: str, outcome: Outcome, kept: KeptResults) -> None:
        """Counts a new result.

        If all together is too much, those go that no node of this run still needs.
        """
        with self._named(node_id):
            self.ledger.keep(node_id, outcome)
            for earlier in list(self.done) if self.ledger.is_full else ():
                users = self.users.get(earlier, set()) - self.done.keys() - {node_id}
                if earlier in self.ledger and earlier not in self.outputs and not users:
                    self.ledger.drop(earlier)
                    kept.drop(self.keys[earlier])
                    self.done[earlier] = replace(self.done[earlier], outputs=())
            self.ledger.check()

    def _finish(self, node_id: str, outcome: Outcome) -> None:
        self.done[node_id] = outcome
        if is_output_node(self._class(node_id)):
            self.emit(NodeOutput(node_id, outcome.ui, outcome.files))

    def _result(self) -> RunResult:
        return RunResult(
            outputs={
                node_id: outcome.outputs
                for node_id, outcome in self.done.items()
                if len(outcome.outputs) == len(self._class(node_id).RETURN_TYPES)
            },
            ui={node_id: outcome.ui for node_id, outcome in self.done.items() if outcome.ui},
            files=tuple(
                dict.fromkeys(file for node_id in self.outputs for file in self.done[node_id].files)
            ),
            cached=tuple(self.cached),
            scaled_by={
                file: factor
                for node_id in self.outputs
                for file, factor in self.done[node_id].scaled_by.items()
            },
            made_with=self._made_with(),
        )

    def _spec(self, node_id: str) -> NodeSpec:
        return self.specs[self.graph[node_id].class_type]

    def _class(self, node_id: str) -> Any:
        return self._spec(node_id).node_class

    # ------------------------------------------------------------ what a node waits for

    def _needs(self, node_id: str) -> list[str]:
        """The nodes to compute before this one; lazy inputs once the node has asked for them."""
        links = self.graph[node_id].links
        if hasattr(self._class(node_id), "check_lazy_status"):
            inputs, asked = self._spec(node_id).inputs, self.wanted_lazily.get(node_id, set())
            lazy = {name for name, spec in inputs.items() if spec.lazy} - asked
            links = {name: link for name, link in links.items() if name not in lazy}
        above = dict.fromkeys(link.node for link in links.values())
        return [up for up in above if up in self.graph] + sorted(self.earlier.get(node_id, ()))

    def _wants_more(self, node_id: str) -> bool:
        """Asks a node with lazy inputs which of those not computed yet it needs now."""
        node_class = self._class(node_id)
        if not hasattr(node_class, "check_lazy_status"):
            return False
        with self._named(node_id), running(self.run):
            answers = [
                node_class().check_lazy_status(**a)
                for a in argument_sets(node_class, self._arguments(node_id))
            ]
        links = self.graph[node_id].links
        waiting = {name for name, link in links.items() if link.node not in self.done}
        asked = {name for answer in answers for name in answer or ()} & waiting
        self.wanted_lazily.setdefault(node_id, set()).update(asked)
        return bool(asked)

    # ------------------------------------------------------------ one node

    @contextlib.contextmanager
    def _named(self, node_id: str) -> Iterator[None]:
        """Gives the node's name to what goes wrong inside; a stop, and what has a name already,
        pass as they are.
        """
        try:
            yield
        except (Interrupted, NodeError):
            raise
        except Exception as error:
            self.emit(NodeFailed(node_id, str(error), isinstance(error, Refused)))
            node = self.graph[node_id]
            raise NodeError(node_id, node.name, node.class_type, error) from error

    def _arguments(self, node_id: str, without: str | None = None) -> Arguments:
        """Each input as a list of values; None stands for a lazy one that is not computed yet."""
        spec, inputs = self._spec(node_id), self.graph[node_id].inputs
        given = {
            name: self._values(inputs[name])
            for name in spec.inputs
            if name in inputs and name != without
        }
        hidden = {**self.hidden, "UNIQUE_ID": node_id}
        if self.metadata and "EXTRA_PNGINFO" in spec.hidden.values():
            _, hidden["EXTRA_PNGINFO"] = self._provenance().of(node_id)
        return given | {name: [hidden.get(kind)] for name, kind in spec.hidden.items()}

    def _values(self, value: Any) -> list:
        if not isinstance(value, Link):
            return [_plain(value)]
        return self.done[value.node].outputs[value.slot] if value.node in self.done else [None]

    def _compute(self, node_id: str) -> Outcome:
        if self.run.stopped():
            raise Interrupted("stopped by the user")
        self.emit(NodeStarted(node_id))
        stream = self.streams.pop(node_id, None)
        with self._named(node_id), running(self._run_for(node_id)):
            if stream is not None and stream.is_complete:
                return outcome_of(self._class(node_id), [stream.close()], self.run)
            self._prepare_streams(node_id)
            arguments = self._arguments(node_id)
            if composes(self._spec(node_id)):
                self.ledger.compose(arguments)
            with_what = made_with(self._class(node_id), arguments)
            self._tell_made_with(node_id, with_what)
            outcome = call_node(self._class(node_id), arguments, self.run)
            return replace(outcome, made_with=with_what)

    def _run_for(self, node_id: str) -> Run:
        return replace(
            self.run,
            on_progress=lambda done, total: self.emit(NodeProgress(node_id, done, total)),
            on_tokens=lambda block: self._pass_on(node_id, block),
            take=lambda item, items: self._provenance().of(node_id, item, items),
        )

    # ------------------------------------------------------------ what files say of it

    def _tell_made_with(self, node_id: str, with_what: tuple[MadeWith, ...]) -> None:
        if with_what:
            self.emit(NodeComposes(node_id, with_what))

    def _provenance(self) -> Provenance:
        return Provenance(self.graph, self.extra_pnginfo, self.specs, self._made_with())

    def _made_with(self) -> dict[str, tuple[MadeWith, ...]]:
        """As far as is known by now."""
        return {node: one.made_with for node, one in self.done.items() if one.made_with}

    # ------------------------------------------------------------ streams

    def _prepare_streams(self, node_id: str) -> None:
        for consumer in self.consumers.get(node_id, ()):
            node_class = self._class(consumer)
            arguments = self._arguments(consumer, without=node_class.STREAM_INPUT)
            if call_count(node_class, arguments) == 1 and not getattr(
                node_class, "INPUT_IS_LIST", False
            ):
                (given,) = argument_sets(node_class, arguments)
                self.streams[consumer] = NodeStream(consumer, _opener(node_class, given), self.emit)

    def _pass_on(self, node_id: str, block: TokenBlock) -> None:
        self.emit(TokensFinished(node_id, block))
        for consumer in self.consumers.get(node_id, ()):
            if consumer in self.streams:
                with self._named(consumer), running(self._run_for(consumer)):
                    self.streams[consumer].push(block)

    # ------------------------------------------------------------ what makes a result reusable

    def _keys(self) -> dict[str, str]:
        """A digest for each node of everything that its result depends on."""
        keys: dict[str, str] = {}
        for node_id in self.order:
            text = json.dumps(self._signature(node_id, keys), sort_keys=True, default=repr)
            keys[node_id] = hashlib.sha256(text.encode()).hexdigest()
        return keys

    def _signature(self, node_id: str, keys: Mapping[str, str]) -> list:
        node, spec, node_class = self.graph[node_id], self._spec(node_id), self._class(node_id)
        inputs = {
            name: ["link", keys[value.node], value.slot]
            if isinstance(value, Link)
            else ["value", value]
            for name, value in node.inputs.items()
            if name in spec.inputs
        }
        is_tied = "UNIQUE_ID" in spec.hidden.values()
        tied = is_tied or getattr(node_class, "NOT_IDEMPOTENT", False)
        places = (
            [str(self.run.output_dir), str(self.run.temp_dir), self.metadata]
            if is_output_node(node_class)
            else []
        )
        return [
            node.class_type,
            self._is_changed(node_id),
            node_id if tied else "",
            places,
            inputs,
        ]

    def _is_changed(self, node_id: str) -> Any:
        """What IS_CHANGED says, told every input, as ComfyUI tells it; None stands for a link.

        NaN, or a failure, never equals the last time.
        """
        node_class = self._class(node_id)
        if not hasattr(node_class, "IS_CHANGED"):
            return None
        given = {
            name: None if isinstance(value, Link) else _plain(value)
            for name, value in self.graph[node_id].inputs.items()
            if name in self._spec(node_id).inputs
        }
        try:
            value = node_class.IS_CHANGED(**given)
        except CLASS_FAULTS as error:
            log.warning("node %s: IS_CHANGED failed (%s), so it runs every time", node_id, error)
            value = float("nan")
        return repr(value) if value == value else secrets.token_hex(8)


def _opener(node_class: type, given: Mapping[str, Any]) -> Callable[[], Any]:
    return lambda: node_class().open_stream(**given)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
