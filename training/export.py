"""Puts codec and LM together into one folder in the Hugging Face MusicGen layout, half precision.

Run: `python training/export.py --work-dir build/pocket --to models/pocket`. Then `transformers` loads the folder unmodified:
`MusicgenForConditionalGeneration.from_pretrained("models/pocket")`, `AutoProcessor.from_pretrained("models/pocket")`.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from codec import to_transformers
from encode_audio import load_codec
from lm import LmSettings, build_model, trained_part
from sound_world import SAMPLE_RATE
from text_tokenizer import load_tokenizer
from transformers import MusicgenForConditionalGeneration

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
PREPROCESSOR = {
    "chunk_length_s": None,
    "feature_extractor_type": "EncodecFeatureExtractor",
    "feature_size": 1,
    "overlap": None,
    "padding_side": "left",
    "padding_value": 0.0,
    "processor_class": "MusicgenProcessor",
    "return_attention_mask": True,
    "sampling_rate": SAMPLE_RATE,
}
MAX_MEGABYTES = 25


def assemble(work_dir: Path) -> MusicgenForConditionalGeneration:
    """The averaged weights, float32."""
    codec = to_transformers(load_codec(work_dir, "cpu"))
    state = torch.load(work_dir / "lm.pt", map_location="cpu", weights_only=True)
    settings = LmSettings(**state["settings"])
    model = build_model(settings, codec.config, len(load_tokenizer(work_dir)))
    for name, parameter in trained_part(model).items():
        parameter.data.copy_(state["average"][name])
    model.audio_encoder.load_state_dict(codec.state_dict())
    return model.eval()


def set_dtype_names(config: dict) -> None:
    """The file holds float16; loaders that follow the config are to compute in float32, as CPUs need."""
    config.pop("torch_dtype", None)
    config["dtype"] = "float32"
    for part in ("text_encoder", "audio_encoder", "decoder"):
        config[part].pop("torch_dtype", None)
        config[part]["dtype"] = "float32"


def export(work_dir: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    assemble(work_dir).half().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    set_dtype_names(config)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n")
    for name in TOKENIZER_FILES:
        shutil.copyfile(work_dir / "tokenizer" / name, folder / name)
    (folder / "model.safetensors").chmod(0o644)
    total_mb = sum(f.stat().st_size for f in folder.iterdir()) / 1e6
    if total_mb > MAX_MEGABYTES:
        raise ValueError(
            f"got {total_mb:.1f} MB in {folder}, expected at most {MAX_MEGABYTES}: choose a smaller LmSettings"
        )
    print(f"{folder}: {total_mb:.1f} MB")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, default=Path("build/pocket"))
    parser.add_argument("--to", type=Path, default=Path("models/pocket"))
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    export(args.work_dir, args.to)
