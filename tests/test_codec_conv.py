"""The codec's convolutions in machine code: torch's numbers, and each row's own bits."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from musicgraph.models.encodec import Codec, CodecStream
from musicgraph.models.engines.codec_conv import (
    MOST_SUM,
    Convolutions,
    compile_decoder,
    rounded,
)
from musicgraph.models.engines.numba_threads import Threads
from musicgraph.models.weights import checkpoint
from musicgraph.models.weights.places import POCKET_FOLDER

LEAST_DB = 75.0
SHAPES = [(96, 256, 7), (128, 320, 2), (64, 32, 3), (32, 64, 1), (64, 1, 7), (16, 8, 3), (8, 16, 1)]
"""channels, outputs, kernel: those of decoders, large and small"""


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.manual_seed(seed))


class Case:
    """A convolution, by torch and by us."""

    def __init__(self, channels, outputs, kernel, precision, elu=True):
        self.matrix = noise(outputs, kernel * channels, seed=1) / (kernel * channels) ** 0.5
        self.bias, self.channels, self.kernel, self.elu = noise(outputs), channels, kernel, elu
        self.convolutions, self.module = Convolutions(precision), nn.Identity()

    @property
    def ours(self):
        return self.convolutions.windows(
            self.module, lambda: self.matrix, self.bias, self.channels, self.elu
        )

    def torchs(self, x):
        heard = (F.elu(x) if self.elu else x).double().transpose(1, 2)
        weight = self.matrix.unflatten(1, (self.kernel, self.channels)).transpose(1, 2)
        return F.conv1d(heard, weight.double(), self.bias.double()).transpose(1, 2)


@pytest.mark.parametrize("elu", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_says_what_torchs_says(shape, elu):
    x = noise(2, 60, shape[0], seed=3)
    exact, rough = (Case(*shape, precision, elu) for precision in ("fp32", "int8"))
    theirs = exact.torchs(x)
    torch.testing.assert_close(exact.ours(x).double(), theirs, atol=1e-5, rtol=0)
    error = (rough.ours(x) - theirs).square().mean() / theirs.square().mean()
    assert -10 * torch.log10(error) > LEAST_DB


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_is_the_same_alone_in_company_and_in_pieces(shape, precision):
    ours, kernel = Case(*shape, precision).ours, shape[2]
    x = noise(3, 130, shape[0])
    together = ours(x)
    for piece in range(3):
        assert torch.equal(ours(x[piece : piece + 1]), together[piece : piece + 1])
    for first, last in ((0, 1), (1, 8), (50, 130 - kernel + 1)):
        part = ours(x[:, first : last + kernel - 1])
        assert torch.equal(part, together[:, first:last])


@pytest.mark.parametrize("threads", [1, 3])
def test_how_many_threads_share_it_changes_no_bit(threads, every_call_is_shared):
    usual, other = (Case(64, 128, 3, "int8") for _ in range(2))
    other.convolutions.threads = Threads(threads)
    x = noise(1, 200, 64)
    assert torch.equal(usual.ours(x), other.ours(x))


def test_no_sum_of_a_group_leaves_32_bits():
    """The largest there can be: all weights and all inputs alike."""
    case = Case(64, 64, 2, "int8", elu=False)
    case.matrix, x = torch.ones(64, 128), torch.full((1, 9, 64), 3.0)
    torch.testing.assert_close(case.ours(x).double(), case.torchs(x), rtol=1e-3, atol=0)
    whole, _ = rounded(torch.stack([torch.ones(128), noise(128)]), 64)
    assert whole.abs().unflatten(1, (-1, 64)).sum(2).max() <= MOST_SUM


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_no_number_stays_none(precision, bad):
    x = noise(1, 30, 32)
    x[0, 14, 5] = bad
    assert not Case(32, 64, 3, precision).ours(x)[0, 12:15].isfinite().any()


# ---------------------------------------------------------------- a whole codec


@pytest.fixture(scope="module")
def opened():
    return checkpoint.open_checkpoint(POCKET_FOLDER)


def tokens(codec, frames, items=1):
    shape = (items, len(codec.codebooks), frames)
    return torch.randint(0, codec.codebook_size, shape, generator=torch.manual_seed(0))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_sound_is_the_same_in_blocks_of_any_size_and_beside_others(opened, precision):
    codec = checkpoint.load_codec(opened)
    compile_decoder(codec, precision)
    asked = tokens(codec, 61, items=2)
    whole = codec.decode(asked, 1)
    for sizes in ([1] * 61, [2, *[3] * 19, 2], [10, 5, 5, 41], [60, 1], [61]):
        stream = CodecStream(codec, 1)
        pieces = [stream.push(block) for block in asked.split(sizes, dim=2)]
        assert torch.equal(torch.cat([*pieces, stream.close()], dim=2), whole)
    for item in range(2):
        assert torch.equal(codec.decode(asked[item : item + 1], 1), whole[item : item + 1])


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 6])
def test_the_shortest_sound_is_torchs(opened, frames):
    usual, ours = checkpoint.load_codec(opened), checkpoint.load_codec(opened)
    compile_decoder(ours, "fp32")
    asked = tokens(usual, frames)
    torch.testing.assert_close(ours.decode(asked, 1), usual.decode(asked, 1), atol=1e-5, rtol=0)


def test_a_codec_whose_outputs_skip_inputs_keeps_torchs_convolutions(opened):
    codec = Codec(dataclasses.replace(opened.config.codec, num_residual_layers=2))
    compile_decoder(codec, "int8")
    assert codec.decodes_with.convolutions is None
    assert not codec.decodes_with.is_exact
