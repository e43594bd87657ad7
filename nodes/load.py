"""The model loader: one checkpoint, three parts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.config import SOUND
from ..models.engines import choose
from ..models.refused import Refused
from ..models.weights import checkpoint, parts, places
from . import host, wires

if TYPE_CHECKING:
    import torch

    from ..models.encodec import Codec
    from ..models.style import StyleEncoder
    from ..models.text import TextEncoder
    from ..models.weights.contract import Weights

log = logging.getLogger("musicgraph")


DEVICES = ("auto", "cpu", "cuda", "mps")
MOST_PARTS = 3  # a text encoder, a codec and what hears a style


class MusicGenModelLoader:
    DESCRIPTION = (
        "Opens a MusicGen checkpoint and gives its three parts: the model that composes, the text "
        "encoder that reads "
        "prompts, and the EnCodec codec that turns tokens into sound. 'pocket' comes with "
        "MusicGraph and needs no "
        "download; it is a sketchpad. The facebook/ models are downloaded on first use; their "
        "weights are CC-BY-NC 4.0 "
        "(no commercial use)."
    )
    TITLE = "Load MusicGen"
    CATEGORY = "audio/musicgen"
    SEARCH_ALIASES = ["musicgen", "music", "audiocraft", "text to music"]
    RETURN_TYPES = (wires.MODEL, wires.TEXT_ENCODER, wires.CODEC)
    RETURN_NAMES = ("model", "text_encoder", "codec")
    OUTPUT_TOOLTIPS = (
        "The language model over audio tokens; goes to MusicGen Sampler.",
        "The T5 text encoder; goes to MusicGen Text Encode.",
        "The EnCodec codec; goes to EnCodec Decode and EnCodec Encode.",
    )
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        # a folder or another hub id only if the user named it: a stranger's graph cannot point
        # anywhere it likes
        known = places.known_models(host.model_folders())
        here = [model.name for model in known if model.on_disk]
        names = here + [model.name for model in known if not model.on_disk]
        names += [name for name in host.current_run().named_models if name not in names]
        return {
            "required": {
                "model": (
                    names,
                    {
                        "default": places.POCKET,
                        "tooltip": f"On this machine: {', '.join(here)}. Another facebook/ model "
                        "is downloaded on first use (small 2.4 GB, medium 8 GB, large 13.7 GB); a "
                        "folder in models/musicgen (Hugging Face's layout, or audiocraft's "
                        "state_dict.bin) is listed too. musicgen makes music, audiogen sound "
                        "effects at 16 kHz.",
                    },
                ),
                "precision": (
                    list(choose.PRECISIONS),
                    {
                        "default": "auto",
                        "advanced": True,
                        "tooltip": "Of the composing model. auto: fp16 on a GPU; on a CPU int8, "
                        "the fastest by far "
                        "and close to fp32 by measurement, where the fast CPU engine (Numba) is "
                        "installed, else fp32. "
                        "The text encoder and the codec run in fp32; only the weights of the "
                        "codec's LSTM are 8 bits where the model's are.",
                    },
                ),
                "device": (
                    list(DEVICES),
                    {
                        "default": "auto",
                        "advanced": True,
                        "tooltip": "auto: the GPU if there is one. cpu works everywhere.",
                    },
                ),
            }
        }

    @classmethod
    def IS_CHANGED(
        cls, model: str | None, precision: str | None = None, device: str | None = None
    ) -> str:
        """Weights that were replaced on disk are loaded anew, also those of parts that lie
        elsewhere.

        What is not here yet has no files to compare, so what was just downloaded is loaded twice
        where a graph runs a second time.
        """
        if model is None:  # linked
            return ""
        folders = host.model_folders()
        try:
            folder = places.locate(host.model_source(model), folders)
            return checkpoint.fingerprint_of(folder, folders)
        except Refused:
            return ""

    @classmethod
    def VALIDATE_INPUTS(cls, model=None, precision=None, device=None) -> bool | str:
        """What can be known before running, in words that ComfyUI's page shows.

        An input named here loses the host's own check against its choices. None stands for one that
        is linked; `load` then says what is wrong.
        """
        try:
            _check_choices(model, precision, device)
            _check_machine(model, precision, device)
        except Refused as refusal:
            return str(refusal)
        return True

    def load(
        self, model: str, precision: str, device: str
    ) -> tuple[wires.Model, wires.TextEncoderPart, wires.CodecPart]:
        from .resident_engine import WaitingEngine

        if not host.called_by_hand():  # a linked value was not there to be validated
            _check_choices(model, precision, device)
        opened = open_model(model)
        where = _device(device)
        choice = _choice(precision, where, opened)
        text, codec, style = host.stoppable(lambda _: _other_parts(opened, choice))
        host.show(f"{model}: {_made_by(opened)}{choice}")
        config, source = opened.config.lm, WaitingEngine(opened, choice, where, model)
        heard = style and host.Resident(style, where)
        resident = host.Resident(codec, _codec_device(where))
        part = wires.CodecPart(resident, config.num_codebooks, config.channels)
        return (
            wires.Model(source, config, model, choice, where, opened, heard, part),
            wires.TextEncoderPart(host.Resident(text, where), opened),
            part,
        )


def open_model(model: str) -> Weights:
    """The checkpoint; parts that it only names are downloaded now if need be."""
    folder, folders = _folder(model), host.model_folders()
    for _ in range(MOST_PARTS):
        try:
            return checkpoint.open_checkpoint(folder, folders)
        except parts.PartMissing as missing:
            if not (missing.hub_id and host.may_download_parts(model)):
                raise
            parts.fetch(missing, folders, _with_bytes(missing.hub_id))
    return checkpoint.open_checkpoint(folder, folders)


def _made_by(opened: Weights) -> str:
    """What has to be said of a model that makes no music."""
    if opened.config.makes != SOUND:
        return ""
    return f"sound effects model (AudioGen), {opened.config.lm.sample_rate / 1000:g} kHz; "


def _folder(model: str) -> Path:
    """Where the model lies; downloaded now if need be, with its bytes on the node."""
    folders, source = host.model_folders(), host.model_source(model)
    if not host.may_download(model) or places.on_disk(source, folders) is not None:
        return places.locate(source, folders)
    return places.fetch(source, folders, _with_bytes(model))


def _with_bytes(model: str) -> host.OnProgress:
    bar, shown = host.Progress(), ""

    def on_progress(done: int, total: int) -> None:
        nonlocal shown
        text = f"downloading {model}: {done / 1e9:.2f} of {total / 1e9:.2f} GB"
        if text != shown and total > 1:
            shown = text
            host.show(text)
        bar.update(done, total)

    return on_progress


def _other_parts(
    opened: Weights, choice: choose.EngineChoice
) -> tuple[TextEncoder, Codec, StyleEncoder | None]:
    codec = checkpoint.load_codec(opened)
    if choice.engine == choose.NUMBA:
        from ..models.engines.codec_conv import compile_decoder

        compile_decoder(codec, choice.precision)
    return (checkpoint.load_text_encoder(opened), codec, checkpoint.load_style_encoder(opened))


def _check_choices(model: object, precision: object, device: object) -> None:
    """Raises Refused for what is no choice of INPUT_TYPES.

    Its list of models is made only to be shown.
    """
    if model is not None and not _is_choice(model):
        _refuse("model", model, MusicGenModelLoader.INPUT_TYPES()["required"]["model"][0])
    if precision is not None and precision not in choose.PRECISIONS:
        _refuse("precision", precision, choose.PRECISIONS)
    if device is not None and device not in DEVICES:
        _refuse("device", device, DEVICES)


def _is_choice(model: object) -> bool:
    if not isinstance(model, str):
        return False
    named = host.current_run().named_models
    return model in named or places.is_known(model, host.model_folders())


def _refuse(name: str, value: object, choices: Sequence[str]) -> None:
    raise Refused(
        name,
        got=repr(value)[:80],
        expected=f"one of {', '.join(choices)}",
        remedy=_CURES[name],
    )


_CURES = {
    "model": "choose one of them, or put its folder into models/musicgen",
    "precision": "choose one of them",
    "device": "choose one of them",
}


def _check_machine(model: str | None, precision: str | None, device: str | None) -> None:
    """Raises Refused if the model, or the device, or the precision there, is not to be had."""
    opened = None
    if model is not None:
        folders, source = host.model_folders(), host.model_source(model)
        folder = places.on_disk(source, folders)
        if folder is not None:
            opened = _opened_before_run(model, folder, folders)
        elif host.may_download(model):
            places.check_online(source, folders)
        else:
            places.locate(source, folders)
    _check_engine(precision or "auto", device or "auto", opened)


def _opened_before_run(model: str, folder: Path, folders: Sequence[Path]) -> Weights | None:
    """None if a part of it will be downloaded first. Raises Refused."""
    try:
        return checkpoint.open_checkpoint(folder, folders)
    except parts.PartMissing as missing:
        if not (missing.hub_id and host.may_download_parts(model)):
            raise
        places.check_online(missing.hub_id, folders)
        return None


def _check_engine(precision: str, device: str, opened: Weights | None) -> None:
    """Raises Refused.

    Looks at the machine, which needs torch, only where the answer depends on it.
    """
    config = opened.config.lm if opened else None
    if device == "cpu":
        choose.choose(precision, device, config, supports_fp16=False)
    elif device != "auto" or precision == choose.INT8 or choose.named() != choose.AUTO:
        _choice(precision, _device(device), opened)


def _choice(precision: str, device: torch.device, opened: Weights | None) -> choose.EngineChoice:
    import torch

    config = opened.config.lm if opened else None
    return choose.choose(precision, device.type, config, host.supports(torch.float16, device))


def _device(choice: str) -> torch.device:
    import torch

    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if choice == "auto":
        return host.default_device()
    if not available.get(choice):
        there = ", ".join(name for name, yes in available.items() if yes)
        raise Refused(
            "device",
            got=f"{choice!r}, which this machine does not offer",
            expected=f"auto or one of {there}",
            remedy="choose auto",
        )
    return torch.device(choice)


def _codec_device(device: torch.device) -> torch.device:
    """Where the codec works: Apple's GPU computes its transposed convolutions wrongly
    (audiocraft#612).
    """
    import torch

    return torch.device("cpu") if device.type == "mps" else device


NODES = (MusicGenModelLoader,)
