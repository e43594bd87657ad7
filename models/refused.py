"""The one exception for input that cannot be used.

Whatever else is raised is a bug, and is reported as one.
"""

from __future__ import annotations


class Refused(Exception):
    """Bad input: what it is, what was got, what was expected, and what to do about it.

    Raised where input is checked, never by catching what went wrong further down. Doors show its
    text as it stands (exit code 2, HTTP 4xx, a note on the page).
    """

    __module__ = (
        "musicgraph"  # what ComfyUI shows beside the message; the module's own name there is a path
    )

    def __init__(self, what: str, *, got: object = "", expected: str = "", remedy: str = ""):
        self.what, self.got, self.expected, self.remedy = what, str(got), expected, remedy
        facts = ", ".join(
            f"{name} {value}"
            for name, value in (("got", self.got), ("expected", expected))
            if value
        )
        text = f"{what}: {facts}" if facts else what
        super().__init__(f"{text}; {remedy}" if remedy else text)
