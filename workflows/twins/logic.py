"""Twins of the nodes that choose and decide."""

from __future__ import annotations

from typing import Any

from ...models.refused import Refused

MAX_VALUES = 10


def truth(value: Any) -> bool:
    """Python's; raises Refused for what is neither true nor false, such as many numbers at once."""
    try:
        return bool(value)
    except (RuntimeError, ValueError, TypeError):
        got = type(value).__name__
        raise Refused("neither true nor false", got=got, expected="a single value") from None


class ComfySwitchNode:
    """Only what is chosen is computed."""

    TITLE = "If/Else Switch"
    CATEGORY = "utilities/logic"
    RETURN_TYPES = ("*",)
    RETURN_NAMES = ("output",)
    FUNCTION = "choose"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "switch": ("BOOLEAN", {}),
                "on_false": ("*", {"lazy": True}),
                "on_true": ("*", {"lazy": True}),
            }
        }

    def check_lazy_status(
        self, switch: bool, on_false: Any = None, on_true: Any = None
    ) -> list[str]:
        name, value = ("on_true", on_true) if switch else ("on_false", on_false)
        return [name] if value is None else []

    def choose(self, switch: bool, on_false: Any, on_true: Any) -> tuple[Any]:
        return (on_true if switch else on_false,)


class ComfyNotNode:
    TITLE = "Not"
    CATEGORY = "utilities/logic"
    RETURN_TYPES = ("BOOLEAN",)
    FUNCTION = "decide"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"value": ("*", {})}}

    def decide(self, value: Any) -> tuple[bool]:
        return (not truth(value),)


class ComfyAndNode:
    TITLE = "And"
    CATEGORY = "utilities/logic"
    RETURN_TYPES = ("BOOLEAN",)
    FUNCTION = "decide"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        more = {f"values.value{i}": ("*", {}) for i in range(1, MAX_VALUES)}
        return {"required": {"values.value0": ("*", {})}, "optional": more}

    def decide(self, **values: Any) -> tuple[bool]:
        return (all(map(truth, values.values())),)


class ComfyOrNode(ComfyAndNode):
    TITLE = "Or"

    def decide(self, **values: Any) -> tuple[bool]:
        return (any(map(truth, values.values())),)


class CustomCombo:
    """Its choices are kept by the page only, so every choice is taken."""

    TITLE = "Custom Combo"
    CATEGORY = "utilities"
    RETURN_TYPES = ("STRING", "INT")
    RETURN_NAMES = ("STRING", "INDEX")
    FUNCTION = "choose"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {"choice": ("COMBO", {"options": []})},
            "optional": {"index": ("INT", {"default": 0})},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, choice: object) -> bool | str:
        fits = choice is None or isinstance(choice, (str, int, float))
        return fits or "choice: expected a text"

    def choose(self, choice: str, index: int = 0) -> tuple[str, int]:
        return choice, index


NODES: dict[str, type] = {
    "ComfySwitchNode": ComfySwitchNode,
    "ComfyNotNode": ComfyNotNode,
    "ComfyAndNode": ComfyAndNode,
    "ComfyOrNode": ComfyOrNode,
    "CustomCombo": CustomCombo,
}
