"""The codec: transformers' EncodecModel in a small shape, its residual quantiser in training form,
its file, and its export.

Weight norm is folded away while training (it costs time and gains nothing here) and made again at
export, so that the exported model is exactly what transformers builds from the config. Not run by
itself; see train_codec.py.
"""

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from common import fast_precision
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import EncodecConfig, EncodecModel

CODEC_FILE = "codec.safetensors"


@dataclass(frozen=True)
class CodecSettings:
    """`upsampling_ratios` as EncodecConfig writes them: the decoder's, the last next to the audio.

    The first four are those of a codec at 16 kHz with 16 filters: channels halve with each stage,
    so a fifth of 8 lies around them, and all that lies within can keep its weights
    (extend_codec.py).
    """

    sample_rate: int = 32_000
    upsampling_ratios: tuple[int, ...] = (2, 4, 5, 8, 2)
    num_filters: int = 8
    hidden_size: int = 96
    num_lstm_layers: int = 1
    codebooks: int = 4
    codebook_size: int = 1024

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.upsampling_ratios)


def codec_config(settings: CodecSettings) -> EncodecConfig:
    bits = (settings.codebook_size - 1).bit_length()
    frame_rate = settings.sample_rate // settings.hop
    return EncodecConfig(
        sampling_rate=settings.sample_rate,
        audio_channels=1,
        normalize=False,
        hidden_size=settings.hidden_size,
        codebook_dim=settings.hidden_size,
        num_filters=settings.num_filters,
        upsampling_ratios=list(settings.upsampling_ratios),
        num_lstm_layers=settings.num_lstm_layers,
        codebook_size=settings.codebook_size,
        target_bandwidths=[frame_rate * bits * settings.codebooks / 1000],
        norm_type="weight_norm",
        use_causal_conv=False,
        pad_mode="reflect",
        use_conv_shortcut=False,
    )


def fold_weight_norm(model: nn.Module) -> None:
    for module in model.modules():
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight")


def nearest(x: Tensor, codebook: Tensor) -> Tensor:
    """Index of the nearest code: x [N, D], codebook [V, D] -> [N]."""
    return (x @ codebook.t() - codebook.pow(2).sum(1) / 2).argmax(1)


def kmeans(x: Tensor, clusters: int, iterations: int = 12) -> Tensor:
    """x [N, D] -> centres [V, D]; an empty cluster is given a random vector again."""
    centres = x[torch.randperm(len(x))[:clusters]].clone()
    for _ in range(iterations):
        index = nearest(x, centres)
        count = torch.zeros(clusters, device=x.device).index_add_(
            0, index, torch.ones(len(x), device=x.device)
        )
        total = torch.zeros_like(centres).index_add_(0, index, x)
        empty = count == 0
        centres = total / count.clamp(min=1)[:, None]
        centres[empty] = x[torch.randint(len(x), (int(empty.sum()),), device=x.device)]
    return centres


