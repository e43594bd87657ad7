"""The model that ships: it loads everywhere, follows what it is told, and makes music."""

import os
import subprocess
import sys

import pytest
import torch
from sessions import opened
from transformers import AutoTokenizer
from upstream import musicgen_model

from musicgraph.models import dsp
from musicgraph.models.compose.composition import stream
from musicgraph.models.compose.delay import delayed
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.weights import checkpoint
from musicgraph.models.weights.places import POCKET_FOLDER

MAX_FOLDER_BYTES = 25 * 10**6


class Pocket:
    def __init__(self):
        opened = checkpoint.open_checkpoint(POCKET_FOLDER)
        self.config = opened.config.lm
        self.engine = TorchEngine(checkpoint.load_lm(opened, torch.float32, torch.device("cpu")))
        self.text = checkpoint.load_text_encoder(opened)
        self.codec = checkpoint.load_codec(opened)

    def tokens(self, *texts, seconds=2.0, seed=0, prompt=None, open_end=False, **sampling):
        generation = Generation(self.config.frames(seconds), seed, Sampling(**sampling))
        frames = stream(
            self.engine, generation, self.text.encode(texts), prompt=prompt, open_end=open_end
        )
        return torch.cat(list(frames), dim=2)

    def sound(self, *texts, **settings):
        return self.codec.decode(self.tokens(*texts, **settings), self.config.channels)

    def likelihood(self, text, tokens):
        """Mean log-probability of the first codebook's tokens, teacher-forced."""
        steps = delayed(tokens, self.config.delays, self.config.special_token)
        session = opened(self.engine, self.text.encode([text]), steps.shape[2])
        total = 0.0
        for t in range(tokens.shape[2]):
            logits = session.step(steps[:, :, t : t + 1])[0, 0]
            total += float(torch.log_softmax(logits, dim=-1)[tokens[0, 0, t]])
        return total / tokens.shape[2]


@pytest.fixture(scope="module")
def pocket():
    return Pocket()


def test_it_is_small_enough_for_the_repository():
    assert sum(path.stat().st_size for path in POCKET_FOLDER.iterdir()) <= MAX_FOLDER_BYTES


def test_transformers_loads_it_unmodified_and_gives_the_same_greedy_sound(pocket):
    upstream = musicgen_model(POCKET_FOLDER)
    text = "a happy piano tune with drums"
    batch = AutoTokenizer.from_pretrained(POCKET_FOLDER)([text], return_tensors="pt")
    with torch.inference_mode():
        theirs = upstream.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            do_sample=False,
            guidance_scale=3.0,
            max_new_tokens=50 + pocket.config.max_delay,
        )
    ours = pocket.sound(text, seconds=1.0, temperature=0.0)
    torch.testing.assert_close(ours, theirs.float(), atol=1e-4, rtol=0)


def test_the_same_seed_gives_the_same_music_and_another_seed_other_music(pocket):
    text = "a calm guitar tune"
    once, batch = pocket.tokens(text, seed=7), pocket.tokens(text, text, seed=6)
    assert torch.equal(once, pocket.tokens(text, seed=7))
    assert torch.equal(once, batch[1:])
    assert not torch.equal(once, batch[:1])


def test_it_listens_to_the_words(pocket):
    """What was made for a text is likelier under that text than under another one."""
    drums, flute = "an energetic drum beat, 140 bpm", "a slow solo flute melody, no drums"
    for own, other in ((drums, flute), (flute, drums)):
        tokens = pocket.tokens(own, seconds=3.0, seed=1)
        assert pocket.likelihood(own, tokens) > pocket.likelihood(other, tokens)


def test_guidance_leads_to_what_the_words_make_likelier(pocket):
    """The gain in likelihood that the words bring is larger in music made with guidance."""

    def gain(cfg):
        texts = ("a slow solo flute melody, no drums", "a fast rock tune with drums")
        made = [pocket.tokens(text, seconds=3.0, seed=2, cfg=cfg) for text in texts]
        pairs = zip(texts, made, strict=True)
        return sum(
            pocket.likelihood(text, tokens) - pocket.likelihood("", tokens)
            for text, tokens in pairs
        )

    assert gain(3.0) > gain(1.0)


def test_it_makes_sound_that_is_neither_silent_nor_clipped_nor_stuck(pocket):
    for sound in pocket.sound(
        "a happy piano tune with drums, 120 bpm", "slow strings", seconds=4.0, seed=3
    ):
        assert -45 < dsp.rms_db(sound) < -6
        assert float((sound.abs() > 0.999).float().mean()) < 0.001
        tail = sound[:, -pocket.config.sample_rate :]
        assert dsp.rms_db(tail) > -60
        mel = dsp.mel_db(sound[0], pocket.config.sample_rate)
        assert float(mel.diff(dim=1).abs().mean()) > 0.5, "something moves"


def test_continuing_equals_generating_at_once(pocket):
    text, greedy = "a happy piano tune", {"temperature": 0.0}
    whole = pocket.tokens(text, seconds=2.0, **greedy)
    half = pocket.tokens(text, seconds=1.0, **greedy)
    assert torch.equal(
        pocket.tokens(text, seconds=2.0, prompt=half, open_end=True, **greedy), whole
    )


def test_bf16_and_fp16_give_nearly_the_same_likelihoods(pocket):
    opened = checkpoint.open_checkpoint(POCKET_FOLDER)
    tokens = pocket.tokens("a happy piano tune", seconds=1.0, seed=4)
    exact = pocket.likelihood("a happy piano tune", tokens)
    for dtype in (torch.bfloat16, torch.float16):
        half = Pocket()
        half.engine = TorchEngine(checkpoint.load_lm(opened, dtype, torch.device("cpu")))
        assert half.likelihood("a happy piano tune", tokens) == pytest.approx(exact, abs=0.05)


WITHOUT_TRANSFORMERS = """
import importlib.util, sys
sys.modules["transformers"] = None  # importing it raises
spec = importlib.util.spec_from_file_location("musicgraph", sys.argv.pop(1))
sys.modules["musicgraph"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["musicgraph"])
from musicgraph.cli import main
main()
"""


@pytest.mark.parametrize("engine", ["torch", "auto"])
def test_from_a_sentence_to_a_file_nothing_asks_for_transformers(tmp_path, engine):
    out = tmp_path / "made.wav"
    sentence = ["generate", "a happy piano tune", "--duration", "1", "--model", "pocket"]
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_TRANSFORMERS, str(POCKET_FOLDER.parents[1] / "__init__.py")]
        + [*sentence, "--output", str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "MUSICGRAPH_ENGINE": engine},
    )
    assert ran.returncode == 0, ran.stderr
    assert out.stat().st_size > 32_000
