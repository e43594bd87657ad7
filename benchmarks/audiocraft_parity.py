"""Is what we read audiocraft's layout, and is our music theirs? Asked of audiocraft itself.

    python benchmarks/audiocraft_parity.py CHECKOUT

CHECKOUT is a checkout of facebookresearch/audiocraft, whose einops, omegaconf and librosa have to
be installed. Its other requirements are not needed for this and are stood in for, so that its own
builders and loaders run in this environment, on small random weights: of torchaudio the power
spectrum that its chroma is made of; Demucs is left out, so that both hear the whole sound. Prints
one JSON object.
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
MELODY_S = 4.2  # nine frames of chroma, which is what the tiny models hear
ABSENT = ("xformers", "flashy", "spacy", "torchaudio", "julius", "torchdiffeq",
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


class PowerSpectrum(torch.nn.Module):
    """What torchaudio's `Spectrogram` is asked for: power over that of its window."""

    def __init__(self, n_fft, win_length, hop_length, **_):
        super().__init__()
        self.sizes = {"n_fft": n_fft, "win_length": win_length, "hop_length": hop_length}
        self.window = torch.hann_window(win_length)

    def forward(self, sound):
        rows = sound.reshape(-1, sound.shape[-1])
        made = torch.stft(rows, **self.sizes, window=self.window, return_complex=True)
        power = made.abs().square() / self.window.square().sum()
        return power.unflatten(0, sound.shape[:-1])


def audiocraft_of(checkout: Path):
    """Its loaders."""
    sys.meta_path.insert(0, StandIns())
    import demucs.pretrained
    import torchaudio

    torchaudio.transforms.Spectrogram = PowerSpectrum
    demucs.pretrained.get_model().to().sources = ["drums", "bass", "other", "vocals"]
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


def their_lm(loaders, folder: Path, twin):
    """Without what is not here: xformers, Demucs."""
    from audiocraft.modules.conditioners import ChromaStemConditioner

    ChromaStemConditioner._get_stemmed_wav = lambda self, sound, rate: sound
    with_local_t5(folder / "t5-base", twin.config.text_size)
    lm = loaders.load_lm_model(folder)
    for layer in lm.transformer.layers:
        for attention in filter(None, (layer.self_attn, layer.cross_attention)):
            attention.memory_efficient, attention.custom = False, True
    return lm


def compared(loaders, folder: Path, twin, seconds: float, melody=None) -> dict[str, float | bool]:
    """Their whole way from a text, and a melody `[samples]`, to sound, greedy, and ours."""
    from audiocraft.models.builders import get_wrapped_compression_model

    lm = their_lm(loaders, folder, twin)
    codec = get_wrapped_compression_model(loaders.load_compression_model(folder), lm.cfg)
    codec.set_num_codebooks(twin.config.levels)  # the tiny codec has more
    frames = int(seconds * codec.frame_rate)
    rate = twin.config.sample_rate
    with torch.no_grad():
        theirs = torch.cat([one(lm, text, frames, melody, rate) for text in TEXTS])
        theirs_sound = codec.decode(theirs)
        encoded, _ = codec.encode(theirs_sound)
    ours, ours_sound, ours_encoded = our_way(folder, frames, theirs, theirs_sound, melody)
    return {
        "tokens_equal": float((theirs == ours).float().mean()),
        "distinct_tokens": len(theirs.unique()),
        "sound_differs_by": float((theirs_sound - ours_sound).abs().max()),
        "loudest": float(theirs_sound.abs().max()),
        "encoded_equal": float((encoded == ours_encoded).float().mean()),
    } | ({} if melody is None else chroma_compared(lm, twin.config, melody))


def one(lm, text: str, frames: int, melody, rate: int):
    """Each text by itself: theirs hears the padding of a batch, which ours hides."""
    from audiocraft.modules.conditioners import ConditioningAttributes

    heard = ConditioningAttributes(text={"description": text})
    if "self_wav" in lm.condition_provider.conditioners:
        heard.wav["self_wav"] = as_theirs(melody, rate)
    return lm.generate(None, [heard], max_gen_len=frames, use_sampling=False, cfg_coef=3.0)


def as_theirs(melody, rate: int):
    """No melody is a single zero there."""
    from audiocraft.modules.conditioners import WavCondition

    sound = torch.zeros(1) if melody is None else melody
    length = torch.tensor([0 if melody is None else len(sound)])
    return WavCondition(sound[None, None], length, [rate], [None], [0.0])


def chroma_compared(lm, config, melody) -> dict[str, float]:
    """The share of frames that both hear as one pitch class, and how many classes there are."""
    from musicgraph.models.chroma import melody_of

    conditioner = lm.condition_provider.conditioners["self_wav"]
    theirs = conditioner._get_wav_embedding(as_theirs(melody, config.sample_rate))[0]
    ours = melody_of(melody[None, None], config.sample_rate, config).chroma[0][: len(theirs)]
    same = theirs.argmax(dim=1) == ours.argmax(dim=1)
    return {
        "chroma_equal": float(same.float().mean()),
        "pitch_classes": len(ours.argmax(1).unique()),
    }


def our_way(folder: Path, frames: int, theirs, sound, melody):
    """Our tokens; the sound that we make of theirs; and the tokens that we make of their sound."""
    from musicgraph.models.chroma import melody_of
    from musicgraph.models.compose.composition import stream
    from musicgraph.models.config import Generation, Sampling
    from musicgraph.models.engines.session import TorchEngine
    from musicgraph.models.weights import checkpoint

    opened = checkpoint.open_checkpoint(folder)
    config = opened.config.lm
    engine = TorchEngine(checkpoint.load_lm(opened, torch.float32, torch.device("cpu")))
    heard = checkpoint.load_text_encoder(opened).encode(TEXTS)
    if melody is not None:
        heard = heard.with_melody(melody_of(melody[None, None], config.sample_rate, config))
    codec = checkpoint.load_codec(opened)
    settings = Generation(frames, sampling=Sampling(temperature=0.0, top_k=1, cfg=3.0))
    tokens = torch.cat(list(stream(engine, settings, heard)), dim=2)
    return tokens, codec.decode(theirs, config.channels), codec.encode(sound, config.num_codebooks)


def a_tune(rate: int):
    """[samples]: a note for each frame of chroma, with overtones."""
    time = torch.arange(int(MELODY_S * rate)) / rate
    notes = torch.tensor([60, 64, 67, 65, 62, 70, 57, 61, 66])
    note = notes[(time / MELODY_S * len(notes)).long()]
    pitch = 440 * 2 ** ((note - 69) / 12)
    phase = 2 * torch.pi * (pitch / rate).cumsum(0)
    return sum(torch.sin(k * phase) / k for k in (1, 2, 3)) * 0.3


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
            twin = Tiny(Path(work, f"melody-{kind}-twin"), channels, melody=True)
            folder = Path(work, f"melody-{kind}")
            write_audiocraft(folder, twin.upstream, segment_s=MELODY_S)
            for name, tune in (("without", None), ("with", a_tune(twin.config.sample_rate))):
                found = compared(loaders, folder, twin, 1.0, tune)
                results[f"melody {kind}, {name} a melody"] = found
    print(json.dumps(results))


if __name__ == "__main__":
    main()
