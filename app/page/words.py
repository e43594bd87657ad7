"""What the Create tab says when something cannot be: in its own words, at the field that it is
about. There are no nodes on that tab, so none is named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...models.refused import Refused
from ...workflows.request import LOADER, LORA, SAMPLER, TEXT
from ..studio.failures import failure_of
from .form import LABELS


@dataclass(frozen=True)
class Trouble:
    title: str
    text: str
    field: str = ""
    """by the page's name; empty: none in particular"""
    is_error: bool = True


OF_NODES = {
    TEXT: ("These words cannot be used", "prompt"),
    LOADER: ("This model cannot be used", "model"),
    LORA: ("This LoRA cannot be used", "loras"),
    SAMPLER: ("These settings do not go together", ""),
}
"""class of the node that refuses → a title, and the field"""
PAGE_WORDS = ((re.compile(r"\bcfg\b"), "guidance"), (re.compile(r"\btop_([kp])\b"), r"top-\1"))
SHORTER = "Say it in fewer words: the model reads about 350 at most."


def trouble_of(error: BaseException, field_names: frozenset[str] | set[str]) -> Trouble:
    """Of whatever ended a run of the Create tab, or kept it from starting."""
    if isinstance(error, Refused) and error.what in field_names:
        return _of_field(error)
    assert isinstance(error, Exception), error
    failure = failure_of(error)
    if failure.node_class not in OF_NODES:
        return Trouble(failure.title, failure.text, is_error=failure.is_error)
    title, field = OF_NODES[failure.node_class]
    text = failure.text
    for word, ours in PAGE_WORDS:
        text = word.sub(ours, text)
    if failure.node_class == TEXT and "tokens" in text:
        text = f"{SHORTER} ({text.partition(';')[0]})"
    return Trouble(title, text, field)


def _of_field(error: Refused) -> Trouble:
    label = LABELS.get(error.what, error.what.replace("_", " ").capitalize())
    facts = [f"got {error.got}"] if error.got else []
    facts += [f"possible is {error.expected}"] if error.expected else []
    remedy = "" if error.expected and error.expected in error.remedy else error.remedy
    text = remedy if error.got == "nothing" and remedy else "; ".join([", ".join(facts), remedy])
    text = text.removesuffix("; ")
    return Trouble(label, f"{text[:1].upper()}{text[1:]}.", error.what)
