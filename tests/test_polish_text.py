"""Teaching words from text alone: what the decoder reads is compared, the text side changes."""

import random
import sys
from pathlib import Path

import pytest
import torch
from tiny import write_tiny_checkpoint

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

import polish_text  # noqa: E402
from export import TEMPERATURE  # noqa: E402
from guided_kl import GuidedMusic, HeardSettings  # noqa: E402
from polish_text import Polisher, PolishSettings  # noqa: E402
from text_side import Listener, deepen, small_letters, widen_embeddings  # noqa: E402

SMALL = PolishSettings(rows=8, pooled=2, recorded_rows=2, recorded_frames=12, warmup_steps=2)
HEARD = HeardSettings(wishes=6, held_out=2, rows=2)
MUSIC = torch.randint(64, (6, 4, 9), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def source(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    write_tiny_checkpoint(folder)
    monkeypatch.setattr(polish_text, "PolishSettings", lambda: SMALL)
    monkeypatch.setattr(polish_text, "HeardSettings", lambda: HEARD)
    monkeypatch.setattr(polish_text, "record_music", lambda *_: MUSIC)
    monkeypatch.setattr(polish_text, "irrelevant_words", lambda: ["zebra", "teapot"])
    monkeypatch.setattr(polish_text, "words_to_know", lambda: (["drums", "piano"], []))
    return folder


def _polisher(source, name="work"):
    folder = source.parent / name
    folder.mkdir(exist_ok=True)
    return Polisher(source, folder, hours=1.0)


def test_the_listener_reads_what_the_decoder_reads(tmp_path):
    model = write_tiny_checkpoint(tmp_path)
    attention = model.decoder.model.decoder.layers[0].encoder_attn
    asked, read = [], []
    attention.q_proj.register_forward_hook(lambda _m, _i, made: asked.append(made[0]))
    attention.register_forward_hook(lambda _m, _i, made: read.append(made[0][0]))
    states, mask = torch.randn(1, 5, 32), torch.tensor([[1, 1, 1, 0, 0]])
    with torch.no_grad():
        ids = torch.randint(64, (4, 7))
        model.decoder.model.decoder(
            input_ids=ids, encoder_hidden_states=states, encoder_attention_mask=mask
        )
        heard = Listener([attention]).hear(states, mask, torch.stack(asked))[0]
        torch.testing.assert_close(attention.out_proj(heard[0]), read[0], atol=1e-5, rtol=0)


def test_capitals_use_the_embedding_of_small_letters():
    assert small_letters(["▁a", "▁Drums", "▁drums", "▁DRUMS", "▁X"]).tolist() == [0, 2, 2, 2, 4]


def test_known_pieces_keep_their_embeddings(tmp_path):
    model = write_tiny_checkpoint(tmp_path)
    known = {"▁a": torch.ones(24), "▁b": 2 * torch.ones(24)}
    widen_embeddings(model, ["▁b", "▁A", "▁new", "▁a"], known)
    table = model.text_encoder.shared.weight
    assert table[:, 0].tolist()[:2] == [2.0, 1.0] and table[3, 0] == 1.0
    assert model.text_encoder.shared is model.text_encoder.encoder.embed_tokens


def test_layers_that_are_added_change_nothing_at_first(tmp_path):
    model = write_tiny_checkpoint(tmp_path)
    ids = torch.randint(2, 20, (2, 6))
    before = model.text_encoder(input_ids=ids).last_hidden_state
    layers = len(model.text_encoder.encoder.block)
    deepen(model, layers + 2)
    assert len(model.text_encoder.encoder.block) == model.config.text_encoder.num_layers
    torch.testing.assert_close(model.text_encoder(input_ids=ids).last_hidden_state, before)


def test_music_diverges_by_what_its_words_say_otherwise_and_not_else(tmp_path):
    decoder = write_tiny_checkpoint(tmp_path).decoder.requires_grad_(False)
    music = GuidedMusic(decoder, MUSIC, 5, HEARD)
    pairs, columns = music.draw(random.Random(1), ["zebra"])
    assert len(pairs) == HEARD.rows and columns.shape == (HEARD.rows, 4, 9 + 4)
    mask = torch.ones(HEARD.rows, 3, dtype=torch.long)
    said, other = (torch.randn(HEARD.rows, 3, 32) for _ in range(2))
    wanted = other.clone().requires_grad_()
    assert abs(float(music.divergence((said, mask), (said, mask), columns))) < 1e-6
    apart = music.divergence((wanted, mask), (said, mask), columns)
    apart.backward()
    nearer = (wanted - 0.1 * wanted.grad).detach()
    assert 0 < float(music.divergence((nearer, mask), (said, mask), columns)) < apart.item()


def test_music_that_is_held_out_is_never_trained_on(tmp_path):
    music = GuidedMusic(write_tiny_checkpoint(tmp_path).decoder, MUSIC, 5, HEARD)
    rng, drawn = random.Random(1), {}
    for held in (False, True):
        many = [one for _ in range(30) for one in music.draw(rng, [], held)[1]]
        drawn[held] = {tuple(one.flatten().tolist()) for one in many}
    assert (len(drawn[False]), len(drawn[True])) == (4, 2) and not drawn[False] & drawn[True]


def test_training_brings_the_prompt_nearer_to_its_caption_and_leaves_the_decoder_alone(source):
    polisher = _polisher(source)
    before = polisher.validate(batches=1)["val_free"]
    decoder = {n: p.clone() for n, p in polisher.model.decoder.named_parameters()}
    for _ in range(40):
        polisher.train_step()
    polisher.average = {n: p.detach().clone() for n, p in polisher.weights.items()}
    assert polisher.validate(batches=1)["val_free"] < 0.97 * before
    assert all(torch.equal(p, decoder[n]) for n, p in polisher.model.decoder.named_parameters())


def test_a_stopped_training_goes_on_where_it_was(source):
    polisher = _polisher(source)
    for _ in range(SMALL.pooled):  # whole pools: a new start draws the next one
        polisher.train_step()
    polisher.save()
    again = _polisher(source)
    assert again.step == SMALL.pooled
    assert all(torch.equal(again.weights[n], p) for n, p in polisher.weights.items())


class Asked:
    """Somebody who asks for the end after so many looks."""

    def __init__(self, steps):
        self.left = steps

    @property
    def asked(self):
        self.left -= 1
        return self.left < 0


def test_who_asks_for_the_end_finds_the_state_and_no_model(source):
    polisher = _polisher(source)
    assert polisher.run(Asked(2)) is False
    assert _polisher(source).step == polisher.step == 2


def test_an_earlier_run_with_fewer_words_can_be_the_start(source):
    earlier = _polisher(source)
    earlier.train_step()
    earlier.save()
    later = Polisher(source, source.parent, 1.0, earlier.path)
    assert torch.equal(
        later.weights["enc_to_dec_proj.weight"], earlier.average["enc_to_dec_proj.weight"]
    )
    assert later.step == 0


def test_what_is_exported_reads_capitals_as_small_letters(source):
    polisher = _polisher(source)
    (source.parent / "work" / "tokenizer" / "special_tokens_map.json").touch()
    polisher.export(source.parent / "made")
    from transformers import AutoTokenizer, MusicgenForConditionalGeneration

    model = MusicgenForConditionalGeneration.from_pretrained(
        source.parent / "made", dtype=torch.float32
    )
    table, ids = (
        model.text_encoder.shared.weight,
        AutoTokenizer.from_pretrained(source.parent / "made").get_vocab(),
    )
    assert torch.equal(table[ids["▁DRUMS"]], table[ids["▁drums"]])
    assert len(ids) == len(table)


def test_what_is_exported_plays_at_temperature_1_as_the_trained_one_does_at_its_own(source):
    polisher = _polisher(source)
    trained = [head.weight.clone() for head in polisher.teacher.decoder.lm_heads]
    (source.parent / "work" / "tokenizer" / "special_tokens_map.json").touch()
    polisher.export(source.parent / "made")
    from transformers import MusicgenForConditionalGeneration

    made = MusicgenForConditionalGeneration.from_pretrained(source.parent / "made")
    assert made.generation_config.temperature in (None, 1.0)
    for head, weight in zip(made.decoder.lm_heads, trained, strict=True):
        torch.testing.assert_close(head.weight.float(), weight / TEMPERATURE, rtol=2e-3, atol=1e-4)


def test_words_of_prompts_and_of_captions_become_pieces():
    words, bare = polish_text.words_to_know()
    assert {"chillhop", "soulful", "brushes", "bpm"} <= set(words)
    assert "piano" in bare and len(words) == len(set(words))
