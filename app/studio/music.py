"""From a request to music: the default graph as a job, and what the job gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...nodes.graph_tags import workflow_tags
from ...nodes.host import Run, running
from ...workflows import api_format
from ...workflows.default_graph import SAVER, workflow_for
from ...workflows.media.audio import full_scale_factor
from ...workflows.provenance import MadeWiths, Provenance
from ...workflows.registry import NodeClasses, NodeSpecs, node_classes
from ...workflows.request import Request
from ...workflows.validate import validate
from .job import Folders, Job, JobResult

if TYPE_CHECKING:
    from torch import Tensor

    from ...workflows.events import Event, Listener
    from ...workflows.executor import Runner


def _ignore(_: Event) -> None:
    pass


@dataclass(frozen=True)
class Music:
    """What came of a request."""

    waveform: Tensor  # float32 [B, C, samples] on the CPU
    sample_rate: int
    tags: tuple[dict[str, str], ...]
    """of each item, as a file carries them: the graph that makes it, and what it was made with"""
    engine: str
    """what ran the model: engine, precision and device"""
    generation_s: float
    """time spent on composing and decoding, without loading"""

    @property
    def duration_s(self) -> float:
        return self.waveform.shape[-1] / self.sample_rate

    @property
    def scaled_by(self) -> tuple[float, ...]:
        """What each item will be multiplied by when it is written: less than 1.0 where it is above
        full scale.
        """
        return tuple(full_scale_factor(item) for item in self.waveform)

    @property
    def x_real_time(self) -> float:
        """Seconds of music made a second, all items together."""
        return self.waveform.shape[0] * self.duration_s / self.generation_s


def music_job(
    request: Request,
    classes: NodeClasses,
    *,
    named_models: Mapping[str, str],
    named_adapters: tuple[str, ...] = (),
    input_dir: str = "input",
    stream: bool = False,
) -> Job:
    """The default graph for this request, up to its sound; saving is left to who asked.

    `named_models` is what `models.py` allows, or what a person at a terminal named; so are
    `named_adapters`, beyond those in `loras/`.
    Raises WorkflowError with all that is wrong with the request.
    """
    terms = Run(named_models=named_models, named_adapters=named_adapters, input_dir=Path(input_dir))
    with running(terms):
        specs = NodeSpecs(classes)
        workflow = workflow_for(request, specs)
        checked = validate(workflow.runnable, specs)
    checked.raise_if_refused()
    (saver,) = checked.graph.of_class(SAVER)
    return Job(
        workflow.prompt,
        workflow.extra_pnginfo,
        targets=(saver.links["audio"].node,),
        folders=Folders(input=input_dir),
        named_models=named_models,
        named_adapters=named_adapters,
        stream=stream,
        music_s=request.duration_s,
        checked=checked,
    )


def music_of(job: Job, result: JobResult) -> Music:
    """The one sound of a `music_job`."""
    (audio,) = result.audio.values()
    return Music(
        audio["waveform"],
        audio["sample_rate"],
        tags_of(job, result.made_with, len(audio["waveform"])),
        result.engine,
        result.generation_s,
    )


def tags_of(job: Job, made_with: MadeWiths, items: int = 1) -> tuple[dict[str, str], ...]:
    """Of each item of a `music_job`, as a file carries them."""
    assert job.targets is not None, "a job of music has one"
    (sink,) = job.targets
    specs = NodeSpecs(node_classes())
    provenance = Provenance(api_format.read(job.graph), job.extra_pnginfo, specs, made_with)
    return tuple(workflow_tags(*provenance.of(sink, item, items)) for item in range(items))


def make_music(
    runner: Runner,
    request: Request,
    *,
    listener: Listener = _ignore,
    stopped: Callable[[], bool] = lambda: False,
    stream: bool = False,
    input_dir: str = "input",
) -> Music:
    """For code and commands behind which a person stands, who has named the model: it may be
    downloaded; and adapters, which may lie anywhere.

    Raises what `Runner.run` raises: WorkflowError, NodeError, host.Interrupted.
    """
    from .worker import run_job

    job = music_job(
        request,
        runner.classes,
        named_models={request.model: request.model},
        named_adapters=tuple(lora.adapter for lora in request.loras),
        input_dir=input_dir,
        stream=stream,
    )
    return music_of(job, run_job(runner, job, listener, stopped))
