"""A style model in audiocraft's layout, and the MERT that it hears through: small and random."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from audiocraft_layout import (
    codec_settings,
    codec_state,
    exported,
    lm_settings,
    lm_state,
    write_text_encoder,
)
from transformers import HubertConfig, HubertModel

from musicgraph.models.conditioning import Style
from musicgraph.models.weights import checkpoint

WIDTH, LAYERS, LEVELS, BINS = 256, 4, 6, 16  # audiocraft's "xsmall"
STYLE = "condition_provider.conditioners.self_wav."
MERT_SIZE = 32


def mert_config(size: int = MERT_SIZE) -> dict:
    """config.json, with the names and the additions that MERT's own has."""
    return {
        "model_type": "mert_model", "architectures": ["MERTModel"], "sample_rate": 24000,
        "hidden_size": size, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, "conv_dim": [16] * 7, "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
        "conv_stride": [5, 2, 2, 2, 2, 2, 2], "conv_bias": False,
        "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
        "layer_norm_eps": 1e-5, "feat_extract_norm": "group", "feat_proj_layer_norm": True,
        "do_stable_layer_norm": False, "hidden_act": "gelu", "feat_extract_activation": "gelu",
        "feature_extractor_cqt": False, "feature_extractor_cqt_bins": 336, "deepnorm": False,
        "attention_relax": -1.0, "mask_time_prob": 0.05, "layerdrop": 0.1,
        "auto_map": {"AutoModel": "modeling_MERT.MERTModel"},
    }  # fmt: skip


def random_mert(size: int = MERT_SIZE) -> HubertModel:
    """As transformers builds it of that file, what only training uses included."""
    torch.manual_seed(1)
    return HubertModel(HubertConfig.from_dict(mert_config(size))).eval()


def write_mert(folder: Path, model: HubertModel, **changes) -> Path:
    """As it is published: a pickle of its own names, the older ones for what weight norm made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(
        json.dumps(mert_config(model.config.hidden_size) | changes), encoding="utf-8"
    )
    older = {"parametrizations.weight.original0": "weight_g",
             "parametrizations.weight.original1": "weight_v"}  # fmt: skip
    state = {}
    for name, tensor in model.state_dict().items():
        for new, old in older.items():
            name = name.replace(new, old)
        state[name] = tensor.clone()
    torch.save(state, folder / "pytorch_model.bin")
    return folder


def style_state(
    lm_width: int, mert_size: int = MERT_SIZE, seed: int = 2
) -> dict[str, torch.Tensor]:
    """Of audiocraft's StyleConditioner, by its names."""
    generator, d = torch.Generator().manual_seed(seed), WIDTH
    shapes = {"embed.weight": (d, mert_size), "embed.bias": (d,)}
    for i in range(LAYERS):
        layer = f"transformer.layers.{i}."
        shapes |= {
            f"{layer}self_attn.in_proj_weight": (3 * d, d),
            f"{layer}self_attn.out_proj.weight": (d, d),
            f"{layer}linear1.weight": (4 * d, d),
            f"{layer}linear2.weight": (d, 4 * d),
        }
        shapes |= {f"{layer}{norm}.{kind}": (d,) for norm in ("norm1", "norm2")
                   for kind in ("weight", "bias")}  # fmt: skip
    shapes |= {f"rvq.vq.layers.{k}._codebook.embed": (BINS, d) for k in range(LEVELS)}
    shapes |= {"output_proj.weight": (lm_width, d), "output_proj.bias": (lm_width,)}
    state = {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    for k in range(LEVELS):  # as coarse as what they round
        state[f"rvq.vq.layers.{k}._codebook.embed"] *= 5
        state |= {f"rvq.vq.layers.{k}._codebook.embed_avg": torch.zeros(BINS, d),
                  f"rvq.vq.layers.{k}._codebook.cluster_size": torch.ones(BINS),
                  f"rvq.vq.layers.{k}._codebook.inited": torch.ones(1)}  # fmt: skip
    state |= {"batch_norm.running_mean": 0.1 * torch.randn(d, generator=generator),
              "batch_norm.running_var": torch.rand(d, generator=generator) + 0.5,
              "batch_norm.num_batches_tracked": torch.tensor(3)}  # fmt: skip
    return {STYLE + name: tensor for name, tensor in state.items()}


def style_settings(model, segment_s: float = 2.0) -> dict:
    settings = lm_settings(model, segment_s=segment_s)
    style = {
        "model_name": "mert", "transformer_scale": "xsmall", "sample_rate": "${sample_rate}",
        "encodec_checkpoint": "//pretrained/facebook/encodec_32khz", "encodec_n_q": 3,
        "length": 3.0, "ds_factor": 15, "n_q_out": LEVELS, "eval_q": 3, "q_dropout": True,
        "bins": BINS, "varying_lengths": [1.5, 4.5], "batch_norm": True, "compute_mask": True,
        "num_codebooks_lm": "${transformer_lm.n_q}", "ds_rate_compression": 640,
        "use_middle_of_segment": False, "rvq_threshold_ema_dead_code": 0.1,
    }  # fmt: skip
    settings["conditioners"]["self_wav"] = {"model": "style", "style": style}
    return settings


def write_style(folder: Path, model, mert: HubertModel) -> None:
    """A whole folder, of a melody model of transformers' whose projection of chroma gives way."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: one for name, one in lm_state(model).items() if not name.startswith(STYLE)}
    state |= style_state(model.config.decoder.hidden_size, mert.config.hidden_size)
    torch.save(exported(state, style_settings(model)), folder / "state_dict.bin")
    codec = model.audio_encoder
    torch.save(
        exported(codec_state(codec), codec_settings(codec)), folder / "compression_state_dict.bin"
    )
    write_text_encoder(folder / "t5-base", model)
    write_mert(folder / "MERT-v1-95M", mert)


class TinyStyle:
    """A random style model as audiocraft and MERT's authors write it, and our parts read from
    it.
    """

    def __init__(self, folder: Path, melody_model):
        self.folder, self.upstream, self.mert = folder, melody_model, random_mert()
        write_style(folder, melody_model, self.mert)
        self.checkpoint = checkpoint.open_checkpoint(folder)
        self.config = self.checkpoint.config.lm
        self.lm = checkpoint.load_lm(self.checkpoint, torch.float32, torch.device("cpu"))
        self.text = checkpoint.load_text_encoder(self.checkpoint)
        self.style = checkpoint.load_style_encoder(self.checkpoint)


def random_style(items: int = 1, length: int = 15, guidance: float = 1.0, seed: int = 5) -> Style:
    generator = torch.Generator().manual_seed(seed)
    return Style(torch.randn(items, length, WIDTH, generator=generator), guidance)
