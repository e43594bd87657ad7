"""The sampler's part for models that make a piece at once (MAGNeT)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models.config import Generation, LMConfig
from ..models.refused import Refused
from . import host, wires

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.automation import Automation
    from ..models.compose.timeline import Timeline
    from ..models.mix import AnyMix

BYTES_OF_LOGITS = 16  # of each: float32, its probability, and two more in the draw


def tokens_at_once(
    model: wires.Model,
    generation: Generation,
    heard: Timeline,
    negative: AnyMix | None,
    prompt: Tensor | None,
    moves: Automation,
) -> dict[str, Any]:
    """All frames as AUDIO_TOKENS; progress at every pass, and nobody hears a part of it before.

    Raises Refused for what changes over time, and as `magnet.piece_at_once` does.
    """
    from ..models.compose.magnet import check_length, passes_of, piece_at_once
    from ..models.engines.session import TorchEngine

    _check_steady(heard, moves, generation, model.config)
    check_length(generation.frames, model.config)
    engine = model.source.ready(_working_bytes(model, heard.first, negative))
    assert isinstance(engine, TorchEngine)  # no other is chosen for such a model
    passes = piece_at_once(engine, generation, heard.first, negative, prompt)
    host.say("a piece at once: published with cfg 10, temperature 3 and top_p 0.9")
    progress = host.Progress(sum(passes_of(model.config)))
    progress.update(0)
    *_, tokens = (_counted(one, number, progress) for number, one in enumerate(passes, 1))
    made = wires.audio_tokens(tokens, model.config, open_end=False)
    host.report_tokens(host.TokenBlock(made, 0, tokens.shape[2]))
    return made


def _counted(tokens: Tensor, number: int, progress: host.Progress) -> Tensor:
    progress.update(number)
    return tokens


def _check_steady(
    heard: Timeline, moves: Automation, generation: Generation, config: LMConfig
) -> None:
    seconds = generation.frames / config.frame_rate
    ends = generation.sampling.guidance_until_s < seconds
    for what, there, node in (
        ("schedule", heard.changes, "MusicGen Schedule"),
        ("automation", moves, "automation"),
        ("guidance_until", ends, "guidance_until"),
    ):
        if there:
            raise Refused(
                what,
                got="one for a MAGNeT, which makes all of a piece at once",
                expected="what stays the same over time",
                remedy=f"leave {node} out, or load a MusicGen",
            )


def _working_bytes(model: wires.Model, heard: AnyMix, negative: AnyMix | None) -> int:
    """Keys, values and logits of all frames, for each row."""
    config = model.config
    sides = sum(len(one.shares(0)) for one in (heard, negative) if one is not None)
    rows = len(heard) * max(2, sides)
    width = 4 if model.choice.precision == "fp32" else 2
    kept = 2 * config.num_layers * config.hidden_size * width
    return rows * config.window_frames * (kept + BYTES_OF_LOGITS * config.codebook_size)
