"""The host's services: plain ones outside ComfyUI, ComfyUI's own inside (shown on stand-ins for its
modules).
"""

import sys
import threading
import types
from pathlib import Path

import pytest
import torch

from musicgraph.models.disk import cache
from musicgraph.models.refused import Refused
from musicgraph.nodes import host
from musicgraph.nodes.graph_tags import item_tags


class PressedStop(Exception):
    """Stands for ComfyUI's InterruptProcessingException."""


class Comfy:
    """Stand-ins that record what they are asked, with the signatures of ComfyUI 0.3.64."""

    def __init__(self, monkeypatch):
        self.bars, self.loaded, self.folders, self.stop = (
            [],
            [],
            {"musicgen": ["/extra/musicgen"]},
            False,
        )
        memory = types.ModuleType("comfy.model_management")
        memory.throw_exception_if_processing_interrupted = self._throw
        memory.get_torch_device = lambda: torch.device("cpu")
        memory.unet_offload_device = lambda: torch.device("cpu")
        memory.should_use_fp16 = lambda device: False
        memory.should_use_bf16 = lambda device: True
        memory.load_models_gpu = lambda models, **kw: self.loaded.append((models, kw))
        patcher = types.ModuleType("comfy.model_patcher")
        patcher.ModelPatcher = lambda module, **kw: (module, kw)
        utils = types.ModuleType("comfy.utils")
        utils.ProgressBar = lambda total: self._bar(total)
        folders = types.ModuleType("folder_paths")
        folders.models_dir = "/comfy/models"
        folders.add_model_folder_path = lambda key, path: self.folders.setdefault(key, []).append(
            path
        )
        folders.get_folder_paths = lambda key: self.folders[key]
        folders.get_user_directory = lambda: "/comfy/user"
        options = types.ModuleType("comfy.cli_args")
        options.args = types.SimpleNamespace(disable_metadata=False)
        comfy = types.ModuleType("comfy")
        comfy.model_management, comfy.model_patcher, comfy.utils = memory, patcher, utils
        comfy.cli_args = options
        for module in (comfy, memory, patcher, utils, folders, options):
            monkeypatch.setitem(sys.modules, module.__name__, module)

    def _throw(self):
        if self.stop:
            raise PressedStop

    def _bar(self, total):
        bar = types.SimpleNamespace(total=total, seen=[])
        bar.update_absolute = lambda value, total: bar.seen.append((value, total))
        self.bars.append(bar)
        return bar


@pytest.fixture
def comfy(monkeypatch):
    return Comfy(monkeypatch)


def test_outside_comfyui_progress_and_stop_are_the_runners():
    seen, stop = [], []
    with host.running(host.Run(on_progress=lambda *p: seen.append(p), stopped=lambda: bool(stop))):
        bar = host.Progress(3)
        bar.update(1)
        stop.append(True)
        with pytest.raises(host.Interrupted):
            bar.update(2)
    assert seen == [(1, 3)]


def test_a_node_called_by_hand_needs_no_runner():
    host.Progress(3).update(1)
    host.report_tokens(host.TokenBlock({"tokens": torch.zeros(1, 4, 1)}, 0, 1))
    host.check_stop()


def test_runs_do_not_leak_into_each_other():
    outer, inner = host.Run(output_dir=Path("a")), host.Run(output_dir=Path("b"))
    with host.running(outer):
        with host.running(inner):
            assert host.current_run() is inner
        assert host.current_run() is outer
    assert host.current_run() not in (outer, inner)


def test_model_folders_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("MUSICGRAPH_MODELS", "/a:/b")
    assert host.model_folders() == [Path("/a"), Path("/b")]


def test_inside_comfyui_progress_and_stop_are_comfyuis(comfy):
    bar = host.Progress(3)
    bar.update(1)
    comfy.stop = True
    with pytest.raises(PressedStop):
        bar.update(2)
    assert comfy.bars[0].seen == [(1, 3)]


def test_inside_comfyui_the_model_folder_is_registered_behind_the_users_own(comfy, monkeypatch):
    monkeypatch.setattr(cache, "_chosen", [])
    host.register_model_folder()
    assert host.model_folders() == [Path("/extra/musicgen"), Path("/comfy/models/musicgen")]


def test_inside_comfyui_what_is_kept_to_save_time_lies_in_its_user_folder(comfy, monkeypatch):
    monkeypatch.delenv("MUSICGRAPH_CACHE", raising=False)
    monkeypatch.setattr(cache, "_chosen", [])
    host.register_model_folder()
    assert cache.folder() == Path("/comfy/user/musicgraph")


def test_a_file_saved_inside_comfyui_carries_its_graph_unless_comfyui_was_told_not_to(comfy):
    graph, picture = {"1": {"class_type": "X", "inputs": {}}}, {"workflow": {"nodes": []}}
    assert item_tags(graph, picture, 1, 2).keys() == {"prompt", "workflow"}
    sys.modules["comfy.cli_args"].args.disable_metadata = True
    assert item_tags(graph, picture) == {}


