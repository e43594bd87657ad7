"""T5's tokenizer: from tokenizer.json through `tokenizers`, or from spiece.model through
SentencePiece.

Both read a stranger's file, so its kinds are checked before a library sees it. Knows nothing of T5
itself.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..disk.json_file import AGAIN, check_no_pointer, read_json
from ..quoting import shown
from ..refused import Refused

JSON_NAME, PIECES_NAME = "tokenizer.json", "spiece.model"
END = "</s>"
MARKS = ("<pad>", END, "<unk>")
MAX_PIECES_BYTES = 64 * 2**20
REMEDY = "take the tokenizer files of this checkpoint"
# Kinds that a T5 tokenizer is made of. Patterns (regular expressions) of a stranger can take for
# ever; see `_plain`.
NORMALIZERS = frozenset(
    ["Sequence", "Precompiled", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Strip"]
    + ["StripAccents", "Prepend", "Replace"]
)
PRE_TOKENIZERS = frozenset(["Sequence", "WhitespaceSplit", "Whitespace", "Metaspace"])
PIECES = "a list of [piece, score]"
SPACES = " {2,}"  # the one pattern that T5's tokenizers have


@dataclass(frozen=True)
class Tokenizer:
    """Text → token ids, with the end-of-sequence token behind them."""

    encode: Callable[[str], list[int]]
    size: int
    """every id is below it"""


def load_tokenizer(folder: Path) -> Tokenizer:
    """tokenizer.json if it is there, else spiece.model.

    Raises Refused if there is neither, or it is no Unigram tokenizer as T5 has.
    """
    if (folder / JSON_NAME).is_file():
        return _from_json(folder / JSON_NAME)
    if (folder / PIECES_NAME).is_file():
        return _from_pieces(folder / PIECES_NAME)
    expected = f"{JSON_NAME} or {PIECES_NAME} beside config.json"
    raise Refused(str(folder), got="no tokenizer", expected=expected, remedy=REMEDY)


# ---------------------------------------------------------------- tokenizer.json


def _from_json(path: Path) -> Tokenizer:
    import json

    from tokenizers import Tokenizer as Parsed

    described = _checked(path, read_json(path, "a tokenizer"))
    try:
        parsed = Parsed.from_str(json.dumps(described))
    except Exception as error:
        if type(error) is not Exception:  # the library's only kind, for a file that it cannot read
            raise
        got = f"what cannot be read ({shown(str(error))})"
        raise Refused(str(path), got=got, expected="a T5 tokenizer", remedy=REMEDY) from error
    # T5's own marks are no text; files that transformers rewrote do not say so
    known = parsed.get_vocab(with_added_tokens=True)
    parsed.add_special_tokens([mark for mark in MARKS if mark in known])
    size = max(known.values()) + 1
    return Tokenizer(lambda text: parsed.encode(text).ids, size)


def _checked(path: Path, described: dict[str, Any]) -> dict[str, Any]:
    """The parts that turn text into ids, and only those, once their kinds are known."""
    model, kind = described.get("model"), "a Unigram model, as T5 has"
    if not isinstance(model, dict):
        raise _unfit(path, "model", model, kind)
    _expect(path, "model", model.get("type") == "Unigram", model, kind)
    pieces, unknown = model.get("vocab"), model.get("unk_id")
    if not isinstance(pieces, list):
        raise _unfit(path, "model.vocab", pieces, PIECES)
    fine = 0 < len(pieces) <= 2**20 and all(map(_is_piece, pieces))
    _expect(path, "model.vocab", fine, pieces, PIECES)
    fine = type(unknown) is int and 0 <= unknown < len(pieces)
    _expect(path, "model.unk_id", fine, unknown, f"a number below {len(pieces)}")
    _check_stage(path, "normalizer", described.get("normalizer"), NORMALIZERS)
    _check_stage(path, "pre_tokenizer", described.get("pre_tokenizer"), PRE_TOKENIZERS)
    after = described.get("post_processor")
    fine = isinstance(after, dict) and after.get("type") == "TemplateProcessing"
    _expect(path, "post_processor", fine, after, f"a template that ends with {END}")
    kept = ("version", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "model")
    return {name: described[name] for name in kept if name in described} | {
        "truncation": None, "padding": None, "decoder": None,
    }  # fmt: skip


def _is_piece(piece: object) -> bool:
    return (
        isinstance(piece, list)
        and len(piece) == 2
        and isinstance(piece[0], str)
        and isinstance(piece[1], (int, float))
        and abs(piece[1]) < 1e30
    )


def _check_stage(path: Path, name: str, stage: object, kinds: frozenset[str]) -> None:
    """A stage is null, or an object of a known kind; a Sequence holds others, one level deep."""
    if stage is None:
        return
    known = sorted(kinds)  # a list, in which anything may be looked for
    if not isinstance(stage, dict) or stage.get("type") not in known:
        raise _unfit(path, name, stage, f"one of {', '.join(known)}")
    if stage["type"] == "Sequence":
        inner = next((stage[key] for key in ("normalizers", "pretokenizers") if key in stage), None)
        if not isinstance(inner, list) or len(inner) > 16:
            raise _unfit(path, name, inner, "a sequence of at most 16")
        for one in inner:
            _check_stage(path, name, one, kinds - {"Sequence"})
    if stage["type"] == "Precompiled":
        fine = _is_charsmap(stage.get("precompiled_charsmap"))
        _expect(path, name, fine, "another", "SentencePiece's table of characters")
    if stage["type"] == "Replace":
        _expect(path, name, _plain(stage.get("pattern")), stage.get("pattern"), "plain text")


def _is_charsmap(table: object) -> bool:
    """Base64 of: the length of a trie in bytes, the trie, and what its characters become, as UTF-8
    (or nothing).
    """
    if not table:
        return table is None or table == ""
    if not isinstance(table, str):
        return False
    try:
        raw = base64.b64decode(table, validate=True)
        length = int.from_bytes(raw[:4], "little")
        raw[4 + length :].decode("utf-8")
    except ValueError:  # no base64, or no UTF-8
        return False
    return length % 4 == 0 and 1024 <= length <= len(raw) - 4


def _plain(pattern: object) -> bool:
    if not isinstance(pattern, dict):
        return False
    text, regular = pattern.get("String"), pattern.get("Regex")
    return (isinstance(text, str) and text != "") or regular == SPACES


def _expect(path: Path, what: str, fine: bool, got: object, expected: str) -> None:
    if not fine:
        raise _unfit(path, what, got, expected)


def _unfit(path: Path, what: str, got: object, expected: str) -> Refused:
    return Refused(f"{path}: {what}", got=shown(got), expected=expected, remedy=REMEDY)


# ---------------------------------------------------------------- spiece.model


def _from_pieces(path: Path) -> Tokenizer:
    from sentencepiece import SentencePieceProcessor

    check_no_pointer(path)
    size = path.stat().st_size
    if size > MAX_PIECES_BYTES:
        expected = f"a SentencePiece model of at most {MAX_PIECES_BYTES}"
        raise Refused(str(path), got=f"{size} bytes", expected=expected, remedy=AGAIN)
    pieces = SentencePieceProcessor()
    try:
        pieces.LoadFromSerializedProto(path.read_bytes())
    except RuntimeError as error:  # the library's word for a file that it cannot read
        got = "what cannot be read"
        expected = "a SentencePiece model"
        raise Refused(str(path), got=got, expected=expected, remedy=REMEDY) from error
    end = pieces.PieceToId(END)
    fine = pieces.GetPieceSize() > 0 and end != pieces.unk_id()
    _expect(path, "pieces", fine, pieces.GetPieceSize(), f"some, and {END} among them")
    return Tokenizer(lambda text: [*pieces.EncodeAsIds(text), end], pieces.GetPieceSize())
