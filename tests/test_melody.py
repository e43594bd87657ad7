"""Melody models ≡ transformers' on checkpoints that transformers wrote, on every engine."""

from musicgraph.models.config import ChromaConfig


def test_a_melody_model_is_known_by_its_configuration(melody):
    config = melody.config
    assert config.chroma == ChromaConfig(bins=12, frames=9, window=16384)
    assert not config.cross_attention
    assert melody.lm.chroma_projection.weight.equal(melody.upstream.audio_enc_to_dec_proj.weight)
