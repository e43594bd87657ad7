"""The host's services: plain ones outside ComfyUI, ComfyUI's own inside (shown on stand-ins for its modules)."""

import types
from pathlib import Path

import pytest
import torch

from musicgraph.nodes import host


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
        comfy = types.ModuleType("comfy")
        comfy.model_management, comfy.model_patcher, comfy.utils = memory, patcher, utils
        for module in (comfy, memory, patcher, utils, folders):
            monkeypatch.setitem(__import__("sys").modules, module.__name__, module)

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


def test_inside_comfyui_the_model_folder_is_registered_behind_the_users_own(comfy):
    host.register_model_folder()
    assert host.model_folders() == [Path("/extra/musicgen"), Path("/comfy/models/musicgen")]


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
