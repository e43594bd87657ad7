"""Small node classes for the tests of workflows: they count their calls and need no model."""

from __future__ import annotations

import torch

from musicgraph.nodes import host
from musicgraph.workflows import api_format
from musicgraph.workflows.reader import Document
from musicgraph.workflows.registry import NodeSpecs
from musicgraph.workflows.validate import validate
from musicgraph.workflows.workflow import Workflow


class Number:
    CALLS: list = []
    RETURN_TYPES = ("NUM",)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("INT", {"default": 1, "min": 0, "max": 10})}}

    def make(self, value):
        self.CALLS.append(value)
        return (value,)


class Add:
    CALLS: list = []
    RETURN_TYPES = ("NUM",)
    FUNCTION = "add"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "a": ("NUM",),
                "seed": ("INT", {"default": 0, "max": 2**64 - 1, "control_after_generate": True}),
            },
            "optional": {"b": ("NUM",), "mode": (["plus", "minus"], {"default": "plus"})},
        }

    def add(self, a, seed, b=0, mode="plus"):
        self.CALLS.append((a, seed, b))
        return (a + b if mode == "plus" else a - b,)


class Show:
    """An output node that keeps what it was shown."""

    SHOWN: list = []
    RETURN_TYPES = ()
    FUNCTION = "show"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"value": ("NUM,TEXT",), "label": ("STRING", {"default": "x"})},
            "hidden": {"prompt": "PROMPT", "extra": "EXTRA_PNGINFO", "me": "UNIQUE_ID"},
        }

    def show(self, value, label, prompt, extra, me):
        self.SHOWN.append((value, label, me))
        return {"ui": {"values": [value], "extra": [extra], "size": [len(prompt)]}}


class Broken:
    RETURN_TYPES = ("NUM",)
    FUNCTION = "fail"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"a": ("NUM",)}}

    def fail(self, a):
        raise RuntimeError("out of\norder")


class Slow:
    """Reports progress, and thereby notices a stop."""

    RETURN_TYPES = ("NUM",)
    FUNCTION = "work"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"a": ("NUM",)}}

    def work(self, a):
        progress = host.Progress(3)
        for step in (1, 2, 3):
            progress.update(step)
        return (a,)


class Sampler:
    """Makes tokens 0, 1, 2 … in blocks of three frames."""

    RETURN_TYPES = ("TOKENS",)
    FUNCTION = "sample"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"frames": ("INT", {"default": 8}), "reported": ("INT", {"default": 8})}
        }

    def sample(self, frames, reported):
        tokens = torch.arange(frames).expand(1, 1, frames)
        for start in range(0, reported, 3):
            block = {"tokens": tokens[..., start : min(start + 3, reported)]}
            host.report_tokens(host.TokenBlock(block, start, frames))
        return (tokens,)


class Decoder:
    """Two samples a frame; its stream keeps the last frame back until the end."""

    CALLS: list = []
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "decode"
    STREAM_INPUT = "tokens"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"gain": ("NUM",), "tokens": ("TOKENS",)}}

    def decode(self, gain, tokens):
        self.CALLS.append(gain)
        return (
            {"waveform": tokens.repeat_interleave(2, dim=-1).float() * gain, "sample_rate": 100},
        )

    def open_stream(self, gain):
        return DecoderStream(self, gain)


class DecoderStream:
    def __init__(self, node, gain):
        self.node, self.gain, self.tokens = node, gain, torch.zeros(1, 1, 0, dtype=torch.int64)

    def push(self, tokens):
        before = max(0, self.tokens.shape[-1] - 1)
        self.tokens = torch.cat([self.tokens, tokens["tokens"]], dim=-1)
        new = self.tokens[..., before:-1]
        return {
            "waveform": new.repeat_interleave(2, dim=-1).float() * self.gain,
            "sample_rate": 100,
        }

    def close(self):
        waveform = self.tokens.repeat_interleave(2, dim=-1).float() * self.gain
        return ({"waveform": waveform, "sample_rate": 100},)


