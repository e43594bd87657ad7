"""A list of jobs in a file: rows of named values.

    .csv       a heading, then a row for each job; an empty cell says nothing. Commas part cells,
               or semicolons or tabs if the heading has no comma, as spreadsheets write it where
               a comma stands in numbers
    .jsonl     an object for each job; null says nothing
    .parquet   a row for each job (needs pyarrow)

Knows no job: what the names mean is for `rows.py` to say.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...models.disk.files import open_file
from ...models.quoting import shown
from ...models.refused import Refused

MAX_LIST_BYTES = 256 * 2**20
MAX_ROWS = 1_000_000
MAX_COLUMNS = 200
MAX_HEADING = 100_000
"""characters"""
PARTS = {",": "commas", ";": "semicolons", "\t": "tabs"}
"""what may stand between the cells of a row"""


@dataclass(frozen=True)
class TableRow:
    """What a row says; what it says nothing of is not there."""

    number: int
    """from 1; a heading is none"""
    values: Mapping[str, Any]
    are_texts: bool
    """whether all values are texts, whatever they stand for"""


def read_table(path: Path) -> list[TableRow]:
    """Raises Refused: no such file, another suffix, no rows, too many, what is no table."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise Refused(
            str(path),
            got=f"the suffix {shown(path.suffix)}",
            expected=f"one of {' '.join(READERS)}",
        )
    rows = []
    for row in reader(path):
        if len(rows) == MAX_ROWS:
            raise Refused(str(path), got=f"more than {MAX_ROWS} rows", expected="fewer")
        rows.append(row)
    if not rows:
        raise Refused(str(path), got="no rows", expected="a row for each piece of music")
    return rows


def _csv(path: Path) -> Iterator[TableRow]:
    try:
        text = _text(path)
        parted_by = _parted_by(text)
        lines = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=parted_by)
        heading = _checked_heading(path, next(lines, []))
        number = 0
        for cells in lines:
            if not cells:
                continue  # a blank line
            number += 1
            if len(cells) != len(heading):
                raise Refused(
                    f"{path}, row {number}",
                    got=f"{len(cells)} cells",
                    expected=f"{len(heading)}, as the heading has",
                    remedy=f'put a text with {PARTS[parted_by]} into quotes: "a{parted_by} b"',
                )
            said = {name: cell for name, cell in zip(heading, cells, strict=True) if cell.strip()}
            yield TableRow(number, said, are_texts=True)
    except csv.Error as error:
        raise Refused(
            str(path), got=f"no CSV ({error})", expected="quotes that are closed"
        ) from error


def _parted_by(text: str) -> str:
    """What stands between cells: a comma, unless the heading has none and another one."""
    heading = next(iter(text[:MAX_HEADING].splitlines()), "")
    return next((sign for sign in PARTS if sign in heading), ",")


def _checked_heading(path: Path, names: list[str]) -> list[str]:
    names = [name.strip() for name in names]
    if not any(names):
        raise Refused(str(path), got="no heading", expected="names of columns, such as prompt,seed")
    if not all(names):
        raise Refused(str(path), got="a column without a name", expected="a name for each")
    if len(names) > MAX_COLUMNS:
        raise Refused(str(path), got=f"{len(names)} columns", expected=f"at most {MAX_COLUMNS}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Refused(str(path), got=f"the column {shown(twice)} twice", expected="once")
    return names


def _jsonl(path: Path) -> Iterator[TableRow]:
    number = 0
    for line in _text(path).split("\n"):  # other line breaks may stand in a text
        if not line.strip():
            continue
        number += 1
        try:
            value = json.loads(line, object_pairs_hook=_unrepeated)
        except _Repeated as error:
            got = f"the field {shown(str(error))} twice"
            raise Refused(f"{path}, row {number}", got=got, expected="once") from error
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict) or len(value) > MAX_COLUMNS:
            raise Refused(
                f"{path}, row {number}",
                got=shown(line),
                expected='a JSON object on each line, such as {"prompt": "calm piano"}',
            )
        said = {name: one for name, one in value.items() if one is not None}
        yield TableRow(number, said, are_texts=False)


class _Repeated(Exception):
    """A name that an object has twice."""


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises _Repeated, where JSON would take the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Repeated(next(name for name in names if names.count(name) > 1))
    return found


def _text(path: Path) -> str:
    with open_file(path) as file:
        content = file.read(MAX_LIST_BYTES + 1)
    if len(content) > MAX_LIST_BYTES:
        got, expected = f"more than {MAX_LIST_BYTES >> 20} MiB", "a shorter list"
        raise Refused(str(path), got=got, expected=expected, remedy="split it")
    try:
        return content.decode(_encoding(content))
    except UnicodeDecodeError as error:
        remedy = "save it as UTF-8 (in a spreadsheet: CSV UTF-8)"
        got, expected = "bytes that are no UTF-8", "text"
        raise Refused(str(path), got=got, expected=expected, remedy=remedy) from error


def _encoding(content: bytes) -> str:
    """UTF-16 says so with its first two bytes."""
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return "utf-16" if is_wide else "utf-8-sig"


def _parquet(path: Path) -> Iterator[TableRow]:
    if find_spec("pyarrow") is None:
        raise Refused(
            str(path),
            got="no pyarrow, which reads this kind of file",
            expected="it, or a list in .csv or .jsonl",
            remedy="pip install 'musicgraph[parquet]'",
        )
    import pyarrow
    from pyarrow import parquet

    with open_file(path) as file:
        try:
            opened = parquet.ParquetFile(file)
            _checked_heading(path, list(opened.schema_arrow.names))
            number = 0
            for batch in opened.iter_batches(batch_size=1000):
                for value in batch.to_pylist():
                    number += 1
                    where = f"{path}, row {number}"
                    said = {
                        name: _plain(where, name, one)
                        for name, one in value.items()
                        if one is not None
                    }
                    yield TableRow(number, said, are_texts=False)
        except (pyarrow.ArrowException, OSError) as error:
            got = f"what cannot be read as Parquet ({error})"
            raise Refused(str(path), got=got, expected="a Parquet file") from error


def _plain(where: str, name: str, value: Any) -> Any:
    """The value as JSON would have it: a table's may be dates, bytes, decimal numbers …

    Raises Refused for what JSON does not have.
    """
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list):
        return [_plain(where, name, one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(where, name, one) for key, one in value.items()}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    expected, remedy = "text, a number, or true or false", "cast the column"
    raise Refused(f"{where}, {shown(name)}", got=shown(value), expected=expected, remedy=remedy)


READERS: Mapping[str, Callable[[Path], Iterator[TableRow]]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
