"""Does a piece come out of a MAGNeT as it does of audiocraft's own? Asked of audiocraft itself.

    python benchmarks/magnet_parity.py CHECKOUT [--keep]

CHECKOUT is a checkout of facebookresearch/audiocraft; see `audiocraft_parity.py` for what has to be
installed and what is stood in for. Small random weights, with one text and with another, fresh and
with a prompt, taking the likeliest token and drawing with the same noise. Prints one JSON object.
`--keep` writes what the tests keep of audiocraft's answers.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from unittest import mock

import torch
from audiocraft_parity import ROOT, TEXTS, audiocraft_of, with_local_t5

FRAME_RATE = 50
SEED = 11
SHAPES = {
    "span 3, reach 5": {},
    "span 4, reach 2": {"span_len": 4, "subcodes_context": 2},
    "span 1, no bound": {"span_len": 1, "subcodes_context": -1},
}
PROMPTS = {"fresh": 0, "continued": 19}


def their_magnet(loaders, folder: Path, text_size: int):
    """With attention by torch; its masks are made for the frames of all spans, as they then run."""
    with_local_t5(folder / "t5-base", text_size)
    with mock.patch("audiocraft.modules.transformer.set_efficient_attention_backend"):
        lm = loaders.load_lm_model_magnet(folder, FRAME_RATE)
    for layer in lm.transformer.layers:
        for attention in (layer.self_attn, layer.cross_attention):
            attention.memory_efficient, attention.custom = False, True
    frames = _length(lm) // lm.span_len * lm.span_len
    masks = [one if one is None else one[..., :frames, :frames] for one in lm.attn_mask_per_stage]
    lm.attn_mask_per_stage = masks
    return lm


def _length(lm) -> int:
    return int(lm.cfg.dataset.segment_duration * FRAME_RATE)


class SameNoise:
    """Their draws, from ours: `multinomial` among likelihoods in the order that theirs are in."""

    def __init__(self, frames: int, size: int):
        from musicgraph.models.compose.noise import Noise

        self._noise = Noise(SEED, 1, frames, size, torch.device("cpu"))

    def top_p(self, likely, p):
        from audiocraft.utils import utils

        noise, order = self._noise.draw(), likely.sort(dim=-1, descending=True).indices
        return self._with(noise[:, None].gather(-1, order), utils.sample_top_p, likely, p)

    def top_k(self, likely, k):
        from audiocraft.utils import utils

        return self._with(self._noise.draw()[:, None], utils.sample_top_k, likely, k)

    def _with(self, noise, sample, *given):
        def multinomial(likely, num_samples):
            return (likely / noise).argmax(dim=-1, keepdim=True)

        with mock.patch("audiocraft.utils.utils.multinomial", multinomial):
            return sample(*given)


def their_piece(lm, text: str, draw: dict, prompt):
    from audiocraft.modules.conditioners import ConditioningAttributes

    frames = _length(lm)
    noise = SameNoise(frames // lm.span_len * lm.span_len, lm.card)
    heard = [ConditioningAttributes(text={"description": text})]
    settings = {"temp": draw["temperature"], "top_p": draw.get("top_p", 0.0),
                "top_k": draw.get("top_k", 0)}  # fmt: skip
    own = mock.Mock(sample_top_p=noise.top_p, sample_top_k=noise.top_k)
    with mock.patch("audiocraft.models.lm_magnet.utils", own):
        return lm.generate(
            prompt, heard, max_gen_len=frames, use_sampling=draw["temperature"] > 0,
            max_cfg_coef=10.0, min_cfg_coef=1.0, **settings,
        )  # fmt: skip


def our_piece(parts, text: str, draw: dict, prompt):
    from musicgraph.models.compose.magnet import piece_at_once
    from musicgraph.models.config import Generation, Sampling

    engine, encoder = parts
    sampling = Sampling(**({"top_k": 1} | draw), cfg=10.0)
    generation = Generation(engine.config.window_frames, SEED, sampling)
    *_, tokens = piece_at_once(engine, generation, encoder.encode([text]), prompt=prompt)
    return tokens


def half_masked(tokens, special: int):
    masked = tokens.clone()
    masked[:, :, 1::5] = masked[:, :, 2::5] = special
    return masked


def their_logits(lm, masked, text: str):
    """`[K, T, V]`: of each codebook, as its stage reads."""
    from audiocraft.modules.conditioners import ConditioningAttributes

    heard = lm.condition_provider(
        lm.condition_provider.tokenize([ConditioningAttributes(text={"description": text})])
    )
    with torch.no_grad():
        return torch.stack([lm(masked, [], heard, stage=k)[0, k] for k in range(lm.n_q)])


def our_logits(parts, masked, text: str):
    engine, encoder = parts
    reader = engine.whole([encoder.encode([text])], masked.shape[2])
    reach = engine.config.magnet.reach
    books = range(engine.config.num_codebooks)
    return torch.stack([reader.logits(masked, k, reach if k else None)[0] for k in books])


def logits_differ(lm, parts, tokens, text: str) -> float:
    """The largest difference of a pass, over all codebooks, when nearly half is masked."""
    masked = half_masked(tokens, lm.special_token_id)
    return float((their_logits(lm, masked, text) - our_logits(parts, masked, text)).abs().max())


def keep(loaders, work: Path) -> None:
    """Audiocraft's logits and tokens on weights that every machine has."""
    from magnet_layout import DRAWS, EVERY, GOLDEN, PROMPT, write_golden_magnet
    from safetensors.torch import save_file
    from tiny import Tiny

    twin = Tiny(work / "golden-twin", 1)
    folder = write_golden_magnet(work / "golden", twin)
    lm, kept = their_magnet(loaders, folder, twin.config.text_size), {}
    for name, draw in DRAWS.items():
        for begun, prompt in (("fresh", None), ("continued", PROMPT)):
            kept[f"{begun} {name}"] = their_piece(lm, TEXTS[0], draw, prompt).to(torch.uint8)
    masked = half_masked(kept["fresh likeliest"].long(), lm.special_token_id)
    kept["masked"] = masked.to(torch.uint8)
    kept["logits"] = their_logits(lm, masked, TEXTS[0])[:, ::EVERY]
    save_file({name: one.contiguous() for name, one in kept.items()}, GOLDEN)


