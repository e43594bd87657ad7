"""xp.cfg: the settings, as YAML, in audiocraft's checkpoints, in the words of a config.json.

Every setting that is read is checked against the tables here, and after that together with the
others as those of a config.json are (`checkpoint_config.py`). Knows no weights.

Source: audiocraft's configuration files and builders (facebookresearch/audiocraft).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import ChromaConfig, MagnetConfig, MERTConfig, StyleConfig
from ..quoting import shown
from ..refused import Refused
from . import checkpoint_config as known
from .checkpoint_config import REQUIRED, Number, Numbers, OneOf, Rule

MAX_CHARACTERS = 2**17
MAX_LEVELS = 32
MAX_REFERENCES = 16
REMEDY = "take the files that belong together, as their publisher gives them"
REFERENCE = re.compile(r"\$\{([\w.]+)\}")
CODEC_NAME, PRETRAINED = "compression_model_checkpoint", "//pretrained/"
SOUNDS = "chroma_stem", "style"
SOUND_HEARD = "self_wav"
"""What audiocraft calls the sound that a model listens to."""
MUSIC, SOUND, MAGNET_SOUND = "musicgen", "audiogen", "audio_magnet"


@dataclass(frozen=True)
class Text:
    """A text of at most `most` characters."""

    most: int = 200
    default: Any = REQUIRED

    @property
    def expected(self) -> str:
        return f"1 to {self.most} characters"

    def fits(self, value: object) -> bool:
        return isinstance(value, str) and 0 < len(value) <= self.most


_YES, _NO, _NONE = OneOf((True,), REQUIRED), OneOf((False,), False), OneOf((None,), None)

LM: Mapping[str, Rule | Text] = {
    "solver": OneOf((MUSIC, SOUND), MUSIC),
    "sample_rate": known.AUDIO_ENCODER["sampling_rate"],
    "lm_model": OneOf(("transformer_lm",), "transformer_lm"),
    "transformer_lm.dim": known.DECODER["hidden_size"],
    "transformer_lm.num_heads": known.DECODER["num_attention_heads"],
    "transformer_lm.num_layers": known.DECODER["num_hidden_layers"],
    "transformer_lm.hidden_scale": Number(0.01, 64, default=4, whole=False),
    "transformer_lm.n_q": known.DECODER["num_codebooks"],
    "transformer_lm.card": known.DECODER["vocab_size"],
    "transformer_lm.norm_first": _YES,
    "transformer_lm.bias_ff": OneOf((False,), REQUIRED),
    "transformer_lm.bias_attn": OneOf((False,), REQUIRED),
    "transformer_lm.bias_proj": OneOf((False,), REQUIRED),
    "transformer_lm.causal": _YES,
    "transformer_lm.activation": OneOf(("gelu",), REQUIRED),
    "transformer_lm.norm": OneOf(("layer_norm",), "layer_norm"),
    "transformer_lm.positional_embedding": OneOf(("sin",), "sin"),
    "transformer_lm.layer_scale": _NONE,
    "transformer_lm.past_context": _NONE,
    "transformer_lm.qk_layer_norm": _NO,
    "transformer_lm.qk_layer_norm_cross": _NO,
    "transformer_lm.kv_repeat": OneOf((1,), 1),
    "transformer_lm.q_modeling": OneOf((None, "delay"), None),
    "codebooks_pattern.modeling": OneOf(("delay", None), None),
    "codebooks_pattern.delay.delays": Numbers(Number(0, 64), 64, None),
    "codebooks_pattern.delay.flatten_first": OneOf((0,), 0),
    "codebooks_pattern.delay.empty_initial": OneOf((0,), 0),
    "interleave_stereo_codebooks.use": OneOf((True, False), False),
    "interleave_stereo_codebooks.per_timestep": _NO,
    "dataset.segment_duration": Number(1, 600, default=30, whole=False),
    "fuser.cross_attention_pos_emb": _NO,
    CODEC_NAME: Text(default=""),
}
"""Defaults are those of audiocraft's classes; what these would do without a word, and we cannot,
has to be there.
"""

MAGNET_LM = "transformer_lm_magnet"
MAGNET: Mapping[str, Rule | Text] = {
    **LM,
    "solver": OneOf(("magnet", MAGNET_SOUND), "magnet"),
    "lm_model": OneOf((MAGNET_LM,), MAGNET_LM),
    "transformer_lm.causal": OneOf((False,), REQUIRED),
    "transformer_lm.subcodes_context": Number(-1, 65536, default=5),
    "codebooks_pattern.modeling": OneOf(("parallel",), REQUIRED),
    "interleave_stereo_codebooks.use": _NO,
    "masking.span_len": Number(1, 64),
}
"""What is other in a MAGNeT, which makes a piece at once."""

TEXT: Mapping[str, Rule | Text] = {
    "name": Text(),
    "finetune": _NO,
    "normalize_text": _NO,
}

CHROMA: Mapping[str, Rule | Text] = {
    "sample_rate": known.AUDIO_ENCODER["sampling_rate"],
    "n_chroma": Number(2, 96),
    "radix2_exp": Number(8, 16),
    "argmax": OneOf((True,), False),
}

STYLE: Mapping[str, Rule | Text] = {
    "model_name": OneOf(("mert",), REQUIRED),
    "transformer_scale": OneOf(("xsmall", "default", "large"), "default"),
    "sample_rate": known.AUDIO_ENCODER["sampling_rate"],
    "ds_factor": Number(1, 1024, default=15),
    "n_q_out": Number(1, 64, default=6),
    "bins": Number(2, 65536, default=1024),
    "batch_norm": OneOf((True,), True),
    "use_middle_of_segment": _NO,
}

SCALES = {"xsmall": (256, 4, 8), "default": (512, 8, 8), "large": (1024, 24, 16)}
"""What transformer_scale names: width, layers, heads."""

CODEC: Mapping[str, Rule | Text] = {
    "compression_model": OneOf(("encodec",), REQUIRED),
    "encodec.autoencoder": OneOf(("seanet",), "seanet"),
    "encodec.quantizer": OneOf(("rvq",), "rvq"),
    "encodec.sample_rate": known.AUDIO_ENCODER["sampling_rate"],
    "encodec.channels": OneOf((1,), REQUIRED),
    "encodec.renormalize": _NO,
    "seanet.channels": OneOf((1,), 1),
    "seanet.dimension": Number(1, 4096, default=128),
    "seanet.n_filters": Number(1, 1024, default=32),
    "seanet.n_residual_layers": Number(1, 16, default=3),
    "seanet.ratios": Numbers(Number(1, 64), 8, [8, 5, 4, 2]),
    "seanet.activation": OneOf(("ELU",), "ELU"),
    "seanet.activation_params.alpha": OneOf((1.0, 1), 1.0),
    "seanet.norm": OneOf(("weight_norm", "none"), "none"),
    "seanet.kernel_size": Number(1, 64, default=7),
    "seanet.last_kernel_size": Number(1, 64, default=7),
    "seanet.residual_kernel_size": Number(1, 64, default=3),
    "seanet.dilation_base": Number(1, 16, default=2),
    "seanet.causal": OneOf((True, False), False),
    "seanet.pad_mode": known.AUDIO_ENCODER["pad_mode"],
    "seanet.true_skip": OneOf((True, False), True),
    "seanet.compress": Number(1, 1024, default=2),
    "seanet.lstm": Number(1, 16),
    "seanet.decoder.trim_right_ratio": Number(0, 1, default=1.0, whole=False),
    "seanet.decoder.final_activation": _NONE,
    "rvq.n_q": Number(1, known.MAX_CODEBOOKS, default=8),
    "rvq.bins": Number(2, 65536, default=1024),
}

WAYS = ("cross", "prepend", "sum", "input_interpolate")
"""How a model may hear something."""
_DECODER_SETTINGS = {"trim_right_ratio", "final_activation", "final_activation_params"}


@dataclass(frozen=True)
class StyleSettings:
    """A StyleConfig without MERT, of which audiocraft's files say nothing."""

    hidden_size: int
    num_layers: int
    num_heads: int
    levels: int
    codebook_size: int
    stride: int

    def with_mert(self, mert: MERTConfig) -> StyleConfig:
        return StyleConfig(**vars(self), mert=mert)


