"""The decoder's convolutions in one call: the samples of layer after layer, to the last bit."""

import dataclasses
import threading

import pytest
import torch

from musicgraph.models.config import CodecConfig
from musicgraph.models.encodec import Codec, CodecStream
from musicgraph.models.engines.codec_conv import compile_decoder
from musicgraph.models.engines.numba_threads import Threads

SOON = 60.0
SMALL = CodecConfig(
    sample_rate=4000,
    strides=(2, 3, 2),
    codebook_size=32,
    num_codebooks=3,
    hidden_size=16,
    num_filters=4,
    compress=2,
    num_residual_layers=1,
    num_lstm_layers=1,
    kernel_size=7,
    last_kernel_size=7,
    residual_kernel_size=3,
    dilation_growth=2,
    trim_right=1.0,
    pad_mode="reflect",
    causal=False,
    conv_shortcut=False,
)
KINDS = {
    "usual": SMALL,
    "wide": dataclasses.replace(SMALL, num_filters=16, hidden_size=32),
    "causal": dataclasses.replace(SMALL, causal=True),
    "long kernels": dataclasses.replace(SMALL, residual_kernel_size=5, last_kernel_size=3),
}


def codec_of(config, precision="int8"):
    torch.manual_seed(0)
    codec = Codec(config).eval()
    for parameter in codec.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    compile_decoder(codec, precision)
    return codec


def tokens(codec, frames, items=1):
    shape = (items, len(codec.codebooks), frames)
    return torch.randint(0, codec.codebook_size, shape, generator=torch.manual_seed(1))


def streamed(stream, pieces):
    made = [stream.push(piece) for piece in pieces]
    return torch.cat([*made, stream.close()], dim=2)


def one_by_one(codec, pieces):
    stream = CodecStream(codec, 1)
    stream._decoder._chain = None
    return streamed(stream, pieces)


@pytest.mark.parametrize("sizes", [[1] * 40, [3, 1, 25, 2, 9], [20, 20], [39, 1]], ids=str)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_those_of_the_layers_one_by_one(kind, precision, sizes):
    codec = codec_of(KINDS[kind], precision)
    pieces = tokens(codec, 40, items=2).split(sizes, dim=2)
    stream = CodecStream(codec, 1)
    assert stream._decoder._chain is not None
    assert torch.equal(streamed(stream, pieces), one_by_one(codec, pieces))


def test_it_is_at_work_as_soon_as_the_beginning_is_over():
    stream = CodecStream(codec_of(SMALL), 1)
    asked = tokens(stream._codec, 30)
    stream.push(asked[:, :, :9])
    assert stream._decoder._state is None
    stream.push(asked[:, :, 9:])
    assert stream._decoder._state is not None


@pytest.mark.parametrize("threads", [1, 3])
def test_how_many_threads_share_it_changes_no_bit(threads, every_call_is_shared):
    usual, other = codec_of(SMALL), codec_of(SMALL)
    other.decodes_with.convolutions.threads = Threads(threads)
    pieces = tokens(usual, 50).split(10, dim=2)
    assert torch.equal(one_by_one(usual, pieces), streamed(CodecStream(other, 1), pieces))


def test_two_go_on_from_where_one_stands():
    codec = codec_of(SMALL)
    asked = tokens(codec, 60)
    first = CodecStream(codec, 1)
    begun = [first.push(asked[:, :, :20]), first.push(asked[:, :, 20:30])]
    second = first.copied()
    rest = [streamed(one, asked[:, :, 30:].split(10, dim=2)) for one in (first, second)]
    assert torch.equal(rest[0], rest[1])
    whole = torch.cat([*begun, rest[0]], dim=2)
    assert torch.equal(whole, one_by_one(codec, asked.split(10, dim=2)))


def test_streams_of_several_threads_do_not_disturb_each_other():
    codec = codec_of(SMALL)
    asked = [tokens(codec, 60).roll(i, dims=2).split(3 + i, dim=2) for i in range(6)]
    made: list = [None] * len(asked)

    def decode(i):
        made[i] = streamed(CodecStream(codec, 1), asked[i])

    threads = [threading.Thread(target=decode, args=(i,)) for i in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    for own, pieces in zip(made, asked, strict=True):
        assert torch.equal(own, one_by_one(codec, pieces))


def test_a_codec_whose_shortcuts_are_convolutions_has_its_layers_one_by_one():
    codec = codec_of(dataclasses.replace(SMALL, conv_shortcut=True))
    assert CodecStream(codec, 1)._decoder._chain is None
    pieces = tokens(codec, 30).split(10, dim=2)
    assert torch.equal(streamed(CodecStream(codec, 1), pieces), one_by_one(codec, pieces))


def test_memory_in_which_a_call_was_broken_off_is_not_used_again(monkeypatch):
    """Ctrl-C ends the waiting for threads that still write there."""
    codec = codec_of(SMALL)
    pieces = tokens(codec, 40).split(10, dim=2)
    stream = CodecStream(codec, 1)
    for piece in pieces[:3]:
        stream.push(piece)
    chain = stream._decoder._chain
    (room,) = chain._rooms
    with monkeypatch.context() as broken:
        broken.setattr(chain, "_function", _broken_off)
        with pytest.raises(KeyboardInterrupt):
            stream.push(pieces[3])
    assert torch.equal(streamed(CodecStream(codec, 1), pieces), one_by_one(codec, pieces))
    assert room not in chain._rooms


def _broken_off(*arguments):
    raise KeyboardInterrupt
