"""audiocraft's layout: state_dict.bin and compression_state_dict.bin, and a T5 that lies elsewhere.

The tables here are the only place that knows its names. Attention's q, k and v are one matrix
there; ours are slices of it. Settings are in `audiocraft_config.py`, files in `torch_archive.py`,
where the other parts are in `parts.py`.

Source: audiocraft's loaders, builders and export (facebookresearch/audiocraft).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..codec_layers import LSTM, Layer, Residual, Upsample, decoder_layers, encoder_layers
from ..config import MUSIC, SOUND, CodecConfig, LMConfig, ModelConfig
from ..disk.json_file import AGAIN
from ..parameters import CODEC, LM, TEXT, Shapes, codec_shapes, lm_shapes, under
from ..quoting import shown
from ..refused import Refused
from . import parts
from .audiocraft_config import MELODY, LMSettings, read_codec_settings, read_lm_settings
from .checkpoint_config import (
    check_together,
    checks_of,
    codec_config,
    frame_rate,
    lm_config,
    read_part,
    text_config,
)
from .contract import checked, fingerprint, normed, pieces_of
from .folder_kinds import COMPRESSION, STATE_DICT, check_kind
from .hugging_face import open_codec, open_text_encoder
from .tokenizer import Tokenizer, load_tokenizer
from .torch_archive import TorchArchive

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("musicgraph")

REMEDY = "take the files that belong together, as their publisher gives them"

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
_OTHER_NAMES = (
    (".in_proj_weight", (".mha.in_proj_weight",)),
    (".out_proj.weight", (".mha.out_proj.weight",)),
    (".weight", (".weight_g", ".weight_v")),
    (".weight", tuple(f".parametrizations.weight.original{i}" for i in (0, 1))),
)
"""How a name may end → how what holds it ends in other files: one tensor, or two."""


@dataclass(frozen=True)
class Place:
    """Where a tensor of ours lies."""

    names: tuple[str, ...]
    """the tensor of the file that holds it, or its length and its direction"""
    third: int | None = None
    """of that tensor's rows; None: all of them"""


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
            heard = text if projection == "text_projection" else MELODY
            return Place((f"condition_provider.conditioners.{heard}.output_proj.{kind}",))
    raise KeyError(name)


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


class Files(Protocol):
    """The tensors of a part, by our names; see `contract.Weights`."""

    @property
    def size_bytes(self) -> int: ...

    def tensor(self, name: str) -> Tensor: ...


@dataclass(frozen=True)
class ArchiveFiles:
    """Those that lie in an archive of torch's."""

    archive: TorchArchive
    places: Mapping[str, Place]

    @property
    def size_bytes(self) -> int:
        return self.archive.size_bytes

    def tensor(self, name: str) -> Tensor:
        place = self.places[name]
        found = [self._read(source, place.third) for source in place.names]
        if len(found) == 1:
            return found[0]
        return checked(f"{self.archive.path}: {place.names[1]}", normed(*found))

    def _read(self, source: str, third: int | None) -> Tensor:
        tensor = self.archive.tensor(source)
        rows = tensor if third is None else tensor.chunk(3)[third]
        return checked(f"{self.archive.path}: {source}", rows)


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
        return sum(one.size_bytes for one in self.files.values())

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
    settings = read_lm_settings(archive.path, archive.content().get("xp.cfg"))
    codec_at, codec, codec_archive = _codec_settings(folder, folders, settings)
    text_at = parts.found(parts.T5, settings.text_encoder, folder, folders)
    text = read_part(text_at / "config.json", "text_encoder", "t5")
    config = _model_config(archive.path, settings, text, codec)
    files: dict[str, Files] = {
        LM: _files(archive, lm_places(config.lm, settings.text_conditioner),
                   under(LM, lm_shapes(config.lm))),
        TEXT: open_text_encoder(text_at, config.text),
        CODEC: open_codec(codec_at, config.codec) if codec_archive is None
        else _files(codec_archive, codec_places(config.codec),
                    under(CODEC, codec_shapes(config.codec))),
    }  # fmt: skip
    seen = "".join(map(fingerprint, dict.fromkeys((folder, codec_at, text_at))))
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
            text = archive.content().get("xp.cfg")
            return folder, read_codec_settings(archive.path, text), archive
        if not isinstance(name, str):
            expected = "the name of a codec"
            where = f"{archive.path}: pretrained"
            raise Refused(where, got=shown(name), expected=expected, remedy=AGAIN)
    at = parts.found(parts.CODEC, name or _named_codec(folder, settings), folder, folders)
    return at, read_part(at / "config.json", "audio_encoder", "encodec"), None


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
        cross_attention=settings.chroma is None,
        chroma=settings.chroma,
        own_delays=None if settings.delays == usual.delays else settings.delays,
        always_projects_text=usual.text_size == usual.hidden_size,
    )
    makes = SOUND if settings.makes_sound else MUSIC
    return ModelConfig(lm, text_config(text), codec_config(codec, lm.levels), makes)


def _files(archive: TorchArchive, places: Mapping[str, Place], shapes: Shapes) -> ArchiveFiles:
    """Raises Refused unless all of these are there, in these shapes and as floats."""
    tensors = _selected(archive)
    found = {ours: replace(place, names=_found(place.names[0], tensors))
             for ours, place in places.items()}  # fmt: skip
    for ours, place in found.items():
        shape = shapes[ours]
        whole = shape if place.third is None else (3 * shape[0], *shape[1:])
        pieces = pieces_of(whole, len(place.names))
        for name, expected in zip(place.names, pieces, strict=True):
            _check_stored(archive.path, name, tensors.get(name), expected)
    return ArchiveFiles(archive, found)


def _selected(archive: TorchArchive) -> Mapping[str, Tensor]:
    """Where the tensors lie: exported ones directly, those of a solver one level deeper, some
    fine-tunes' under another name.
    """
    content = archive.content()
    top = "best_state" if "best_state" in content else "model"
    state = content.get(top)
    deeper = isinstance(state, dict) and isinstance(state.get("model"), dict)
    return archive.select(*((top, "model") if deeper else (top,)))


def _found(name: str, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The tensors of the file that hold `name`: under this name or under others."""
    if name not in tensors:
        for ending, others in _OTHER_NAMES:
            candidates = tuple(name.removesuffix(ending) + other for other in others)
            if name.endswith(ending) and all(one in tensors for one in candidates):
                return candidates
    return (name,)


def _check_stored(path: Path, name: str, tensor: Tensor | None, shape: tuple[int, ...]) -> None:
    import torch

    floats = (torch.float32, torch.float16, torch.bfloat16)
    if tensor is None:
        raise Refused(
            str(path),
            got=f"no {name}",
            expected="all tensors of the model that its xp.cfg describes",
            remedy=REMEDY,
        )
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if tuple(tensor.shape) != shape or tensor.dtype not in floats or not plain:
        raise Refused(
            f"{path}: {name} does not fit xp.cfg",
            got=f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}",
            expected=f"float32, float16 or bfloat16 {list(shape)}",
            remedy=REMEDY,
        )
