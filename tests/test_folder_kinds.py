"""Folders of other kinds: named for what they are, with the right cure."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from musicgraph.models.refused import Refused
from musicgraph.models.weights.checkpoint import load_text_encoder, open_checkpoint

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1000\n"


def only(**files):
    """Nothing in the folder but these."""

    def change(folder):
        for path in folder.iterdir():
            path.unlink()
        for name, content in files.items():
            (folder / name.replace("__", ".")).write_bytes(content)

    return change


def without_weights(*names):
    def change(folder):
        (folder / "model.safetensors").unlink()
        for name in names:
            (folder / name).write_bytes(b"x")

    return change


def renamed(before):
    def change(folder):
        tensors = load_file(folder / "model.safetensors")
        tensors = {before + name: tensor for name, tensor in tensors.items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def pointer(name):
    return lambda folder: (folder / name).write_text(POINTER)


def nested(*path):
    def change(folder):
        inner = folder.joinpath(*path)
        inner.mkdir(parents=True)
        for file in [file for file in folder.iterdir() if file.is_file()]:
            file.rename(inner / file.name)

    return change


KINDS = {
    "LoRA": (
        only(adapter_config__json=b"{}", adapter_model__safetensors=b""),
        "LoRA adapter.*choose its base as the model",
    ),
    "LoRA beside its tokenizer": (
        lambda f: (f / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"})),
        "LoRA adapter",
    ),
    "pickle": (without_weights("pytorch_model.bin"), "pytorch_model.bin.*download model.safetens"),
    "audiocraft, broken": (
        only(state_dict__bin=b"x", compression_state_dict__bin=b"x"),
        "state_dict.bin: got another format",
    ),
    "audiocraft's codec alone": (
        only(compression_state_dict__bin=b"x"),
        "a codec without its model: no state_dict.bin",
    ),
    "a folder around audiocraft's": (
        lambda f: (only()(f), (f / "mine").mkdir(), (f / "mine" / "state_dict.bin").touch()),
        "choose .*mine",
    ),
    "GGUF": (only(model__gguf=b"GGUF"), "GGUF.*safetensors"),
    "diffusers": (only(model_index__json=b"{}"), "diffusers"),
    "cut off": (without_weights("model.safetensors.part"), "cut off.*download it to its end"),
    "empty": (only(), "an empty folder"),
    "a folder around it": (nested("musicgen-small"), "choose .*musicgen-small"),
    "the cache's folder": (nested("snapshots", "0123abcd"), "choose .*snapshots/0123abcd"),
    "a pointer as weights": (pointer("model.safetensors"), "Git LFS pointer.*git lfs pull"),
    "a pointer as configuration": (pointer("config.json"), "Git LFS pointer.*git lfs pull"),
    "a pointer as tokenizer": (pointer("tokenizer.json"), "Git LFS pointer.*git lfs pull"),
    "DataParallel": (renamed("module."), "'module.'.*save the model inside"),
    "torch.compile": (renamed("_orig_mod."), "'_orig_mod.'"),
    "a model in a model": (renamed("model."), "'model.'"),
    "both": (renamed("module._orig_mod."), "'module._orig_mod.'"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_of_folder_is_named_with_its_cure(mono, tmp_path, kind):
    folder = shutil.copytree(mono.folder, tmp_path / "model")
    change, message = KINDS[kind]
    change(folder)
    with pytest.raises(Refused, match=message) as caught:
        load_text_encoder(open_checkpoint(folder))
    assert str(folder) in str(caught.value)
    assert caught.value.expected and caught.value.remedy


def test_neither_a_file_nor_nothing_is_a_folder(mono, tmp_path):
    for path, got in ((mono.folder / "config.json", "a file"), (tmp_path / "x", "nothing there")):
        with pytest.raises(Refused, match=got):
            open_checkpoint(path)