@dataclass(frozen=True)
class LMSettings:
    """Of a state_dict.bin."""

    decoder: dict[str, Any]
    """by the names of a config.json, as `checkpoint_config.DECODER` has them"""
    delays: tuple[int, ...]
    """one for each codebook"""
    sample_rate: int
    """of the codec that the model was trained with"""
    segment_s: float
    """the length that the model was trained on"""
    text_encoder: str
    """the name of a T5"""
    text_conditioner: str
    """what the text is called in the names of the tensors"""
    chroma: ChromaConfig | None
    """of a melody model"""
    style: StyleSettings | None
    """of a style model"""
    magnet: MagnetConfig | None
    """of a model that makes a piece at once"""
    codec: str
    """the name of a published codec, or nothing"""
    makes_sound: bool
    """of any kind, as AudioGen does; else music"""


class _Settings:
    """A tree of settings, in which one may refer to another: `${seanet.dimension}`."""

    def __init__(self, where: str, tree: dict):
        self.where, self._tree = where, tree

    def value(self, path: str) -> tuple[Any, bool]:
        """What stands there, and whether something does. Raises Refused if references go in a
        circle.
        """
        for _ in range(MAX_REFERENCES):
            found, present = self._plain(path)
            if not (isinstance(found, str) and (named := REFERENCE.fullmatch(found))):
                return found, present
            path = named.group(1)
        raise self.refused(path, "references without end", "a value")

    def _plain(self, path: str) -> tuple[Any, bool]:
        found: Any = self._tree
        for key in path.split("."):
            if not isinstance(found, dict) or key not in found:
                return None, False
            found = found[key]
        return found, True

    def read(self, rules: Mapping[str, Rule | Text], under: str = "") -> dict[str, Any]:
        """Every setting of a table. Raises Refused if one is missing or does not fit."""
        return {name: self._setting(f"{under}{name}", rule) for name, rule in rules.items()}

    def _setting(self, path: str, rule: Rule | Text) -> Any:
        value, present = self.value(path)
        if value is None and rule.default is not REQUIRED:
            return rule.default
        if not rule.fits(value):
            raise self.refused(path, shown(value) if present else "nothing", rule.expected)
        return value

    def table(self, path: str) -> dict:
        """The settings below one; none if it is not there."""
        value, _ = self.value(path)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise self.refused(path, shown(value), "settings by their names")
        return value

    def names(self, path: str) -> list[str]:
        value, _ = self.value(path)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.refused(path, shown(value), "a list of names")
        return value

    def refused(self, path: str, got: object, expected: str, remedy: str = REMEDY) -> Refused:
        return Refused(f"{self.where}: {path}", got=got, expected=expected, remedy=remedy)


