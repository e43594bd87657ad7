"""The English words in the page's own code, as the code has them: what is put into a sentence when
it is said is `*` there.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from musicgraph.app import page, studio

PAGE, STUDIO = Path(page.__file__).parent, Path(studio.__file__).parent
SCRIPTS = sorted(PAGE.glob("*.js"))
OTHERS = ("card", "endpoints", "theme", "first_takes")
"""what is for programs, the card of a link, which has the site's language, and prompts"""
MODULES = [
    *(path for path in sorted(PAGE.glob("*.py")) if path.stem not in OTHERS),
    STUDIO / "failures.py",
]
UNSAID = {"debug", "info", "warning", "exception", "error", "compile", "submit"}
"""methods whose texts no visitor sees"""
NO_WORDS = re.compile(r"mg-|mgp-|[\[\]{}<>=_]|^[#.]|^[A-Z]+$|^[A-Za-z]+[a-z][A-Z]\w*$|^use strict$")


def are_words(text: str) -> bool:
    """Whether people read it: no name of a class, a key or an event."""
    if NO_WORDS.search(text) or not re.search(r"[A-Za-z]{3}", text):
        return False
    return bool(re.match(r"[A-Z★…]", text)) or " " in text.strip()


# ---------------------------------------------------------------- of scripts


class _Script:
    """Finds literals, of templates also those inside them."""

    def __init__(self, text: str):
        self._text, self._found = text, list[tuple[int, int, str]]()

    def literals(self) -> list[str]:
        """In their order; those that are joined by `+` are one."""
        at, before = 0, ""
        while at < len(self._text):
            at, before = self._next(at, before)
        joined: list[tuple[int, int, str]] = []
        for begin, end, text in sorted(self._found):
            if joined and re.fullmatch(r"\s*\+\s*", self._text[joined[-1][1] : begin]):
                joined[-1] = (joined[-1][0], end, joined[-1][2] + text)
            else:
                joined.append((begin, end, text))
        return [text for _, _, text in joined]

    def _next(self, at: int, before: str) -> tuple[int, str]:
        text = self._text
        for opening, closing in (("//", "\n"), ("/*", "*/")):
            if text.startswith(opening, at):
                return text.index(closing, at) + len(closing), before
        if text[at] in "\"'":
            return self._quoted(at), "x"
        if text[at] == "`":
            return self._template(at), "x"
        pattern = re.compile(r"/(?:\\.|\[(?:\\.|[^\]])*\]|[^/\\\n\[])+/").match(text, at)
        if pattern and before in "(,=:[!&|?{};":
            return pattern.end(), "x"
        return at + 1, before if text[at].isspace() else text[at]

    def _quoted(self, at: int) -> int:
        mark = self._text[at]
        found = re.compile(rf"{mark}((?:\\.|[^{mark}\\])*){mark}").match(self._text, at)
        assert found is not None
        self._found.append((at, found.end(), found[1].replace("\\", "")))
        return found.end()

    def _template(self, at: int) -> int:
        begin, said, at = at, "", at + 1
        while self._text[at] != "`":
            if self._text.startswith("${", at):
                at, said = self._hole(at + 2), said + "*"
            else:
                at, said = at + 1, said + self._text[at]
        self._found.append((begin, at + 1, said))
        return at + 1

    def _hole(self, at: int) -> int:
        depth, before = 1, ""
        while depth:
            depth += {"{": 1, "}": -1}.get(self._text[at], 0)
            at, before = self._next(at, before)
        return at


def words_of_scripts() -> Iterator[tuple[str, str]]:
    """(file, words)"""
    for path in SCRIPTS:
        for text in _Script(path.read_text(encoding="utf-8")).literals():
            if are_words(text):
                yield path.name, text.strip()


# ---------------------------------------------------------------- of modules


def words_of_modules() -> Iterator[tuple[str, str]]:
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        passed = set(_unsaid(tree))
        for node in ast.walk(tree):
            text = _text(node)
            if text is None or node in passed:
                continue
            passed.update(ast.walk(node))
            if are_words(text):
                yield path.name, text.strip()


def _unsaid(tree: ast.AST) -> Iterator[ast.AST]:
    """Docstrings, logs, patterns and what is asserted."""
    for node in ast.walk(tree):
        is_method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
        elif isinstance(node, ast.Assert) or (is_method and node.func.attr in UNSAID):
            yield from ast.walk(node)


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = node.values
        return "".join(str(one.value) if isinstance(one, ast.Constant) else "*" for one in parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return None if left is None or right is None else left + right
    return None
