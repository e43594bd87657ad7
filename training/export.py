"""Puts codec and LM together into one folder in the Hugging Face MusicGen layout, half precision,
in shards.

Run: `python training/export.py --work-dir build/pocket --to models/pocket`. Then `transformers`
loads the folder unmodified: `MusicgenForConditionalGeneration.from_pretrained("models/pocket")`,
`AutoProcessor.from_pretrained("models/pocket")`.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import torch
from codec import to_transformers
from encode_audio import load_codec
from lm import LmSettings, build_model, trained_part
from safetensors.torch import load_file, save_file
from text_tokenizer import load_tokenizer
from torch import Tensor
from transformers import MusicgenForConditionalGeneration

LONG_FORM = [500, 50, 150]
"""a first window, then what each further one hears and plays: alone it plays well for some ten
seconds, and for as long as one likes where its text counts anew every three
"""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
MAX_MEGABYTES = 25
MAX_SHARD_BYTES = 9_500_000  # hubs refuse larger files outside their large-file storage
TEMPERATURE = 0.8  # that of the trained model at which the shipped one plays at temperature 1
# One shard at least for each: training of one part leaves the others' files as they are.
PARTS = (("text_encoder.", "enc_to_dec_proj."), ("audio_encoder.",), ("decoder.",))


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
    """The file holds float16; loaders that follow the config are to compute in float32, as CPUs
    need.
    """
    config.pop("torch_dtype", None)
    config["dtype"] = "float32"
    for part in ("text_encoder", "audio_encoder", "decoder"):
        config[part].pop("torch_dtype", None)
        config[part]["dtype"] = "float32"


def preprocessor(sample_rate: int) -> dict:
    return {
        "chunk_length_s": None,
        "feature_extractor_type": "EncodecFeatureExtractor",
        "feature_size": 1,
        "overlap": None,
        "padding_side": "left",
        "padding_value": 0.0,
        "processor_class": "MusicgenProcessor",
        "return_attention_mask": True,
        "sampling_rate": sample_rate,
    }


def in_shards(
    tensors: dict[str, Tensor], max_bytes: int = MAX_SHARD_BYTES
) -> list[dict[str, Tensor]]:
    """Every tensor once, part after part; a part that is too large is divided evenly."""
    shards = []
    for prefixes in PARTS:
        part = {name: t for name, t in sorted(tensors.items()) if name.startswith(prefixes)}
        total = sum(t.nbytes for t in part.values())
        count = -(-total // max_bytes)
        divided: list[dict[str, Tensor]] = [{} for _ in range(count)]
        before = 0
        for name, tensor in part.items():
            divided[min(count - 1, before * count // total)][name] = tensor
            before += tensor.nbytes
        shards += divided
    left = sorted(set(tensors) - {name for shard in shards for name in shard})
    if left:
        raise ValueError(
            f"got tensors of no known part ({left[0]} first), expected those of PARTS: add it there"
        )
    return shards


def write_shards(tensors: dict[str, Tensor], folder: Path) -> None:
    """Files as transformers names them, and their index; other weights there are removed."""
    for old in folder.glob("model*.safetensors*"):
        old.unlink()
    shards, weight_map = in_shards(tensors), {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file(
            {key: t.contiguous() for key, t in shard.items()},
            folder / name,
            metadata={"format": "pt"},
        )
        (folder / name).chmod(0o644)
        weight_map |= dict.fromkeys(shard, name)
    index = {
        "metadata": {"total_size": sum(t.nbytes for t in tensors.values())},
        "weight_map": weight_map,
    }
    (folder / "model.safetensors.index.json").write_text(
        json.dumps(index, indent=2, sort_keys=True) + "\n"
    )


@torch.no_grad()
def sharpen(model: MusicgenForConditionalGeneration) -> None:
    """Everybody's default temperature, 1, is then the one at which this model plays best."""
    for head in model.decoder.lm_heads:
        head.weight.div_(TEMPERATURE)
    model.generation_config.temperature = 1.0


def save_model(model: MusicgenForConditionalGeneration, tokenizer: Path, folder: Path) -> None:
    """A whole checkpoint in half precision; `tokenizer` is the folder of its tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as plain:
        model.half().save_pretrained(plain)
        write_shards(load_file(Path(plain, "model.safetensors")), folder)
        config = json.loads(Path(plain, "config.json").read_text())
        shutil.copyfile(Path(plain, "generation_config.json"), folder / "generation_config.json")
    set_dtype_names(config)
    config["decoder"]["long_form_frames"] = LONG_FORM
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    sample_rate = config["audio_encoder"]["sampling_rate"]
    (folder / "preprocessor_config.json").write_text(
        json.dumps(preprocessor(sample_rate), indent=2) + "\n"
    )
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer / name, folder / name)
    _check_size(folder)


def _check_size(folder: Path) -> None:
    total_mb = sum(f.stat().st_size for f in folder.iterdir()) / 1e6
    if total_mb > MAX_MEGABYTES:
        raise ValueError(
            f"got {total_mb:.1f} MB in {folder}, expected at most {MAX_MEGABYTES}: "
            "choose a smaller LmSettings"
        )
    print(f"{folder}: {total_mb:.1f} MB")


def export(work_dir: Path, folder: Path) -> None:
    save_model(assemble(work_dir), work_dir / "tokenizer", folder)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work-dir", type=Path, default=Path("build/pocket"))
    parser.add_argument("--to", type=Path, default=Path("models/pocket"))
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    export(args.work_dir, args.to)
