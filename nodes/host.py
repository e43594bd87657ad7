"""What a node needs from the program around it: progress, stopping, folders, devices, memory.

The only file that knows whether ComfyUI is there. Inside ComfyUI every service is ComfyUI's own;
elsewhere a runner describes itself with a `Run` and the services are plain Python. Nothing here
imports ComfyUI before it is used.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..models.disk import cache
from ..models.limits import Limits
from ..models.separation import MODEL as SEPARATOR
from ..models.weights import places

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


log = logging.getLogger("musicgraph")

MODEL_FOLDER_KEY = "musicgen"
TICK_S = 0.1


class Interrupted(Exception):
    """The user stopped the run. Derives from Exception, as ComfyUI's does: never swallow it."""

    __module__ = "musicgraph"  # what ComfyUI shows; the module's own name there is a path


@dataclass(frozen=True)
class TokenBlock:
    """Frames that a sampler has just finished, in order and without gaps."""

    audio_tokens: dict[str, Any]
    """AUDIO_TOKENS that hold these frames only"""
    start_frame: int
    total_frames: int

    @property
    def tokens(self) -> Tensor:
        """int64 `[B, K, T]` on the CPU"""
        return self.audio_tokens["tokens"]


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Run:
    """What a headless runner gives to the node it is running."""

    on_progress: Callable[[int, int], None] = _ignore
    """called with (done, total)"""
    on_tokens: Callable[[TokenBlock], None] = _ignore
    stopped: Callable[[], bool] = field(default=lambda: False)
    input_dir: Path = Path("input")
    output_dir: Path = Path("output")
    temp_dir: Path = Path("temp")
    named_models: Mapping[str, str] = field(default_factory=dict)
    """models that a graph may use besides the known ones, because a person named them: what the
    graph calls each → the folder or hub id that it is
    """
    named_adapters: Collection[str] = ()
    """likewise folders of adapters, besides those in `loras/`"""
    limits: Limits = Limits()
    """bounds on what the graph makes"""
    take: Callable[[int, int], tuple[dict, dict] | None] = field(default=lambda *_: None)
    """called with (item, of how many): the graph, and what goes beside it, of a file that holds
    this one item; None: those of all
    """


_run: contextvars.ContextVar[Run | None] = contextvars.ContextVar("musicgraph_run", default=None)


@contextlib.contextmanager
def running(run: Run) -> Iterator[None]:
    """Makes `run` the one that nodes of this thread (or task) report to."""
    mark = _run.set(run)
    try:
        yield
    finally:
        _run.reset(mark)


def current_run() -> Run:
    """The runner's description of itself; a default one when a node is called by hand."""
    return _run.get() or Run()


def inside_comfyui() -> bool:
    """ComfyUI imports both modules before any node pack; a `Run` in force means that a runner of
    ours calls.
    """
    return (
        _run.get() is None
        and "folder_paths" in sys.modules
        and "comfy.model_management" in sys.modules
    )


def called_by_hand() -> bool:
    """By code that stands behind every value, not by a host that runs somebody's graph."""
    return _run.get() is None and not inside_comfyui()


# ---------------------------------------------------------------- progress and stopping


def check_stop() -> None:
    """Raises if the user pressed stop. Cheap: call it at every step."""
    if inside_comfyui():
        import comfy.model_management  # pyright: ignore[reportMissingImports]

        comfy.model_management.throw_exception_if_processing_interrupted()
    elif current_run().stopped():
        raise Interrupted("stopped by the user")


@contextlib.contextmanager
def held(lock: threading.Lock) -> Iterator[None]:
    """While a lock is held. Raises if the user pressed stop before it could be taken."""
    while not lock.acquire(timeout=TICK_S):
        check_stop()
    try:
        yield
    finally:
        lock.release()


