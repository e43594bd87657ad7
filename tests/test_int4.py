"""int4: the fast CPU engine plays what its rounded weights stand for, rounding makes up for what it
gets wrong, and both hear the model's own music.
"""

import pytest
import torch
from sessions import opened

from musicgraph.models.engines import calibration, numba_packed, rounding
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.lm import tensors_of
from musicgraph.models.weights import checkpoint
from musicgraph.models.weights.places import POCKET_FOLDER

MAX_ROUNDING = 0.03  # of all logits together: what is multiplied and the past are in 8 bits


def meant(matrix, scales):
    """What an int4 matrix stands for, read byte by byte: float `[O, I]`."""
    tiles = len(scales) // 16
    groups = matrix.shape[1] // 272
    values = torch.empty(len(scales), 32 * groups)
    codes = matrix[:, 256 * groups :].view(torch.int8).view(tiles, groups, 16).float()
    lines = matrix[:, : 256 * groups].view(tiles, groups, 4, 16, 4).int()
    for half, whole in enumerate((lines & 15, lines >> 4)):
        scaled = (whole - 8) * (16 * codes)[:, :, None, :, None]
        for line in range(4):
            for byte in range(4):
                inputs = torch.arange(groups) * 32 + 8 * line + 4 * half + byte
                found = scaled[:, :, line, :, byte].transpose(1, 2).flatten(0, 1)
                values[:, inputs] = found * scales[:, None]
    return values


@pytest.fixture(scope="module")
def int4(mono):
    return NumbaEngine(mono.checkpoint, "int4")


@pytest.fixture(scope="module")
def plain(mono, int4):
    """Torch, with the weights that the int4 engine's stand for."""
    lm = checkpoint.load_lm(mono.checkpoint, torch.float32, torch.device("cpu"))
    kept = numba_packed.packed_tensors(mono.checkpoint, "int4")
    for name, parameter in lm.named_parameters():
        parts = tensors_of(name, mono.config.num_codebooks)
        if parts[0] in kept and not parts[0].startswith("heads."):
            read = [meant(kept[one], kept[f"{one}.scale"]) for one in parts]
            parameter.copy_(torch.cat(read))
    return TorchEngine(lm)


def test_it_gives_the_logits_that_its_weights_give_in_torch(mono, int4, plain):
    heard = mono.text.encode(["a happy song", "piano", ""])
    steps = torch.randint(0, 64, (3, 4, 30), generator=torch.manual_seed(0))

    def logits(engine):
        session = opened(engine, heard, 30, 3.0)
        return torch.stack([session.step(steps[:, :, t : t + 1]) for t in range(30)])

    ours, theirs, exact = (logits(one) for one in (int4, plain, TorchEngine(mono.lm)))
    assert float((ours - theirs).norm() / theirs.norm()) < MAX_ROUNDING
    assert float((ours - exact).norm() / exact.norm()) > MAX_ROUNDING, "which is another model"


def test_weights_are_made_once(mono, int4, monkeypatch):
    monkeypatch.setattr(numba_packed, "rounded4", None)  # would raise if it were called
    assert NumbaEngine(mono.checkpoint, "int4").precision == "int4"


def test_a_stop_ends_the_making_also_while_music_is_composed(mono, tmp_path, monkeypatch):
    monkeypatch.setenv("MUSICGRAPH_CACHE", str(tmp_path))
    asked = []

    def on_progress(done, total):
        asked.append((done, total))
        if len(asked) == 100:  # int8 has been made, and some steps
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        NumbaEngine(mono.checkpoint, "int4", on_progress)
    assert not [one for one in tmp_path.iterdir() if one.name.startswith("int4")]


