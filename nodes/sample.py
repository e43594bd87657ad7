"""The sampler: model + conditioning → tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, repeat
from typing import TYPE_CHECKING, Any

from ..models.bars import LONGEST_S
from ..models.config import MAX_BATCH, MAX_DURATION_S, Generation, LMConfig, Sampling
from ..models.refused import Refused
from . import host, wires
from .at_once import tokens_at_once
from .live_picture import DECODED, LivePicture, picture_for

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.compose.timeline import Timeline
    from ..models.engines.lockstep import Seat
    from ..models.mix import AnyMix
    from .made_with import MadeWith

REPORT_FRAMES = 25
"""tokens are reported in blocks of this many frames: half a second for the official models"""
FIRST_FRAMES = (10, *8 * [5], *5 * [10], *3 * [15], 20)
"""and to begin with of at least these: so there is sound soon, and more of it before that is
played, where music comes 1.2 times as fast as it is heard; the codec looks 5 frames ahead
"""


class MusicGenSampler:
    DESCRIPTION = (
        "Composes: draws audio tokens, one step after another, that follow the conditioning. "
        "Connect EnCodec Decode to "
        "hear them. The same seed and settings give the same music, whatever else is in the batch."
    )
    TITLE = "MusicGen Sampler"
    CATEGORY = "audio/musicgen"
    SEARCH_ALIASES = ["generate music", "ksampler", "musicgen generate"]
    RETURN_TYPES = (wires.TOKENS,)
    RETURN_NAMES = ("tokens",)
    OUTPUT_TOOLTIPS = ("The music as EnCodec tokens: one item for each prompt and variation.",)
    FUNCTION = "sample"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        model = {"tooltip": "From Load MusicGen."}
        positive = {
            "tooltip": "What the music should be: from MusicGen Text Encode, Melody, Style, "
            "Combine or Schedule."
        }
        negative = {
            "tooltip": "What the music should not be. Works through guidance, so cfg must not be 1."
        }
        audio_prompt = {
            "tooltip": "Music to continue, from EnCodec Encode; the result begins with it."
        }
        return {
            "required": {
                "model": (wires.MODEL, model),
                "positive": (wires.CONDITIONING, positive),
                "duration": _duration(),
                "seed": seed_input(),
                **drawing_inputs(),
                **_variations(),
            },
            "optional": {
                "negative": (wires.CONDITIONING, negative),
                "audio_prompt": (wires.TOKENS, audio_prompt),
                "automation": ("STRING", _automation()),
                "overlap": ("FLOAT", _overlap()),
                "guidance_until": ("FLOAT", _guidance_until()),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, automation: str | None = None) -> bool | str:
        from ..models.automation import Automation

        try:
            Automation.parse(automation or "")
        except Refused as error:
            return str(error)
        return True

    @classmethod
    def made_with(
        cls,
        model: wires.Model,
        positive: object,
        seed: int,
        variations: int,
        audio_prompt: object = None,
        **_: object,
    ) -> MadeWith:
        """What a call with these inputs composes with. Raises Refused as `sample` does."""
        from ..models.compose.timeline import timeline_of
        from .made_with import MadeWith, described

        prompts = len(timeline_of(wires.read_conditioning(positive, "positive")))
        continued = len(wires.read_tokens(audio_prompt)[0]) if audio_prompt is not None else 0
        return MadeWith(described(model), seed, prompts, variations, continued)

    def sample(
        self,
        model: wires.Model,
        positive: AnyMix | Timeline,
        duration: float,
        seed: int,
        cfg: float,
        temperature: float,
        top_k: int,
        top_p: float,
        variations: int,
        negative: AnyMix | None = None,
        audio_prompt: dict[str, Any] | None = None,
        automation: str = "",
        overlap: float = 0.0,
        guidance_until: float = MAX_DURATION_S,
    ) -> tuple[dict[str, Any]]:
        from ..models.automation import Automation
        from ..models.compose.composition import stream
        from ..models.compose.rows import rows_of
        from ..models.compose.timeline import score_of, timeline_of
        from ..models.engines.shared import seat_at

        heard = timeline_of(wires.read_conditioning(positive, "positive"))
        if negative is not None:
            negative = wires.read_steady(negative, "negative")
        moves = Automation.parse(automation)
        check_heard(negative, moves.guides(cfg))
        _check_batch(len(heard), variations)
        config = model.config
        sampling = Sampling(temperature, top_k, top_p, cfg, guidance_until_s=guidance_until)
        generation = Generation(
            config.frames(duration), seed, sampling, _overlap_frames(overlap, config)
        )
        prompt, open_end = _read_prompt(audio_prompt, config)
        items = len(heard)
        if prompt is not None and 1 < prompt.shape[0] == items:
            prompt = prompt.repeat_interleave(variations, dim=0)
        if negative is not None and 1 < len(negative) == items:
            negative = negative.repeated(variations)
        heard = heard.repeated(variations)
        _say_what_is_missing(heard, config)
        if config.magnet is not None:
            return (tokens_at_once(model, generation, heard, negative, prompt, moves),)
        rows = rows_of(config, *score_of(config, generation, heard, negative, moves))
        picture = picture_for(model, len(heard), generation.frames)
        engine = model.source.ready(working_bytes(model, rows, [heard, negative]))
        frames = stream(engine, generation, heard, negative, prompt, open_end, moves)
        return (_gathered(seat_at(engine, frames), generation.frames, config, picture),)


def _read_prompt(
    audio_prompt: dict[str, Any] | None, config: LMConfig
) -> tuple[Tensor | None, bool]:
    """`[B, K, T]` to continue, and whether its end is open. Raises Refused."""
    if audio_prompt is None:
        return None, False
    prompt, described = wires.read_tokens(audio_prompt)
    check_same_codec(described, config, "audio prompt")
    return prompt, described.get("open_end", False)


def _overlap_frames(overlap_s: float, config: LMConfig) -> int | None:
    """None: as usual. Raises Refused, before a model is loaded for it, for one that no window has
    room for.
    """
    from ..models.compose.checks import checked_overlap

    if overlap_s == 0:
        return None
    return checked_overlap(round(overlap_s * config.frame_rate), config)


def _say_what_is_missing(heard: Timeline, config: LMConfig) -> None:
    if config.sound_size and heard.melody is heard.style is None:
        what = "melody" if config.chroma else "style"
        host.say(f"no {what}: the model follows the text alone")


def _duration() -> tuple[str, dict[str, Any]]:
    duration = {"default": 10.0, "min": 0.1, "max": MAX_DURATION_S, "step": 0.1}
    return (
        "FLOAT",
        duration
        | {
            "tooltip": "Length of the result in seconds, an audio prompt included. Beyond "
            "what the model sees at once (30 s for the official ones) it continues itself in "
            "overlapping windows."
        },
    )


def seed_input() -> tuple[str, dict[str, Any]]:
    seed = {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}
    return (
        "INT",
        seed | {"tooltip": "The same seed gives the same music; item i of a batch uses seed + i."},
    )


def drawing_inputs() -> dict[str, Any]:
    cfg = {"default": 3.0, "min": 0.0, "max": 20.0, "step": 0.1}
    temperature = {"default": 1.0, "min": 0.0, "max": 10.0, "step": 0.05, "advanced": True}
    top_k = {"default": 250, "min": 1, "max": 65536, "advanced": True}
    top_p = {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.01, "advanced": True}
    return {
        "cfg": (
            "FLOAT",
            cfg
            | {
                "tooltip": "Guidance: how strongly the music follows the text. "
                "1 is off, 3 is usual."
            },
        ),
        "temperature": (
            "FLOAT",
            temperature
            | {"tooltip": "Lower is safer, higher is wilder; 0 always takes the likeliest token."},
        ),
        "top_k": (
            "INT",
            top_k
            | {
                "tooltip": "Draw among this many likeliest tokens; at most the codebook's size "
                "(2048 for the official models)."
            },
        ),
        "top_p": (
            "FLOAT",
            top_p
            | {
                "tooltip": "When above 0: draw among the likeliest tokens that together reach "
                "this probability; replaces top_k."
            },
        ),
    }


def _variations() -> dict[str, Any]:
    variations = {"default": 1, "min": 1, "max": MAX_BATCH}
    return {
        "variations": (
            "INT",
            variations
            | {
                "tooltip": "Takes of each prompt, made side by side, which costs less than one "
                "after another."
            },
        )
    }


def _automation() -> dict[str, Any]:
    return {
        "default": "",
        "advanced": True,
        "tooltip": "Guidance, temperature and top-k that move over time, and other seeds from a "
        'second on, as second: value, such as "cfg 0: 3, 20: 5; temperature 10: 1.2; seed 30: 7". '
        "Empty: they stay as above.",
    }


def _overlap() -> dict[str, Any]:
    return {
        "default": 0.0,
        "min": 0.0,
        "max": LONGEST_S,
        "step": 0.1,
        "advanced": True,
        "tooltip": "Of music longer than the model sees at once (30 s for the official ones): so "
        "many seconds of the last window are heard by the next one. 0: as the model proposes, "
        "or 40 % of a window.",
    }


def _guidance_until() -> dict[str, Any]:
    return {
        "default": MAX_DURATION_S,
        "min": 0.0,
        "max": MAX_DURATION_S,
        "step": 0.1,
        "advanced": True,
        "tooltip": "From this second of the music on cfg is 1, whatever it was before, and steps "
        "cost less. 600: guidance to the end.",
    }


def check_heard(negative: AnyMix | None, is_guided: bool) -> None:
    if negative is not None and not is_guided:
        raise Refused(
            "negative",
            got="one with cfg 1, where it has no effect",
            expected="another cfg",
            remedy="raise cfg (3 is usual) or disconnect it",
        )


def _check_batch(prompts: int, variations: int) -> None:
    if prompts * variations > MAX_BATCH:
        raise Refused(
            "batch",
            got=f"{prompts} prompts × {variations} variations",
            expected=f"at most {MAX_BATCH} items",
            remedy="use fewer of either",
        )


def check_same_codec(described: dict[str, Any], config: LMConfig, what: str) -> None:
    for name in ("codebook_size", "sample_rate", "channels"):
        if described[name] != getattr(config, name):
            raise Refused(
                what,
                got=f"tokens of {name} {described[name]}",
                expected=str(getattr(config, name)),
                remedy="encode the audio with this model's own codec",
            )


def _gathered(
    seat: Seat, total: int, config: LMConfig, picture: LivePicture | None
) -> dict[str, Any]:
    """All frames as AUDIO_TOKENS; progress as they come, finished blocks to whoever listens."""
    import torch

    progress, blocks, done = host.Progress(total), [], 0
    try:
        progress.update(0)  # loading, where there was any, is over
        for block in _blocks(seat, progress):
            host.report_tokens(
                host.TokenBlock(wires.audio_tokens(block, config, open_end=True), done, total)
            )
            blocks.append(block)
            done += block.shape[2]
            if picture is not None:
                picture.push(block, progress)
    finally:
        seat.close()
    tokens = wires.audio_tokens(torch.cat(blocks, dim=2), config, open_end=True)
    if picture is not None:
        tokens[DECODED] = picture.close(tokens["tokens"], progress)
    return tokens


def _blocks(seat: Seat, progress: host.Progress) -> Iterator[Tensor]:
    """All of it, block by block, each as soon as so many frames have come; the next ones are made
    while one is decoded, and what has come by then is one block.
    """
    import torch

    for due in accumulate(chain(FIRST_FRAMES, repeat(REPORT_FRAMES))):
        pieces: list[Tensor] = []
        for piece in seat.more(due - seat.made, REPORT_FRAMES) if due > seat.made else ():
            if piece is None:
                host.check_stop()
            else:
                progress.update(seat.made)
                pieces.append(piece)
        if pieces:
            yield from torch.cat(pieces, dim=2).split(REPORT_FRAMES, dim=2)
        if seat.is_over:
            return


def working_bytes(model: wires.Model, rows: int, heard: Sequence[AnyMix | Timeline | None]) -> int:
    """Keys and values of a prefix and a whole window, for each row."""
    config = model.config
    width = 4 if model.choice.precision == "fp32" else 2
    told = [one for one in heard if one is not None]
    style = max((one.style.states.shape[1] for one in told if one.style is not None), default=0)
    prefix = config.prefix_length(max(one.text_length for one in told), style)
    steps = config.window_frames + config.max_delay + prefix
    return rows * 2 * config.num_layers * config.hidden_size * steps * width


NODES = (MusicGenSampler,)
