"""Is a style heard as audiocraft hears it, and is the music to it theirs? Asked of audiocraft
itself and of MERT's own code.

    python benchmarks/style_parity.py AUDIOCRAFT MERT [GOLDEN]

Two checkouts, of facebookresearch/audiocraft and of yizhilll/MERT; all else is as in
`audiocraft_parity.py`. Their conditioner hears through their MERT. Ours on both sides are
resampling and where an excerpt begins, which they draw from Python's random numbers. Prints one
JSON object, and writes what their bottleneck makes of some features to GOLDEN, for the tests.
"""

from __future__ import annotations

import json
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import torch
from audiocraft_parity import ROOT, audiocraft_of, with_local_t5
from safetensors.torch import save_file

SIZE = 768  # MERT's width stands in their code
SEED, LEVELS, EXCERPT_S, RATE = 3, 3, 3.0, 8000
TEXTS = ["a calm piano", "drums, fast", ""]
FRAMES, CFG = 60, 3.0


def mert_of(checkout: Path, state: dict, settings: dict):
    """A MERT as its own code builds it."""
    package = types.ModuleType("mert_hf")
    package.__path__ = [str(checkout / "scripts/mert_hf")]
    sys.modules["mert_hf"] = package
    from mert_hf.configuration_MERT import MERTConfig
    from mert_hf.modeling_MERT import MERTModel

    settings = {name: value for name, value in settings.items() if name != "model_type"}
    model = MERTModel(MERTConfig(**settings)).eval()
    model.load_state_dict(state)
    return model


class Theirs:
    """audiocraft's LM with its conditioners, the style's hearing through `mert`."""

    def __init__(self, loaders, folder: Path, mert):
        from audiocraft.modules import conditioners

        from musicgraph.models import dsp

        self._module = conditioners
        conditioners.convert_audio = lambda wav, from_rate, to_rate, to_channels: dsp.resample(
            wav, from_rate, to_rate
        )
        with mock.patch("transformers.AutoModel.from_pretrained", lambda *_, **__: mert):
            self.lm = loaders.load_lm_model(folder)
        self.style = self.lm.condition_provider.conditioners["self_wav"]
        for layer in [*self.lm.transformer.layers, *self.style.transformer.layers]:
            layer.self_attn.memory_efficient, layer.self_attn.custom = False, True  # no xformers

    @torch.no_grad()
    def vectors(self, sound, begin: int):
        """`[1, S, d]`, projected"""
        with mock.patch.object(self._module.random, "randint", lambda low, high: begin):
            return self.style(self._wav(sound))[0]

    @torch.no_grad()
    def tokens(self, text: str, sound, begin: int, beta: float | None):
        heard = self._module.ConditioningAttributes(text={"description": text})
        heard.wav["self_wav"] = self._wav(sound)
        with mock.patch.object(self._module.random, "randint", lambda low, high: begin):
            return self.lm.generate(
                None, [heard], max_gen_len=FRAMES, use_sampling=False, cfg_coef=CFG,
                cfg_coef_beta=beta,
            )  # fmt: skip

    def _wav(self, sound):
        length = 0 if sound is None else sound.shape[-1]
        wave = torch.zeros(1, 1, 1) if sound is None else sound
        return self._module.WavCondition(wave, torch.tensor([length]), [RATE], [None], [None])

    @torch.no_grad()
    def golden(self, features) -> dict[str, torch.Tensor]:
        """What stands behind MERT, with each number of codebooks."""
        self.style.feat_extractor = lambda wav: types.SimpleNamespace(last_hidden_state=features)
        made = {"features": features}
        sound = torch.zeros(1, 1, int(EXCERPT_S * RATE))
        for levels in (1, 3, 6):
            self.style.eval_q = levels
            made[f"levels {levels}"] = self.style._get_wav_embedding(self._wav(sound)).contiguous()
        return made


