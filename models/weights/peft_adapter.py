"""PEFT's folders: adapter_config.json and adapter_model.safetensors, opened for a checkpoint.

A target's weights are A `[rank, inputs]` and B `[outputs, rank]`; an embedding's are A
`[rank, vectors]` and B `[size, rank]`, whose product lies across. Names are Hugging Face's, by the
one table that is in `hugging_face.py`; so an adapter fits whatever layout its base lies in.
Source of the format and of the scale: PEFT, `tuners/lora`. Needs no torch until a delta is asked
for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..config import ModelConfig
from ..disk.json_file import read_json
from ..parameters import CODEC, all_shapes
from ..quoting import shown
from ..refused import Refused
from .contract import fingerprint
from .hugging_face import file_names
from .tensor_file import FLOATS, Stored, headers

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
BEFORE = "base_model.model."
"""how every name in the file begins"""
PAIRS = {
    ".lora_A.weight": ("A", False),
    ".lora_B.weight": ("B", False),
    ".lora_embedding_A": ("A", True),
    ".lora_embedding_B": ("B", True),
}
"""how a name ends → which of the two it is, and whether it is an embedding's"""
OTHER_MODULES = {"text_encoder.encoder.embed_tokens": "text_encoder.shared"}
"""one module of transformers' that has two names"""
MAX_NUMBER = 10_000
MAX_PATTERNS, MAX_PATTERN_CHARACTERS, MAX_REPEATS = 1000, 300, 3
INITIAL = (True, False, None, "gaussian", "eva", "orthogonal")
"""ways to begin that leave the base as it is; others (pissa, olora, loftq …) change it"""
VARIANTS = {
    "use_dora": "DoRA",
    "use_qalora": "QA-LoRA",
    "use_bdlora": "BD-LoRA",
    "lora_bias": "a bias in its matrices",
    "layer_replication": "layers that stand twice",
    "trainable_token_indices": "trained tokens",
    "target_parameters": "targets that are no modules",
    "alora_invocation_tokens": "aLoRA",
    "arrow_config": "Arrow",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "megatron_config": "Megatron's layers",
    "modules_to_save": "whole modules",
}
"""settings that make something else of it than A and B → what that is"""
AGAIN = "train it as a plain LoRA, or merge it into its base with PEFT and choose that model"


N = TypeVar("N", int, float)


@dataclass(frozen=True)
class LoraConfig:
    """What is read of adapter_config.json."""

    rank: int
    alpha: float
    ranks: Mapping[str, int]
    """a pattern of modules' names → their rank; likewise their alpha"""
    alphas: Mapping[str, float]
    by_root: bool
    """whether alpha is divided by the rank's square root (rsLoRA, Kalajdzievski 2023)"""

    def rank_of(self, module: str) -> int:
        return _by_pattern(self.ranks, module, self.rank)

    def scale_of(self, module: str, rank: int) -> float:
        alpha = _by_pattern(self.alphas, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.by_root else rank)


def _by_pattern(values: Mapping[str, N], module: str, otherwise: N) -> N:
    """The value of the first pattern that a module's name ends with."""
    found = (one for pattern, one in values.items() if re.match(rf"(.*\.)?({pattern})$", module))
    return next(found, otherwise)


@dataclass(frozen=True)
class _Pair:
    """A and B of one target, by their names in the file."""

    a: str
    b: str
    scale: float
    across: bool
    """whether the target is the transpose of their product"""


@dataclass(frozen=True)
class PeftAdapter:
    """An opened folder; see `adapted.Adapter`."""

    folder: Path
    fingerprint: str
    targets: Mapping[str, _Pair]
    stored: Mapping[str, Stored]

    @property
    def size_bytes(self) -> int:
        return (self.folder / TENSORS).stat().st_size

    def delta(self, name: str) -> Tensor:
        pair = self.targets[name]
        a, b = (
            self.stored[one].read(one, f"{self.folder}: {one}").float() for one in (pair.a, pair.b)
        )
        product = (b @ a) * pair.scale
        return product.T if pair.across else product


def open_peft(folder: Path, config: ModelConfig) -> PeftAdapter:
    """Reads settings and headers of a PEFT folder, and checks them against a checkpoint's shapes.

    Raises Refused, with the name of what is wrong: no such folder, another kind of adapter, targets
    that the checkpoint does not have or that have other shapes there, tensors that are missing or
    not known.
    """
    seen = fingerprint(folder) if folder.is_dir() else ""
    settings = read_lora_config(folder)
    stored = headers(folder / TENSORS)
    modules = _modules(folder, stored)
    shapes, names = all_shapes(config), _our_names(config)
    targets = {}
    for module, halves in modules.items():
        ours = names.get(OTHER_MODULES.get(module, module))
        if ours is None:
            raise _refused(
                folder, f"{module}, which this model does not have", "targets of its base"
            )
        targets[ours] = _pair(folder, module, halves, settings, stored, shapes[ours])
    return PeftAdapter(folder, seen, targets, stored)


def _our_names(config: ModelConfig) -> dict[str, str]:
    """Hugging Face's name of each module that has a matrix → our name of the matrix.

    The codec's are left out: no adapter of MusicGen changes it.
    """
    return {
        theirs.removesuffix(".weight"): ours
        for ours, theirs in file_names(config).items()
        if theirs.endswith(".weight") and not ours.startswith(f"{CODEC}.")
    }


