"""Random adapters, as PEFT writes them."""

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

ATTENTION = ["q_proj", "k_proj", "v_proj", "out_proj"]


def write_adapter(model: torch.nn.Module, folder: Path, seed: int = 0, **config: object) -> Path:
    """For a model of transformers, which is not to be used afterwards: PEFT changes it."""
    torch.manual_seed(seed)
    settings = {"r": 4, "lora_alpha": 6, "target_modules": ATTENTION, **config}
    peft = get_peft_model(model, LoraConfig(**settings))
    with torch.no_grad():
        for name, parameter in peft.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.2)
    peft.save_pretrained(folder)
    return folder
