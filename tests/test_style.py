"""Style models: what they hear of a sound, the music to it, and what is refused of both."""

import functools
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sessions import opened
from style_layout import (
    BINS,
    LAYERS,
    LEVELS,
    MERT_SIZE,
    STYLE,
    WIDTH,
    random_style,
    style_settings,
    style_state,
    write_mert,
)
from test_cuda_engine import Rerun, WithoutGpu
from torch import nn

from musicgraph.models.compose.composition import stream
from musicgraph.models.compose.delay import delayed
from musicgraph.models.compose.guidance import branches_for, weights_of
from musicgraph.models.conditioning import Style
from musicgraph.models.config import MUSIC, Generation, Sampling
from musicgraph.models.engines import cuda_graphs
from musicgraph.models.engines.drawing import mixed
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.parameters import all_shapes
from musicgraph.models.refused import Refused
from musicgraph.models.style import excerpts
from musicgraph.models.weights import parts, places
from musicgraph.models.weights.checkpoint import (
    load_style_encoder,
    open_checkpoint,
)
from musicgraph.models.weights.convert import write_converted
from musicgraph.models.weights.kinds import ModelKind, kind_of

TEXTS = ["a happy song with drums", "piano"]
ENGINES = ("torch", "cuda graph", "numba fp32", "numba int8")
MAX_INT8_ERROR = 0.05


@pytest.fixture(scope="module")
def model(style_model):
    return style_model


@pytest.fixture(scope="module")
def engine_of(model):
    patch = pytest.MonkeyPatch()
    patch.setattr(cuda_graphs, "Recorder", Rerun)

    @functools.cache
    def made(name):
        if name.startswith("numba"):
            return NumbaEngine(model.checkpoint, name.removeprefix("numba "))
        return (TorchEngine if name == "torch" else WithoutGpu)(model.lm)

    yield made
    patch.undo()