def opened(folder: Path):
    from musicgraph.models.engines.session import TorchEngine
    from musicgraph.models.weights import checkpoint

    weights = checkpoint.open_checkpoint(folder)
    lm = checkpoint.load_lm(weights, torch.float32, torch.device("cpu"))
    return TorchEngine(lm), checkpoint.load_text_encoder(weights)


def compared(lm, parts) -> dict[str, dict[str, float]]:
    from magnet_layout import DRAWS

    whole = torch.randint(lm.card, (1, lm.n_q, _length(lm)))
    results = {}
    for begun, known in PROMPTS.items():
        prompt = whole[:, :, :known] if known else None
        for name, draw in DRAWS.items():
            theirs = torch.cat([their_piece(lm, text, draw, prompt) for text in TEXTS])
            ours = torch.cat([our_piece(parts, text, draw, prompt) for text in TEXTS])
            equal = float((theirs == ours).float().mean())
            results[f"{begun}, {name}"] = {"tokens_equal": equal, "distinct": len(ours.unique())}
    differ = [logits_differ(lm, parts, ours[:1], text) for text in TEXTS]
    return results | {"logits": {"differ_by": max(differ)}}


def main() -> None:
    checkout = Path(sys.argv[1]).resolve()
    sys.path[:0] = [str(ROOT / "tests"), str(checkout)]
    import conftest  # noqa: F401 (binds the name of the package)
    from magnet_layout import write_magnet
    from tiny import Tiny

    loaders, results = audiocraft_of(checkout), {}
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as work:
        twin = Tiny(Path(work, "twin"), 1)
        for name, magnet in SHAPES.items():
            folder = write_magnet(Path(work, name), twin, **magnet)
            lm = their_magnet(loaders, folder, twin.config.text_size)
            results[name] = compared(lm, opened(folder))
        if "--keep" in sys.argv[2:]:
            keep(loaders, Path(work))
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