class Progress:
    """A progress bar on the node at work. `update` also raises if the user pressed stop."""

    def __init__(self, total: int = 1):
        self.total = total
        self._done = 0
        self._bar = None
        if inside_comfyui():
            import comfy.utils  # pyright: ignore[reportMissingImports]

            self._bar = comfy.utils.ProgressBar(total)

    def update(self, done: int, total: int | None = None) -> None:
        """`done` of `total` units, of those in all so far if it is not given."""
        check_stop()
        self._done, self.total = done, self.total if total is None else total
        if self._bar is not None:
            self._bar.update_absolute(done, self.total)
        else:
            current_run().on_progress(done, self.total)

    def show(self, picture: Tensor) -> None:
        """Puts a picture on the node in ComfyUI: uint8 `[height, width, 3]`."""
        if self._bar is not None:
            from PIL import Image

            image = Image.fromarray(picture.numpy())
            preview = ("JPEG", image, max(image.size))
            self._bar.update_absolute(self._done, self.total, preview)


def shows_pictures() -> bool:
    """Whether somebody sees what `Progress.show` is given."""
    return inside_comfyui()


def say(text: str) -> None:
    """A word about long work: on the node, and in the log."""
    log.info("%s", text)
    show(text)


def show(text: str) -> None:
    """A word on the node in ComfyUI; nothing elsewhere."""
    if inside_comfyui():
        from comfy_execution.utils import get_executing_context  # pyright: ignore[reportMissingImports]
        from server import PromptServer  # pyright: ignore[reportMissingImports]

        context = get_executing_context()
        if context is not None:
            PromptServer.instance.send_progress_text(text, context.node_id)


Result = TypeVar("Result")
Module = TypeVar("Module", bound="nn.Module")
OnProgress = Callable[[int, int], None]
"""called with (done, total); what it raises ends the work"""


def stoppable(work: Callable[[OnProgress], Result]) -> Result:
    """What `work` returns, with its progress on the node; a stop ends the waiting for it at once.

    On the main thread Ctrl-C interrupts the work itself. Elsewhere (ComfyUI's worker, the app's) a
    stop is a flag, which a compiler or a loader never looks at: so the work is done by a thread of
    its own, which is left behind. It ends at its next report, or when it is done.
    """
    if threading.current_thread() is threading.main_thread():
        return work(Progress().update)
    return _Beside(work).result()


class _Beside:
    """Work in a thread of its own.

    The process waits for it at its end: a compiler must not be torn down at work.
    """

    def __init__(self, work: Callable[[OnProgress], Any]):
        import torch

        self._inference = torch.is_inference_mode_enabled()  # of this thread; others begin without
        self._outcome: list[Any] = []
        self._error: BaseException | None = None
        self._at = (0, 1)
        self._left, self._done = threading.Event(), threading.Event()
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self._work, work), name="musicgraph-load").start()

    def _work(self, work: Callable[[OnProgress], Any]) -> None:
        import torch

        try:
            with torch.inference_mode(self._inference):
                self._outcome = [work(self._report)]
        except BaseException as error:  # raised where it is waited for
            self._error = error
        self._done.set()

    def _report(self, done: int, total: int) -> None:
        if self._left.is_set():
            raise Interrupted("stopped by the user")
        self._at = (done, total)

    def result(self) -> Any:
        bar, shown = Progress(), (0, 1)
        try:
            while not self._done.wait(TICK_S):
                check_stop()
                if self._at != shown:
                    shown = self._at
                    bar.update(*shown)
        finally:
            self._left.set()
        if self._error is not None:
            raise self._error
        return self._outcome[0]


def report_tokens(block: TokenBlock) -> None:
    """Hands finished frames to whoever listens to the run (a player, a chunked answer).

    ComfyUI has no listener.
    """
    if not inside_comfyui():
        current_run().on_tokens(block)


# ---------------------------------------------------------------- folders


def register_model_folder() -> None:
    """Adds `models/musicgen` to ComfyUI's folders, behind those of the user's
    extra_model_paths.yaml.

    What is kept to save time goes to ComfyUI's user folder.
    """
    if inside_comfyui():
        import folder_paths  # pyright: ignore[reportMissingImports]

        folder_paths.add_model_folder_path(
            MODEL_FOLDER_KEY, os.path.join(folder_paths.models_dir, MODEL_FOLDER_KEY)
        )
        cache.use(Path(folder_paths.get_user_directory()) / "musicgraph")


