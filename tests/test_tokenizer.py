"""Text → ids as transformers has them, from tokenizer.json and from spiece.model; a stranger's file
does no harm.
"""

import io
import json
import shutil

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as some
from transformers import AutoTokenizer, T5Tokenizer

from musicgraph.models.refused import Refused
from musicgraph.models.weights.checkpoint import load_text_encoder, open_checkpoint
from musicgraph.models.weights.places import POCKET_FOLDER
from musicgraph.models.weights.tokenizer import load_tokenizer

LINES = [
    "a calm piano tune with soft strings",
    "fast rock with drums, bass and guitar, 140 bpm",
    "slow flute melody over an organ",
    "happy music box, 90 bpm",
]
POCKET, UPSTREAM = load_tokenizer(POCKET_FOLDER), AutoTokenizer.from_pretrained(POCKET_FOLDER)


@given(some.text())
@settings(max_examples=300, deadline=None)
def test_ids_of_any_text_are_those_of_transformers(text):
    assert POCKET.encode(text) == UPSTREAM(text)["input_ids"]


@pytest.mark.parametrize(
    "text", ["", " ", "</s>", "<pad> <unk>", "a  b\n c\t", "ﬁ ½ é e\u0301", "🎹🎻"]
)
def test_ids_of_odd_texts_are_those_of_transformers(text):
    assert POCKET.encode(text) == UPSTREAM(text)["input_ids"]


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """A spiece.model as T5's: <pad>, </s> and <unk> are 0, 1 and 2."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 4),
        model_writer=model,
        vocab_size=45,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    folder = tmp_path_factory.mktemp("pieces")
    (folder / "spiece.model").write_bytes(model.getvalue())
    return folder


def test_spiece_model_alone_gives_the_ids_of_transformers_t5_tokenizer(pieces):
    ours = load_tokenizer(pieces)
    read = sentencepiece.SentencePieceProcessor(str(pieces / "spiece.model"))
    known = [(read.IdToPiece(i), read.GetScore(i)) for i in range(read.GetPieceSize())]
    theirs = T5Tokenizer(vocab=known, extra_ids=0)

    @given(some.text(alphabet="abcdefghilmnoprstu, 0149ß🎹", max_size=80))
    @settings(max_examples=200, deadline=None)
    def agree(text):
        assert ours.encode(text) == theirs(text)["input_ids"]

    agree()
    for text in LINES:
        assert ours.encode(text) == theirs(text)["input_ids"]
    assert ours.size == 45


def test_a_checkpoint_with_spiece_model_alone_reads_prompts(mono, pieces, tmp_path):
    folder = shutil.copytree(mono.folder, tmp_path / "model")
    for path in folder.glob("*token*"):
        path.unlink()
    shutil.copy(pieces / "spiece.model", folder)
    conditioning = load_text_encoder(open_checkpoint(folder)).encode(["a calm piano", ""])
    assert conditioning.states.shape[0] == 2
    assert conditioning.mask.tolist()[1] == [False] * conditioning.mask.shape[1]


def changed(**values):
    described = json.loads((POCKET_FOLDER / "tokenizer.json").read_text())
    return json.dumps(described | values)


def model(**values):
    described = json.loads((POCKET_FOLDER / "tokenizer.json").read_text())["model"]
    return changed(model=described | values)


PATTERN = {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}
TEMPLATE = {"type": "TemplateProcessing", "single": 3, "pair": [], "special_tokens": {}}
BAD = {
    "an empty object": ("{}", "model: got null"),
    "a list": ("[]", "got a JSON list"),
    "no JSON": ("{", "not readable as JSON"),
    "model is a list": (changed(model=[]), "expected a Unigram model"),
    "another kind of model": (model(type="BPE"), "expected a Unigram model"),
    "no pieces": (model(vocab=[]), "model.vocab"),
    "pieces as an object": (model(vocab={"a": 1}), "model.vocab"),
    "a piece without score": (model(vocab=[["a"]]), "model.vocab"),
    "a score that is no number": (model(vocab=[["a", float("nan")]], unk_id=0), "model.vocab"),
    "unknown beyond the pieces": (model(unk_id=10**6), "model.unk_id"),
    "no unknown": (model(unk_id=None), "model.unk_id"),
    "a normaliser of another kind": (changed(normalizer={"type": "Bert"}), "normalizer"),
    "a pattern that takes for ever": (changed(normalizer=PATTERN), "pattern|plain text"),
    "sequences in sequences": (
        changed(normalizer={"type": "Sequence", "normalizers": [{"type": "Sequence"}]}),
        "normalizer",
    ),
    "a kind that is an object": (changed(pre_tokenizer={"type": {}}), "pre_tokenizer"),
    "a number as normaliser": (changed(normalizer=3), "normalizer: got 3"),
    "a broken charsmap": (
        changed(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        "tokenizer.json",
    ),
    "no end": (changed(post_processor=None), "post_processor"),
    "a template that the library cannot read": (changed(post_processor=TEMPLATE), "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_tokenizer_that_a_library_would_choke_on_is_refused(tmp_path, case):
    content, message = BAD[case]
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(Refused, match=message) as caught:
        load_tokenizer(tmp_path)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("content", [b"", b"x", b"\n\x05\n\x01a", bytes(1000)])
def test_a_broken_spiece_model_is_refused(tmp_path, content):
    (tmp_path / "spiece.model").write_bytes(content)
    with pytest.raises(Refused, match="spiece.model"):
        load_tokenizer(tmp_path)


def test_a_checkpoint_without_tokenizer_is_refused(mono, tmp_path):
    folder = shutil.copytree(mono.folder, tmp_path / "model")
    for path in folder.glob("*token*"):
        path.unlink()
    with pytest.raises(Refused, match="got no tokenizer"):
        load_text_encoder(open_checkpoint(folder))


def test_a_tokenizer_of_another_model_is_refused(mono, tmp_path):
    """Its ids would reach beyond the text encoder's vectors."""
    folder = shutil.copytree(mono.folder, tmp_path / "model")
    shutil.copy(POCKET_FOLDER / "tokenizer.json", folder)
    with pytest.raises(Refused, match=f"got {POCKET.size} pieces, expected at most 64"):
        load_text_encoder(open_checkpoint(folder))


@pytest.mark.parametrize(
    ("text", "message"),
    [("\ud800", "surrogate"), ("a " * 600, "expected at most 512"), ("a" * 10**6, "characters")],
)
def test_a_text_that_cannot_be_read_whole_is_refused(mono, text, message):
    with pytest.raises(Refused, match=message):
        mono.text.encode(["fine", text])


def test_a_text_encoder_that_gives_no_numbers_is_refused(mono, monkeypatch):
    broken = mono.text.encode(["a"]).states * float("inf")
    monkeypatch.setattr(mono.text.t5, "forward", lambda ids, mask: broken)
    with pytest.raises(Refused, match="states that are NaN or infinite"):
        mono.text.encode(["a"])
