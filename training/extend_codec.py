"""A codec at a higher sampling rate around the trained layers of a lower one.

EnCodec's channels halve with every stage towards the audio, so one more stage of half the filters
and a stride of 2 fits outside: every layer within keeps its shape and its weights, and a frame
stays as long as it was. Starting over at 32 kHz takes hours to find the waveform; extended, it is
back in minutes. Not run by itself; see train_codec.py.
"""

import json
from pathlib import Path

import torch
from codec import CodecSettings, TrainingCodec, fold_weight_norm
from common import folder_tensors
from torch import Tensor, nn
from transformers import EncodecConfig, EncodecModel

PREFIX = "audio_encoder."
OUTER_ENCODER = 4  # convolution, residual block, activation, strided convolution
OUTER_DECODER = 5  # activation, strided convolution, residual block, activation, convolution


def read_codec(folder: Path) -> TrainingCodec:
    """The codec of a MusicGen folder in Hugging Face's layout, in whatever files it lies."""
    config = EncodecConfig(**json.loads((folder / "config.json").read_text())["audio_encoder"])
    shell = EncodecModel(config)
    shell.load_state_dict(_codec_tensors(folder))
    fold_weight_norm(shell)
    settings = CodecSettings(
        sample_rate=config.sampling_rate,
        upsampling_ratios=tuple(config.upsampling_ratios),
        num_filters=config.num_filters,
        hidden_size=config.hidden_size,
        num_lstm_layers=config.num_lstm_layers,
        codebooks=config.num_quantizers,
        codebook_size=config.codebook_size,
    )
    codec = TrainingCodec(settings)
    codec.encoder.load_state_dict(shell.encoder.state_dict())
    codec.decoder.load_state_dict(shell.decoder.state_dict())
    layers = shell.quantizer.layers
    codec.quantizer.set_codebooks(torch.stack([layer.codebook.embed for layer in layers]))
    return codec


def _codec_tensors(folder: Path) -> dict[str, Tensor]:
    tensors = folder_tensors(folder).items()
    return {name.removeprefix(PREFIX): one for name, one in tensors if name.startswith(PREFIX)}


def extends(outer: CodecSettings, inner: CodecSettings) -> bool:
    """Whether `outer` is `inner` with one more stage next to the audio."""
    return (
        outer.upsampling_ratios[:-1] == inner.upsampling_ratios
        and 2 * outer.num_filters == inner.num_filters
        and outer.sample_rate == inner.sample_rate * outer.upsampling_ratios[-1]
        and outer.hidden_size == inner.hidden_size
    )


def extend(inner: TrainingCodec, settings: CodecSettings) -> TrainingCodec:
    """A codec of `settings` with `inner`'s weights in all layers but the two next to the audio.

    Its codebooks are to be learnt anew: what the encoder says moves. Raises ValueError when
    `settings` are not `inner`'s with one more stage.
    """
    if not extends(settings, inner.settings):
        raise ValueError(
            f"got {settings}, expected one more stage of half the filters around {inner.settings}"
        )
    codec = TrainingCodec(settings)
    _load(codec.encoder.layers[OUTER_ENCODER:], inner.encoder.layers[1:])
    _load(codec.decoder.layers[:-OUTER_DECODER], inner.decoder.layers[:-2])
    return codec


def _load(ours: nn.ModuleList, theirs: nn.ModuleList) -> None:
    for to, source in zip(ours, theirs, strict=True):
        to.load_state_dict(source.state_dict())


def outer_stage(codec: TrainingCodec) -> list[nn.Module]:
    """The layers that `extend` leaves random."""
    return [*codec.encoder.layers[:OUTER_ENCODER], *codec.decoder.layers[-OUTER_DECODER:]]