def noise(seconds, rate=24000, items=1, seed=0):
    return torch.randn(items, int(seconds * rate), generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------- what is heard


def upstream_style(mert, state, sound, levels):
    """StyleConditioner in evaluation, said with torch's own modules."""
    state = {name.removeprefix(STYLE): one for name, one in state.items()}
    x = mert(sound).last_hidden_state @ state["embed.weight"].T + state["embed.bias"]
    half = WIDTH // 2
    phase = torch.arange(x.shape[1]).unsqueeze(1) / 10000 ** (torch.arange(half) / (half - 1))
    x = x + torch.cat([phase.cos(), phase.sin()], dim=-1)
    for i in range(LAYERS):
        layer = nn.TransformerEncoderLayer(
            WIDTH, 8, 4 * WIDTH, activation="gelu", batch_first=True, norm_first=True, bias=False
        )
        layer.norm1, layer.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        before = f"transformer.layers.{i}."
        layer.load_state_dict(
            {name.removeprefix(before): one for name, one in state.items() if before in name}
        )
        x = layer.eval()(x)
    norm = nn.BatchNorm1d(WIDTH, affine=False).eval()
    norm.load_state_dict(
        {k.removeprefix("batch_norm."): v for k, v in state.items() if "batch_norm" in k}
    )
    residual = norm(x.transpose(1, 2)).transpose(1, 2)
    total = torch.zeros_like(residual)
    for k in range(levels):
        vectors = state[f"rvq.vq.layers.{k}._codebook.embed"]
        chosen = vectors[torch.cdist(residual, vectors.unsqueeze(0)).argmin(dim=-1)]
        residual, total = residual - chosen, total + chosen
    return total[:, ::15]


@pytest.mark.parametrize("levels", [1, 3, 6])
@pytest.mark.parametrize("seconds", [1.5, 3.0, 4.5])
def test_a_style_is_heard_as_upstream_hears_it(model, levels, seconds):
    sound = noise(seconds)
    with torch.inference_mode():
        theirs = upstream_style(model.mert, style_state(32), sound, levels)
    ours = model.style.encode(sound, levels)
    assert ours.shape == (1, {1.5: 8, 3.0: 15, 4.5: 23}[seconds], WIDTH)
    assert len({tuple(one.tolist()) for one in ours[0]}) > 2, "not one vector for everything"
    assert float((ours - theirs).abs().max()) < 1e-5


def test_a_style_is_heard_as_audiocraft_heard_it(model):
    """What `benchmarks/style_parity.py` kept of audiocraft's own conditioner."""
    kept = load_file(Path(__file__).with_name("audiocraft_style.safetensors"))
    for levels in (1, 3, 6):
        with torch.inference_mode():
            ours = model.style.bottleneck(kept["features"], levels)
        assert float((ours - kept[f"levels {levels}"]).abs().max()) < 1e-5


def test_fewer_codebooks_are_the_beginning_of_more(model):
    sound = noise(3.0)
    steps = [model.style.encode(sound, levels) for levels in range(1, LEVELS + 1)]
    codebooks = list(model.style.bottleneck.codebooks)
    for one, more, codebook in zip(steps, steps[1:], codebooks[1:], strict=False):
        added = (more - one)[0]
        assert float(torch.cdist(added, codebook).min(dim=1).values.max()) < 1e-4


def test_a_style_is_the_same_alone_and_in_company(model):
    sound = noise(1.5, items=3)
    together = model.style.encode(sound, 3)
    for item in range(3):
        assert torch.equal(together[item : item + 1], model.style.encode(sound[item : item + 1], 3))


@pytest.mark.parametrize("levels", [0, 7])
def test_another_number_of_codebooks_is_refused(model, levels):
    with pytest.raises(Refused, match=f"eval_q: got {levels}, expected 1 to 6"):
        model.style.encode(noise(1.5), levels)


def test_where_an_excerpt_begins_is_drawn_from_the_seed_of_its_item(model):
    mert = model.checkpoint.config.style.mert
    ramp = torch.arange(240000.0).expand(2, 2, -1)  # each sample says where it stood
    first, second = excerpts(ramp, 24000, 3.0, 7, mert)
    assert len(first) == 72000 and torch.equal(first, first[0] + torch.arange(72000.0))
    assert first[0] != second[0], "item 1 draws from seed 8"
    assert torch.equal(excerpts(ramp[:1], 24000, 3.0, 8, mert)[0], second)
    starts = {float(excerpts(ramp[:1], 24000, 3.0, seed, mert)[0, 0]) for seed in range(20)}
    assert len(starts) == 20 and 0 <= min(starts) and max(starts) <= 240000 - 72000


def test_an_excerpt_is_mono_at_merts_rate_and_may_be_the_whole_sound(model):
    mert = model.checkpoint.config.style.mert
    sound = torch.randn(1, 2, 3 * 32000, generator=torch.Generator().manual_seed(0))
    assert excerpts(sound, 32000, 3.0, 2**64 - 1, mert).shape == (1, 72000)
    same = excerpts(sound, 24000, 4.0, 0, mert)
    assert torch.equal(same[0], sound[0].mean(dim=0))
    with pytest.raises(Refused, match=r"style: got 3.00 s of sound, expected at least the 3.5 s"):
        excerpts(sound, 32000, 3.5, 0, mert)


# ---------------------------------------------------------------- the music to it


def projected(model, text, style):
    """A style and a text as audiocraft's LM hears them, `[1, S, d]` and `[1, L, d]`."""
    state, upstream = style_state(32), model.upstream
    weight, bias = state[f"{STYLE}output_proj.weight"], state[f"{STYLE}output_proj.bias"]
    sound = style.states @ weight.T + bias
    return sound, upstream.enc_to_dec_proj(text.states) * text.mask.unsqueeze(-1)


def upstream_logits(model, sound, words, steps):
    """`[K, V]` of the last step: the same LM as transformers has it, after that prefix."""
    prefix = torch.cat([sound, words], dim=1)
    return model.upstream.decoder(input_ids=steps[0], encoder_hidden_states=prefix).logits[:, -1]


def random_steps(config, T=20):
    shape = (1, config.num_codebooks, T)
    frames = torch.randint(0, config.codebook_size, shape, generator=torch.manual_seed(1))
    return delayed(frames, config.delays, config.special_token)[:, :, :T]


@pytest.mark.parametrize("length", [None, 8, 15], ids="{} vectors".format)
@pytest.mark.parametrize("name", ENGINES)
def test_teacher_forced_logits_equal_upstream(model, engine_of, name, length):
    """No style is one vector of zeros."""
    style, steps = random_style(length=length or 1), random_steps(model.config)
    for text in TEXTS:
        heard = model.text.encode([text])
        with torch.inference_mode():
            sound, words = projected(model, heard, style)
            sound = sound * 0 if length is None else sound
            theirs = upstream_logits(model, sound, words, steps)
        heard = heard if length is None else heard.with_style(style)
        ours = opened(engine_of(name), heard, max_steps=20).step(steps)[0]
        if name == "numba int8":
            assert float((ours - theirs).norm() / theirs.norm()) < MAX_INT8_ERROR
        else:
            assert float((ours - theirs).abs().max()) < 1e-4


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("name", ENGINES[:3])
def test_double_guidance_is_upstreams_formula(model, engine_of, name, cfg, beta=5.0):
    """And what is left out is as many zeros as what is there."""
    steps, style = random_steps(model.config), random_style(guidance=beta)
    heard = model.text.encode(TEXTS[:1])
    with torch.inference_mode():
        sound, words = projected(model, heard, style)
        full = upstream_logits(model, sound, words, steps)
        wav = upstream_logits(model, sound, words * 0, steps)
        null = upstream_logits(model, sound * 0, words * 0, steps)
        theirs = null + cfg * (wav + beta * (full - wav) - null)
    heard = heard.with_style(style)
    session = opened(engine_of(name), heard, max_steps=20, cfg=cfg)
    assert session.rows == (2 if cfg == 1 else 3)
    ours = mixed(session.step(steps), weights_of(branches_for(heard, None, cfg)))[0]
    assert float((ours - theirs).abs().max()) < 2e-3 and float(theirs.abs().max()) > 10


def weights(heard, cfg=3.0, negative=None):
    return [tuple(one.weight for one in item) for item in branches_for(heard, negative, cfg)]


def test_double_guidance_is_left_out_where_it_has_no_effect(model):
    both = model.text.encode(["piano", ""])
    assert weights(both.with_style(random_style(guidance=5.0))) == [(15, -12, -2), (3, -2)]
    assert weights(both.with_style(random_style(guidance=1.0))) == [(3, -2), (3, -2)]
    assert weights(both) == [(3, -2), (1,)], "no style"
    (branches,) = branches_for(both.item(0).with_style(random_style(guidance=5.0)), both.item(0), 3)
    assert [one.conditioning.has_text for one in branches] == [True, False, True]


def test_each_text_has_its_style_or_all_have_one(model):
    texts = model.text.encode(TEXTS)
    assert texts.with_style(random_style(2)).style.states.shape == (2, 15, WIDTH)
    assert torch.equal(texts.with_style(random_style()).item(1).style.states, random_style().states)
    assert len(model.text.encode(TEXTS[:1]).with_style(random_style(3))) == 3
    with pytest.raises(Refused, match="style: got 3 for 2 texts, expected 1 or 2"):
        texts.with_style(random_style(3))


def music(model, engine, heard, frames=12, cfg=3.0, **kwargs):
    settings = Generation(frames, seed=3, sampling=Sampling(cfg=cfg, top_k=50))
    return torch.cat(list(stream(engine, settings, heard, **kwargs)), dim=2)


@pytest.mark.parametrize("name", ENGINES)
def test_an_item_is_the_same_alone_and_beside_one_with_other_branches(model, engine_of, name):
    texts = model.text.encode(["piano", ""]).with_style(random_style(2, guidance=5.0))
    together = music(model, engine_of(name), texts)
    assert torch.equal(together[:1], music(model, engine_of(name), texts.item(0)))
    plain = music(model, engine_of(name), model.text.encode(["piano"]))
    assert not torch.equal(together[:1], plain)


def test_a_negative_may_have_a_style_of_another_length(model, engine_of):
    heard = model.text.encode(["piano"]).with_style(random_style(length=15, guidance=5.0))
    negative = model.text.encode(["drums"]).with_style(random_style(length=8))
    assert music(model, engine_of("torch"), heard, negative=negative).shape == (1, 4, 12)


def test_a_style_lasts_beyond_a_window(model, engine_of):
    heard = model.text.encode(["piano"]).with_style(random_style())
    assert model.config.window_frames == 100, "two seconds"
    made = music(model, engine_of("torch"), heard, frames=110, cfg=1.0)
    known = made[:, :, :100]
    plain = model.text.encode(["piano"])
    other = music(model, engine_of("torch"), plain, frames=110, cfg=1.0, prompt=known)
    assert torch.equal(other[:, :, :100], known) and not torch.equal(other, made)


def test_a_style_of_another_width_or_for_another_model_is_refused(model, melody_mono, mono):
    narrow = model.text.encode(["piano"]).with_style(Style(torch.zeros(1, 15, 8)))
    with pytest.raises(Refused, match="style: got vectors of 8 numbers, expected 256"):
        narrow.check_fits(model.config)
    for other, got in ((mono, "a model that hears text only"), (melody_mono, "a melody model")):
        with pytest.raises(Refused, match=f"style: got {got}, expected a style model"):
            narrow.check_fits(other.config)


# ---------------------------------------------------------------- the files


def test_every_tensor_is_there_in_its_shape_and_settings_are_read(model):
    config = model.checkpoint.config
    assert (config.style.hidden_size, config.style.num_layers, config.style.num_heads) == (
        WIDTH,
        LAYERS,
        8,
    )
    assert (config.style.levels, config.style.codebook_size, config.style.stride) == (6, BINS, 15)
    assert config.style.mert.hidden_size == MERT_SIZE and config.style.mert.shortest == 400
    assert config.lm.style_size == WIDTH and config.lm.chroma is None
    for name, shape in all_shapes(config).items():
        assert tuple(model.checkpoint.tensor(name).shape) == shape, name


def test_mert_computes_what_transformers_reads_of_it(model):
    sound = noise(1.5)
    with torch.inference_mode():
        theirs = model.mert(sound).last_hidden_state
    assert torch.equal(model.style.mert(sound).last_hidden_state, theirs)
    assert theirs.shape == (1, 112, MERT_SIZE), "75 a second, but for what the last one needs"


def test_mert_as_safetensors_is_the_same(model, tmp_path):
    folder = shutil.copytree(model.folder, tmp_path / "model")
    model.mert.save_pretrained(tmp_path / "saved")
    (folder / "MERT-v1-95M" / "pytorch_model.bin").unlink()
    shutil.copy(tmp_path / "saved" / "model.safetensors", folder / "MERT-v1-95M")
    again = load_style_encoder(open_checkpoint(folder))
    assert torch.equal(again.encode(noise(1.5), 3), model.style.encode(noise(1.5), 3))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("feature_extractor_cqt", True),
        ("attention_relax", 32.0),
        ("deepnorm", True),
        ("do_stable_layer_norm", True),
        ("sample_rate", 16000),
        ("model_type", "hubert"),
        ("num_attention_heads", 5),
        ("conv_kernel", [10, 3]),
    ],
)
def test_a_mert_that_computes_something_else_is_refused(model, tmp_path, name, value):
    folder = shutil.copytree(model.folder, tmp_path / "model")
    write_mert(folder / "MERT-v1-95M", model.mert, **{name: value})
    expected = "MERT-v1-95M.* is not on this machine" if name == "model_type" else name
    with pytest.raises(Refused, match=expected):
        open_checkpoint(folder, [tmp_path / "models"])


