"""transformers' MusicGen with PEFT's LoRA in it: its loss, its trained weights, its folder.

The only file that is shipped and imports transformers and peft: to train takes gradients, which our
own modules are not made for, and the result shall be theirs to read.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import MusicgenForConditionalGeneration
from transformers.utils import logging as transformers_logging

from ...models.compose.delay import delayed
from ...models.config import LMConfig
from ...models.disk import part_files
from ...models.weights.peft_adapter import CONFIG, TENSORS

NOT_COUNTED = -100
"""what stands where the loss has nothing to say: cross_entropy's own word"""


class LoraModel:
    """A checkpoint of which only the adapter learns. The base never drops anything out."""

    def __init__(self, folder: Path, config: LMConfig, rank: int, device: torch.device, seed: int):
        self.config, self.device = config, device
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        with _quiet(), torch.random.fork_rng(devices=[]):
            base: Any = MusicgenForConditionalGeneration.from_pretrained(folder)
            base.to(dtype)
            torch.manual_seed(seed)
            self._peft = get_peft_model(base, _lora(config, rank))
        self._peft.to(device).eval()
        self._base: Any = self._peft.base_model.model

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """What learns, by name: float32."""
        return {name: p for name, p in self._peft.named_parameters() if p.requires_grad}

    def loss(
        self,
        tokens: Tensor,
        mask: Tensor,
        states: Tensor,
        heard: Tensor,
        read: Tensor,
        guidance: Tensor | None = None,
    ) -> Tensor:
        """Cross-entropy in nats, the mean over everything that the delay pattern defines.

        tokens `[B, K, T]` with their mask `[B, T]`, text states `[B, L, text_size]` with theirs
        `[B, L]`. `read`, like `tokens`, is what stands before each token that is predicted. With
        `guidance` `[B]` it is the loss of what is drawn from there: of the guided logits.
        """
        tokens, mask, states, heard, read = (
            one.to(self.device) for one in (tokens, mask, states, heard, read)
        )
        config = self.config
        beyond = ~mask.unsqueeze(1)
        read = read.masked_fill(beyond, config.special_token)
        steps = delayed(read, config.delays, config.special_token)[:, :, :-1]
        counted = tokens.masked_fill(beyond, NOT_COUNTED)
        targets = delayed(counted, config.delays, NOT_COUNTED)[:, :, 1:]
        is_cuda = self.device.type == "cuda"
        with torch.autocast("cuda", torch.bfloat16) if is_cuda else contextlib.nullcontext():
            logits = (
                self._logits(steps, states, heard)
                if guidance is None
                else self._guided(steps, states, heard, guidance.to(self.device))
            )
        return F.cross_entropy(logits.flatten(0, 2).float(), targets.flatten())

    def _guided(self, steps: Tensor, states: Tensor, heard: Tensor, guidance: Tensor) -> Tensor:
        """`[B, K, S, V]`, of twice as many rows: with their texts, and with none."""
        nothing = torch.zeros_like(heard)
        twice = [torch.cat(pair) for pair in ((steps, steps), (states, states), (heard, nothing))]
        conditional, null = self._logits(*twice).chunk(2)
        return null + guidance.view(-1, 1, 1, 1) * (conditional - null)

    def _logits(self, steps: Tensor, states: Tensor, heard: Tensor) -> Tensor:
        """`[B, K, S]` → `[B, K, S, V]`; a row that hears nothing gets exact zeros, as in
        guidance.
        """
        if hasattr(self._base, "enc_to_dec_proj"):
            states = self._base.enc_to_dec_proj(states)
        states = states * heard.unsqueeze(-1)
        # where a row hears nothing its mask is open: a softmax over nothing would be NaN
        seen = heard | ~heard.any(dim=1, keepdim=True)
        made = self._base.decoder(
            input_ids=steps.flatten(0, 1),
            encoder_hidden_states=states,
            encoder_attention_mask=seen.long(),
            use_cache=False,
        )
        return made.logits.unflatten(0, (len(steps), -1))

    def save(self, folder: Path, base_name: str) -> None:
        """A PEFT folder, whose files appear whole. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = get_peft_model_state_dict(self._peft, save_embedding_layers=False)
        tensors = {name: one.detach().float().cpu().contiguous() for name, one in tensors.items()}
        with part_files.written(folder / TENSORS) as part:
            save_file(tensors, part, metadata={"format": "pt"})
        with part_files.written(folder / CONFIG) as part:
            part.write_text(json.dumps(self._settings(base_name), indent=2), encoding="utf-8")

    def _settings(self, base_name: str) -> Mapping[str, Any]:
        settings = {**self._peft.peft_config["default"].to_dict(), "inference_mode": True}
        settings["base_model_name_or_path"] = base_name
        settings["auto_mapping"] = {
            "base_model_class": MusicgenForConditionalGeneration.__name__,
            "parent_library": "transformers.models.musicgen.modeling_musicgen",
        }
        return {
            name: sorted(value) if isinstance(value, set) else value
            for name, value in settings.items()
        }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without bars, and without the libraries' advice to their own developers."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def _lora(config: LMConfig, rank: int) -> LoraConfig:
    """On self-attention, feed-forward and heads of the decoder, at a scale of 1.

    Not on the attention to the text: where nothing is heard that is zero, so what changes there
    would be in one branch of guidance alone, which multiplies it.
    """
    layer = r"self_attn\.(q|k|v|out)_proj|fc1|fc2"
    targets = rf"decoder\.(model\.decoder\.layers\.\d+\.({layer})|lm_heads\.\d+)"
    return LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules=targets)