def read_lm_settings(path: Path, text: object) -> LMSettings:
    """From the xp.cfg of a language model.

    Raises Refused if it is no such text, a setting is missing or out of bounds, or says that the
    model is of a kind that is not known here.
    """
    settings = _parsed(path, text)
    _check_kind(settings)
    at_once = settings.value("lm_model")[0] == MAGNET_LM
    found = settings.read(MAGNET if at_once else LM)
    width, codebooks = found["transformer_lm.dim"], found["transformer_lm.n_q"]
    segment_s, codec = float(found["dataset.segment_duration"]), found[CODEC_NAME]
    conditioner, sound = _conditioners(settings)
    text = settings.read(TEXT, f"conditioners.{conditioner}.t5.")
    return LMSettings(
        decoder={
            "hidden_size": width,
            "num_hidden_layers": found["transformer_lm.num_layers"],
            "num_attention_heads": found["transformer_lm.num_heads"],
            "ffn_dim": int(found["transformer_lm.hidden_scale"] * width),
            "vocab_size": found["transformer_lm.card"],
            "num_codebooks": codebooks,
            "audio_channels": 2 if found["interleave_stereo_codebooks.use"] else 1,
        },
        delays=(0,) * codebooks if at_once else _delays(settings, found, codebooks),
        sample_rate=found["sample_rate"],
        segment_s=segment_s,
        text_encoder=text["name"],
        text_conditioner=conditioner,
        chroma=_chroma(settings, segment_s, found["sample_rate"])
        if sound == "chroma_stem"
        else None,
        style=_style(settings, found["sample_rate"]) if sound == "style" else None,
        magnet=_magnet(settings, found, sound) if at_once else None,
        codec=codec.removeprefix(PRETRAINED) if codec.startswith(PRETRAINED) else "",
        makes_sound=found["solver"] in (SOUND, MAGNET_SOUND),
    )


