"""The codec's LSTM for several streams: torch's numbers, and each stream's own bits."""

import threading

import pytest
import torch
from torch import nn

from musicgraph.models.encodec import CodecStream
from musicgraph.models.engines import choose
from musicgraph.models.engines.codec_conv import compile_decoder
from musicgraph.models.engines.codec_lstm import SharedLstm
from musicgraph.models.engines.numba_threads import Threads
from musicgraph.models.refused import Refused
from musicgraph.models.weights import checkpoint
from musicgraph.models.weights.places import POCKET_FOLDER
from musicgraph.nodes.load import MusicGenModelLoader

SOON = 60.0
MOST_ERROR = 1e-3  # of the samples' size: -60 dB


def torchs(layers=2, width=48, seed=0):
    torch.manual_seed(seed)
    return nn.LSTM(width, width, layers).requires_grad_(False)


def frames(steps, rows=1, width=48, seed=0):
    return torch.randn(steps, rows, width, generator=torch.manual_seed(seed))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("steps", "rows"), [(1, 1), (5, 1), (3, 7), (8, 4)])
def test_in_fp32_it_says_what_torchs_says_however_far_it_has_come(layers, steps, rows):
    lstm = torchs(layers)
    ours, (h, c) = SharedLstm(lstm, "fp32"), (None, None)
    state = None
    for turn in range(2):
        x = frames(steps, rows, seed=turn)
        said, state = ours(x, state)
        theirs, (h, c) = lstm(x) if h is None else lstm(x, (h, c))
        torch.testing.assert_close(said, theirs, atol=2e-6, rtol=0)
        torch.testing.assert_close(state[0], h, atol=2e-6, rtol=0)
        torch.testing.assert_close(state[1], c, atol=2e-6, rtol=0)


def test_large_numbers_close_and_open_its_gates_for_good():
    lstm = torchs(1)
    x = 1e4 * frames(2)
    said, _ = SharedLstm(lstm, "fp32")(x, None)
    torch.testing.assert_close(said, lstm(x)[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_row_is_the_same_alone_in_company_and_in_pieces(precision):
    ours, x = SharedLstm(torchs(), precision), frames(8, rows=9)
    together, (h, c) = ours(x, None)
    for row in range(9):
        first, state = ours(x[:3, row : row + 1], None)
        second, state = ours(x[3:, row : row + 1], state)
        assert torch.equal(torch.cat([first, second]), together[:, row : row + 1])
        assert torch.equal(state[0], h[:, row : row + 1])
        assert torch.equal(state[1], c[:, row : row + 1])


@pytest.mark.parametrize("threads", [1, 3])
def test_how_many_threads_share_it_changes_no_bit(threads, every_call_is_shared):
    usual, other = (SharedLstm(torchs(width=256), "int8") for _ in range(2))
    other.threads = Threads(threads)
    x = frames(5, 2, width=256)
    assert torch.equal(usual(x, None)[0], other(x, None)[0])


class Counted(SharedLstm):
    """Notes how many streams are read together."""

    def __init__(self, lstm, precision):
        super().__init__(lstm, precision)
        self.companies = []

    def _read(self, wishes):
        self.companies.append(len(wishes))
        super()._read(wishes)


def at_once(lstm, asked):
    """What each is told whose call comes while the LSTM is at work."""
    told: list = [None] * len(asked)

    def ask(i, x):
        try:
            told[i] = lstm(x, None)[0]
        except RuntimeError as error:
            told[i] = error

    threads = [threading.Thread(target=ask, args=pair) for pair in enumerate(asked)]
    with lstm._at_work:
        for thread in threads:
            thread.start()
        while len(lstm._waiting) < len(asked):
            pass
    for thread in threads:
        thread.join(SOON)
    return told


def test_streams_that_ask_at_the_same_time_are_read_together_and_have_their_own_bits():
    lstm = Counted(torchs(), "int8")
    asked = [frames(5, seed=i) for i in range(4)] + [frames(3, seed=9)]
    told = at_once(lstm, asked)
    assert sorted(lstm.companies) == [1, 4], "of one length each"
    for x, said in zip(asked, told, strict=True):
        assert torch.equal(said, lstm(x, None)[0])


def test_an_error_is_told_to_all_who_were_read_together_and_to_nobody_after_them(monkeypatch):
    lstm = Counted(torchs(), "int8")
    with monkeypatch.context() as broken:
        broken.setattr(lstm.threads, "run", _broken)
        told = at_once(lstm, [frames(5, seed=i) for i in range(2)])
    assert all(isinstance(one, RuntimeError) for one in told)
    assert lstm(frames(5), None)[0].isfinite().all()


def _broken(*_):
    raise RuntimeError("no memory")


@pytest.fixture(scope="module")
def pocket():
    opened = checkpoint.open_checkpoint(POCKET_FOLDER)

    def load(precision=None):
        codec = checkpoint.load_codec(opened)
        if precision is not None:
            compile_decoder(codec, precision)
        return codec

    return load


def tokens(codec, frames=60, seed=0):
    shape = (1, len(codec.codebooks), frames)
    dice = torch.Generator().manual_seed(seed)  # of its own: threads ask
    return torch.randint(0, codec.codebook_size, shape, generator=dice)


def test_pockets_sound_is_torchs_in_fp32_and_within_60_db_of_it_in_int8(pocket):
    asked = tokens(pocket())
    exact = pocket().decode(asked, 1)
    torch.testing.assert_close(pocket("fp32").decode(asked, 1), exact, atol=1e-5, rtol=0)
    rough = pocket("int8").decode(asked, 1)
    error = (rough - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    assert 0 < error < MOST_ERROR


def test_what_is_no_number_is_found_though_gates_hide_it(pocket):
    codec = pocket("int8")
    codec.decoder[0].bias[0] = torch.nan
    with pytest.raises(Refused, match="NaN"):
        codec.decode(tokens(codec), 1)


def test_streams_in_threads_have_the_samples_of_decoding_at_once(pocket):
    codec, found = pocket("int8"), {}

    def play(seed):
        stream, asked = CodecStream(codec, 1), tokens(codec, seed=seed)
        pieces = [stream.push(piece) for piece in asked.split(7, dim=2)]
        found[seed] = torch.cat([*pieces, stream.close()], dim=2)

    threads = [threading.Thread(target=play, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    for seed in range(4):
        assert torch.equal(found[seed], codec.decode(tokens(codec, seed=seed), 1))


@pytest.mark.parametrize(
    ("engine", "precision", "shared"),
    [("numba", "int8", True), ("numba", "fp32", True), ("torch", "fp32", False)],
)
def test_a_loader_shares_it_where_the_fast_engine_runs(monkeypatch, engine, precision, shared):
    monkeypatch.setenv(choose.ENGINE_VARIABLE, engine)
    _, _, part = MusicGenModelLoader().load("pocket", precision, "cpu")
    assert isinstance(part.codec.module.decodes_with.lstm, SharedLstm) == shared
