"""What we call each weight, and its shape: the names that engines ask for, whatever files say.

Names are as fine as any layout has them: q, k and v are three, and so are the tables and heads of
the codebooks. Who wants them in one piece puts them together. Needs no torch.
"""

from __future__ import annotations

from .codec_layers import Shapes, decoder_layers, encoder_layers
from .config import CodecConfig, LMConfig, MERTConfig, ModelConfig, StyleConfig, T5Config

LM, TEXT, CODEC, STYLE, MERT = "lm", "text", "codec", "style", "mert"
"""How the names of a part begin."""


def all_shapes(config: ModelConfig) -> Shapes:
    """Every weight of a checkpoint → its shape."""
    parts = {
        LM: lm_shapes(config.lm),
        TEXT: text_shapes(config.text),
        CODEC: codec_shapes(config.codec),
    }
    if config.style:
        parts |= {STYLE: style_shapes(config.style), MERT: mert_shapes(config.style.mert)}
    return {
        name: shape for part, shapes in parts.items() for name, shape in under(part, shapes).items()
    }


def under(part: str, shapes: Shapes) -> Shapes:
    """By the names that they have in a whole checkpoint."""
    return {f"{part}.{name}": shape for name, shape in shapes.items()}


def lm_shapes(config: LMConfig) -> Shapes:
    d, V = config.hidden_size, config.codebook_size
    codebooks = range(config.num_codebooks)
    shapes: Shapes = {f"embedding.{k}.weight": (V + 1, d) for k in codebooks}
    shapes |= {f"heads.{k}.weight": (V, d) for k in codebooks}
    shapes |= {"norm.weight": (d,), "norm.bias": (d,)}
    if config.projects_text:
        shapes |= {"text_projection.weight": (d, config.text_size), "text_projection.bias": (d,)}
    if config.sound_size:
        size = config.sound_size
        shapes |= {"sound_projection.weight": (d, size), "sound_projection.bias": (d,)}
    layer = {f"{name}.weight": (d, d) for name in ("q", "k", "v", "out")}
    layer |= {"fc1.weight": (config.ffn_size, d), "fc2.weight": (d, config.ffn_size)}
    norms = ["norm", "ffn_norm"]
    if config.cross_attention:
        layer |= {f"text_{name}.weight": (d, d) for name in ("q", "k", "v", "out")}
        norms.append("text_norm")
    layer |= {f"{norm}.{part}": (d,) for norm in norms for part in ("weight", "bias")}
    return shapes | _repeated("layers", config.num_layers, layer)


def text_shapes(config: T5Config) -> Shapes:
    d, inner = config.hidden_size, config.num_heads * config.head_size
    layer: Shapes = {f"{name}.weight": (inner, d) for name in ("q", "k", "v")}
    layer |= {"norm.weight": (d,), "ffn_norm.weight": (d,), "out.weight": (d, inner)}
    if config.gated:
        layer["gate.weight"] = (config.ffn_size, d)
    layer |= {"up.weight": (config.ffn_size, d), "down.weight": (d, config.ffn_size)}
    return {
        "embedding.weight": (config.vocab_size, d),
        "position_bias.weight": (config.num_buckets, config.num_heads),
        "norm.weight": (d,),
        **_repeated("layers", config.num_layers, layer),
    }


def codec_shapes(config: CodecConfig) -> Shapes:
    """Convolutions are `[outputs, inputs, kernel]`, transposed ones `[inputs, outputs, kernel]`."""
    halves = {"encoder": encoder_layers(config), "decoder": decoder_layers(config)}
    shapes: Shapes = {
        f"{half}.{index}.{name}": shape
        for half, layers in halves.items()
        for index, layer in enumerate(layers)
        for name, shape in layer.shapes.items()
    }
    vectors = (config.codebook_size, config.hidden_size)
    return shapes | {f"codebooks.{k}": vectors for k in range(config.num_codebooks)}


def style_shapes(config: StyleConfig) -> Shapes:
    """What stands behind MERT."""
    d = config.hidden_size
    layer: Shapes = {f"{name}.weight": (d, d) for name in ("q", "k", "v", "out")}
    layer |= {"fc1.weight": (config.ffn_size, d), "fc2.weight": (d, config.ffn_size)}
    layer |= {f"{norm}.{part}": (d,) for norm in ("norm", "ffn_norm") for part in _AFFINE}
    shapes: Shapes = {"features.weight": (d, config.mert.hidden_size), "features.bias": (d,)}
    shapes |= _repeated("layers", config.num_layers, layer)
    shapes |= {"mean": (d,), "variance": (d,)}
    return shapes | {f"codebooks.{k}": (config.codebook_size, d) for k in range(config.levels)}


def mert_shapes(config: MERTConfig) -> Shapes:
    """By transformers' names, which builds it. Its convolution of positions lies as length and
    direction, the length over the inputs.
    """
    d, sizes = config.hidden_size, config.conv_sizes
    inputs, kernels = (1, *sizes), config.conv_kernels
    shapes: Shapes = {
        f"feature_extractor.conv_layers.{i}.conv.weight": (sizes[i], inputs[i], kernels[i])
        for i in range(len(sizes))
    }
    shapes |= _affine("feature_extractor.conv_layers.0.layer_norm", sizes[0])
    shapes |= _affine("feature_projection.layer_norm", sizes[-1])
    shapes |= _linear("feature_projection.projection", d, sizes[-1])
    conv, kernel = "encoder.pos_conv_embed.conv", config.position_kernel
    shapes |= {
        f"{conv}.bias": (d,),
        f"{conv}.parametrizations.weight.original0": (1, 1, kernel),
        f"{conv}.parametrizations.weight.original1": (d, d // config.position_groups, kernel),
    }
    layer = _affine("layer_norm", d) | _affine("final_layer_norm", d)
    for name in ("q", "k", "v", "out"):
        layer |= _linear(f"attention.{name}_proj", d, d)
    layer |= _linear("feed_forward.intermediate_dense", config.ffn_size, d)
    layer |= _linear("feed_forward.output_dense", d, config.ffn_size)
    shapes |= _affine("encoder.layer_norm", d)
    return shapes | _repeated("encoder.layers", config.num_layers, layer)


_AFFINE = "weight", "bias"


def _affine(name: str, size: int) -> Shapes:
    return {f"{name}.{part}": (size,) for part in _AFFINE}


def _linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _repeated(name: str, count: int, shapes: Shapes) -> Shapes:
    return {f"{name}.{i}.{inner}": shape for i in range(count) for inner, shape in shapes.items()}