def _check_kind(settings: _Settings) -> None:
    """Raises Refused for models that need another way of composing than those that are here."""
    said = (settings.value(name)[0] for name in ("lm_model", "solver"))
    if any("jasco" in one for one in said if isinstance(one, str)):
        expected = "a MusicGen, an AudioGen or a MAGNeT"
        raise settings.refused("lm_model", "a JASCO model", expected, "choose another model")


def _magnet(settings: _Settings, found: dict[str, Any], sound: str) -> MagnetConfig:
    """Raises Refused if it hears a sound, too."""
    if sound:
        raise settings.refused("conditioners", sound, "a text alone", "choose another model")
    reach = found["transformer_lm.subcodes_context"]
    return MagnetConfig(span=found["masking.span_len"], reach=None if reach < 0 else reach)


def _delays(settings: _Settings, found: dict[str, Any], codebooks: int) -> tuple[int, ...]:
    """By how many steps each codebook lags; in old files only the name of the pattern says so."""
    old = found["codebooks_pattern.modeling"] is None
    if old and found["transformer_lm.q_modeling"] is None:
        raise settings.refused("codebooks_pattern.modeling", "nothing", "'delay'")
    delays = None if old else found["codebooks_pattern.delay.delays"]
    delays = list(range(codebooks)) if delays is None else delays
    if len(delays) != codebooks or sorted(delays) != delays or delays[0] != 0:
        expected = f"{codebooks} numbers that begin with 0 and never fall"
        raise settings.refused("codebooks_pattern.delay.delays", shown(delays), expected)
    return tuple(delays)


def _conditioners(settings: _Settings) -> tuple[str, str]:
    """The name of the text that the model listens to, and how it hears a sound; empty if it hears
    none.

    Raises Refused if it listens to something else, or in another way.
    """
    heard = {key: one for key, one in settings.table("conditioners").items() if key != "args"}
    kinds = {key: one.get("model") if isinstance(one, dict) else None
             for key, one in heard.items()}  # fmt: skip
    others = {key: kind for key, kind in kinds.items() if key != SOUND_HEARD}
    sound = kinds.get(SOUND_HEARD, "")
    if sound not in ("", *SOUNDS) or [*others.values()] != ["t5"]:
        expected = f"a text that a T5 reads, and at most a sound as {' or '.join(SOUNDS)}"
        raise settings.refused("conditioners", shown(kinds), expected, "choose another model")
    name = next(iter(others))
    ways = {way: settings.names(f"fuser.{way}") for way in WAYS}
    ways = {way: names for way, names in ways.items() if names}
    wanted = {"prepend": [SOUND_HEARD, name]} if sound else {"cross": [name]}
    if not name.isidentifier() or ways != wanted:
        raise settings.refused("fuser", shown(ways), shown(wanted), "choose another model")
    return name, sound


def _chroma(settings: _Settings, segment_s: float, sample_rate: int) -> ChromaConfig:
    """As many frames as the chroma of the longest piece in training has."""
    found = _sound(settings, "chroma_stem", CHROMA, sample_rate)
    window = 2 ** found["radix2_exp"]
    frames = 1 + math.floor(segment_s * sample_rate) // (window // 4)
    return ChromaConfig(bins=found["n_chroma"], frames=frames, window=window)


