"""Twins of the nodes that hold, count, choose and show plain values."""

from __future__ import annotations

import json
import string
import sys
from collections.abc import Mapping
from typing import Any

from ...models.quoting import shown
from ...models.refused import Refused
from ...nodes.host import current_run
from .expressions import Number, evaluate

LARGEST = sys.maxsize
ANY_NUMBER = "FLOAT,INT,BOOLEAN"
SMALL_LETTERS = string.ascii_lowercase


class PrimitiveInt:
    TITLE = "Int"
    CATEGORY = "utilities/primitive"
    RETURN_TYPES: tuple[str, ...] = ("INT",)
    FUNCTION = "value"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        bounds = {"min": -LARGEST, "max": LARGEST, "control_after_generate": True}
        return {"required": {"value": ("INT", bounds)}}

    def value(self, value: Any) -> tuple[Any]:
        return (value,)


class PrimitiveFloat(PrimitiveInt):
    TITLE = "Float"
    RETURN_TYPES = ("FLOAT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"value": ("FLOAT", {"min": -LARGEST, "max": LARGEST, "step": 0.1})}}


class PrimitiveBoolean(PrimitiveInt):
    TITLE = "Boolean"
    RETURN_TYPES = ("BOOLEAN",)

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"value": ("BOOLEAN", {})}}


class PrimitiveString(PrimitiveInt):
    TITLE = "Text"
    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"value": ("STRING", {})}}


class PrimitiveStringMultiline(PrimitiveInt):
    TITLE = "Text (Multiline)"
    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"value": ("STRING", {"multiline": True})}}


class SeedNode:
    TITLE = "Seed"
    CATEGORY = "utilities"
    RETURN_TYPES = ("INT",)
    RETURN_NAMES = ("seed",)
    FUNCTION = "value"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        bounds = {"min": 0, "max": LARGEST, "control_after_generate": True}
        return {"required": {"seed": ("INT", bounds)}}

    def value(self, seed: int) -> tuple[int]:
        return (seed,)


class ComfyNumberConvert:
    TITLE = "Convert Number"
    CATEGORY = "utilities"
    RETURN_TYPES = ("FLOAT", "INT")
    FUNCTION = "convert"
    MAX_CHARACTERS = 400

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"value": ("INT,FLOAT,STRING,BOOLEAN",)}}

    def convert(self, value: Number | str) -> tuple[float, int]:
        """A text may be a number as Python writes it."""
        try:
            if isinstance(value, str):
                return self._of_text(value.strip())
            return float(value), int(value)  # OverflowError for infinity and for what is too large
        except (ValueError, OverflowError, TypeError):
            raise Refused("no number", got=shown(value), expected="a finite number") from None

    def _of_text(self, text: str) -> tuple[float, int]:
        if len(text) > self.MAX_CHARACTERS:
            raise ValueError(text)
        number = float(text)
        try:
            return float(int(text)), int(text)
        except ValueError:
            return number, int(number)


class ComfyMathExpression:
    TITLE = "Math Expression"
    CATEGORY = "utilities"
    RETURN_TYPES = ("FLOAT", "INT", "BOOLEAN")
    RETURN_NAMES = ("FLOAT", "INT", "BOOL")
    FUNCTION = "calculate"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        expression = {"default": "a + b", "multiline": True}
        return {
            "required": {"expression": ("STRING", expression), "values.a": (ANY_NUMBER,)},
            "optional": {f"values.{letter}": (ANY_NUMBER,) for letter in SMALL_LETTERS[1:]},
        }

    def calculate(self, expression: str, **values: Number) -> tuple[float, int, bool]:
        named = {name.removeprefix("values."): value for name, value in values.items()}
        result = evaluate(expression, named)
        return float(result), int(result), bool(result)


class PreviewAny:
    TITLE = "Preview as Text"
    CATEGORY = "utilities"
    RETURN_TYPES = ("STRING",)
    FUNCTION = "show"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"source": ("*", {})}}

    def show(self, source: Any) -> dict:
        text = as_text(source)
        return {"ui": {"text": (text,)}, "result": (text,)}


def as_text(value: Any) -> str:
    """A plain value as it is written, lists and dictionaries as JSON.

    Tensors are shown in short; of anything else (models, videos) only its kind is said, since what
    it holds may be large, or none of a stranger's business.
    """
    if isinstance(value, (str, int, float, type(None))):
        return str(value)
    try:
        text = json.dumps(value, indent=4)
    except (TypeError, ValueError, RecursionError):
        text = _in_short(value)
    current_run().limits.check_text(len(text))
    return text


def _in_short(value: Any) -> str:
    import torch

    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_in_short(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (torch.Tensor, int, float, str, type(None))):
        return str(value)
    return f"<{type(value).__name__}>"


NODES: dict[str, type] = {
    "PrimitiveInt": PrimitiveInt,
    "PrimitiveFloat": PrimitiveFloat,
    "PrimitiveBoolean": PrimitiveBoolean,
    "PrimitiveString": PrimitiveString,
    "PrimitiveStringMultiline": PrimitiveStringMultiline,
    "SeedNode": SeedNode,
    "ComfyNumberConvert": ComfyNumberConvert,
    "ComfyMathExpression": ComfyMathExpression,
    "PreviewAny": PreviewAny,
}