class Writes:
    """What a pickle may do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_mert_that_is_more_than_tensors_runs_nothing(model, tmp_path):
    folder = shutil.copytree(model.folder, tmp_path / "model")
    torch.save({"weight": Writes(tmp_path / "ran")}, folder / "MERT-v1-95M" / "pytorch_model.bin")
    with pytest.raises(Refused, match="objects besides tensors"):
        open_checkpoint(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    [f"{STYLE}embed.weight", f"{STYLE}transformer.layers.3.self_attn.in_proj_weight",
     f"{STYLE}batch_norm.running_var", f"{STYLE}rvq.vq.layers.5._codebook.embed",
     f"{STYLE}output_proj.bias"],
)  # fmt: skip
def test_a_tensor_that_is_missing_is_named(model, tmp_path, name):
    folder = shutil.copytree(model.folder, tmp_path / "model")
    content = torch.load(folder / "state_dict.bin", weights_only=True)
    del content["best_state"][name]
    torch.save(content, folder / "state_dict.bin")
    with pytest.raises(Refused, match=f"no {re.escape(name)}"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [("model_name", "encodec"), ("transformer_scale", "none"), ("n_q_out", 0), ("bins", 1),
     ("batch_norm", False), ("sample_rate", 16000), ("use_middle_of_segment", True)],
)  # fmt: skip
def test_a_style_that_is_heard_in_another_way_is_refused(model, tmp_path, name, value):
    from audiocraft_layout import exported

    folder = shutil.copytree(model.folder, tmp_path / "model")
    settings = style_settings(model.upstream)
    settings["conditioners"]["self_wav"]["style"][name] = value
    content = torch.load(folder / "state_dict.bin", weights_only=True)
    torch.save(exported(content["best_state"], settings), folder / "state_dict.bin")
    with pytest.raises(Refused, match=f"conditioners.self_wav.style.{name}"):
        open_checkpoint(folder)


def test_mert_is_looked_for_like_a_text_encoder_and_fetched_like_one(model, tmp_path, monkeypatch):
    folder = shutil.copytree(model.folder, tmp_path / "models" / "mine")
    shutil.move(folder / "MERT-v1-95M", tmp_path / "models" / "m-a-p--MERT-v1-95M")
    assert open_checkpoint(folder, [tmp_path / "models"]).config == model.checkpoint.config
    shutil.rmtree(tmp_path / "models" / "m-a-p--MERT-v1-95M")
    with pytest.raises(parts.PartMissing, match="pytorch_model.bin, which this") as caught:
        open_checkpoint(folder, [tmp_path / "models"])
    asked = []
    monkeypatch.setattr(parts, "download", lambda *given, **more: asked.append((given[0], more)))
    parts.fetch(caught.value, [tmp_path / "models"], lambda done, total: None)
    kinds = {"kinds": ("mert_model",), "archives": ("pytorch_model.bin",)}
    assert asked == [("m-a-p/MERT-v1-95M", kinds)]


def test_lists_know_style_models(model, tmp_path):
    shutil.copytree(model.folder, tmp_path / "mine")
    found = {one.name: one for one in places.known_models([tmp_path])}
    needs = "t5-base", "m-a-p/MERT-v1-95M"
    assert kind_of(found["mine"]) == ModelKind(MUSIC, style=True, needs=needs)
    assert str(kind_of(found["facebook/musicgen-style"])) == "music, follows a style"
    on_disk = places.Found("musicgen-style", tmp_path, 1, "")
    assert places.default_model((), [on_disk], follows="style")[0] == "musicgen-style"
    with pytest.raises(Refused, match="style: got no style model.*facebook/musicgen-style"):
        places.default_model((), [], follows="style")


def test_there_is_no_other_layout_to_convert_it_to(model, tmp_path):
    with pytest.raises(Refused, match="the model's style"):
        write_converted(model.checkpoint, tmp_path / "converted", lambda done, total: None)
    assert not (tmp_path / "converted").exists()
