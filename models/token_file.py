"""Tokens in a file: safetensors, with what they are and the codec that they belong to beside them.

tokens       int16 or int32 [B, K, T]
metadata     format, version, codec, frame_rate, codebook_size, channels, sample_rate, open_end;
             and the graph that made them, under the names that sound has for it
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .encodec import Codec
from .quoting import shown
from .refused import Refused

FORMAT, VERSION = "musicgraph.audio_tokens", "1"
FACTS = ("frame_rate", "codebook_size", "channels", "sample_rate", "open_end")
SUFFIX = ".safetensors"


def token_bytes(audio_tokens: Mapping[str, Any], codec: Codec, tags: Mapping[str, str]) -> bytes:
    """AUDIO_TOKENS as a file; `tags` are kept as they are."""
    facts = {name: json.dumps(audio_tokens.get(name, False)) for name in FACTS}
    small = audio_tokens["codebook_size"] <= 2**15
    tokens = audio_tokens["tokens"].to(torch.int16 if small else torch.int32).contiguous()
    metadata = {"format": FORMAT, "version": VERSION, "codec": codec.fingerprint, **facts, **tags}
    return save({"tokens": tokens}, metadata)


def read_token_file(path: Path, codec: Codec) -> dict[str, Any]:
    """AUDIO_TOKENS of what is a file, and no pipe.

    Raises Refused for a file that is none, or one of another codec.
    """
    try:
        with safe_open(path, "pt") as file:
            facts = _facts(path, file.metadata() or {})
            _check_codec(path, facts, codec)
            tokens = _checked(path, file, facts)
    except (SafetensorError, OSError) as error:
        raise _no_tokens(path, str(error)) from error
    return {"tokens": tokens, **{name: facts[name] for name in FACTS}}


def _facts(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        raise _no_tokens(path, "a file of something else")
    try:
        read = {name: json.loads(metadata[name]) for name in FACTS}
    except (KeyError, ValueError, RecursionError) as error:
        raise _no_tokens(path, "metadata that cannot be read") from error
    whole = ("codebook_size", "channels", "sample_rate")
    fine = all(type(read[name]) is int for name in whole) and type(read["open_end"]) is bool
    if not fine or read["channels"] not in (1, 2):
        raise _no_tokens(path, "metadata of other kinds")
    return {**read, "codec": metadata.get("codec", "")}


def _check_codec(path: Path, facts: Mapping[str, Any], codec: Codec) -> None:
    ours = {
        "frame_rate": codec.frame_rate,
        "codebook_size": codec.codebook_size,
        "sample_rate": codec.sample_rate,
        "codec": codec.fingerprint,
    }
    for name, expected in ours.items():
        if facts[name] != expected:
            raise Refused(
                shown(path.name),
                got=f"tokens of another codec ({name} {facts[name]})",
                expected=f"{name} {expected}",
                remedy="connect the codec of the checkpoint that made them",
            )


def _checked(path: Path, file: Any, facts: Mapping[str, Any]) -> Tensor:
    if list(file.keys()) != ["tokens"]:
        raise _no_tokens(path, "other tensors")
    shape = file.get_slice("tokens").get_shape()
    if len(shape) != 3 or 0 in shape:
        raise _no_tokens(path, f"shape {shape}")
    tokens = file.get_tensor("tokens")
    if tokens.dtype not in (torch.int16, torch.int32, torch.int64):
        raise _no_tokens(path, f"{tokens.dtype}")
    least, most = (int(one) for one in tokens.aminmax())
    if not 0 <= least <= most < facts["codebook_size"]:
        raise _no_tokens(path, f"tokens {least} to {most}")
    return tokens.long()


def _no_tokens(path: Path, got: str) -> Refused:
    return Refused(
        shown(path.name),
        got=got,
        expected="tokens as Audio Tokens Save writes them",
        remedy="choose another file",
    )
