"""Nodes that make a part of music anew, so that what follows fits: a region, and a loop's end."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..models.config import MAX_BATCH, MAX_DURATION_S, Generation, Sampling
from ..models.refused import Refused
from . import host, wires
from .loop_file import bars_inputs
from .sample import check_heard, check_same_codec, drawing_inputs, seed_input, working_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.bars import Bars
    from ..models.compose.filling import Filling, Gap
    from ..models.compose.timeline import Timeline
    from ..models.encodec import Codec
    from ..models.engines.lockstep import Seat
    from ..models.mix import AnyMix

Tokens = dict[str, Any]


class MusicGenRepaint:
    DESCRIPTION = (
        "Makes a region of music anew and leaves the rest as it is, token for token. Several "
        "candidates are drawn side by side, and the one is kept after which the model finds what "
        "follows likeliest. Works with every model."
    )
    TITLE = "MusicGen Repaint"
    CATEGORY = "audio/musicgen"
    SEARCH_ALIASES = ["inpaint audio", "fill in", "regenerate region", "edit music"]
    RETURN_TYPES = (wires.TOKENS,)
    RETURN_NAMES = ("tokens",)
    OUTPUT_TOOLTIPS = (
        "The music with another region: go to EnCodec Decode, then to Audio Splice for samples "
        "that are equal outside it.",
    )
    FUNCTION = "repaint"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": (wires.MODEL, {"tooltip": "From Load MusicGen."}),
                "positive": (wires.CONDITIONING, {"tooltip": "What the region should be."}),
                "tokens": (
                    wires.TOKENS,
                    {"tooltip": "The music: from MusicGen Sampler, Audio Tokens Load or EnCodec "
                     "Encode."},
                ),
                "begin": _seconds(4.0, "Where the region begins, to the nearest frame."),
                "end": _seconds(8.0, "Where it ends; 0: at the music's end."),
                "candidates": _candidates(),
                "seed": seed_input(),
                **drawing_inputs(),
            },
            "optional": _negative(),
        }  # fmt: skip

    def repaint(
        self,
        model: wires.Model,
        positive: AnyMix | Timeline,
        tokens: Tokens,
        begin: float,
        end: float,
        candidates: int,
        seed: int,
        cfg: float,
        temperature: float,
        top_k: int,
        top_p: float,
        negative: AnyMix | None = None,
    ) -> tuple[Tokens]:
        from ..models.compose.filling import Gap

        piece, described = wires.read_tokens(tokens)
        check_same_codec(described, model.config, "tokens")
        gap = Gap.between(begin, end, model.config.frame_rate, piece.shape[2])
        sampling = Sampling(temperature, top_k, top_p, cfg)
        asked = _Asked(model, positive, negative, candidates, seed, sampling)
        repainted = asked.filled(piece, gap)
        open_end = gap.end == piece.shape[2] or described.get("open_end", False)
        return ({**described, "tokens": repainted, "open_end": open_end},)


class AudioTokensLoop:
    DESCRIPTION = (
        "Makes a loop: so many bars at a tempo, to the sample. The last beats are made anew, from "
        "several candidates, so that the beginning follows from them. The sound can be played over "
        "and over without a gap."
    )
    TITLE = "Audio Tokens Loop"
    CATEGORY = "audio/musicgen/tokens"
    SEARCH_ALIASES = ["seamless loop", "loop music", "bars and bpm"]
    RETURN_TYPES = ("AUDIO", wires.TOKENS)
    RETURN_NAMES = ("audio", "tokens")
    OUTPUT_TOOLTIPS = (
        "A round of the loop, exact to the sample; goes to Audio Loop Save or any audio node.",
        "The same in whole frames; goes to Audio Tokens Repeat or Audio Tokens Save.",
    )
    FUNCTION = "loop"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": (wires.MODEL, {"tooltip": "From Load MusicGen."}),
                "codec": (wires.CODEC, {"tooltip": "From Load MusicGen, as the model."}),
                "positive": (wires.CONDITIONING, {"tooltip": "What the last beats should be."}),
                "tokens": (
                    wires.TOKENS,
                    {"tooltip": "Music at least as long as the loop: from MusicGen Sampler, Audio "
                     "Tokens Load or EnCodec Encode."},
                ),
                **bars_inputs(),
                "begin": _seconds(0.0, "Where in the music the loop begins."),
                "bridge": (
                    "FLOAT",
                    {"default": 2.0, "min": 0.0, "max": 64.0, "step": 0.25, "tooltip": "So many "
                     "beats at the end are made anew, to lead into the beginning; 0: none."},
                ),
                "candidates": _candidates(),
                "seed": seed_input(),
                **drawing_inputs(),
            },
            "optional": _negative(),
        }  # fmt: skip

    @classmethod
    def VALIDATE_INPUTS(
        cls, bars: int | None = None, bpm: float | None = None, beats: int | None = None
    ) -> bool | str:
        """Before music is made for it; None stands for a linked input."""
        from ..models.bars import Bars

        try:
            if bars is not None and bpm is not None and beats is not None:
                Bars(bars, bpm, beats)
        except Refused as error:
            return str(error)
        return True

    def loop(
        self,
        model: wires.Model,
        codec: wires.CodecPart,
        positive: AnyMix | Timeline,
        tokens: Tokens,
        bars: int,
        bpm: float,
        beats: int,
        begin: float,
        bridge: float,
        candidates: int,
        seed: int,
        cfg: float,
        temperature: float,
        top_k: int,
        top_p: float,
        negative: AnyMix | None = None,
    ) -> tuple[dict[str, Any], Tokens]:
        from ..models.bars import Bars
        from ..models.compose.loop import rounds, sound_of

        piece, described = wires.read_tokens(tokens)
        check_same_codec(described, model.config, "tokens")
        player, channels = wires.codec_of(codec, described), described["channels"]
        left_s = piece.shape[2] / model.config.frame_rate - begin
        length = _as_played(Bars(bars, bpm, beats), piece, left_s, player, channels)
        once = length.cut(piece, begin, model.config)
        bridged = length.bridge_frames(bridge, model.config)
        if bridged:
            sampling = Sampling(temperature, top_k, top_p, cfg)
            asked = _Asked(model, positive, negative, candidates, seed, sampling)
            once = asked.filled(*rounds(once, bridged))[:, :, : once.shape[2]]
        rate = player.sample_rate
        sound = sound_of(once, player, channels, length.samples(rate))
        audio = {"waveform": sound, "sample_rate": rate}
        return audio, {**described, "tokens": once, "open_end": False}


def _as_played(asked: Bars, piece: Tensor, longest_s: float, player: Codec, channels: int) -> Bars:
    """At the tempo of the first take of `[B, K, T]`, if it has one."""
    from ..models import rhythm

    sound = player.decode(piece[:1], channels)[0]
    power = rhythm.power_spectrum(sound, player.sample_rate, rhythm.WINDOW, rhythm.HOP)
    found = rhythm.tempo(rhythm.band_db(power))
    length = asked.as_played(found and found.bpm, longest_s)
    if length != asked:
        host.say(f"the music has {length.bpm:.2f} bpm, and so has the loop")
    return length


@dataclass(frozen=True)
class _Asked:
    """How a gap is to be filled."""

    model: wires.Model
    positive: AnyMix | Timeline
    negative: AnyMix | None
    candidates: int
    seed: int
    sampling: Sampling

    def filled(self, piece: Tensor, gap: Gap) -> Tensor:
        """`[B, K, T]` with another gap, each item's best candidate."""
        import torch

        from ..models.compose.filling import likeliest
        from ..models.engines.shared import seat_at

        follows = gap.end < piece.shape[2]
        if not follows and self.candidates > 1:
            host.say("nothing follows the region, which candidates could be judged by: one is made")
        candidates = self.candidates if follows else 1
        filling = self._filling(piece, gap, candidates)
        _play(seat_at(filling.engine, filling.play()), piece.shape[2] - gap.begin)
        kept, rows = likeliest(filling.likelihood, candidates)
        if candidates > 1:
            host.say(_told(kept, filling.likelihood.unflatten(0, (-1, candidates))))
        parts = [piece[:, :, : gap.begin], filling.tokens[rows], piece[:, :, gap.end :]]
        return torch.cat([part.expand(len(rows), -1, -1) for part in parts], dim=2)

    def _filling(self, piece: Tensor, gap: Gap, candidates: int) -> Filling:
        from ..models.automation import STEADY
        from ..models.compose.filling import Filling, bounds_of
        from ..models.compose.rows import rows_of
        from ..models.compose.timeline import score_of, timeline_of

        model, config = self.model, self.model.config
        heard = timeline_of(wires.read_conditioning(self.positive, "positive"))
        negative = self.negative
        if negative is not None:
            negative = wires.read_steady(negative, "negative")
        check_heard(negative, self.sampling.cfg != 1)
        items = _items(len(heard), len(piece), candidates)
        if negative is not None and 1 < len(negative) == items:
            negative = negative.repeated(candidates)
        heard = heard.repeated(candidates * items // len(heard))
        piece = piece.expand(items, -1, -1).repeat_interleave(candidates, dim=0)
        generation = Generation(piece.shape[2], self.seed, self.sampling)
        begun, schedule = score_of(config, generation, heard, negative, STEADY)
        rows = rows_of(config, begun, schedule)
        engine = model.source.ready(working_bytes(model, rows, [heard, negative]))
        bounds = bounds_of(piece, gap, config)
        return Filling(engine, begun, bounds, seed=self.seed, schedule=schedule)


def _items(texts: int, takes: int, candidates: int) -> int:
    items = max(texts, takes)
    if {texts, takes} - {1, items}:
        raise Refused(
            "positive",
            got=f"{texts} texts for {takes} takes",
            expected=f"1 or {takes}",
            remedy="give one text for all, or pick takes with Audio Tokens Pick",
        )
    if items * candidates > MAX_BATCH:
        raise Refused(
            "candidates",
            got=f"{candidates} for {items} takes",
            expected=f"at most {MAX_BATCH} in all",
            remedy="ask for fewer, or pick takes with Audio Tokens Pick",
        )
    return items


def _play(seat: Seat, frames: int) -> None:
    progress = host.Progress(frames)
    progress.update(0)  # loading, where there was any, is over
    with contextlib.closing(seat):
        while not seat.is_over:
            for _ in seat.more(frames):
                progress.update(min(seat.made, frames))


def _told(kept: Tensor, likelihood: Tensor) -> str:
    """Of each item, whose candidates' likelihoods are a row `[B, candidates]`."""
    return "; ".join(
        f"candidate {best + 1} of {len(row)} kept: what follows costs {-row[best]:.2f} nats a "
        f"token ({-row.max():.2f} to {-row.min():.2f})"
        for best, row in zip(kept.tolist(), likelihood, strict=True)
    )


def _seconds(default: float, words: str) -> tuple[str, dict[str, Any]]:
    limits = {"min": 0.0, "max": MAX_DURATION_S, "step": 0.1}
    return ("FLOAT", {"default": default, **limits, "tooltip": f"In seconds. {words}"})


def _candidates() -> tuple[str, dict[str, Any]]:
    return (
        "INT",
        {
            "default": 4,
            "min": 1,
            "max": MAX_BATCH,
            "tooltip": "So many are drawn side by side, and the one that what follows fits best is "
            "kept.",
        },
    )


def _negative() -> dict[str, Any]:
    words = "What it should not be. Works through guidance, so cfg must not be 1."
    return {"negative": (wires.CONDITIONING, {"tooltip": words})}


NODES = (MusicGenRepaint, AudioTokensLoop)