class ShowAudio(Show):
    SHOWN: list = []

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"audio": ("AUDIO",)}}

    def show(self, audio):
        self.SHOWN.append(audio["waveform"])
        return {}


class Listed:
    """One output that is a list."""

    RETURN_TYPES = ("NUM",)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"count": ("INT", {"default": 3})}}

    def make(self, count):
        return (list(range(count)),)


class Sum:
    """Takes the whole list at once."""

    INPUT_IS_LIST = True
    RETURN_TYPES = ("NUM",)
    FUNCTION = "sum"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"values": ("NUM",)}}

    def sum(self, values):
        return (sum(values),)


class Switch:
    """Computes only the side that it needs."""

    RETURN_TYPES = ("NUM",)
    FUNCTION = "pick"

    @classmethod
    def INPUT_TYPES(cls):
        lazy = ("NUM", {"lazy": True})
        return {
            "required": {"left": ("BOOLEAN", {"default": True}), "a": lazy},
            "optional": {"b": lazy},
        }

    def check_lazy_status(self, left, a=None, b=None):
        return ["a"] if left else ["b"]

    def pick(self, left, a=None, b=None):
        return (a if left else b,)


class Clock:
    """Never the same twice."""

    CALLS: list = []
    RETURN_TYPES = ("NUM",)
    FUNCTION = "now"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    @classmethod
    def IS_CHANGED(cls):
        return float("nan")

    def now(self):
        self.CALLS.append(None)
        return (len(self.CALLS),)


class Picky:
    """Its own check: even numbers only."""

    RETURN_TYPES = ("NUM",)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "even": ("INT", {"min": 0, "max": 4}),
                "odd": ("INT", {"min": 0, "max": 4, "default": 1}),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, even):
        return True if even is None or even % 2 == 0 else f"got {even}, expected an even number"

    def make(self, even, odd):
        return (even,)


CLASSES = {
    one.__name__: one
    for one in (
        Number,
        Add,
        Show,
        Broken,
        Slow,
        Sampler,
        Decoder,
        ShowAudio,
        Listed,
        Sum,
        Switch,
        Clock,
        Picky,
    )  # fmt: skip
}


def node(class_type, title=None, **inputs):
    """An entry of an API-format prompt."""
    return {
        "inputs": inputs,
        "class_type": class_type,
        **({"_meta": {"title": title}} if title else {}),
    }


def opened(document, classes=CLASSES):
    """A document, or a prompt in API format, as a graph."""
    document = document if isinstance(document, Document) else Document(api=document)
    return Workflow.of(document, NodeSpecs(classes))


def checked(document, classes=CLASSES):
    workflow = opened(document, classes)
    return validate(workflow.runnable, workflow.specs)


def run(runner, prompt, **options):
    """Runs a prompt in API format."""
    return runner.run(api_format.read(prompt), **options)


def assert_links_sound(ui):
    """Ids are unique and counted; every link is named at both ends, and is of one type."""
    nodes = {node["id"]: node for node in ui["nodes"]}
    links = [link[0] for link in ui["links"]]
    assert len(nodes) == len(ui["nodes"]) and max(nodes) <= ui["last_node_id"]
    assert len(set(links)) == len(links) and max(links, default=0) <= ui["last_link_id"]
    for link, source, slot, target, place, kind in ui["links"]:
        output, socket = nodes[source]["outputs"][slot], nodes[target]["inputs"][place]
        assert link in output["links"] and socket["link"] == link
        assert output["type"] == kind and socket["type"] in (kind, "*")
    sockets = [one["link"] for node in ui["nodes"] for one in node["inputs"]]
    outputs = [one["links"] or () for node in ui["nodes"] for one in node["outputs"]]
    named = [link for link in sockets if link is not None]
    assert sorted(named) == sorted(link for ends in outputs for link in ends) == sorted(links)
