"""The codec: streaming ≡ at once ≡ upstream, for every way of cutting."""

import json

import pytest
import torch
from tiny import CODEBOOK_SIZE
from upstream import encodec_model, our_codec

from musicgraph.models import onednn
from musicgraph.models.codec_stream import LayerStream
from musicgraph.models.encodec import CodecStream
from musicgraph.models.refused import Refused
from musicgraph.models.weights.checkpoint_config import read_config


def random_tokens(frames, codebooks=4, batch=2):
    return torch.randint(
        0, CODEBOOK_SIZE, (batch, codebooks, frames), generator=torch.manual_seed(frames)
    )


def upstream_decode(upstream, tokens):
    with torch.inference_mode():
        return upstream.decode(tokens[None], [None]).audio_values


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 49, 50, 51, 120])
def test_decoding_equals_upstream_for_every_length(mono, frames):
    tokens = random_tokens(frames)
    ours = mono.codec.decode(tokens, channels=1)
    assert ours.shape == (2, 1, frames * mono.codec.hop)
    torch.testing.assert_close(
        ours, upstream_decode(mono.upstream.audio_encoder, tokens), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("sizes", [[1] * 30, [7, 1, 22], [29, 1], [1, 29], [3, 27]])
def test_the_layers_give_the_same_samples_however_the_frames_are_cut(mono, sizes):
    latent = mono.codec.latent(random_tokens(30), channels=1)
    with torch.inference_mode():
        at_once = LayerStream(mono.codec.decoder).push(latent, final=True)
        stream, pieces = LayerStream(mono.codec.decoder), []
        for i, part in enumerate(latent.split(sizes, dim=2)):
            pieces.append(stream.push(part, final=i == len(sizes) - 1))
    torch.testing.assert_close(torch.cat(pieces, dim=2), at_once, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "config",
    [
        {"use_causal_conv": True},
        {"use_causal_conv": True, "trim_right_ratio": 0.5},
        {"use_conv_shortcut": True},
        {"pad_mode": "constant"},
        {"num_residual_layers": 2},
        {"upsampling_ratios": [8, 5, 3]},
    ],
)
def test_other_members_of_the_family_decode_as_upstream(config):
    upstream = encodec_model(**config)
    tokens = random_tokens(75, codebooks=len(upstream.quantizer.layers))
    theirs = upstream_decode(upstream, tokens)
    ours = our_codec(upstream).decode(tokens, channels=1)
    torch.testing.assert_close(ours, theirs[..., : ours.shape[-1]], atol=1e-5, rtol=0)


def test_without_packed_weights_decoding_equals_upstream_too(monkeypatch):
    monkeypatch.setattr(onednn, "usable", lambda weight: False)
    upstream = encodec_model()
    tokens = random_tokens(75)
    theirs = upstream_decode(upstream, tokens)
    torch.testing.assert_close(
        our_codec(upstream).decode(tokens, channels=1), theirs, atol=1e-5, rtol=0
    )


def another_signature(*_):
    raise TypeError("one argument more")


@pytest.mark.parametrize("packed", [another_signature, lambda self, x, *_: x])
def test_operators_of_torch_that_have_changed_are_not_used(monkeypatch, caplog, packed):
    onednn._as_torch_does.cache_clear()
    monkeypatch.setattr(onednn.Product, "__call__", packed)
    try:
        assert not onednn.usable(torch.ones(2, 2))
    finally:
        onednn._as_torch_does.cache_clear()
    assert "plain" in caplog.text or not torch.backends.mkldnn.is_available()


@pytest.mark.parametrize("operator", ["_linear_pointwise", "_reorder_linear_weight"])
def test_with_an_operator_of_torch_that_has_changed_the_sound_is_right(
    monkeypatch, caplog, operator
):
    upstream, tokens = encodec_model(), random_tokens(75)
    onednn._as_torch_does.cache_clear()
    monkeypatch.setattr(torch.ops.mkldnn, operator, another_signature)
    try:
        ours = our_codec(upstream).decode(tokens, channels=1)
    finally:
        onednn._as_torch_does.cache_clear()
    torch.testing.assert_close(ours, upstream_decode(upstream, tokens), atol=1e-5, rtol=0)
    assert caplog.text.count("plain") == 1 or not torch.backends.mkldnn.is_available()


def test_trying_torchs_operators_draws_nothing():
    onednn._as_torch_does.cache_clear()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    onednn.usable(torch.ones(2, 2))
    assert torch.equal(torch.get_rng_state(), before)


def test_packed_weights_follow_the_weights():
    codec, tokens = our_codec(encodec_model()), random_tokens(75)
    before = codec.decode(tokens, channels=1)
    with torch.no_grad():
        for weight in codec.decoder.parameters():
            weight.mul_(0.9)
    after = codec.decode(tokens, channels=1)
    fresh = our_codec(encodec_model())
    fresh.load_state_dict(codec.state_dict())
    assert not torch.equal(before, after)
    assert torch.equal(after, fresh.decode(tokens, channels=1))


def test_streaming_gives_bit_identical_samples_to_decoding_at_once(mono):
    tokens = random_tokens(170)
    at_once = mono.codec.decode(tokens, channels=1)
    for size in (1, 25, 64):
        stream = CodecStream(mono.codec, channels=1)
        pieces = [stream.push(block) for block in tokens.split(size, dim=2)]
        assert torch.equal(torch.cat([*pieces, stream.close()], dim=2), at_once)


def test_sound_comes_while_tokens_are_still_coming(mono):
    stream = CodecStream(mono.codec, channels=1)
    heard = [stream.push(block).shape[2] for block in random_tokens(200).split(25, dim=2)]
    assert sum(heard) > 140 * mono.codec.hop
    assert sum(heard) + stream.close().shape[2] == 200 * mono.codec.hop


def test_left_and_right_of_stereo_are_decoded_by_themselves(stereo):
    tokens = random_tokens(60, codebooks=8)
    both = stereo.codec.decode(tokens, channels=2)
    assert both.shape[1] == 2
    for channel in range(2):
        alone = stereo.codec.decode(tokens[:, channel::2], channels=1)
        torch.testing.assert_close(both[:, channel : channel + 1], alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("samples", [1, 100, 160, 161, 1000, 8000, 8001, 8159, 20000, 24085])
def test_encoding_equals_upstream(mono, samples):
    waveform = torch.randn(2, 1, samples, generator=torch.manual_seed(0))
    with torch.inference_mode():
        theirs = mono.upstream.audio_encoder.encode(waveform).audio_codes[0]
    ours = mono.codec.encode(waveform, num_codebooks=4)
    assert ours.shape[2] == -(-samples // mono.codec.hop)
    assert torch.equal(ours, theirs[:, :4])


@pytest.mark.parametrize(
    "config",
    [{}, {"use_causal_conv": True}, {"upsampling_ratios": [8, 5, 3]}, {"pad_mode": "constant"}],
)
def test_the_encoders_layers_give_the_same_latents_however_the_samples_are_cut(config):
    upstream = encodec_model(**config)
    encoder, ours = upstream.encoder, our_codec(upstream).encoder
    for samples in range(3000, 3040):
        waveform = torch.randn(1, 1, samples, generator=torch.manual_seed(samples))
        cuts = [1, 7, 500, 1, 1200]
        with torch.inference_mode():
            stream, pieces = LayerStream(ours), []
            parts = waveform.split([*cuts, samples - sum(cuts)], dim=2)
            for i, part in enumerate(parts):
                pieces.append(stream.push(part, final=i == len(parts) - 1))
            torch.testing.assert_close(
                torch.cat(pieces, dim=2), encoder(waveform), atol=1e-5, rtol=0
            )


def test_encoding_stereo_alternates_left_and_right(stereo):
    waveform = torch.randn(1, 2, 4000, generator=torch.manual_seed(0))
    tokens = stereo.codec.encode(waveform, num_codebooks=8)
    for channel in range(2):
        alone = stereo.codec.encode(waveform[:, channel : channel + 1], num_codebooks=4)
        assert torch.equal(tokens[:, channel::2], alone)


def test_tokens_of_another_codec_are_refused(mono):
    with pytest.raises(Refused, match="tokens: got values"):
        mono.codec.decode(torch.full((1, 4, 3), CODEBOOK_SIZE), channels=1)
    with pytest.raises(Refused, match="tokens: got 64 codebooks"):
        mono.codec.decode(torch.zeros(1, 64, 3, dtype=torch.long), channels=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio_channels": 2}, "audio_channels: got 2"),
        ({"norm_type": "time_group_norm"}, "norm_type"),
        ({"trim_right_ratio": 0.5}, "trim_right_ratio: got 0.5, expected 1 where"),
    ],
)
def test_a_codec_of_another_kind_is_refused(mono, tmp_path, changes, message):
    config = json.loads((mono.folder / "config.json").read_text())
    config["audio_encoder"] |= changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(Refused, match=message):
        read_config(tmp_path / "config.json")


def test_cost_is_linear_in_length(mono, monkeypatch):
    """Counted in multiply-adds, not in seconds: four times the frames, four times the work.

    Of torch's own layers, since nobody counts those of packed ones.
    """
    from torch.utils.flop_counter import FlopCounterMode

    monkeypatch.setattr(onednn, "usable", lambda weight: False)

    def work(frames):
        with FlopCounterMode(display=False) as counter:
            mono.codec.decode(random_tokens(frames, batch=1), channels=1)
        return counter.get_total_flops()

    assert work(800) / work(200) == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_samples_that_are_no_numbers_are_refused_not_handed_on(value):
    codec = our_codec(encodec_model())
    with torch.no_grad():
        codec.codebooks[0][3] = value
    fine, spoilt = random_tokens(60, batch=1) % 3, random_tokens(60, batch=1) * 0 + 3
    assert codec.decode(fine, channels=1).isfinite().all()
    with pytest.raises(Refused, match="codec: item 2: got samples that are NaN or infinite"):
        codec.decode(torch.cat([fine, spoilt]), channels=1)


def test_latents_that_are_no_numbers_make_no_tokens():
    codec = our_codec(encodec_model())
    with torch.no_grad():
        codec.encoder[0].bias[0] = float("nan")
    with pytest.raises(Refused, match="codec: item 1, 2: got latents"):
        codec.encode(torch.zeros(2, 1, 8000), 4)