def test_inside_comfyui_modules_are_under_its_memory_manager(comfy):
    module = torch.nn.Linear(2, 2)
    resident = host.Resident(module, host.default_device())
    assert resident.ready(working_bytes=123) is module
    (models, how), (patched, devices) = comfy.loaded[0], comfy.loaded[0][0][0]
    assert len(models) == 1 and patched is module
    assert how == {"memory_required": 123, "force_full_load": True}
    assert devices == {"load_device": torch.device("cpu"), "offload_device": torch.device("cpu")}


def test_weights_are_loaded_straight_to_where_they_are_kept(comfy):
    gpu = torch.device("cuda")
    assert host.loading_device(gpu) == torch.device("cpu"), "ComfyUI moves it when it is needed"
    with host.running(host.Run()):
        assert host.loading_device(gpu) == gpu


def test_a_runner_of_ours_in_the_same_process_is_not_mistaken_for_comfyui(comfy):
    with host.running(host.Run()):
        assert not host.inside_comfyui()
    assert host.inside_comfyui()


def test_precision_follows_what_the_device_is_good_at(comfy):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert host.supports(torch.float32, cpu) and not host.supports(torch.float16, cpu)
    assert host.supports(torch.bfloat16, gpu) and not host.supports(torch.float16, gpu)


def beside(function):
    """What `function` returns or raises on a thread that is not the main one, as a host's worker
    is.
    """
    outcome = []

    def work():
        try:
            outcome.append((function(), None))
        except Exception as error:
            outcome.append((None, error))

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


def test_stoppable_work_reports_its_progress_and_gives_its_result():
    seen = []

    def work(report):
        report(1, 2)
        return "loaded"

    def run():
        with host.running(host.Run(on_progress=lambda *at: seen.append(at))):
            return host.stoppable(work)

    assert run() == beside(run) == "loaded"
    assert (1, 2) in seen


def test_a_stop_does_not_wait_for_work_that_never_looks_at_it():
    busy, stop, ends = threading.Event(), threading.Event(), []

    def compiling(report):
        busy.set()
        go_on.wait()
        try:
            report(1, 2)
        except host.Interrupted:
            ends.append("at its next report")
        done.set()

    def run():
        with host.running(host.Run(stopped=stop.is_set)):
            host.stoppable(compiling)

    go_on, done = threading.Event(), threading.Event()
    threading.Thread(target=lambda: busy.wait() and stop.set()).start()
    with pytest.raises(host.Interrupted):
        beside(run)
    assert not done.is_set(), "the work was waited for"
    go_on.set()
    done.wait()
    assert ends == ["at its next report"]


def test_inside_comfyui_the_stop_of_stoppable_work_is_comfyuis(comfy):
    go_on = threading.Event()

    def work(report):
        comfy.stop = True
        go_on.wait()

    with pytest.raises(PressedStop):
        beside(lambda: host.stoppable(work))
    go_on.set()


def test_what_goes_wrong_in_stoppable_work_is_raised_where_it_is_waited_for():
    def work(report):
        raise Refused("no", got="that")

    for run in (host.stoppable, lambda work: beside(lambda: host.stoppable(work))):
        with pytest.raises(Refused, match="got that"):
            run(work)


def test_stoppable_work_makes_tensors_as_the_node_itself_would():
    def run():
        with torch.inference_mode():
            return host.stoppable(lambda _: torch.zeros(1).is_inference())

    assert run() and beside(run)
    assert not beside(lambda: host.stoppable(lambda _: torch.zeros(1).is_inference()))


def test_inside_comfyui_words_about_long_work_are_shown_on_the_node(comfy, monkeypatch):
    sent = []
    server, utils = types.ModuleType("server"), types.ModuleType("comfy_execution.utils")
    server.PromptServer = types.SimpleNamespace(
        instance=types.SimpleNamespace(send_progress_text=lambda *given: sent.append(given))
    )
    utils.get_executing_context = lambda: types.SimpleNamespace(node_id="7")
    for module in (types.ModuleType("comfy_execution"), utils, server):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    host.say("loading")
    assert sent == [("loading", "7")]
    utils.get_executing_context = lambda: None
    host.say("called by nobody")
    assert len(sent) == 1


def test_inside_comfyui_only_published_models_are_downloaded(comfy):
    assert host.may_download("facebook/musicgen-small")
    assert not host.may_download("somebody/else"), "a link can bring any text"
    with host.running(host.Run(named_models={"somebody/else": "somebody/else"})):
        assert host.may_download("somebody/else")
        assert not host.may_download("facebook/musicgen-small")


def test_without_a_named_folder_models_are_kept_with_the_users_data(monkeypatch, tmp_path):
    monkeypatch.delenv("MUSICGRAPH_MODELS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert host.model_folders() == [tmp_path / "musicgraph" / "models"]


def test_exceptions_that_comfyui_shows_have_a_plain_module_name():
    assert host.Interrupted.__module__ == Refused.__module__ == "musicgraph"
