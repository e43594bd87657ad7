"""config.json: every setting that is read, with its kind and its bounds, in one table.

Networks are built from what stands here and from nothing else. Keys that no table names are not
looked at, so they can neither change anything nor break anything. Knows no weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config import (
    MADE,
    MUSIC,
    ChromaConfig,
    CodecConfig,
    LMConfig,
    LongForm,
    ModelConfig,
    T5Config,
)
from ..disk.json_file import read_json
from ..quoting import shown
from ..refused import Refused
from .folder_kinds import MODEL_TYPES

TEXT_TYPE, MELODY_TYPE = MODEL_TYPES
REQUIRED = object()
"""As a default: the setting must be there."""
REMEDY = "use the config.json that belongs to these weights"
TRAINED_FRAMES = 1500  # every official model was trained on 30 s


@dataclass(frozen=True)
class Number:
    """A number from `low` to `high`, both included."""

    low: float
    high: float
    default: Any = REQUIRED
    whole: bool = True

    @property
    def expected(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.low:g} to {self.high:g}"

    def fits(self, value: object) -> bool:
        kinds = int if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return False
        return self.low <= value <= self.high  # NaN is in no range


@dataclass(frozen=True)
class Numbers:
    """A list of numbers, at least one and at most `most`."""

    each: Number
    most: int
    default: Any = REQUIRED

    @property
    def expected(self) -> str:
        return f"1 to {self.most} numbers, each {self.each.expected}"

    def fits(self, value: object) -> bool:
        return (
            isinstance(value, list)
            and 1 <= len(value) <= self.most
            and all(map(self.each.fits, value))
        )


@dataclass(frozen=True)
class OneOf:
    values: tuple[Any, ...]
    default: Any

    @property
    def expected(self) -> str:
        return " or ".join(map(repr, self.values))

    def fits(self, value: object) -> bool:
        return any(type(value) is type(known) and value == known for known in self.values)


Rule = Number | Numbers | OneOf

DECODER: Mapping[str, Rule] = {
    "hidden_size": Number(4, 16384),
    "num_hidden_layers": Number(1, 256),
    "num_attention_heads": Number(1, 256),
    "ffn_dim": Number(1, 65536),
    "vocab_size": Number(2, 65536),
    "num_codebooks": Number(1, 64),
    "audio_channels": Number(1, 2, default=1),
    "max_position_embeddings": Number(16, 2**20, default=2048),
    "long_form_frames": Numbers(Number(1, 2**14), most=3, default=None),
    "activation_function": OneOf(("gelu",), "gelu"),
    "scale_embedding": OneOf((False,), False),
}
"""Defaults, here and below, are those of Hugging Face's configuration classes. They know no
`long_form_frames`, and keep it: the numbers of `LongForm`, in its order.
"""

TEXT_ENCODER: Mapping[str, Rule] = {
    "d_model": Number(1, 16384),
    "vocab_size": Number(3, 2**20, default=32128),
    "d_kv": Number(1, 1024, default=64),
    "d_ff": Number(1, 131072, default=2048),
    "num_layers": Number(1, 128, default=6),
    "num_heads": Number(1, 256, default=8),
    "relative_attention_num_buckets": Number(4, 4096, default=32),
    "relative_attention_max_distance": Number(2, 65536, default=128),
    "layer_norm_epsilon": Number(1e-12, 0.1, default=1e-6, whole=False),
    "feed_forward_proj": OneOf(("relu", "gelu", "gated-relu", "gated-gelu", "gated-silu"), "relu"),
}

AUDIO_ENCODER: Mapping[str, Rule] = {
    "sampling_rate": Number(1000, 192_000),
    "upsampling_ratios": Numbers(Number(1, 64), most=8),
    "target_bandwidths": Numbers(Number(0.01, 1000, whole=False), 16, [1.5, 3.0, 6.0, 12.0, 24.0]),
    "codebook_size": Number(2, 65536, default=1024),
    "codebook_dim": Number(1, 4096, default=None),
    "hidden_size": Number(1, 4096, default=128),
    "num_filters": Number(1, 1024, default=32),
    "compress": Number(1, 1024, default=2),
    "num_residual_layers": Number(1, 16, default=1),
    "num_lstm_layers": Number(1, 16, default=2),
    "kernel_size": Number(1, 64, default=7),
    "last_kernel_size": Number(1, 64, default=7),
    "residual_kernel_size": Number(1, 64, default=3),
    "dilation_growth_rate": Number(1, 16, default=2),
    "trim_right_ratio": Number(0, 1, default=1.0, whole=False),
    "pad_mode": OneOf(("reflect", "constant", "replicate"), "reflect"),
    "use_causal_conv": OneOf((True, False), True),
    "use_conv_shortcut": OneOf((True, False), True),
    "audio_channels": OneOf((1,), 1),
    "norm_type": OneOf(("weight_norm",), "weight_norm"),
    "normalize": OneOf((False,), False),
    "chunk_length_s": OneOf((None,), None),
}

MELODY: Mapping[str, Rule] = {
    "num_chroma": Number(2, 96, default=12),
    "chroma_length": Number(1, 4096, default=235),
}
"""Of the melody models, beside the sections."""

MAKES = OneOf(MADE, MUSIC)
"""What the model makes, which only folders say that were converted here."""

SECTIONS = {"decoder": DECODER, "text_encoder": TEXT_ENCODER, "audio_encoder": AUDIO_ENCODER}

MAX_CODEBOOKS = 64  # of a codec
MAX_CODEC_CHANNELS = 16384
MAX_REACH = 4096  # inputs that a convolution looks at, from the first to the last
FRAME_RATES = Number(1, 1000, whole=False)


def read_config(path: Path) -> ModelConfig:
    """Reads a config.json.

    Raises Refused if it is no MusicGen's, a setting is missing, of another kind or out of bounds,
    or two contradict each other. Nothing is built by then.
    """
    config = read_json(path, "a MusicGen checkpoint's configuration")
    _check_kind(path, config)
    decoder, text, codec = (_section(path, name, config) for name in SECTIONS)
    melody = _melody(path, config) if config["model_type"] == MELODY_TYPE else None
    checks = checks_of(decoder, text, codec) + (_of_melody(melody, decoder) if melody else [])
    check_together(path, checks, REMEDY)
    lm = lm_config(decoder, text, codec)
    if melody:
        chroma = ChromaConfig(melody["num_chroma"], melody["chroma_length"])
        lm = replace(lm, cross_attention=False, chroma=chroma)
    makes = _setting(path, "makes", MAKES, config.get("makes"), "makes" in config)
    return ModelConfig(lm, text_config(text), codec_config(codec, lm.levels), makes)


def read_part(path: Path, rules: Mapping[str, Rule], kind: str) -> dict[str, Any]:
    """The settings of a part that lies by itself, such as a T5 (`TEXT_ENCODER`) or an EnCodec
    (`AUDIO_ENCODER`), from its own config.json.

    Raises Refused as `read_config` does.
    """
    config = read_json(path, f"the configuration of a model of type {kind!r}")
    if config.get("model_type") != kind:
        got = f"a model of type {shown(config.get('model_type'))}"
        raise Refused(str(path.parent), got=got, expected=repr(kind), remedy=REMEDY)
    return {key: _setting(path, key, rule, config.get(key), key in config)
            for key, rule in rules.items()}  # fmt: skip


def _check_kind(path: Path, config: dict) -> None:
    kind = config.get("model_type")
    if kind not in MODEL_TYPES:
        raise Refused(
            f"{path.parent}",
            got=f"a model of type {shown(kind)}",
            expected=f"{TEXT_TYPE!r} (small, medium, large or their stereo forms) "
            f"or {MELODY_TYPE!r}",
            remedy="choose such a folder",
        )


def _melody(path: Path, config: dict) -> dict[str, Any]:
    return {key: _setting(path, key, rule, config.get(key), key in config)
            for key, rule in MELODY.items()}  # fmt: skip


def _section(path: Path, name: str, config: dict) -> dict[str, Any]:
    section = config.get(name)
    if not isinstance(section, dict):
        got = "nothing" if name not in config else f"a JSON {type(section).__name__}"
        raise Refused(f"{path}: {name}", got=got, expected="an object", remedy=REMEDY)
    return {key: _setting(path, f"{name}.{key}", rule, section.get(key), key in section)
            for key, rule in SECTIONS[name].items()}  # fmt: skip


def _setting(path: Path, name: str, rule: Rule, value: object, present: bool) -> Any:
    if value is None and rule.default is not REQUIRED:
        return rule.default
    if not present or not rule.fits(value):
        got = shown(value) if present else "nothing"
        raise Refused(f"{path}: {name}", got=got, expected=rule.expected, remedy=REMEDY)
    return value


# ---------------------------------------------------------------- settings that belong together

Check = tuple[str, bool, object, str]  # what, whether it is fine, got, expected


def checks_of(decoder: dict[str, Any], text: dict[str, Any], codec: dict[str, Any]) -> list[Check]:
    """What has to be true of the three sections together."""
    return [*_of_text(text), *_of_codec(codec), *_of_lm(decoder, codec)]


def check_together(where: Path, checks: Iterable[Check], remedy: str) -> None:
    """Raises Refused for the first check that failed."""
    for what, fine, got, expected in checks:
        if not fine:
            raise Refused(f"{where}: {what}", got=got, expected=expected, remedy=remedy)


def _of_text(text: dict[str, Any]) -> list[Check]:
    exact = text["relative_attention_num_buckets"] // 4  # distances that have a bucket of their own
    distance = text["relative_attention_max_distance"]
    name = "text_encoder.relative_attention_max_distance"
    return [(name, distance > exact, distance, f"more than {exact}, a quarter of the buckets")]


def _of_codec(codec: dict[str, Any]) -> list[Check]:
    ratios, filters = codec["upsampling_ratios"], codec["num_filters"]
    rate, width = frame_rate(codec), filters * 2 ** len(ratios)
    dilation = codec["dilation_growth_rate"] ** (codec["num_residual_layers"] - 1)
    reach = (codec["residual_kernel_size"] - 1) * dilation + 1
    latent = codec["hidden_size"] if codec["codebook_dim"] is None else codec["codebook_dim"]
    levels, trim = codebooks_of(codec), codec["trim_right_ratio"]
    return [
        ("audio_encoder: frames a second", FRAME_RATES.fits(rate), f"{rate:g}",
         FRAME_RATES.expected),
        ("audio_encoder: channels of the widest layer", width <= MAX_CODEC_CHANNELS, width,
         f"at most {MAX_CODEC_CHANNELS}"),
        ("audio_encoder.compress", codec["compress"] <= filters, codec["compress"],
         f"at most num_filters, {filters}"),
        ("audio_encoder: reach of a residual layer", reach <= MAX_REACH, reach,
         f"at most {MAX_REACH}"),
        ("audio_encoder.codebook_dim", latent == codec["hidden_size"], latent,
         f"hidden_size, {codec['hidden_size']}"),
        ("audio_encoder.trim_right_ratio", codec["use_causal_conv"] or trim == 1, trim,
         "1 where use_causal_conv is false"),
        ("audio_encoder: codebooks by target_bandwidths", 1 <= levels <= MAX_CODEBOOKS, levels,
         f"1 to {MAX_CODEBOOKS}"),
    ]  # fmt: skip


def _of_lm(decoder: dict[str, Any], codec: dict[str, Any]) -> list[Check]:
    width, heads = decoder["hidden_size"], decoder["num_attention_heads"]
    codebooks, channels = decoder["num_codebooks"], decoder["audio_channels"]
    vocabulary, levels = decoder["vocab_size"], codebooks_of(codec)
    least = 2 * (codebooks // channels) + 2
    positions = decoder["max_position_embeddings"]
    return [
        ("decoder.hidden_size", width % heads == 0, width, f"a multiple of {heads} heads"),
        ("decoder.hidden_size", width % 2 == 0, width, "an even number"),
        ("decoder.num_codebooks", codebooks % channels == 0, codebooks,
         f"a multiple of {channels} channels"),
        ("decoder.num_codebooks", codebooks <= levels * channels, codebooks,
         f"at most {levels} a channel, which the codec has"),
        ("decoder.vocab_size", vocabulary == codec["codebook_size"], vocabulary,
         f"the codec's codebook_size, {codec['codebook_size']}"),
        ("decoder.max_position_embeddings", positions >= least, positions,
         f"at least {least} for {codebooks} codebooks"),
        ("decoder.long_form_frames", _is_long_form(decoder), decoder.get("long_form_frames"),
         f"of a first window, heard and played ones, which fit into {_window_frames(decoder)}"),
    ]  # fmt: skip


def _is_long_form(decoder: dict[str, Any]) -> bool:
    """Of what is heard the last codebook's frames must be there."""
    if (frames := decoder.get("long_form_frames")) is None:
        return True
    window, delay = _window_frames(decoder), decoder["num_codebooks"] // decoder["audio_channels"]
    return len(frames) == 3 and frames[0] <= window and delay <= frames[1] <= window - frames[2]


