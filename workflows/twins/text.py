"""Twins of the nodes that work on texts.

Texts and patterns come from strangers: no text grows beyond the run's limit, patterns are matched
by `regex`, which can be told to give up, and a format string sees values and nothing inside them.
"""

from __future__ import annotations

import contextlib
import json
import string
from collections.abc import Callable, Iterator
from typing import Any

from ...models.quoting import shown
from ...models.refused import Refused
from ...nodes.host import current_run
from .values import SMALL_LETTERS, as_text

PATIENCE_S = 2.0
"""for one pattern"""
MAX_WIDTH = 1000
TEXT = ("STRING", {"multiline": True})


def _bounded(length: int) -> None:
    current_run().limits.check_text(length)


def _choice(*names: str) -> tuple:
    return (list(names), {})


def _switch(default: bool) -> tuple:
    return ("BOOLEAN", {"default": default})


class _TextNode:
    CATEGORY = "text"
    RETURN_TYPES: tuple[str, ...] = ("STRING",)
    FUNCTION = "work"


class StringConcatenate(_TextNode):
    TITLE = "Concatenate Text"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        delimiter = ("STRING", {"default": ""})
        return {"required": {"string_a": TEXT, "string_b": TEXT, "delimiter": delimiter}}

    def work(self, string_a: str, string_b: str, delimiter: str) -> tuple[str]:
        _bounded(len(string_a) + len(delimiter) + len(string_b))
        return (delimiter.join((string_a, string_b)),)


class StringSubstring(_TextNode):
    TITLE = "Substring"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"string": TEXT, "start": ("INT", {}), "end": ("INT", {})}}

    def work(self, string: str, start: int, end: int) -> tuple[str]:
        return (string[start:end],)


class StringLength(_TextNode):
    TITLE = "Text Length"
    RETURN_TYPES = ("INT",)
    RETURN_NAMES = ("length",)

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"string": TEXT}}

    def work(self, string: str) -> tuple[int]:
        return (len(string),)


class CaseConverter(_TextNode):
    TITLE = "Convert Text Case"
    MODES: dict[str, Callable[[str], str]] = {
        "UPPERCASE": str.upper,
        "lowercase": str.lower,
        "Capitalize": str.capitalize,
        "Title Case": str.title,
    }

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"string": TEXT, "mode": _choice(*cls.MODES)}}

    def work(self, string: str, mode: str) -> tuple[str]:
        return (self.MODES.get(mode, str)(string),)


class StringTrim(_TextNode):
    TITLE = "Trim Text"
    MODES: dict[str, Callable[[str], str]] = {
        "Both": str.strip,
        "Left": str.lstrip,
        "Right": str.rstrip,
    }

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"string": TEXT, "mode": _choice(*cls.MODES)}}

    def work(self, string: str, mode: str) -> tuple[str]:
        return (self.MODES.get(mode, str)(string),)


class StringReplace(_TextNode):
    TITLE = "Replace Text"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"string": TEXT, "find": TEXT, "replace": TEXT}}

    def work(self, string: str, find: str, replace: str) -> tuple[str]:
        _bounded(len(string) + string.count(find) * max(0, len(replace) - len(find)))
        return (string.replace(find, replace),)


class StringContains(_TextNode):
    TITLE = "Contains Text"
    RETURN_TYPES = ("BOOLEAN",)
    RETURN_NAMES = ("contains",)

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"string": TEXT, "substring": TEXT, "case_sensitive": _switch(True)}}

    def work(self, string: str, substring: str, case_sensitive: bool) -> tuple[bool]:
        if not case_sensitive:
            string, substring = string.lower(), substring.lower()
        return (substring in string,)


class StringCompare(_TextNode):
    TITLE = "Compare Text"
    RETURN_TYPES = ("BOOLEAN",)
    MODES: dict[str, Callable[[str, str], bool]] = {
        "Starts With": str.startswith,
        "Ends With": str.endswith,
        "Equal": str.__eq__,
    }

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        mode = _choice(*cls.MODES)
        return {
            "required": {
                "string_a": TEXT,
                "string_b": TEXT,
                "mode": mode,
                "case_sensitive": _switch(True),
            }
        }

    def work(self, string_a: str, string_b: str, mode: str, case_sensitive: bool) -> tuple[bool]:
        if mode not in self.MODES:
            raise Refused("mode", got=shown(mode), expected=f"one of {', '.join(self.MODES)}")
        if not case_sensitive:
            string_a, string_b = string_a.lower(), string_b.lower()
        return (self.MODES[mode](string_a, string_b),)


