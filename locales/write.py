"""Writes what ComfyUI reads of a pack in other languages, `LANGUAGE/nodeDefs.json`, and what the
page does, `app/page/languages/LANGUAGE.json`.

    python locales/write.py

The English words are those of the node classes and of the page, and nowhere else; `LANGUAGE.json`
has for each of them the same in another language. A number behind a name is a `#` there, and
`{MusicGen Sampler}` stands for what that node is called. In words of the page each number is a `#`,
`*` stands for what is left as it is, such as a title, and `~` for words that are translated in
their turn. `tests/test_locales.py` fails where words are missing.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "app/page/languages"
LANGUAGES = tuple(sorted(path.stem for path in HERE.glob("*.json")))
MADE_WHEN_ASKED = {("MusicGenModelLoader", "model"), ("MusicGenLoraLoader", "adapter")}
"""inputs whose tooltip says what lies on this machine, which no file can know"""
NUMBERED = re.compile(r"\b(conditioning|weight)_(\d)")


class Words:
    """The words of one language."""

    def __init__(self, language: str):
        self._words = json.loads((HERE / f"{language}.json").read_text(encoding="utf-8"))
        self.missing: list[str] = []

    def __call__(self, english: str) -> str:
        number = NUMBERED.search(english)
        found = self._words.get(NUMBERED.sub(r"\1_#", english))
        if found is None:
            self.missing.append(english)
            return english
        named = self._named(found)
        return named.replace("#", number[2]) if number else named

    def _named(self, text: str) -> str:
        return re.sub(r"\{(.+?)\}", lambda title: self(title[1]), text)

    def for_page(self) -> dict[str, str]:
        """All of them: the page shows words of nodes, too."""
        return {english: self._named(found) for english, found in self._words.items()}


def node_definitions(words: Words, nodes: Mapping[str, Any]) -> dict[str, Any]:
    """For each node its name, and the names and tooltips of its inputs and outputs."""
    return {
        node_id: {
            "display_name": words(node.TITLE),
            "inputs": dict(_inputs(node_id, node, words)),
            "outputs": {
                str(place): {"name": words(name), "tooltip": words(tooltip)}
                for place, (name, tooltip) in enumerate(
                    zip(node.RETURN_NAMES, node.OUTPUT_TOOLTIPS, strict=True)
                )
            },
        }
        for node_id, node in nodes.items()
    }


def _inputs(node_id: str, node: Any, words: Words) -> Iterator[tuple[str, dict[str, str]]]:
    declared = node.INPUT_TYPES()
    for name, entry in {**declared.get("required", {}), **declared.get("optional", {})}.items():
        told = {"name": words(name)}
        if (node_id, name) not in MADE_WHEN_ASKED:
            told["tooltip"] = words(entry[1]["tooltip"])
        yield name, told


def text_of(definitions: Mapping[str, Any]) -> str:
    return json.dumps(definitions, ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    from musicgraph.nodes import NODE_CLASS_MAPPINGS

    for language in LANGUAGES:
        words = Words(language)
        text = text_of(node_definitions(words, NODE_CLASS_MAPPINGS))
        for folder in (HERE / language, PAGE):
            folder.mkdir(exist_ok=True)
        (HERE / language / "nodeDefs.json").write_text(text, encoding="utf-8")
        (PAGE / f"{language}.json").write_text(text_of(words.for_page()), encoding="utf-8")
        for english in dict.fromkeys(words.missing):
            print(f"{language}.json lacks {english!r}", file=sys.stderr)


if __name__ == "__main__":
    spec = importlib.util.spec_from_file_location("musicgraph", HERE.parent / "__init__.py")
    assert spec is not None and spec.loader is not None
    sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[spec.name])
    main()