def _of_melody(melody: dict[str, Any], decoder: dict[str, Any]) -> list[Check]:
    bins, width = melody["num_chroma"], decoder["hidden_size"]
    return [("num_chroma", bins != width, bins, "another number than decoder.hidden_size")]


def frame_rate(codec: Mapping[str, Any]) -> float:
    """Frames a second."""
    return codec["sampling_rate"] / math.prod(codec["upsampling_ratios"])


def codebooks_of(codec: Mapping[str, Any]) -> int:
    """How many the codec has, as upstream reckons: from its widest bandwidth in kbit/s."""
    return int(1000 * codec["target_bandwidths"][-1] // _bits_per_second(codec))


def bandwidth_of(codec: Mapping[str, Any], codebooks: int) -> float:
    """In kbit/s: what `target_bandwidths` has to end with, so that the codec has so many."""
    exact = codebooks * _bits_per_second(codec) / 1000
    enough = codebooks_of({**codec, "target_bandwidths": [exact]}) == codebooks
    return exact if enough else math.nextafter(exact, math.inf)


def _bits_per_second(codec: Mapping[str, Any]) -> int:
    """Of one codebook."""
    return math.ceil(frame_rate(codec)) * math.ceil(math.log2(codec["codebook_size"]))


def lm_config(decoder: dict[str, Any], text: dict[str, Any], codec: dict[str, Any]) -> LMConfig:
    codebooks, channels = decoder["num_codebooks"], decoder["audio_channels"]
    long_form = decoder.get("long_form_frames")
    return LMConfig(
        hidden_size=decoder["hidden_size"],
        num_layers=decoder["num_hidden_layers"],
        num_heads=decoder["num_attention_heads"],
        ffn_size=decoder["ffn_dim"],
        codebook_size=decoder["vocab_size"],
        num_codebooks=codebooks,
        channels=channels,
        text_size=text["d_model"],
        frame_rate=frame_rate(codec),
        sample_rate=codec["sampling_rate"],
        window_frames=_window_frames(decoder),
        long_form=None if long_form is None else LongForm(*long_form),
    )


def text_config(text: dict[str, Any]) -> T5Config:
    gate, _, activation = text["feed_forward_proj"].rpartition("-")
    return T5Config(
        vocab_size=text["vocab_size"],
        hidden_size=text["d_model"],
        num_layers=text["num_layers"],
        num_heads=text["num_heads"],
        head_size=text["d_kv"],
        ffn_size=text["d_ff"],
        activation=activation,
        gated=gate == "gated",
        num_buckets=text["relative_attention_num_buckets"],
        max_distance=text["relative_attention_max_distance"],
        epsilon=text["layer_norm_epsilon"],
    )


def codec_config(codec: dict[str, Any], num_codebooks: int) -> CodecConfig:
    """With as many codebooks a channel as the LM uses. The files may have more."""
    return CodecConfig(
        sample_rate=codec["sampling_rate"],
        strides=tuple(codec["upsampling_ratios"]),
        codebook_size=codec["codebook_size"],
        num_codebooks=num_codebooks,
        hidden_size=codec["hidden_size"],
        num_filters=codec["num_filters"],
        compress=codec["compress"],
        num_residual_layers=codec["num_residual_layers"],
        num_lstm_layers=codec["num_lstm_layers"],
        kernel_size=codec["kernel_size"],
        last_kernel_size=codec["last_kernel_size"],
        residual_kernel_size=codec["residual_kernel_size"],
        dilation_growth=codec["dilation_growth_rate"],
        trim_right=codec["trim_right_ratio"],
        pad_mode=codec["pad_mode"],
        causal=codec["use_causal_conv"],
        conv_shortcut=codec["use_conv_shortcut"],
    )


def _window_frames(decoder: dict[str, Any]) -> int:
    """30 s, or fewer where there are no positions for so many.

    The official files say max_position_embeddings 2048, which is more than they were trained on.
    `max_length` of generation_config.json is no window: it is how much one call of transformers'
    `generate` makes.
    """
    delay = (decoder["num_codebooks"] - 1) // decoder["audio_channels"]
    return min(TRAINED_FRAMES, decoder["max_position_embeddings"] - delay)
