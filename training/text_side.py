"""What hears a text and what reads it: a decoder's cross-attentions by themselves, and the text
encoder with tables that grow and layers that are added. Not run by itself; see polish_text.py.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import MusicgenForConditionalGeneration


@dataclass(frozen=True)
class Listener:
    """The decoder's cross-attentions, by themselves."""

    layers: list[nn.Module]

    def only(self, layers: list[int]) -> "Listener":
        return Listener([self.layers[k] for k in layers])

    def hear(self, states: Tensor, mask: Tensor, queries: Tensor) -> list[Tensor]:
        """What each layer reads, before its last projection.

        States [B, L, H], mask [B, L], queries [layers, N, H] -> [B, N, H].
        """
        return [self._read(*pair, states, mask) for pair in zip(self.layers, queries, strict=True)]

    @staticmethod
    def _read(layer: nn.Module, queries: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        heads, width = layer.num_heads, layer.head_dim
        keys, values = (
            p(states).unflatten(2, (heads, width)) for p in (layer.k_proj, layer.v_proj)
        )
        asked = queries.unflatten(1, (heads, width)) * width**-0.5
        scores = torch.einsum("nhd,blhd->bhnl", asked, keys).float()
        shares = scores.masked_fill(mask[:, None, None] == 0, -1e9).softmax(-1)
        return torch.einsum("bhnl,blhd->bnhd", shares.to(values.dtype), values).flatten(2)

    def differences(self, heard: list[Tensor], wanted: list[Tensor]) -> Tensor:
        """Mean square of what reaches the music, by layer [layers]."""
        triples = zip(self.layers, heard, wanted, strict=True)
        return torch.stack([layer.out_proj(a - b).float().pow(2).mean() for layer, a, b in triples])


def small_letters(pieces: list[str]) -> Tensor:
    """For each piece the id of the same in small letters, or its own: capitals share their
    embedding while it is trained.
    """
    ids = {piece: i for i, piece in enumerate(pieces)}
    return torch.tensor([ids.get(piece.lower(), i) for i, piece in enumerate(pieces)])


def encode(
    model, tokenizer, texts: Sequence[str], max_tokens: int, shared: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Projected states [B, L, H] and their mask [B, L]; `shared` maps ids to those whose embeddings
    they use.
    """
    text = tokenizer(
        texts, padding=True, truncation=True, max_length=max_tokens, return_tensors="pt"
    )
    ids = text.input_ids if shared is None else shared[text.input_ids]
    states = model.text_encoder(input_ids=ids, attention_mask=text.attention_mask).last_hidden_state
    return model.enc_to_dec_proj(states), text.attention_mask


@torch.no_grad()
def widen_embeddings(
    model: MusicgenForConditionalGeneration, pieces: list[str], known: dict[str, Tensor]
) -> None:
    """Room for all pieces; one that is known, or known in small letters, starts as that one."""
    model.text_encoder.resize_token_embeddings(len(pieces), mean_resizing=False)
    model.config.text_encoder.vocab_size = len(pieces)
    table = model.text_encoder.shared.weight
    spread = float(torch.stack(list(known.values())).std())
    for row, piece in enumerate(pieces):
        found = next((known[p] for p in (piece, piece.lower(), "▁" + piece) if p in known), None)
        table[row] = torch.randn(table.shape[1]) * spread if found is None else found


@torch.no_grad()
def deepen(model: MusicgenForConditionalGeneration, layers: int) -> None:
    """More layers for the text encoder; what they add to their inputs is nothing at first."""
    blocks = model.text_encoder.encoder.block
    while len(blocks) < layers:
        block = copy.deepcopy(blocks[-1])
        block.layer[0].SelfAttention.o.weight.zero_()
        block.layer[-1].DenseReluDense.wo.weight.zero_()
        blocks.append(block)
    model.config.text_encoder.num_layers = model.text_encoder.config.num_layers = len(blocks)
