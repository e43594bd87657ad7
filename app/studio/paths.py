"""Messages without the paths of this machine: where things lie is nobody's business but the
owner's.
"""

from __future__ import annotations

import re

QUOTED = re.compile(r"([\"'“])(?:[A-Za-z]:)?[/\\][^\"'”\n]*[/\\]")
BARE = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:)?[/\\](?:[^/\\\s\"'“”…,;]+[/\\])+")
"""the folders of an absolute path, with the last separator; a URL's slashes follow a colon"""


def without_paths(text: str) -> str:
    """Of every absolute path only its last part is left, which a visitor may know: the name of
    their own file.
    """
    return BARE.sub("", QUOTED.sub(r"\1", text))