# ---------------------------------------------------------------- formats


class StringFormat(_TextNode):
    TITLE = "Format Text"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {"f_string": ("STRING", {"default": "{a}", "multiline": True})},
            "optional": {f"values.{letter}": ("*", {}) for letter in SMALL_LETTERS},
        }

    def work(self, f_string: str, **values: Any) -> tuple[str]:
        named = {name.removeprefix("values."): value for name, value in values.items()}
        try:
            return (_Formatter().vformat(f_string, (), named),)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            raise Refused(
                f"the format {shown(f_string)}",
                got=error,
                expected=f"fields such as {{{next(iter(named), 'a')}}} for values that are linked",
            ) from error


class _Formatter(string.Formatter):
    """Python's format strings, without a way into a value, and with bounds."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        if "." in field_name or "[" in field_name:
            raise ValueError(f"the field {field_name!r}, which looks into a value")
        value, used = super().get_field(field_name, args, kwargs)
        plain = isinstance(value, (str, int, float, type(None)))
        return value if plain else as_text(value), used

    def format_field(self, value: Any, format_spec: str) -> str:
        numbers = "".join(one if one.isdigit() else " " for one in format_spec).split()
        if any(len(one) > 4 or int(one) > MAX_WIDTH for one in numbers):
            raise ValueError(f"the width {format_spec!r}; at most {MAX_WIDTH}")
        return super().format_field(value, format_spec)

    def vformat(self, format_string: str, args: Any, kwargs: Any) -> str:
        _bounded(len(format_string))
        fields = format_string.count("{")
        longest = max((len(as_text(value)) for value in kwargs.values()), default=0)
        _bounded(len(format_string) + fields * max(longest, MAX_WIDTH if fields else 0))
        return super().vformat(format_string, args, kwargs)


# ---------------------------------------------------------------- patterns


MAX_PATTERN = 10_000
"""characters"""


@contextlib.contextmanager
def _patience(pattern: str) -> Iterator[None]:
    """Raises Refused for what takes too long."""
    try:
        yield
    except TimeoutError as error:
        raise Refused(
            "this pattern takes too long",
            got=shown(pattern),
            expected=f"an answer within {PATIENCE_S:g} s",
            remedy="write it without repetitions inside repetitions",
        ) from error


WITH_PATIENCE: dict[str, Any] = {"timeout": PATIENCE_S, "concurrent": True}


def _compiled(pattern: str, case: bool, lines: bool, dot: bool) -> Any:
    """With ComfyUI's three switches: case_insensitive, multiline, dotall.

    Raises `regex.error` for what is no pattern.
    """
    import regex

    if len(pattern) > MAX_PATTERN:
        got, most = f"{len(pattern)} characters", f"at most {MAX_PATTERN}"
        raise Refused("this pattern is too long", got=got, expected=most)
    flags = (regex.I if case else 0) | (regex.M if lines else 0) | (regex.S if dot else 0)
    return regex.compile(pattern, flags)


class RegexMatch(_TextNode):
    TITLE = "Match Text"
    RETURN_TYPES = ("BOOLEAN",)
    RETURN_NAMES = ("matches",)

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"string": TEXT, "regex_pattern": TEXT, **_pattern_switches()}}

    def work(
        self, string: str, regex_pattern: str, case_insensitive: bool, multiline: bool, dotall: bool
    ) -> tuple[bool]:
        """What is no pattern matches nothing, as in ComfyUI."""
        import regex

        try:
            pattern = _compiled(regex_pattern, case_insensitive, multiline, dotall)
        except regex.error:
            return (False,)
        with _patience(regex_pattern):
            return (pattern.search(string, **WITH_PATIENCE) is not None,)


def _pattern_switches() -> dict[str, tuple]:
    return {
        "case_insensitive": _switch(True),
        "multiline": _switch(False),
        "dotall": _switch(False),
    }


class RegexExtract(_TextNode):
    TITLE = "Extract Text"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        mode = _choice("First Match", "All Matches", "First Group", "All Groups")
        group = ("INT", {"default": 1, "min": 0, "max": 100})
        return {
            "required": {
                "string": TEXT,
                "regex_pattern": TEXT,
                "mode": mode,
                **_pattern_switches(),
                "group_index": group,
            }
        }

    def work(
        self,
        string: str,
        regex_pattern: str,
        mode: str,
        case_insensitive: bool,
        multiline: bool,
        dotall: bool,
        group_index: int,
    ) -> tuple[str]:
        """Nothing where there is no match, and for what is no pattern, as in ComfyUI."""
        import regex

        try:
            pattern = _compiled(regex_pattern, case_insensitive, multiline, dotall)
        except regex.error:
            return ("",)
        with _patience(regex_pattern):
            texts = _extracted(pattern, string, mode, group_index)
        _bounded(sum(map(len, texts)) + len(texts))
        return ("\n".join(texts),)


def _extracted(pattern: Any, text: str, mode: str, group: int) -> list[str]:
    """ComfyUI's four ways; a group that took no part is an empty text."""
    if mode == "All Matches":  # of several groups the first counts
        found = pattern.findall(text, **WITH_PATIENCE)
        return [one[0] if isinstance(one, tuple) else one for one in found]
    if mode == "All Groups":
        matches = [one for one in pattern.finditer(text, **WITH_PATIENCE) if one.groups()]
    else:
        first = pattern.search(text, **WITH_PATIENCE)
        matches = [] if first is None else [first]
    group = 0 if mode == "First Match" else group
    return [one.group(group) or "" for one in matches if len(one.groups()) >= group]


