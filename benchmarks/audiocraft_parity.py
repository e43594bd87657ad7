"""Is what we read audiocraft's layout, and is our music theirs? Asked of audiocraft itself.

    python benchmarks/audiocraft_parity.py CHECKOUT

CHECKOUT is a checkout of facebookresearch/audiocraft, whose einops and omegaconf have to be
installed. Its other requirements are not needed for this and are stood in for, so that its own
builders and loaders run in this environment, on small random weights. Prints one JSON object.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import sys
import tempfile
import types
from pathlib import Path
from unittest import mock

import torch

ROOT = Path(__file__).parents[1]
TEXTS = ["a calm piano", "drums, fast", "slow and sad strings"]
ABSENT = ("xformers", "flashy", "spacy", "torchaudio", "librosa", "julius", "torchdiffeq",
          "audioseal", "num2words", "dora", "av", "soundfile", "laion_clap", "demucs")  # fmt: skip
BARE = ("audiocraft", "audiocraft.models", "audiocraft.modules", "audiocraft.data")
"""Packages whose own beginning imports everything."""


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Modules of which every name is there and nothing works."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = mock.MagicMock(name=spec.name)
        module.__path__, module.__spec__ = [], spec
        return module

    def exec_module(self, module):
        pass


def audiocraft_of(checkout: Path):
    """Its loaders."""
    sys.meta_path.insert(0, StandIns())
    for name in BARE:
        package = types.ModuleType(name)
        package.__path__ = [str(checkout / name.replace(".", "/"))]
        sys.modules[name] = package
    sys.modules["audiocraft"].__version__ = "0"
    modules = sys.modules["audiocraft.modules"]
    from audiocraft.modules import seanet

    modules.SEANetEncoder, modules.SEANetDecoder = seanet.SEANetEncoder, seanet.SEANetDecoder
    sys.modules["audiocraft"].modules = modules
    from audiocraft.models import builders, loaders  # in this order: they need each other
    from audiocraft.modules import transformer

    transformer.ops = mock.Mock(unbind=torch.unbind)  # all that it needs of xformers here
    assert builders
    return loaders


def with_local_t5(folder: Path, size: int) -> None:
    """Their text conditioner reads the T5 in this folder, whatever name it is given."""
    from audiocraft.modules import conditioners
    from transformers import AutoTokenizer, T5EncoderModel

    conditioners.T5Conditioner.MODELS_DIMS["t5-base"] = size
    conditioners.T5EncoderModel = mock.Mock(
        from_pretrained=lambda _: T5EncoderModel.from_pretrained(folder)
    )
    conditioners.T5Tokenizer = mock.Mock(
        from_pretrained=lambda _: AutoTokenizer.from_pretrained(folder)
    )


def compared(loaders, folder: Path, twin, seconds: float) -> dict[str, float | bool]:
    """Their whole way from a text to sound, greedy, and ours."""
    from audiocraft.models.builders import get_wrapped_compression_model

    with_local_t5(folder / "t5-base", twin.config.text_size)
    lm = loaders.load_lm_model(folder)
    for layer in lm.transformer.layers:
        for attention in (layer.self_attn, layer.cross_attention):
            attention.memory_efficient, attention.custom = False, True  # without xformers
    codec = get_wrapped_compression_model(loaders.load_compression_model(folder), lm.cfg)
    codec.set_num_codebooks(twin.config.levels)  # the tiny codec has more
    frames = int(seconds * codec.frame_rate)
    with torch.no_grad():
        theirs = torch.cat([one(lm, text, frames) for text in TEXTS])
        theirs_sound = codec.decode(theirs)
        encoded, _ = codec.encode(theirs_sound)
    ours, ours_sound, ours_encoded = our_way(folder, frames, theirs, theirs_sound)
    return {
        "tokens_equal": float((theirs == ours).float().mean()),
        "distinct_tokens": len(theirs.unique()),
        "sound_differs_by": float((theirs_sound - ours_sound).abs().max()),
        "loudest": float(theirs_sound.abs().max()),
        "encoded_equal": float((encoded == ours_encoded).float().mean()),
    }


def one(lm, text: str, frames: int):
    """Each text by itself: theirs hears the padding of a batch, which ours hides."""
    from audiocraft.modules.conditioners import ConditioningAttributes

    heard = [ConditioningAttributes(text={"description": text})]
    return lm.generate(None, heard, max_gen_len=frames, use_sampling=False, cfg_coef=3.0)


def our_way(folder: Path, frames: int, theirs, sound):
    """Our tokens; the sound that we make of theirs; and the tokens that we make of their sound."""
    from musicgraph.models.compose.composition import stream
    from musicgraph.models.config import Generation, Sampling
    from musicgraph.models.engines.session import TorchEngine
    from musicgraph.models.weights import checkpoint

    opened = checkpoint.open_checkpoint(folder)
    channels, codebooks = opened.config.lm.channels, opened.config.lm.num_codebooks
    engine = TorchEngine(checkpoint.load_lm(opened, torch.float32, torch.device("cpu")))
    heard = checkpoint.load_text_encoder(opened).encode(TEXTS)
    codec = checkpoint.load_codec(opened)
    settings = Generation(frames, sampling=Sampling(temperature=0.0, top_k=1, cfg=3.0))
    tokens = torch.cat(list(stream(engine, settings, heard)), dim=2)
    return tokens, codec.decode(theirs, channels), codec.encode(sound, codebooks)


def main() -> None:
    checkout = Path(sys.argv[1]).resolve()
    sys.path[:0] = [str(ROOT / "tests"), str(checkout)]
    import conftest  # noqa: F401 (binds the name of the package)
    from audiocraft_layout import write_audiocraft
    from tiny import Tiny

    loaders = audiocraft_of(checkout)
    results = {}
    with tempfile.TemporaryDirectory() as work:
        for kind, channels in (("mono", 1), ("stereo", 2)):
            twin = Tiny(Path(work, f"{kind}-twin"), channels)
            write_audiocraft(Path(work, kind), twin.upstream)
            results[kind] = compared(loaders, Path(work, kind), twin, seconds=1.0)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