def compared(theirs: Theirs, folder: Path) -> dict[str, float]:
    from musicgraph.models import style
    from musicgraph.models.engines.session import TorchEngine
    from musicgraph.models.weights import checkpoint

    opened = checkpoint.open_checkpoint(folder)
    lm = checkpoint.load_lm(opened, torch.float32, torch.device("cpu"))
    encoder, text = checkpoint.load_style_encoder(opened), checkpoint.load_text_encoder(opened)
    sound = torch.randn(1, 1, 7 * RATE, generator=torch.Generator().manual_seed(0)) / 4
    places = torch.arange(sound.shape[-1])[None, None].float()
    mert = opened.config.style.mert
    begin = int(style.excerpts(places, 24000, EXCERPT_S * RATE / 24000, SEED, mert)[0, 0])
    found = encoder.encode(style.excerpts(sound, RATE, EXCERPT_S, SEED, mert), LEVELS)
    vectors = theirs.vectors(sound, begin)
    pairs = list(_tokens(theirs, TorchEngine(lm), text, found, sound, begin))
    return {
        "vectors_differ_by": float((vectors - lm.sound_projection(found)).abs().max()),
        "largest": float(vectors.abs().max()),
        "tokens_equal": min(float((one == other).float().mean()) for one, other in pairs),
        "runs": len(pairs),
        "distinct_tokens": len(torch.stack([one for one, _ in pairs]).unique()),
    }


def _tokens(theirs: Theirs, engine, text, found, sound, begin: int) -> Iterator[tuple]:
    """Theirs and ours: with a style, with double guidance, and without a style."""
    from musicgraph.models.compose.composition import stream
    from musicgraph.models.conditioning import Style
    from musicgraph.models.config import Generation, Sampling

    settings = Generation(FRAMES, sampling=Sampling(temperature=0.0, top_k=1, cfg=CFG))
    for words in TEXTS:
        for beta in (None, 1.0, 5.0):
            heard = text.encode([words]).with_style(Style(found, beta or 1.0))
            ours = torch.cat(list(stream(engine, settings, heard)), dim=2)
            yield theirs.tokens(words, sound, begin, beta), ours
        ours = torch.cat(list(stream(engine, settings, text.encode([words]))), dim=2)
        yield theirs.tokens(words, None, begin, None), ours


def main() -> None:
    audiocraft, mert_code, *golden = (Path(one).resolve() for one in sys.argv[1:])
    sys.path[:0] = [str(ROOT / "tests"), str(audiocraft)]
    import conftest  # noqa: F401 (binds the name of the package)
    from style_layout import MERT_SIZE, mert_config, random_mert, style_state, write_style
    from tiny import Tiny

    loaders = audiocraft_of(audiocraft)
    with tempfile.TemporaryDirectory() as work:
        twin, folder = Tiny(Path(work, "twin"), 1, melody=True), Path(work, "style")
        built = random_mert(SIZE)
        write_style(folder, twin.upstream, built)
        with_local_t5(folder / "t5-base", twin.config.text_size)
        mert = mert_of(mert_code, built.state_dict(), mert_config(SIZE))
        theirs = Theirs(loaders, folder, mert)
        sound = torch.randn(1, 36000, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            states = [one(sound).last_hidden_state for one in (mert, built)]
        differs = {"mert_differs_by": float((states[0] - states[1]).abs().max())}
        print(json.dumps(differs | compared(theirs, folder)))
    if golden:
        state = style_state(twin.config.hidden_size)
        theirs.style.embed = torch.nn.Linear(MERT_SIZE, theirs.style.dim)
        before = "condition_provider.conditioners.self_wav."
        theirs.style.load_state_dict({k.removeprefix(before): v for k, v in state.items()})
        features = torch.randn(1, 31, MERT_SIZE, generator=torch.Generator().manual_seed(4))
        save_file(theirs.golden(features), golden[0])


if __name__ == "__main__":
    main()
