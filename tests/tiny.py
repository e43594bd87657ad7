"""Small random MusicGen checkpoints, written by transformers' own `save_pretrained`."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    EncodecConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    MusicgenMelodyConfig,
    MusicgenMelodyDecoderConfig,
    MusicgenMelodyForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
)

from musicgraph.models.weights import checkpoint

CODEBOOK_SIZE = 64
CHROMA_FRAMES = 9


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [(letter, -4.0) for letter in "abcdefghijklmnopqrstuvwxyz0123456789,.-'"]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=512,
    )


def tiny_config(
    channels: int = 1,
    text_size: int = 24,
    hidden_size: int = 32,
    melody: bool = False,
    codebook_size: int = CODEBOOK_SIZE,
    **codec: object,
) -> MusicgenConfig | MusicgenMelodyConfig:
    decoder = MusicgenMelodyDecoderConfig if melody else MusicgenDecoderConfig
    whole = MusicgenMelodyConfig if melody else MusicgenConfig
    own = {"num_chroma": 12, "chroma_length": CHROMA_FRAMES} if melody else {}
    return whole(
        **own,
        text_encoder=T5Config(
            vocab_size=64,
            d_model=text_size,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_heads=2,
            feed_forward_proj="relu",
        ).to_dict(),
        audio_encoder=EncodecConfig(
            target_bandwidths=[2.4],
            sampling_rate=8000,
            upsampling_ratios=[5, 4, 4, 2],
            num_filters=4,
            hidden_size=16,
            codebook_size=codebook_size,
            codebook_dim=16,
            num_lstm_layers=2,
            use_causal_conv=False,
            use_conv_shortcut=False,
            normalize=False,
            **codec,
        ).to_dict(),
        decoder=decoder(
            vocab_size=codebook_size,
            hidden_size=hidden_size,
            num_hidden_layers=3,
            num_attention_heads=2,
            ffn_dim=64,
            num_codebooks=4 * channels,
            audio_channels=channels,
            pad_token_id=codebook_size,
            bos_token_id=codebook_size,
        ).to_dict(),
    )


def write_tiny_checkpoint(
    folder: Path,
    channels: int = 1,
    text_size: int = 24,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    melody: bool = False,
    codebook_size: int = CODEBOOK_SIZE,
    **save: object,
) -> MusicgenForConditionalGeneration | MusicgenMelodyForConditionalGeneration:
    """Writes the folder and returns the upstream model in it."""
    torch.manual_seed(seed)
    config = tiny_config(channels, text_size, melody=melody, codebook_size=codebook_size)
    kind = MusicgenMelodyForConditionalGeneration if melody else MusicgenForConditionalGeneration
    model = kind(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # initial weights are so small that every logit is alike; these make choices that differ
            ours = ("decoder.", "enc_to_dec_proj", "audio_enc_to_dec_proj")
            chosen = name.startswith(ours) and parameter.dim() > 1
            if chosen and "embed_positions" not in name:  # a parameter in older releases
                parameter.normal_(std=0.3)
        for layer in model.audio_encoder.quantizer.layers:
            layer.codebook.embed.normal_()
    model.generation_config.update(
        max_length=1500, do_sample=True, guidance_scale=3.0, decoder_start_token_id=codebook_size,
        pad_token_id=codebook_size, bos_token_id=codebook_size,
    )  # fmt: skip
    model.to(dtype).save_pretrained(folder, **save)
    tiny_tokenizer().save_pretrained(folder)
    return model.float()


class Tiny:
    """A random checkpoint as transformers wrote it, and our parts read from it."""

    def __init__(self, folder: Path, channels: int, **more: Any):
        self.folder = folder
        self.upstream = write_tiny_checkpoint(folder, channels, **more)
        self.checkpoint = checkpoint.open_checkpoint(folder)
        self.config = self.checkpoint.config.lm
        self.lm = checkpoint.load_lm(self.checkpoint, torch.float32, torch.device("cpu"))
        self.text = checkpoint.load_text_encoder(self.checkpoint)
        self.codec = checkpoint.load_codec(self.checkpoint)
