"""A checkpoint of musicgen-small's exact shape with random weights, for what only shows at full
size.
"""

import json
from pathlib import Path

import torch
from tiny import tiny_tokenizer
from transformers import (
    EncodecConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    T5Config,
)


def small_config() -> MusicgenConfig:
    return MusicgenConfig(
        text_encoder=T5Config(
            d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12
        ).to_dict(),
        audio_encoder=EncodecConfig(
            target_bandwidths=[2.2],
            sampling_rate=32000,
            upsampling_ratios=[8, 5, 4, 4],
            num_filters=64,
            hidden_size=128,
            codebook_size=2048,
            codebook_dim=128,
            num_lstm_layers=2,
            use_causal_conv=False,
            use_conv_shortcut=False,
            normalize=False,
        ).to_dict(),
        decoder=MusicgenDecoderConfig().to_dict(),
    )


def write_small_checkpoint(folder: Path) -> MusicgenForConditionalGeneration:
    """2.4 GB on disk. Returns the upstream model in it."""
    torch.manual_seed(0)
    model = MusicgenForConditionalGeneration(small_config()).eval()
    with torch.no_grad():
        for name, parameter in model.decoder.named_parameters():
            if parameter.dim() > 1:
                # large enough for logits that differ, small enough for 24 layers to stay in range
                parameter.normal_(std=0.04 if "embed" not in name else 0.3)
    model.generation_config.update(
        decoder_start_token_id=2048, pad_token_id=2048, bos_token_id=2048
    )
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"max_length": 1500}))
    return model