def data_folders() -> dict[str, Path]:
    """Where files of a graph lie: `input`, `output` and `temp`."""
    if inside_comfyui():
        import folder_paths  # pyright: ignore[reportMissingImports]

        return {
            kind: Path(folder_paths.get_directory_by_type(kind))
            for kind in ("input", "output", "temp")
        }
    run = current_run()
    return {"input": run.input_dir, "output": run.output_dir, "temp": run.temp_dir}


def keeps_graphs() -> bool:
    """Whether files carry the graph that made them; a runner of ours that wants none hands none
    out.
    """
    if inside_comfyui():
        from comfy.cli_args import args  # pyright: ignore[reportMissingImports]

        return not args.disable_metadata
    return True


def model_folders() -> list[Path]:
    """Folders whose subfolders are checkpoints, in order of preference."""
    if inside_comfyui():
        import folder_paths  # pyright: ignore[reportMissingImports]

        return [Path(p) for p in folder_paths.get_folder_paths(MODEL_FOLDER_KEY)]
    named = os.environ.get("MUSICGRAPH_MODELS", "")
    return [Path(p) for p in named.split(os.pathsep) if p] or [places.own_folder()]


def may_download(model: str) -> bool:
    """Whether the user asked for it: in ComfyUI by a graph that shows it, elsewhere by name.

    ComfyUI does not check what comes over a link, so there only the published models count.
    """
    if inside_comfyui():
        return places.is_official(model)
    return model in current_run().named_models


def may_download_parts(model: str) -> bool:
    """Whether a published text encoder or codec may be fetched that a model only names.

    In ComfyUI a model that lies in its folders is one that the user put there, whatever a link
    brings.
    """
    if inside_comfyui():
        return places.is_known(model, model_folders())
    return may_download(model)


def may_download_separator() -> bool:
    """Whether the user asked for the weights that take a mix apart, as `may_download` has it for
    models.
    """
    return inside_comfyui() or called_by_hand() or SEPARATOR in current_run().named_models


def model_source(model: str) -> str:
    """The folder, hub id or known name behind what a graph calls a model."""
    return current_run().named_models.get(model, model)


# ---------------------------------------------------------------- devices and memory


def default_device() -> torch.device:
    if inside_comfyui():
        import comfy.model_management  # pyright: ignore[reportMissingImports]

        return comfy.model_management.get_torch_device()
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def supports(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the device computes in `dtype` at a speed that makes it worth choosing."""
    import torch

    if device.type == "cpu":
        return dtype is torch.float32
    if inside_comfyui():
        import comfy.model_management as memory  # pyright: ignore[reportMissingImports]

        should_use = {
            torch.float16: memory.should_use_fp16,
            torch.bfloat16: memory.should_use_bf16,
        }.get(dtype)
        return should_use is None or should_use(device)
    return dtype is not torch.bfloat16 or (device.type == "cuda" and torch.cuda.is_bf16_supported())


def loading_device(device: torch.device) -> torch.device:
    """Where a module that will work on `device` is loaded to: ComfyUI keeps it aside until it is
    needed.
    """
    if inside_comfyui():
        import comfy.model_management  # pyright: ignore[reportMissingImports]

        return comfy.model_management.unet_offload_device()
    return device


class Resident(Generic[Module]):
    """A module and the device it works on.

    Inside ComfyUI, ComfyUI's memory manager moves it in and out.

    Keep it in a node's output: ComfyUI holds weak references only, so its cache of outputs decides
    the lifetime.
    """

    def __init__(self, module: Module, device: torch.device):
        self.module = module
        self.device = device
        self._patcher = None
        if inside_comfyui():
            import comfy.model_management  # pyright: ignore[reportMissingImports]
            import comfy.model_patcher  # pyright: ignore[reportMissingImports]

            offload = comfy.model_management.unet_offload_device()
            self._patcher = comfy.model_patcher.ModelPatcher(
                module, load_device=device, offload_device=offload
            )
        else:
            module.to(device)

    def ready(self, working_bytes: int = 0) -> Module:
        """The module, on its device, with room for `working_bytes` beside it."""
        if self._patcher is not None:
            import comfy.model_management  # pyright: ignore[reportMissingImports]

            comfy.model_management.load_models_gpu(
                [self._patcher], memory_required=working_bytes, force_full_load=True
            )
        return self.module