def _style(settings: _Settings, sample_rate: int) -> StyleSettings:
    found = _sound(settings, "style", STYLE, sample_rate)
    width, layers, heads = SCALES[found["transformer_scale"]]
    return StyleSettings(width, layers, heads, found["n_q_out"], found["bins"], found["ds_factor"])


def _sound(
    settings: _Settings, kind: str, rules: Mapping[str, Rule | Text], sample_rate: int
) -> dict[str, Any]:
    """How a sound is heard. Raises Refused if it is heard at another rate than the music has."""
    below = f"conditioners.{SOUND_HEARD}.{kind}."
    found = settings.read(rules, below)
    if found["sample_rate"] != sample_rate:
        got, expected = found["sample_rate"], f"sample_rate, {sample_rate}"
        raise settings.refused(f"{below}sample_rate", got, expected)
    return found


def read_codec_settings(path: Path, text: object) -> dict[str, Any]:
    """From the xp.cfg of a codec: by the names of a config.json, as
    `checkpoint_config.AUDIO_ENCODER` has them.

    Raises Refused as `read_lm_settings` does.
    """
    settings = _parsed(path, text)
    found = settings.read(CODEC)
    for half, allowed in (("encoder", set()), ("decoder", _DECODER_SETTINGS)):
        others = settings.table(f"seanet.{half}").keys() - allowed
        if others:
            expected = "the same settings for encoder and decoder"
            raise settings.refused(f"seanet.{half}", shown(sorted(others)), expected)
    codec = {
        "sampling_rate": found["encodec.sample_rate"],
        "upsampling_ratios": found["seanet.ratios"],
        "codebook_size": found["rvq.bins"],
        "codebook_dim": found["seanet.dimension"],
        "hidden_size": found["seanet.dimension"],
        "num_filters": found["seanet.n_filters"],
        "compress": found["seanet.compress"],
        "num_residual_layers": found["seanet.n_residual_layers"],
        "num_lstm_layers": found["seanet.lstm"],
        "kernel_size": found["seanet.kernel_size"],
        "last_kernel_size": found["seanet.last_kernel_size"],
        "residual_kernel_size": found["seanet.residual_kernel_size"],
        "dilation_growth_rate": found["seanet.dilation_base"],
        "trim_right_ratio": found["seanet.decoder.trim_right_ratio"],
        "pad_mode": found["seanet.pad_mode"],
        "use_causal_conv": found["seanet.causal"],
        "use_conv_shortcut": not found["seanet.true_skip"],
    }
    return codec | {"target_bandwidths": [known.bandwidth_of(codec, found["rvq.n_q"])]}


def _check_events(events: Iterable[Any]) -> None:
    """Raises YAMLError for what could grow or nest without end, before anything is built of it."""
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("a repetition by reference")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_LEVELS:
            raise yaml.YAMLError(f"more than {MAX_LEVELS} levels")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


def _parsed(path: Path, text: object) -> _Settings:
    """YAML as text, of plain values only, in which nothing is repeated by reference."""
    import yaml

    expected = f"settings as YAML, at most {MAX_CHARACTERS} characters"
    if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
        got = f"{len(text)} characters" if isinstance(text, str) else type(text).__name__
        raise Refused(f"{path}: xp.cfg", got=got, expected=expected, remedy=REMEDY)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
    try:
        _check_events(yaml.parse(text, loader))
        tree = yaml.load(text, loader)  # either is a safe one
    except (yaml.YAMLError, ValueError, TypeError) as error:
        got = f"what is not readable as YAML ({shown(_first_line(error))})"
        raise Refused(f"{path}: xp.cfg", got=got, expected=expected, remedy=REMEDY) from error
    if not isinstance(tree, dict):
        raise Refused(f"{path}: xp.cfg", got=shown(tree), expected=expected, remedy=REMEDY)
    return _Settings(f"{path}: xp.cfg", tree)
