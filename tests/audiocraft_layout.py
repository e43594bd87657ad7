"""Checkpoints in audiocraft's layout, written from transformers' models by rules of their own.

The names are turned round by patterns on transformers' names, so that nothing here shares a table
with what reads them.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
import yaml
from tiny import tiny_tokenizer

from musicgraph.app.studio.music import make_music
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.request import Request

STATE, CODEC = "state_dict.bin", "compression_state_dict.bin"
LM_NAMES = (
    (r"decoder\.model\.decoder\.embed_tokens\.", "emb."),
    (r"decoder\.lm_heads\.", "linears."),
    (r"decoder\.model\.decoder\.layer_norm\.", "out_norm."),
    (r"decoder\.model\.decoder\.layers\.", "transformer.layers."),
    (r"\.self_attn_layer_norm\.", ".norm1."),
    (r"\.encoder_attn_layer_norm\.", ".norm_cross."),
    (r"\.final_layer_norm\.", ".norm2."),
    (r"\.encoder_attn\.", ".cross_attention."),
    (r"\.fc(\d)\.", r".linear\1."),
    (r"^enc_to_dec_proj\.", "condition_provider.conditioners.description.output_proj."),
    (r"^audio_enc_to_dec_proj\.", "condition_provider.conditioners.self_wav.output_proj."),
)
CODEC_NAMES = (
    (r"^(encoder|decoder)\.layers\.", r"\1.model."),
    (r"quantizer\.layers\.(\d+)\.codebook\.", r"quantizer.vq.layers.\1._codebook."),
    (r"parametrizations\.weight\.original0$", "weight_g"),
    (r"parametrizations\.weight\.original1$", "weight_v"),
)
SIDES = {"q": 0, "k": 1, "v": 2}


def lm_state(model) -> dict[str, torch.Tensor]:
    """Of a MusicGen of transformers: q, k and v as one matrix, all else renamed."""
    state, thirds = {}, {}
    for name, tensor in model.state_dict().items():
        if name.startswith(("text_encoder.", "audio_encoder.")) or "embed_positions" in name:
            continue
        for pattern, theirs in LM_NAMES:
            name = re.sub(pattern, theirs, name)
        if side := re.search(r"\.([qkv])_proj\.weight$", name):
            whole = name[: side.start()] + ".in_proj_weight"
            thirds.setdefault(whole, {})[SIDES[side.group(1)]] = tensor
        else:
            state[name] = tensor.clone()
    return state | {name: torch.cat([three[i] for i in range(3)]) for name, three in thirds.items()}


def codec_state(codec) -> dict[str, torch.Tensor]:
    upsampling = {
        f"decoder.layers.{i}"
        for i, layer in enumerate(codec.decoder.layers)
        if type(layer).__name__ == "EncodecConvTranspose1d"
    }
    state = {}
    for name, tensor in codec.state_dict().items():
        kind = "convtr" if ".".join(name.split(".")[:3]) in upsampling else "conv"
        name = re.sub(r"\.conv\.(?=parametrizations|weight|bias)", f".{kind}.{kind}.", name)
        for pattern, theirs in CODEC_NAMES:
            name = re.sub(pattern, theirs, name)
        state[name] = tensor.clone()
    return state


def lm_settings(
    model, text_encoder: str = "t5-base", segment_s: float = 30, magnet: dict | None = None
) -> dict:
    """What audiocraft's xp.cfg says of such a model, with the references that it has; `magnet`: of
    its layers in a MAGNeT, with these settings of its own.
    """
    settings = _lm_settings(model, text_encoder, segment_s)
    return settings if magnet is None else _of_magnet(settings, **magnet)


def _of_magnet(settings: dict, span_len: int = 3, subcodes_context: int = 5, **others) -> dict:
    lm = settings["transformer_lm"] | {
        "causal": False, "subcodes_context": subcodes_context, "compression_model_framerate": 50,
        "segment_duration": 0, "span_len": -1,
    }  # fmt: skip
    pattern = {"modeling": "parallel", "parallel": {"empty_initial": -1}}
    return settings | {
        "solver": "magnet", "lm_model": "transformer_lm_magnet", "transformer_lm": lm,
        "codebooks_pattern": settings["codebooks_pattern"] | pattern,
        "masking": {"span_len": span_len},
    } | others  # fmt: skip


def _lm_settings(model, text_encoder: str, segment_s: float) -> dict:
    decoder = model.config.decoder
    stereo = decoder.audio_channels == 2
    melody = "melody" in model.config.model_type
    delays = [k // decoder.audio_channels for k in range(decoder.num_codebooks)]
    t5 = {"name": text_encoder, "finetune": False, "word_dropout": 0.3, "normalize_text": False}
    heard = {"description": {"model": "t5", "t5": t5}}
    if melody:
        chroma = {"sample_rate": "${sample_rate}", "n_chroma": 12, "radix2_exp": 14,
                  "argmax": True, "cache_path": None}  # fmt: skip
        heard |= {"self_wav": {"model": "chroma_stem", "chroma_stem": chroma}}
    return {
        "solver": "musicgen",
        "device": "cuda",
        "dora": {"dir": "/checkpoint/${oc.env:USER}/experiments"},
        "sample_rate": model.config.audio_encoder.sampling_rate,
        "channels": decoder.audio_channels,
        "compression_model_checkpoint": "//sig/5091833e",
        "lm_model": "transformer_lm",
        "transformer_lm": {
            "dim": decoder.hidden_size, "num_heads": decoder.num_attention_heads,
            "num_layers": decoder.num_hidden_layers,
            "hidden_scale": decoder.ffn_dim // decoder.hidden_size,
            "n_q": decoder.num_codebooks, "card": decoder.vocab_size, "dropout": 0.0,
            "emb_lr": None, "activation": "gelu", "norm_first": True, "bias_ff": False,
            "bias_attn": False, "bias_proj": False, "past_context": None, "causal": True,
            "custom": False, "memory_efficient": True, "attention_as_float32": False,
            "layer_scale": None, "positional_embedding": "sin", "xpos": False,
            "norm": "layer_norm", "cross_attention": False, "qk_layer_norm": False,
            "kv_repeat": 1, "two_step_cfg": False,
        },
        "codebooks_pattern": {
            "modeling": "delay",
            "delay": {"delays": delays, "flatten_first": 0, "empty_initial": 0},
            "unroll": {"flattening": [0, 1, 2, 3], "delays": [0, 0, 0, 0]},
        },
        "interleave_stereo_codebooks": {"use": stereo, "per_timestep": False},
        "classifier_free_guidance": {"training_dropout": 0.3, "inference_coef": 3.0},
        "attribute_dropout": {},
        "dataset": {"segment_duration": segment_s, "batch_size": 192},
        "conditioners": {"args": {"merge_text_conditions_p": 0.25}, **heard},
        "fuser": {
            "cross_attention_pos_emb": False, "cross_attention_pos_emb_scale": 1, "sum": [],
            "prepend": ["self_wav", "description"] if melody else [],
            "cross": [] if melody else ["description"], "input_interpolate": [],
        },
    }  # fmt: skip


def codec_settings(codec) -> dict:
    config = codec.config
    return {
        "solver": "compression",
        "sample_rate": config.sampling_rate,
        "channels": 1,
        "compression_model": "encodec",
        "encodec": {"autoencoder": "seanet", "quantizer": "rvq", "sample_rate": "${sample_rate}",
                    "channels": "${channels}", "causal": config.use_causal_conv,
                    "renormalize": False},
        "seanet": {
            "dimension": config.hidden_size, "channels": "${channels}",
            "causal": "${encodec.causal}", "n_filters": config.num_filters,
            "n_residual_layers": config.num_residual_layers,
            "ratios": list(config.upsampling_ratios), "activation": "ELU",
            "activation_params": {"alpha": 1.0}, "norm": "weight_norm", "norm_params": {},
            "kernel_size": config.kernel_size, "residual_kernel_size": config.residual_kernel_size,
            "last_kernel_size": config.last_kernel_size,
            "dilation_base": config.dilation_growth_rate, "pad_mode": config.pad_mode,
            "true_skip": not config.use_conv_shortcut, "compress": config.compress,
            "lstm": config.num_lstm_layers, "disable_norm_outer_blocks": 0,
            "decoder": {"trim_right_ratio": config.trim_right_ratio, "final_activation": None,
                        "final_activation_params": None},
            "encoder": {},
        },
        "rvq": {"n_q": codec.config.num_quantizers, "q_dropout": False,
                "bins": config.codebook_size, "decay": 0.99, "kmeans_init": True},
    }  # fmt: skip


def exported(state: dict, settings: dict | str) -> dict:
    text = settings if isinstance(settings, str) else yaml.safe_dump(settings, sort_keys=False)
    return {"best_state": state, "xp.cfg": text, "version": "1.4.0a2", "exported": True}


def write_text_encoder(folder: Path, model) -> None:
    model.text_encoder.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)


def write_audiocraft(folder: Path, model, dtype=torch.float32, pointer: str = "", **lm) -> None:
    """A whole folder, its T5 in a folder inside; `pointer`: the codec is only named."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.to(dtype) for name, tensor in lm_state(model).items()}
    torch.save(exported(state, lm_settings(model, **lm)), folder / STATE)
    codec = model.audio_encoder
    whole = exported(codec_state(codec), codec_settings(codec))
    named = {"pretrained": pointer, "exported": True, "version": "1.4.0a2"}
    torch.save(named if pointer else whole, folder / CODEC)
    write_text_encoder(folder / "t5-base", model)


# ---------------------------------------------------------------- what tests do with them


def rewrite(folder, name, change):
    """The same archive after `change(content)`."""
    content = torch.load(folder / name, weights_only=True)
    torch.save(change(content) or content, folder / name)


def text_with(change, settings=None):
    """Changes xp.cfg."""

    def rewritten(content, model):
        tree = (settings or lm_settings)(model)
        change(tree)
        return exported(content["best_state"], tree)

    return rewritten


def sound_of(folder):
    request = Request("a calm piano", model=str(folder), duration_s=0.5, seed=3, top_k=50)
    return make_music(Runner(), request).waveform
