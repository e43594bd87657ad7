"""Reads the tables: a row is a concept and its phrases, separated by commas. Not run by itself."""

Table = dict[str, tuple[str, ...]]


def table(rows: dict[str, str]) -> Table:
    return {concept: tuple(p.strip() for p in text.split(",")) for concept, text in rows.items()}