class ResidualQuantizer(nn.Module):
    """Codebooks [K, V, D] learnt by exponential moving averages; no gradient reaches them."""

    DECAY = 0.99
    DEAD_SHARE = 0.03  # of the use that an equal share would give; below it a code is placed anew

    def __init__(self, settings: CodecSettings) -> None:
        super().__init__()
        shape = (settings.codebooks, settings.codebook_size, settings.hidden_size)
        self.register_buffer("codebooks", torch.zeros(shape))
        self.register_buffer("counts", torch.ones(shape[:2]))
        self.register_buffer("sums", torch.zeros(shape))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def initialise(self, latents: Tensor) -> None:
        """latents [N, D] of the encoder: k-means level by level on what the levels before left."""
        residual, learnt = latents, []
        for _ in range(len(self.codebooks)):
            learnt.append(kmeans(residual, self.codebooks.shape[1]))
            residual = residual - learnt[-1][nearest(residual, learnt[-1])]
        self.set_codebooks(torch.stack(learnt))

    @torch.no_grad()
    def set_codebooks(self, codebooks: Tensor) -> None:
        """Learnt ones [K, V, D], each code as if used once."""
        self.codebooks.copy_(codebooks)
        self.sums.copy_(codebooks)
        self.counts.fill_(1.0)
        self.ready.fill_(True)

    def forward(self, latents: Tensor, learn: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """latents [B, D, T] -> quantised [B, D, T] (gradients pass straight), codes [B, K, T],
        commitment loss.
        """
        batch, _, frames = latents.shape
        flat = latents.transpose(1, 2).reshape(batch * frames, -1)
        residual, total, commitment, codes = flat, torch.zeros_like(flat), 0.0, []
        scale = flat.detach().var() + 1e-6
        for level in range(len(self.codebooks)):
            index = nearest(residual.detach(), self.codebooks[level])
            chosen = self.codebooks[level][index]
            commitment = commitment + (residual - chosen).pow(2).mean() / scale
            if learn:
                self._learn(level, residual.detach(), index)
            total, residual = total + chosen, residual - chosen
            codes.append(index.view(batch, frames))
        quantised = flat + (total - flat).detach()
        return quantised.view(batch, frames, -1).transpose(1, 2), torch.stack(codes, 1), commitment

    @torch.no_grad()
    def _learn(self, level: int, residual: Tensor, index: Tensor) -> None:
        counts, sums = torch.zeros_like(self.counts[level]), torch.zeros_like(self.sums[level])
        counts.index_add_(0, index, torch.ones_like(residual[:, 0]))
        sums.index_add_(0, index, residual)
        self.counts[level].lerp_(counts, 1 - self.DECAY)
        self.sums[level].lerp_(sums, 1 - self.DECAY)
        fair = len(residual) / len(counts)
        dead = (self.counts[level] < self.DEAD_SHARE * fair).nonzero()[:, 0]
        dead = dead[
            torch.randperm(len(dead), device=dead.device)[:8]
        ]  # a few a step, so that the rest can settle
        fresh = residual[torch.randint(len(residual), (len(dead),), device=dead.device)]
        self.counts[level, dead], self.sums[level, dead] = fair, fresh * fair
        self.codebooks[level] = self.sums[level] / self.counts[level].clamp(min=1e-6)[:, None]


class TrainingCodec(nn.Module):
    """Encoder and decoder of an EncodecModel without weight norm, around a ResidualQuantizer."""

    def __init__(self, settings: CodecSettings) -> None:
        super().__init__()
        self.settings = settings
        shell = EncodecModel(codec_config(settings))
        self.encoder, self.decoder = shell.encoder, shell.decoder
        fold_weight_norm(self)
        self.quantizer = ResidualQuantizer(settings)

    def forward(self, audio: Tensor, learn: bool = False, half: bool = False):
        """audio [B, 1, T] -> reconstruction [B, 1, T], codes [B, K, frames] (None before k-means),
        commitment loss.

        `half` runs the convolutions in bfloat16; the quantiser always works in float32.
        """
        fast = fast_precision(audio.device.type, half)
        codes, commitment = None, audio.new_zeros(())
        with fast:
            latents = self.encoder(audio)
        latents = latents.float()
        if self.quantizer.ready:
            latents, codes, commitment = self.quantizer(latents, learn)
        with fast:
            made = self.decoder(latents)
        return made.float(), codes, commitment

    @torch.no_grad()
    def encode(self, audio: Tensor) -> Tensor:
        return self.quantizer(self.encoder(audio))[1]


def to_transformers(codec: TrainingCodec) -> EncodecModel:
    """The same codec for transformers: weight norm made again, codebooks in its quantiser."""
    model = EncodecModel(codec_config(codec.settings)).eval()
    targets = dict(model.named_modules())
    for name, source in codec.named_modules():
        if name.startswith("quantizer") or name not in targets:
            continue
        for key, value in source.named_parameters(recurse=False):
            with torch.no_grad():
                if parametrize.is_parametrized(targets[name], key):
                    setattr(
                        targets[name], key, value.detach()
                    )  # the parametrisation splits it into length and direction
                else:
                    getattr(targets[name], key).copy_(value)
    for level, layer in enumerate(model.quantizer.layers):
        layer.codebook.embed.copy_(codec.quantizer.codebooks[level])
        layer.codebook.embed_avg.copy_(codec.quantizer.codebooks[level])
        layer.codebook.cluster_size.fill_(1.0)
        layer.codebook.inited.fill_(True)
    return model


def save_codec(codec: TrainingCodec, path: Path, facts: dict[str, str]) -> None:
    """Weights and codebooks in half precision, with the settings and `facts` as the file's
    metadata.

    What only training needs (the codebooks' running sums) is left out. An interruption leaves the
    old file or the new one.
    """
    tensors = {
        name: value.detach().half().cpu().contiguous()
        for name, value in codec.state_dict().items()
        if name not in ("quantizer.counts", "quantizer.sums", "quantizer.ready")
    }
    beside = path.with_suffix(".tmp")
    save_file(tensors, beside, {"settings": json.dumps(asdict(codec.settings)), **facts})
    beside.chmod(0o644)  # safetensors lets nobody else read
    os.replace(beside, path)


def load_codec(path: Path, device: str = "cpu") -> TrainingCodec:
    """What `save_codec` wrote, for encoding and for training on. Needs learnt codebooks."""
    with safe_open(path, "pt") as file:
        settings = json.loads(file.metadata()["settings"])
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    settings["upsampling_ratios"] = tuple(settings["upsampling_ratios"])
    codec = TrainingCodec(CodecSettings(**settings))
    codebooks = tensors.pop("quantizer.codebooks")
    codec.quantizer.set_codebooks(codebooks)
    missing = codec.load_state_dict(tensors, strict=False)
    if missing.unexpected_keys or any(not n.startswith("quantizer.") for n in missing.missing_keys):
        raise ValueError(f"got {path} with {missing}, expected the weights of {settings}")
    return codec.to(device).eval()


def codec_facts(path: Path) -> dict[str, str]:
    """Metadata beside the settings: `frozen` (encoder and codebooks are final) and minutes."""
    with safe_open(path, "pt") as file:
        return {name: value for name, value in file.metadata().items() if name != "settings"}
