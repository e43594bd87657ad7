"""audiocraft's layout: state_dict.bin and compression_state_dict.bin, and a T5 that lies elsewhere.

The tables here are the only place that knows its names. Attention's q, k and v are one matrix
there; ours are slices of it. Settings are in `audiocraft_config.py`, files in `torch_archive.py`
and `archive_files.py`, where the other parts are in `parts.py`.

Source: audiocraft's loaders, builders and export (facebookresearch/audiocraft).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..codec_layers import LSTM, Layer, Residual, Upsample, decoder_layers, encoder_layers
from ..config import MUSIC, SOUND, CodecConfig, LMConfig, ModelConfig, StyleConfig
from ..disk.json_file import AGAIN
from ..parameters import (
    CODEC,
    LM,
    MERT,
    STYLE,
    TEXT,
    Shapes,
    codec_shapes,
    lm_shapes,
    style_shapes,
    under,
)
from ..quoting import shown
from ..refused import Refused
from . import archive_files, mert, parts
from .archive_files import REMEDY, ArchiveFiles, Files, Place
from .audiocraft_config import SOUND_HEARD, LMSettings, read_codec_settings, read_lm_settings
from .checkpoint_config import (
    AUDIO_ENCODER,
    TEXT_ENCODER,
    check_together,
    checks_of,
    codec_config,
    frame_rate,
    lm_config,
    read_part,
    text_config,
)
from .contract import fingerprint
from .folder_kinds import COMPRESSION, STATE_DICT, check_kind
from .hugging_face import open_codec, open_text_encoder
from .tokenizer import Tokenizer, load_tokenizer
from .torch_archive import TorchArchive

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("musicgraph")

SETTINGS = "xp.cfg"

# ---------------------------------------------------------------- names

_LM_LAYER = {
    "norm": "norm1",
    "out": "self_attn.out_proj",
    "text_norm": "norm_cross",
    "text_out": "cross_attention.out_proj",
    "ffn_norm": "norm2",
    "fc1": "linear1",
    "fc2": "linear2",
}
_THIRDS = {
    **{one: ("self_attn", third) for third, one in enumerate(("q", "k", "v"))},
    **{one: ("cross_attention", third) for third, one in enumerate(("text_q", "text_k", "text_v"))},
}
"""Our part → whose matrix it lies in, and which third of it it is."""
_RESIDUAL = {"first": "block.1", "second": "block.3", "shortcut": "shortcut"}


def lm_places(config: LMConfig, text: str) -> dict[str, Place]:
    """Every name of our LM → where audiocraft has it; `text` is what it calls the text."""
    return {f"{LM}.{name}": _lm_place(name, text) for name in lm_shapes(config)}


def _lm_place(name: str, text: str) -> Place:
    match name.split("."):
        case ["embedding", k, kind]:
            return Place((f"emb.{k}.{kind}",))
        case ["heads", k, kind]:
            return Place((f"linears.{k}.{kind}",))
        case ["layers", i, part, _] if part in _THIRDS:
            attention, third = _THIRDS[part]
            return Place((f"transformer.layers.{i}.{attention}.in_proj_weight",), third)
        case ["layers", i, part, kind]:
            return Place((f"transformer.layers.{i}.{_LM_LAYER[part]}.{kind}",))
        case ["norm", kind]:
            return Place((f"out_norm.{kind}",))
        case [projection, kind]:
            heard = text if projection == "text_projection" else SOUND_HEARD
            return Place((f"condition_provider.conditioners.{heard}.output_proj.{kind}",))
    raise KeyError(name)


def style_places(config: StyleConfig) -> dict[str, Place]:
    """Every name of what stands behind MERT → where audiocraft has it."""
    return {f"{STYLE}.{name}": _style_place(name) for name in style_shapes(config)}


def _style_place(name: str) -> Place:
    before = f"condition_provider.conditioners.{SOUND_HEARD}."
    match name.split("."):
        case ["features", kind]:
            return Place((f"{before}embed.{kind}",))
        case ["codebooks", k]:
            return Place((f"{before}rvq.vq.layers.{k}._codebook.embed",))
        case ["mean"]:
            return Place((f"{before}batch_norm.running_mean",))
        case ["variance"]:
            return Place((f"{before}batch_norm.running_var",))
    layer = _lm_place(name, "")
    return Place((before + layer.names[0],), layer.third)


def codec_places(config: CodecConfig) -> dict[str, Place]:
    """Every name of our codec → where audiocraft has it."""
    halves = {"encoder": encoder_layers(config), "decoder": decoder_layers(config)}
    places = {}
    for name in codec_shapes(config):
        half, index, *rest = name.split(".")
        if half == "codebooks":
            theirs = f"quantizer.vq.layers.{index}._codebook.embed"
        else:
            theirs = f"{half}.model.{index}.{_layer_name(halves[half][int(index)], rest)}"
        places[f"{CODEC}.{name}"] = Place((theirs,))
    return places


def _layer_name(layer: Layer, rest: list[str]) -> str:
    """Convolutions lie in two wrappers: one pads, one normalises."""
    match layer:
        case Residual():
            return f"{_RESIDUAL[rest[0]]}.conv.conv.{rest[1]}"
        case LSTM():
            return f"lstm.{rest[0]}"
        case Upsample():
            return f"convtr.convtr.{rest[0]}"
    return f"conv.conv.{rest[0]}"


# ---------------------------------------------------------------- files


@dataclass(frozen=True)
class AudiocraftWeights:
    """An opened folder; see `contract.Weights`."""

    folder: Path
    config: ModelConfig
    fingerprint: str
    files: Mapping[str, Files]
    """of each part"""
    tokenizer_folder: Path

    @property
    def size_bytes(self) -> int:
        return sum({id(one): one.size_bytes for one in self.files.values()}.values())

    def tensor(self, name: str) -> Tensor:
        return self.files[name.partition(".")[0]].tensor(name)

    def tokenizer(self) -> Tokenizer:
        return load_tokenizer(self.tokenizer_folder)


def open_audiocraft(folder: Path, folders: Sequence[Path] = ()) -> AudiocraftWeights:
    """Reads the settings and what tensors there are, and checks one against the other; `folders`
    are those of the models, where other parts may lie.

    Raises Refused: a file that is missing, cut short or more than tensors; settings that are out of
    bounds or of a model that is not known here; tensors of other shapes than the settings say.
    Raises PartMissing if the text encoder or the codec is nowhere on this machine.
    """
    check_kind(folder)
    archive = TorchArchive(folder / STATE_DICT)
    settings = read_lm_settings(archive.path, archive.content().get(SETTINGS))
    codec_at, codec, codec_archive = _codec_settings(folder, folders, settings)
    text_at = parts.found(parts.T5, settings.text_encoder, folder, folders)
    text = read_part(text_at / "config.json", TEXT_ENCODER, "t5")
    config = _model_config(archive.path, settings, text, codec)
    files: dict[str, Files] = {
        LM: _files(archive, lm_places(config.lm, settings.text_conditioner),
                   under(LM, lm_shapes(config.lm))),
        TEXT: open_text_encoder(text_at, config.text),
        CODEC: open_codec(codec_at, config.codec) if codec_archive is None
        else _files(codec_archive, codec_places(config.codec),
                    under(CODEC, codec_shapes(config.codec))),
    }  # fmt: skip
    lying = [folder, codec_at, text_at]
    if settings.style is not None:
        mert_at = parts.found(parts.MERT, parts.MERT_95M, folder, folders)
        style = settings.style.with_mert(mert.read_mert_config(mert_at / "config.json"))
        config = replace(config, style=style)
        styles = _files(archive, style_places(style), under(STYLE, style_shapes(style)))
        files |= {STYLE: styles, MERT: mert.open_mert(mert_at, style.mert)}
        lying.append(mert_at)
    seen = "".join(map(fingerprint, dict.fromkeys(lying)))
    return AudiocraftWeights(folder, config, _digest(seen), files, text_at)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _codec_settings(
    folder: Path, folders: Sequence[Path], settings: LMSettings
) -> tuple[Path, dict[str, Any], TorchArchive | None]:
    """Where the codec lies, its settings, and its archive if it is one."""
    name = ""
    if (folder / COMPRESSION).is_file():
        archive = TorchArchive(folder / COMPRESSION)
        name = archive.content().get("pretrained")
        if name is None:
            text = archive.content().get(SETTINGS)
            return folder, read_codec_settings(archive.path, text), archive
        if not isinstance(name, str):
            expected = "the name of a codec"
            where = f"{archive.path}: pretrained"
            raise Refused(where, got=shown(name), expected=expected, remedy=AGAIN)
    at = parts.found(parts.CODEC, name or _named_codec(folder, settings), folder, folders)
    return at, read_part(at / "config.json", AUDIO_ENCODER, "encodec"), None


def _named_codec(folder: Path, settings: LMSettings) -> str:
    """For folders without a codec, as some fine-tunes are. Raises Refused if nothing names one."""
    if settings.codec:
        return settings.codec
    if settings.makes_sound:
        raise Refused(
            str(folder),
            got=f"no {COMPRESSION}",
            expected="the codec of this model",
            remedy="take it from the model that this one was made of",
        )
    log.info("%s has no %s: taking %s, as all of MusicGen's have", folder, COMPRESSION,
             parts.ENCODEC_32KHZ)  # fmt: skip
    return parts.ENCODEC_32KHZ


def _model_config(
    path: Path, settings: LMSettings, text: dict[str, Any], codec: dict[str, Any]
) -> ModelConfig:
    """Raises Refused if the three do not fit each other."""
    window = int(settings.segment_s * frame_rate(codec))
    positions = window + max(settings.delays)
    decoder = settings.decoder | {"max_position_embeddings": positions}
    rate = codec["sampling_rate"]
    own_rate = (
        "sample_rate",
        settings.sample_rate == rate,
        settings.sample_rate,
        f"{rate}, the codec's",
    )
    check_together(path, [*checks_of(decoder, text, codec), own_rate], REMEDY)
    usual = lm_config(decoder, text, codec)
    lm = replace(
        usual,
        window_frames=window,
        cross_attention=settings.chroma is settings.style is None,
        chroma=settings.chroma,
        style_size=settings.style and settings.style.hidden_size,
        own_delays=None if settings.delays == usual.delays else settings.delays,
        always_projects_text=usual.text_size == usual.hidden_size,
        magnet=settings.magnet,
    )
    makes = SOUND if settings.makes_sound else MUSIC
    return ModelConfig(lm, text_config(text), codec_config(codec, lm.levels), makes)


def _files(archive: TorchArchive, places: Mapping[str, Place], shapes: Shapes) -> ArchiveFiles:
    return archive_files.files_in(archive, _selected(archive), places, shapes, SETTINGS)


def _selected(archive: TorchArchive) -> Mapping[str, Tensor]:
    """Where the tensors lie: exported ones directly, those of a solver one level deeper, some
    fine-tunes' under another name.
    """
    content = archive.content()
    top = "best_state" if "best_state" in content else "model"
    state = content.get(top)
    deeper = isinstance(state, dict) and isinstance(state.get("model"), dict)
    return archive.select(*((top, "model") if deeper else (top,)))