def _modules(folder: Path, stored: Mapping[str, Stored]) -> dict[str, dict[str, str]]:
    """Each target's module → A and B (`_A` and `_B` of an embedding's) → the tensor's name."""
    modules: dict[str, dict[str, str]] = {}
    for name in stored:
        ending = next((one for one in PAIRS if name.endswith(one)), None)
        if ending is None or not name.startswith(BEFORE):
            known = f"names such as {BEFORE}decoder.….q_proj.lora_A.weight"
            raise _refused(folder, f"a tensor named {shown(name)}", known)
        half, is_embedding = PAIRS[ending]
        module = name.removeprefix(BEFORE).removesuffix(ending)
        modules.setdefault(module, {})["_" * is_embedding + half] = name
    if not modules:
        raise _refused(folder, "no tensors", "A and B of at least one target")
    return modules


def _pair(
    folder: Path,
    module: str,
    halves: Mapping[str, str],
    settings: LoraConfig,
    stored: Mapping[str, Stored],
    shape: tuple[int, ...],
) -> _Pair:
    """Raises Refused unless A and B are there, and their product has the target's shape."""
    across = "_A" in halves
    wanted = ("_A", "_B") if across else ("A", "B")
    if set(halves) != set(wanted):
        raise _refused(folder, f"{module} with only {', '.join(halves)}", "A and B, one of each")
    a, b = (halves[one] for one in wanted)
    outer = tuple(reversed(shape)) if across else shape
    rank = settings.rank_of(module)
    for name, form in ((a, (rank, *outer[1:])), (b, (*outer[:1], rank))):
        found = stored[name]
        if found.shape != form or found.type not in FLOATS:
            got = f"{name} as {found.type} {list(found.shape)}"
            expected = f"{' or '.join(FLOATS)} {list(form)}, for a target of {list(shape)}"
            raise _refused(folder, got, expected, "take an adapter of this very model")
    return _Pair(a, b, settings.scale_of(module, rank), across)


# ---------------------------------------------------------------- settings


def read_lora_config(folder: Path) -> LoraConfig:
    """Of a PEFT folder. Raises Refused for whatever is not a plain LoRA in safetensors."""
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing there"
        raise Refused(str(folder), got=got, expected="a PEFT folder", remedy="check the spelling")
    config = read_json(folder / CONFIG, "a PEFT adapter's settings")
    _check_kind(folder, config)
    if not (folder / TENSORS).is_file() and (folder / "adapter_model.bin").is_file():
        raise _refused(
            folder,
            "adapter_model.bin, a pickle, which can run code and is not read",
            TENSORS,
            "load it with PEFT where you trust it, and save it again",
        )
    return LoraConfig(
        rank=_whole(folder, "r", config.get("r")),
        alpha=_number(folder, "lora_alpha", config.get("lora_alpha")),
        ranks={
            pattern: _whole(folder, f"rank_pattern of {pattern}", one)
            for pattern, one in _patterns(folder, config, "rank_pattern")
        },
        alphas={
            pattern: _number(folder, f"alpha_pattern of {pattern}", one)
            for pattern, one in _patterns(folder, config, "alpha_pattern")
        },
        by_root=config.get("use_rslora") is True,
    )


def _check_kind(folder: Path, config: Mapping[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise _refused(folder, f"an adapter of type {shown(kind)}", "LORA", AGAIN)
    for name, words in VARIANTS.items():
        if config.get(name):
            raise _refused(folder, f"{words} ({name})", "a plain LoRA", AGAIN)
    if config.get("bias", "none") != "none":
        raise _refused(folder, f"biases ({shown(config['bias'])})", "bias none", AGAIN)
    start = config.get("init_lora_weights", True)
    if start not in INITIAL:
        got = f"init_lora_weights {shown(start)}, which changes the base"
        raise _refused(folder, got, "an adapter of the base as it is", AGAIN)


def _patterns(folder: Path, config: Mapping[str, Any], name: str) -> list[tuple[str, object]]:
    """Patterns are a stranger's regular expressions, so only such as cannot take for ever."""
    given = config.get(name) or {}
    if not isinstance(given, dict) or len(given) > MAX_PATTERNS:
        raise _refused(folder, f"{name} {shown(given)}", f"at most {MAX_PATTERNS} patterns")
    for pattern in given:
        if not _is_harmless(pattern):
            raise _refused(folder, f"{name} for {shown(pattern)}", "names of modules")
    return list(given.items())


def _is_harmless(pattern: str) -> bool:
    """Few repetitions, and none of a group: their cost grows with a small power of the name."""
    if len(pattern) > MAX_PATTERN_CHARACTERS or re.search(r"\)[*+?{]|\(\?|\\\d", pattern):
        return False
    if len(re.findall(r"[*+{]", pattern)) > MAX_REPEATS:
        return False
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _whole(folder: Path, name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_NUMBER:
        expected = f"a whole number from 1 to {MAX_NUMBER}"
        raise _refused(folder, f"{name} {shown(value)}", expected)
    return value


def _number(folder: Path, name: str, value: object) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 < value <= MAX_NUMBER
    ):
        raise _refused(folder, f"{name} {shown(value)}", f"above 0 and at most {MAX_NUMBER}")
    return value


def _refused(folder: Path, got: str, expected: str, remedy: str = "") -> Refused:
    return Refused(
        str(folder),
        got=got,
        expected=expected,
        remedy=remedy or "take another adapter, or the base that it was trained on",
    )
