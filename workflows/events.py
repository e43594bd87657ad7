"""What a run tells its listener, as it happens: plain data, which can be sent to another
process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from ..nodes.host import TokenBlock
from ..nodes.made_with import MadeWith

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class NodeStarted:
    node: str


@dataclass(frozen=True)
class NodeCached:
    """The node's result of the last run still holds."""

    node: str


@dataclass(frozen=True)
class NodeProgress:
    node: str
    done: int
    total: int


@dataclass(frozen=True)
class NodeComposes:
    """A node begins to compose, or did in the last run; with what, for each of its calls."""

    node: str
    made_with: tuple[MadeWith, ...]


@dataclass(frozen=True)
class TokensFinished:
    node: str
    block: TokenBlock


@dataclass(frozen=True)
class AudioChunk:
    """The next piece of audio of a node that decodes while its input is still being made.

    Pieces leave no gap.
    """

    node: str
    waveform: Tensor  # float32 [B, C, N]
    sample_rate: int
    start_sample: int


@dataclass(frozen=True)
class NodeOutput:
    """An output node is done (or its cached result still holds)."""

    node: str
    ui: dict[str, Any]
    files: tuple[Path, ...]


@dataclass(frozen=True)
class NodeFailed:
    """The run ends with the exception itself; this says of which node it is."""

    node: str
    message: str
    is_refusal: bool


Event = Union[  # noqa: UP007
    NodeStarted,
    NodeCached,
    NodeProgress,
    NodeComposes,
    TokensFinished,
    AudioChunk,
    NodeOutput,
    NodeFailed,
]
Listener = Callable[[Event], None]
