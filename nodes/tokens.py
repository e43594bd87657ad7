"""Tokens as data: saved, loaded, cut, put one after the other, repeated, gathered and picked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..models.config import MAX_DURATION_S
from ..models.disk.files import open_file, replace_file
from ..models.refused import Refused
from . import host, names, wires
from .graph_tags import HIDDEN, item_tags

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = ".safetensors"
CATEGORY = "audio/musicgen/tokens"
CODEC_TOOLTIP = "From Load MusicGen: of the checkpoint that made the tokens."
Tokens = dict[str, Any]


class AudioTokensSave:
    DESCRIPTION = (
        "Saves tokens into the output folder, with what they are and the graph that made them: "
        "smaller than sound, and nothing is lost when they are continued."
    )
    TITLE = "Audio Tokens Save"
    CATEGORY = CATEGORY
    SEARCH_ALIASES = ["save tokens", "export tokens", "save latent audio"]
    RETURN_TYPES = ()
    RETURN_NAMES = ()
    OUTPUT_TOOLTIPS = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "codec": (wires.CODEC, {"tooltip": CODEC_TOOLTIP}),
                "tokens": (
                    wires.TOKENS,
                    {"tooltip": "From MusicGen Sampler, EnCodec Encode or a tokens node."},
                ),
                "filename_prefix": (
                    "STRING",
                    {
                        "default": "tokens/musicgraph",
                        "tooltip": "Folder and name within the output folder; a number follows.",
                    },
                ),
            },
            "hidden": HIDDEN,
        }

    @classmethod
    def VALIDATE_INPUTS(cls, filename_prefix: str | None = None) -> bool | str:
        try:
            names.check_prefix(filename_prefix or "", host.data_folders()["output"], SUFFIX)
        except Refused as error:
            return str(error)
        return True

    def save(
        self,
        codec: wires.CodecPart,
        tokens: Tokens,
        filename_prefix: str,
        prompt: Mapping[str, Any] | None = None,
        extra_pnginfo: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        from ..models.token_file import token_bytes

        _, described = wires.read_tokens(tokens)
        ready = wires.codec_of(codec, described)
        folder = host.data_folders()["output"]
        directory, subfolder, name, number = names.save_place(filename_prefix, folder, SUFFIX)
        filename = f"{name}_{number:05}{SUFFIX}"
        content = token_bytes(described, ready, item_tags(prompt, extra_pnginfo))
        replace_file(directory / filename, content)
        saved = {"filename": filename, "subfolder": subfolder, "type": "output"}
        return {"ui": {"tokens": [saved]}}


class AudioTokensLoad:
    DESCRIPTION = "Loads tokens that Audio Tokens Save has written, for the codec that made them."
    TITLE = "Audio Tokens Load"
    CATEGORY = CATEGORY
    SEARCH_ALIASES = ["load tokens", "import tokens"]
    RETURN_TYPES = (wires.TOKENS,)
    RETURN_NAMES = ("tokens",)
    OUTPUT_TOOLTIPS = ("The tokens; go to EnCodec Decode, MusicGen Sampler or a tokens node.",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "codec": (wires.CODEC, {"tooltip": CODEC_TOOLTIP}),
                "file": (
                    "STRING",
                    {
                        "default": "tokens/musicgraph_00001.safetensors [output]",
                        "tooltip": "A file of the input folder; with [output] behind it, of the "
                        "output folder.",
                    },
                ),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, file: str | None = None) -> bool | str:
        try:
            if file is not None:
                open_file(names.input_path(file)).close()
        except Refused as error:
            return str(error)
        return True

    @classmethod
    def IS_CHANGED(cls, file: str, **_: object) -> str:
        import hashlib

        with open_file(names.input_path(file)) as opened:
            return hashlib.sha256(opened.read()).hexdigest()

    def load(self, codec: wires.CodecPart, file: str) -> tuple[Tokens]:
        from ..models.token_file import read_token_file

        path = names.input_path(file)
        open_file(path).close()
        tokens = read_token_file(path, codec.codec.ready())
        _check_size(tokens)
        return (tokens,)


class AudioTokensCrop:
    DESCRIPTION = "Keeps a part of the tokens: from one second to another, to the nearest frame."
    TITLE = "Audio Tokens Crop"
    CATEGORY = CATEGORY
    SEARCH_ALIASES = ["trim tokens", "cut tokens"]
    RETURN_TYPES = (wires.TOKENS,)
    RETURN_NAMES = ("tokens",)
    OUTPUT_TOOLTIPS = ("The part that was kept.",)
    FUNCTION = "crop"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        seconds = {"min": 0.0, "max": MAX_DURATION_S, "step": 0.1}
        return {
            "required": {
                "tokens": (wires.TOKENS, {"tooltip": "Any tokens."}),
                "begin": (
                    "FLOAT",
                    {"default": 0.0, **seconds, "tooltip": "In seconds, within the music."},
                ),
                "end": (
                    "FLOAT",
                    {"default": 0.0, **seconds, "tooltip": "In seconds; 0: the music's end."},
                ),
            }
        }

    def crop(self, tokens: Tokens, begin: float, end: float) -> tuple[Tokens]:
        values, described = wires.read_tokens(tokens)
        length, rate = values.shape[2], described["frame_rate"]
        if not (math.isfinite(begin) and math.isfinite(end)):
            raise Refused("crop", got=f"{begin:g} to {end:g} s", expected="times in seconds")
        first, last = round(begin * rate), round(end * rate) if end else length
        if not 0 <= first < last <= length:
            raise Refused(
                "crop",
                got=f"{begin:g} to {end or length / rate:g} s",
                expected=f"a part of 0 to {length / rate:g} s, at least a frame long",
                remedy="choose times within the music",
            )
        open_end = described.get("open_end", False) and last == length
        return ({**described, "tokens": values[:, :, first:last], "open_end": open_end},)


class AudioTokensConcat:
    DESCRIPTION = (
        "Puts one piece behind another. Nothing is blended: the decoder itself smooths the joint."
    )
    TITLE = "Audio Tokens Concat"
    CATEGORY = CATEGORY
    SEARCH_ALIASES = ["join tokens", "append tokens"]
    RETURN_TYPES = (wires.TOKENS,)
    RETURN_NAMES = ("tokens",)
    OUTPUT_TOOLTIPS = ("The first, then the second.",)
    FUNCTION = "concat"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return _two(
            "What comes first.", "What follows: as many items, or one on either side for all."
        )

    def concat(self, first: Tokens, second: Tokens) -> tuple[Tokens]:
        import torch

        (one, other), described = _alike(first, second)
        B = max(len(one), len(other))
        if {len(one), len(other)} - {1, B}:
            raise Refused(
                "tokens",
                got=f"{len(one)} and {len(other)} items",
                expected="equally many, or one for all",
                remedy="pick items with Audio Tokens Pick",
            )
        joined = torch.cat([one.expand(B, -1, -1), other.expand(B, -1, -1)], dim=2)
        return (_sized({**second, **described, "tokens": joined}),)


class AudioTokensRepeat:
    DESCRIPTION = "Repeats tokens over and over, as a loop is played."
    TITLE = "Audio Tokens Repeat"
    CATEGORY = CATEGORY
    SEARCH_ALIASES = ["loop tokens", "tile tokens"]
    RETURN_TYPES = (wires.TOKENS,)
    RETURN_NAMES = ("tokens",)
    OUTPUT_TOOLTIPS = ("The same, so many times.",)
    FUNCTION = "repeat"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        times = {"default": 2, "min": 1, "max": 1000}
        return {
            "required": {
                "tokens": (wires.TOKENS, {"tooltip": "Any tokens."}),
                "times": ("INT", {**times, "tooltip": "How often they are heard in all."}),
            }
        }

    def repeat(self, tokens: Tokens, times: int) -> tuple[Tokens]:
        values, described = wires.read_tokens(tokens)
        if times < 1:
            raise Refused("times", got=times, expected="1 or more")
        _check_length(described, values.shape[0], values.shape[2] * times)
        return ({**described, "tokens": values.repeat(1, 1, times)},)


class AudioTokensBatch:
    DESCRIPTION = (
        "Gathers equally long takes into one batch, to decode, continue or save them together. "
        "(Takes cannot be mixed down as tokens: decode them, then use Audio Merge.)"
    )
    TITLE = "Audio Tokens Batch"
    CATEGORY = CATEGORY
    SEARCH_ALIASES = ["merge takes", "batch tokens"]
    RETURN_TYPES = (wires.TOKENS,)
    RETURN_NAMES = ("tokens",)
    OUTPUT_TOOLTIPS = ("The items of the first, then those of the second.",)
    FUNCTION = "gather"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return _two("Any tokens.", "Tokens of the same codec and length.")

    def gather(self, first: Tokens, second: Tokens) -> tuple[Tokens]:
        import torch

        (one, other), described = _alike(first, second)
        if one.shape[2] != other.shape[2]:
            raise Refused(
                "tokens",
                got=f"{one.shape[2]} and {other.shape[2]} frames",
                expected="equally many",
                remedy="crop the longer one with Audio Tokens Crop",
            )
        ends = [tokens.get("open_end", False) for tokens in (first, second)]
        both = {**first, **described, "tokens": torch.cat([one, other]), "open_end": all(ends)}
        return (_sized(both),)


class AudioTokensPick:
    DESCRIPTION = "Picks takes out of a batch."
    TITLE = "Audio Tokens Pick"
    CATEGORY = CATEGORY
    SEARCH_ALIASES = ["split takes", "select take", "tokens from batch"]
    RETURN_TYPES = (wires.TOKENS,)
    RETURN_NAMES = ("tokens",)
    OUTPUT_TOOLTIPS = ("The takes that were picked.",)
    FUNCTION = "pick"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "tokens": (wires.TOKENS, {"tooltip": "Tokens of several items."}),
                "take": (
                    "INT",
                    {"default": 1, "min": 1, "max": 64, "tooltip": "The first one; 1 is the first "
                     "of the batch."},
                ),
                "count": (
                    "INT",
                    {"default": 1, "min": 1, "max": 64, "tooltip": "How many, from there on."},
                ),
            }
        }  # fmt: skip

    def pick(self, tokens: Tokens, take: int, count: int) -> tuple[Tokens]:
        values, described = wires.read_tokens(tokens)
        if not (1 <= take and 1 <= count and take + count - 1 <= len(values)):
            raise Refused(
                "take",
                got=f"{take} to {take + count - 1}",
                expected=f"takes from 1 to {len(values)}",
                remedy="choose takes that are there",
            )
        return ({**described, "tokens": values[take - 1 : take - 1 + count]},)


def _two(first: str, second: str) -> dict[str, Any]:
    """Two inputs of tokens, and what is said of each."""
    told = {"first": first, "second": second}
    return {"required": {name: (wires.TOKENS, {"tooltip": one}) for name, one in told.items()}}


def _alike(first: Tokens, second: Tokens) -> tuple[tuple[Tensor, Tensor], dict[str, Any]]:
    """Both tensors, and what they have in common. Raises Refused for tokens of two codecs."""
    (one, here), (other, there) = wires.read_tokens(first), wires.read_tokens(second)
    facts = ("frame_rate", "codebook_size", "channels", "sample_rate")
    for name in facts:
        if here[name] != there[name]:
            got, expected = f"{name} {there[name]}", f"{here[name]}, as in the first"
            raise Refused("second", got=got, expected=expected, remedy="use one codec for both")
    if one.shape[1] != other.shape[1]:
        got, expected = f"{other.shape[1]} codebooks", f"{one.shape[1]}, as in the first"
        raise Refused("second", got=got, expected=expected, remedy="use one codec for both")
    return (one, other), {name: here[name] for name in facts}


def _sized(tokens: Tokens) -> Tokens:
    _check_size(tokens)
    return tokens


def _check_size(tokens: Tokens) -> None:
    B, _, T = tokens["tokens"].shape
    _check_length(tokens, B, T)


def _check_length(described: Tokens, items: int, frames: int) -> None:
    """Raises Refused for more than could be decoded."""
    rate = described["sample_rate"]
    samples = round(frames * rate / described["frame_rate"])
    host.current_run().limits.check_sound((items, described["channels"], samples), rate)


NODES = (
    AudioTokensSave,
    AudioTokensLoad,
    AudioTokensCrop,
    AudioTokensConcat,
    AudioTokensRepeat,
    AudioTokensBatch,
    AudioTokensPick,
)