class RegexReplace(_TextNode):
    TITLE = "Replace Text (Regex)"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        count = {"default": 0, "min": 0, "max": 100, "tooltip": "at most so many; 0: all"}
        return {
            "required": {"string": TEXT, "regex_pattern": TEXT, "replace": TEXT},
            "optional": {**_pattern_switches(), "count": ("INT", count)},
        }

    def work(
        self,
        string: str,
        regex_pattern: str,
        replace: str,
        case_insensitive: bool = True,
        multiline: bool = False,
        dotall: bool = False,
        count: int = 0,
    ) -> tuple[str]:
        import regex

        try:
            pattern = _compiled(regex_pattern, case_insensitive, multiline, dotall)
            expand = _Expansion(replace, string)
            with _patience(regex_pattern):
                return (pattern.sub(expand, string, count, **WITH_PATIENCE),)
        except regex.error as error:
            got = f"{shown(regex_pattern)}: {error}"
            raise Refused("no pattern", got=got, expected="a regular expression") from error


class _Expansion:
    """What a match becomes, as long as all of it is within the limit."""

    def __init__(self, template: str, text: str):
        self._template, self._made = template, 0
        self._longest = len(template) + template.count("\\") * len(text)

    def __call__(self, match: Any) -> str:
        _bounded(self._made + self._longest)
        expanded = match.expand(self._template)
        self._made += len(expanded)
        return expanded


class JsonExtractString(_TextNode):
    TITLE = "Extract Text from JSON"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"json_string": TEXT, "key": ("STRING", {})}}

    def work(self, json_string: str, key: str) -> tuple[str]:
        """Nothing where there is no such key, and for what is no JSON, as in ComfyUI."""
        try:
            data = json.loads(json_string)
        except (ValueError, RecursionError):
            return ("",)
        value = data.get(key) if isinstance(data, dict) else None
        return ("" if value is None else str(value),)


NODES: dict[str, type] = {
    "StringConcatenate": StringConcatenate,
    "StringSubstring": StringSubstring,
    "StringLength": StringLength,
    "CaseConverter": CaseConverter,
    "StringTrim": StringTrim,
    "StringReplace": StringReplace,
    "StringContains": StringContains,
    "StringCompare": StringCompare,
    "StringFormat": StringFormat,
    "RegexMatch": RegexMatch,
    "RegexExtract": RegexExtract,
    "RegexReplace": RegexReplace,
    "JsonExtractString": JsonExtractString,
}
