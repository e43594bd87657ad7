"""The language model: transformers' MusicgenForConditionalGeneration in a small shape, its delay
pattern, how it fills a gap, and its loss. Not run by itself; see train_lm.py.

    delay pattern of T = 3 frames, S for the special id:   S a0 a1 a2 S  S  S
                                                           S S  b0 b1 b2 S  S
                                                           S S  S  c0 c1 c2 S
                                                           S S  S  S  d0 d1 d2

Filling a gap (repainting) needs no token of its own. What follows the gap is heard first, **at the
positions where it stands**; then everything from position 0 as ever:

    order in which columns are heard:   5 6 7 8 9 10 | 0 1 2 3 ...
    T = 7 frames, the ending from frame 4. Column c, at position c, holds codebook k of frame
    c - 1 - k; in the ending's columns, frames before the ending are S. Column 5: a4 S S S.
    Column 6: a5 b4 S S.  Column 7: a6 b5 c4 S.  And so on.

Attention stays causal in that order: the ending hears itself, all that comes later hears the
ending. Since positions are added to the embeddings, the model knows how far ahead the ending lies,
and the columns before it are those of ordinary generation: the music before the gap is given, the
gap is drawn, and a code of a frame of the ending that the delay pattern asks for is given again.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers import (
    EncodecConfig,
    GenerationConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    T5Config,
)


@dataclass(frozen=True)
class LmSettings:
    hidden: int = 256
    layers: int = 5
    head_size: int = 64
    text_hidden: int = 128
    text_layers: int = 2
    text_heads: int = 4
    codebooks: int = 4
    codebook_size: int = 1024
    codebook_weights: tuple[float, ...] = (
        1.3,
        1.0,
        0.9,
        0.8,
    )  # the first carries the music, the last the grain

    @property
    def special(self) -> int:
        return self.codebook_size


def text_config(settings: LmSettings, vocabulary: int) -> T5Config:
    return T5Config(
        vocab_size=vocabulary,
        d_model=settings.text_hidden,
        d_kv=settings.text_hidden // settings.text_heads,
        d_ff=4 * settings.text_hidden,
        num_layers=settings.text_layers,
        num_heads=settings.text_heads,
        dropout_rate=0.0,
    )


def decoder_config(settings: LmSettings) -> MusicgenDecoderConfig:
    return MusicgenDecoderConfig(
        vocab_size=settings.codebook_size,
        max_position_embeddings=2048,
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.hidden // settings.head_size,
        ffn_dim=4 * settings.hidden,
        num_codebooks=settings.codebooks,
        audio_channels=1,
        pad_token_id=settings.special,
        bos_token_id=settings.special,
        dropout=0.0,
    )


def build_model(
    settings: LmSettings, codec: EncodecConfig, vocabulary: int
) -> MusicgenForConditionalGeneration:
    """With random weights, codec included."""
    parts = {"audio_encoder": codec.to_dict(), "decoder": decoder_config(settings).to_dict()}
    config = MusicgenConfig(text_encoder=text_config(settings, vocabulary).to_dict(), **parts)
    model = MusicgenForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        bos_token_id=settings.special,
        pad_token_id=settings.special,
        decoder_start_token_id=settings.special,
        do_sample=True,
        guidance_scale=3.0,
        top_k=250,
        temperature=1.0,
        max_length=1500,
    )
    return model


@torch.no_grad()
def start_embeddings(model: MusicgenForConditionalGeneration, codebooks: Tensor) -> None:
    """Token embeddings start from the codec's own codes [K, V, D], so that codes that sound alike
    start alike.

    They are as loud as the sinusoidal positions that are added to them; transformers' start is
    thirty times quieter, and the positions would drown the music for the first thousand steps.
    """
    for table, codes in zip(model.decoder.model.decoder.embed_tokens, codebooks, strict=True):
        width = table.weight.shape[1]
        centred = codes - codes.mean(0)
        projected = centred @ torch.randn(codes.shape[1], width)
        table.weight[: len(codes)] = 0.3 * projected / projected.std() + 0.1 * torch.randn(
            len(codes), width
        )


def delayed(tokens: Tensor, special: int) -> Tensor:
    """tokens [B, K, T] -> [B, K, T + K], the drawing above."""
    batch, codebooks, frames = tokens.shape
    pattern = tokens.new_full((batch, codebooks, frames + codebooks), special)
    for k in range(codebooks):
        pattern[:, k, k + 1 : k + 1 + frames] = tokens[:, k]
    return pattern


def ending_columns(tokens: Tensor, begin: int, special: int) -> Tensor:
    """What is heard of the frames from `begin` on before a gap is filled.

    tokens [B, K, T] -> [B, K, T + K - 1 - begin].

    The columns `begin + 1` to `T + K - 1` of the delay pattern, frames before `begin` hidden.
    """
    hidden = tokens.clone()
    hidden[..., :begin] = special
    return delayed(hidden, special)[..., begin + 1 :]


def text_states(model, text_ids: Tensor, text_mask: Tensor, drop: Tensor) -> Tensor:
    """text [B, L], drop bool [B] -> [B, L, D]; dropped rows are zeros after the projection."""
    states = model.text_encoder(input_ids=text_ids, attention_mask=text_mask).last_hidden_state
    states = model.enc_to_dec_proj(states)
    return states * (text_mask * ~drop[:, None]).to(states.dtype)[..., None]


def embedded(model, columns: Tensor, positions: Tensor) -> Tensor:
    """columns [B, K, S] at positions [S] -> what `decoder` takes as inputs_embeds, [B, S, D].

    The decoder adds positions of its own choice to whatever it is given, so these are taken off
    again.
    """
    decoder = model.decoder.model.decoder
    summed = sum(table(columns[:, k]) for k, table in enumerate(decoder.embed_tokens))
    own = decoder.embed_positions(summed[:, :, -1:], 0)
    return summed + (decoder.embed_positions.weights[positions] - own).to(summed.dtype)


def logits(
    model,
    columns: Tensor,
    text_ids: Tensor,
    text_mask: Tensor,
    drop: Tensor,
    positions: Tensor | None = None,
) -> Tensor:
    """columns [B, K, S], text [B, L], drop bool [B], positions [S] if not 0, 1 ... -> [B, K, S, V]

    The mask of dropped rows is left open: with zero values its weights do not matter, and a fully
    closed row would make a softmax over nothing.
    """
    batch, codebooks, steps = columns.shape
    if positions is None:
        heard = {"input_ids": columns.reshape(batch * codebooks, steps)}
    else:
        heard = {"inputs_embeds": embedded(model, columns, positions)}
    made = model.decoder.model.decoder(
        **heard,
        encoder_hidden_states=text_states(model, text_ids, text_mask, drop),
        encoder_attention_mask=text_mask | drop[:, None],
        use_cache=False,
    ).last_hidden_state
    return torch.stack([head(made) for head in model.decoder.lm_heads], dim=1)


def swap_some(tokens: Tensor, share: float) -> Tensor:
    """A share of the codes [B, K, T] swapped for others of their codebook in the batch."""
    others = tokens.roll(1, 0).flip(2)
    return torch.where(torch.rand(tokens.shape, device=tokens.device) < share, others, tokens)


def code_losses(
    model,
    settings: LmSettings,
    tokens: Tensor,
    text_ids: Tensor,
    text_mask: Tensor,
    drop: Tensor,
    noise: float = 0.0,
    ending: int | None = None,
) -> Tensor:
    """tokens [B, K, T] -> cross-entropy in nats of each code [B, K, T].

    `noise` is the share of heard (not predicted) codes that are swapped for others. With `ending`,
    the frames from there on are heard first, as the drawing above says, and those before it are
    predicted: [B, K, ending].
    """
    special = settings.special
    swapped = swap_some(tokens, noise) if noise else tokens
    frames = tokens.shape[-1] if ending is None else ending
    columns, positions, skipped = (
        delayed(swapped, special)[..., : frames + settings.codebooks - 1],
        None,
        0,
    )
    if ending is not None:
        ahead = ending_columns(swapped, ending, special)
        skipped = ahead.shape[-1]
        places = torch.arange(ending + 1, ending + 1 + skipped), torch.arange(columns.shape[-1])
        columns, positions = (
            torch.cat((ahead, columns), dim=-1),
            torch.cat(places).to(tokens.device),
        )
    predicted = logits(model, columns, text_ids, text_mask, drop, positions)[:, :, skipped:]
    return torch.stack(
        [
            functional.cross_entropy(
                predicted[:, k, k : k + frames].transpose(1, 2).float(),
                tokens[:, k, :frames],
                reduction="none",
            )
            for k in range(settings.codebooks)
        ],
        dim=1,
    )


def codebook_losses(*heard, **how) -> Tensor:
    """`code_losses`, the mean of each codebook [K]."""
    return code_losses(*heard, **how).mean((0, 2))


def trained_part(model: MusicgenForConditionalGeneration) -> dict[str, Tensor]:
    """Everything but the codec, by name."""
    return {
        name: p for name, p in model.named_parameters() if not name.startswith("audio_encoder.")
    }