def test_rounding_finds_numbers_that_four_bits_can_say():
    whole = torch.randint(-8, 8, (16, 64), generator=torch.manual_seed(0)).float()
    whole[:, ::32] = -8
    matrix = whole * torch.logspace(-3, 3, 16).unsqueeze(1)
    for moments in (None, torch.eye(64)):
        found, codes, unit = rounding.rounded4(matrix, moments)
        scales = (codes * unit.unsqueeze(1)).repeat_interleave(32, dim=1)
        torch.testing.assert_close(found * scales, matrix, rtol=1e-4, atol=0)
        assert found.dtype == codes.dtype == torch.int8
    assert not rounding.rounded4(torch.zeros(16, 32))[0].any()


def test_what_is_heard_together_is_rounded_together():
    """Products with such inputs are nearer than those with each weight's own nearest number."""
    noise = torch.manual_seed(0)
    few = torch.randn(4000, 8, generator=noise) @ torch.randn(8, 64, generator=noise)
    x = few + 0.3 * torch.randn(4000, 64, generator=noise)
    matrix = torch.randn(32, 64, generator=noise)

    def error(moments):
        whole, codes, unit = rounding.rounded4(matrix, moments)
        rounded = whole * (codes * unit.unsqueeze(1)).repeat_interleave(32, dim=1)
        return float((x @ (rounded - matrix).T).norm())

    assert error(x.T @ x) < 0.7 * error(None)


def test_its_own_music_is_the_same_each_time_and_lags_as_the_model_does(mono):
    engine = NumbaEngine(mono.checkpoint, "int8")
    music, again = (torch.cat(list(calibration.own_music(engine, 2, 20)), 2) for _ in range(2))
    assert torch.equal(music, again) and music.shape == (2, 4, 20)
    special = mono.config.special_token
    for k, lag in enumerate(mono.config.delays):
        assert (music[:, k, : lag + 1] == special).all()
        assert (music[:, k, lag + 1 :] < special).all()


@pytest.mark.parametrize("kind", ["mono", "melody_mono"])
def test_moments_are_of_what_each_layer_hears(kind, request):
    tiny = request.getfixturevalue(kind)
    engine, heard = NumbaEngine(tiny.checkpoint, "int8"), {}
    for index, layer in enumerate(tiny.lm.layers):
        for name, module in (("q", layer.qkv), ("fc2", layer.fc2)):
            hook = module.register_forward_pre_hook(
                lambda _, x, name=f"layers.{index}.{name}.weight": heard.setdefault(
                    name, []
                ).append(x[0].flatten(0, 1))
            )
            request.addfinalizer(hook.remove)
    music = torch.cat(list(calibration.own_music(engine, 1, 12)), 2)
    session = TorchEngine(tiny.lm).open()
    session.step([session.admit([None], 12)], music)
    found = list(calibration.moments(tiny.checkpoint, engine.parameters, music))
    assert len(found) == len(tiny.lm.layers)
    for name, inputs in heard.items():
        x = torch.cat(inputs)
        got = found[int(name.split(".")[1])][name]
        torch.testing.assert_close(got, x.T @ x, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_pocket_predicts_real_music_nearly_as_well_in_four_bits():
    """Cross-entropy of music that it composed in float32, each step judged after the true past."""
    weights = checkpoint.open_checkpoint(POCKET_FOLDER)
    exact, packed = (NumbaEngine(weights, precision) for precision in ("fp32", "int4"))
    music = torch.cat(list(calibration.own_music(exact, 4, 300)), 2)

    def loss(engine):
        session, total = engine.open(), 0.0
        slots = [session.admit([None], 300) for _ in music]
        for t in range(10, 299):
            logits = session.step(slots, music[:, :, t : t + 1])
            wanted = music[:, :, t + 1]
            total += float(
                torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())
            )
        return total

    assert loss(packed) < 1.02 * loss(exact)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_inputs_that_tell_nothing_round_as_unknown_ones(value):
    matrix = torch.randn(16, 64, generator=torch.Generator().manual_seed(1))
    told = rounding.rounded4(matrix, torch.full((64, 64), value))
    assert all(map(torch.equal, told, rounding.rounded4(matrix)))
