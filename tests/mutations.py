"""Hypothesis strategies for what strangers send: JSON like ours, changed somewhere, and bytes cut
or flipped.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

ODD_NUMBERS = st.sampled_from([0, -1, 1, 2**31, 2**63, 2**64, 1e308, float("nan"), float("inf")])
ODD_TEXTS = st.sampled_from(
    ["", "3", "null", "../../x", "%date:yyyy%", "a\nb", "\ud800", "x" * 999]
)
SCALARS = st.none() | st.booleans() | ODD_NUMBERS | st.integers() | ODD_TEXTS | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(data: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    found, waiting = [], [data]
    while waiting:
        value = waiting.pop()
        keys = value if isinstance(value, dict) else range(len(value))
        found += [(value, key) for key in keys]
        waiting += [value[key] for key in keys if isinstance(value[key], (dict, list))]
    return found


@st.composite
def mutated(draw: st.DrawFn, documents: list[dict[str, Any]]) -> dict[str, Any]:
    """One of the documents in which one to four things were replaced, removed, doubled or
    exchanged.
    """
    data = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 4))):
        found = places(data)
        if not found:
            break
        container, key = draw(st.sampled_from(found))
        other, other_key = draw(st.sampled_from(found))
        kind = draw(st.sampled_from(["replace", "remove", "exchange", "double"]))
        if kind == "remove":
            del container[key]
        elif kind == "exchange":
            container[key] = copy.deepcopy(other[other_key])
        elif kind == "double" and isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        else:
            container[key] = draw(VALUES)
    return data


def as_text(data: Any) -> str:
    return json.dumps(data)


@st.composite
def damaged(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """One of the files with up to eight bytes changed, some removed, or cut short."""
    data = bytearray(draw(st.sampled_from(files)))
    for at in draw(st.lists(st.integers(0, len(data) - 1), max_size=8)):
        data[at] = draw(st.integers(0, 255))
    begin = draw(st.integers(0, len(data)))
    del data[begin : begin + draw(st.sampled_from([0, 0, 1, 4, 1000]))]
    return bytes(data[: draw(st.sampled_from([len(data), len(data), len(data) // 2, 20]))])
