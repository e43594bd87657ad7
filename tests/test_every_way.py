"""Every kind of model, in every way of composing: as long as asked for, with its channels, and the
same again.
"""

import copy
from dataclasses import replace
from itertools import product

import pytest
import torch
from adapters import write_adapter

from musicgraph.models.compose.composition import stream
from musicgraph.models.conditioning import Melody
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.weights import checkpoint
from musicgraph.models.weights.adapted import adapted
from musicgraph.models.weights.peft_adapter import open_peft

WINDOW, WITHIN, BEYOND, PROMPT = 12, 9, 25, 5
WAYS = [
    "-".join(way)
    for way in product(
        ("text", "melody"),
        ("mono", "stereo"),
        ("fresh", "continued"),
        ("within", "beyond"),
        ("plain", "negative", "lora"),
    )
]


def a_melody(config):
    chroma = torch.eye(config.chroma.bins)[None, [0, 4, 7, 0, 5]]
    return Melody(chroma, config.sample_rate / config.chroma.hop)


@pytest.fixture(scope="module")
def with_lora(tmp_path_factory):
    """The LM of a tiny checkpoint with an adapter on it."""
    made = {}

    def loaded(tiny):
        if tiny.folder not in made:
            folder = tmp_path_factory.mktemp("lora")
            write_adapter(copy.deepcopy(tiny.upstream), folder)
            weights = adapted(tiny.checkpoint, open_peft(folder, tiny.checkpoint.config), 1.0)
            lm = checkpoint.load_lm(weights, torch.float32, torch.device("cpu"))
            made[tiny.folder] = lm
        return made[tiny.folder]

    return loaded


@pytest.mark.parametrize("way", WAYS)
def test_it_is_as_long_as_asked_for_and_the_same_again(way, request, with_lora):
    kind, channels, begun, length, wish = way.split("-")
    tiny = request.getfixturevalue(channels if kind == "text" else f"melody_{channels}")
    config = replace(tiny.config, window_frames=WINDOW)
    engine = TorchEngine(with_lora(tiny) if wish == "lora" else tiny.lm)
    engine.config = config
    heard = tiny.text.encode(["a happy song", "drums"])
    if kind == "melody":
        heard = heard.with_melody(a_melody(config))
    frames = WITHIN if length == "within" else BEYOND
    prompt = None
    if begun == "continued":
        prompt = torch.arange(config.num_codebooks * PROMPT).view(1, -1, PROMPT) % 64
    generation = Generation(frames, 7, Sampling(top_k=50))
    negative = tiny.text.encode(["noise, a long list"]) if wish == "negative" else None
    once, again = (
        torch.cat(list(stream(engine, generation, heard, negative, prompt)), dim=2)
        for _ in range(2)
    )
    assert once.shape == (2, config.num_codebooks, frames)
    assert torch.equal(once, again)
    assert prompt is None or torch.equal(once[:, :, :PROMPT], prompt.expand(2, -1, -1))
    count = {"mono": 1, "stereo": 2}[channels]
    hop = tiny.checkpoint.config.codec.hop
    assert tiny.codec.decode(once, count).shape == (2, count, frames * hop)
    if wish == "lora":
        plain = TorchEngine(tiny.lm)
        plain.config = config
        without = torch.cat(list(stream(plain, generation, heard, None, prompt)), dim=2)
        assert not torch.equal(once, without), "an adapter that is not heard shows nothing"
