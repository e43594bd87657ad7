"""The compiled arithmetic against NumPy and torch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numba import njit

from musicgraph.models.engines import numba_packed, numba_parts, numba_vectors, rounding
from musicgraph.models.engines.numba_job import operand_room
from musicgraph.models.engines.numba_sizes import TEXT_TILE, TILE

OTHER_PROCESSOR = {
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "-avx512f,-avx512vnni,-avxvnni,+avx2,+fma,+avx,+sse4.2",
}


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@njit
def operand(bits, place, rows, inputs):
    return numba_parts.operand_at(bits, place, rows, inputs)


@njit
def fill(by, x):
    for n in range(by.rows):
        for i in range(by.inputs):
            numba_parts.put(numba_parts.x_of(by, n), i, x[n, i])
    numba_parts.quantise_rows(by)


@njit
def multiplied(bits, matrix, scales, first, last, by, out):
    numba_parts.product(bits, matrix, scales, first, last, by, out.ctypes.data, out.strides[0])


@njit
def expanded(x):
    numba_vectors.gelu(x.ctypes.data, x.size // 16)


@njit
def softened(scores, total):
    numba_vectors.softmax(scores.ctypes.data, scores.size // 16, total.ctypes.data)


@njit
def normalised(x, weight, bias, out):
    numba_vectors.normalise(
        x.ctypes.data, x.size // 16, weight.ctypes.data, bias.ctypes.data, out.ctypes.data
    )


def rounded(x: np.ndarray, group: int) -> np.ndarray:
    """What 8 bits keep of each group."""
    groups = x.reshape(len(x), -1, group)
    scale = np.abs(groups).max(axis=2, keepdims=True) / np.float32(127)
    return (np.rint(groups / scale) * scale).reshape(x.shape)


def operand_of(bits: int, x: np.ndarray) -> tuple[tuple, np.ndarray]:
    """Rows that a matrix can be multiplied with, and the memory that they lie in."""
    rows, inputs = x.shape
    room = np.zeros(operand_room(rows, inputs), np.uint8)
    by = operand(bits, room.ctypes.data, rows, inputs)
    fill(by, x)
    return by, room


def packed(bits: int, w: np.ndarray) -> tuple[tuple[torch.Tensor, torch.Tensor], np.ndarray]:
    """A matrix as it lies and its scales; what it stands for."""
    matrix = torch.from_numpy(w)
    if bits == 32:
        return (matrix, torch.zeros(len(w))), w
    if bits == 8:
        whole, scale = numba_packed.quantised(matrix)
        return (numba_packed.in_tiles(whole), scale), (whole * scale.unsqueeze(1)).numpy()
    whole, codes, scale = rounding.rounded4(matrix)
    factors = (codes * scale.unsqueeze(1)).repeat_interleave(32, dim=1)
    return (numba_packed.in_half_tiles(whole, codes), scale / 16), (whole * factors).numpy()


@pytest.mark.parametrize("bits", [32, 8, 4])
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8, 13])
@pytest.mark.parametrize("inputs", [32, 64, 192, 4096])
def test_products_agree_with_numpys(bits, rows, inputs):
    w, x = floats(48, inputs, seed=1), floats(rows, inputs)
    (matrix, scales), weights = packed(bits, w)
    by, _room = operand_of(bits, x)
    out = np.full((rows, 40), np.nan, np.float32)
    multiplied(bits, matrix.data_ptr(), scales.data_ptr(), 16, 48, by, out)
    group = 64 if inputs % 64 == 0 and bits == 8 else 32
    exact = (x if bits == 32 else rounded(x, group)) @ weights[16:].T
    np.testing.assert_allclose(out[:, :32], exact, atol=2e-4 * inputs**0.5)
    assert np.isnan(out[:, 32:]).all(), "nothing else is written"


@pytest.mark.parametrize("bits", [32, 8, 4])
def test_a_row_is_the_same_among_any_number_of_rows(bits):
    w, x = floats(32, 1024, seed=1), floats(11, 1024)
    (matrix, scales), _ = packed(bits, w)
    results = []
    for rows in (1, 2, 5, 11):
        by, _room = operand_of(bits, x[:rows])
        out = np.zeros((rows, 32), np.float32)
        multiplied(bits, matrix.data_ptr(), scales.data_ptr(), 0, 32, by, out)
        results.append(out[0])
    assert all((result == results[0]).all() for result in results)


def test_gelu_is_exact_to_float32s_last_digits():
    h = np.linspace(-9, 9, 16000, dtype=np.float32)
    exact = torch.nn.functional.gelu(torch.from_numpy(h).double()).numpy()
    expanded(h)
    np.testing.assert_allclose(h, exact, atol=2e-6)


def test_softmax_is_exact_to_float32s_last_digits():
    scores, total = 30 * floats(1600), np.zeros(1, np.float32)
    exact = torch.softmax(torch.from_numpy(scores).double(), 0).numpy()
    softened(scores, total)
    np.testing.assert_allclose(scores / total, exact, rtol=2e-5, atol=1e-30)
    assert scores.max() == 1


def test_the_norm_is_torchs():
    x, weight, bias = 5 + 3 * floats(1024), floats(1024, seed=1), floats(1024, seed=2)
    exact = torch.nn.functional.layer_norm(
        torch.from_numpy(x), (1024,), torch.from_numpy(weight), torch.from_numpy(bias)
    )
    out = np.zeros_like(x)
    normalised(x, weight, bias, out)
    np.testing.assert_allclose(out, exact.numpy(), atol=1e-5)


@njit
def attended(int8, query, keys, key_scales, values, value_scales, heard, count, out):
    scores = np.empty(keys.shape[0] * keys.shape[2] + 1, np.float32)
    cache = numba_parts.HeadCache(
        keys.ctypes.data, key_scales.ctypes.data, values.ctypes.data, value_scales.ctypes.data
    )
    mask = heard.ctypes.data if heard.size else 0
    numba_parts.attend(
        int8, query.ctypes.data, cache, mask, count, query.size, scores.ctypes.data, out.ctypes.data
    )


def heard_by_torch(query, k, v, mask, count) -> np.ndarray:
    q, k, v = (
        torch.from_numpy(np.ascontiguousarray(x))[None, None]
        for x in (query[None], k[:count], v[:count])
    )
    mask = torch.from_numpy(mask)[None] if mask.size else None
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)[
        0, 0, 0
    ].numpy()


@pytest.mark.parametrize("size", [16, 48, 64, 96])
@pytest.mark.parametrize("count", [1, 63, 64, 150])
def test_attention_hears_what_torch_hears(size, count):
    query, k, v = floats(size), floats(192, size, seed=1), floats(192, size, seed=2)
    k_scale, v_scale = (np.abs(x).max(axis=1) / np.float32(127) for x in (k, v))
    k8, v8 = (
        np.rint(x / scale[:, None]).astype(np.int8) for x, scale in ((k, k_scale), (v, v_scale))
    )
    for mask in (np.zeros(0, np.bool_), np.arange(count) % 3 != 1):
        tile = TEXT_TILE if mask.size else TILE  # what is heard in part is a text, in float32
        for int8, keys, values in ((0, k, v), (1, k8, v8))[: 1 if mask.size else 2]:
            out, tiles = (
                np.zeros(size, np.float32),
                np.ascontiguousarray(keys.reshape(-1, tile, size).transpose(0, 2, 1)),
            )
            attended(int8, query, tiles, k_scale, values, v_scale, mask, count, out)
            real = (k8 * k_scale[:, None], v8 * v_scale[:, None]) if int8 else (k, v)
            np.testing.assert_allclose(out, heard_by_torch(query, *real, mask, count), atol=1e-5)


COMPOSED = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
import conftest, torch
from musicgraph.models.weights import checkpoint
from musicgraph.models.engines.codec_conv import compile_decoder
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.weights.places import POCKET_FOLDER

opened = checkpoint.open_checkpoint(POCKET_FOLDER)
text = checkpoint.load_text_encoder(opened).encode(["a happy piano tune"])
for precision in ("fp32", "int8", "int4"):
    session = NumbaEngine(opened, precision).open()
    slot = session.admit([text.item(0), None], 70)
    steps = torch.arange(4 * 70).view(1, 4, 70) % opened.config.lm.codebook_size
    print(hashlib.sha256(session.step([slot], steps).numpy().tobytes()).hexdigest())
    codec = checkpoint.load_codec(opened)
    compile_decoder(codec, precision)
    sound = codec.decode(steps, 1)
    print(hashlib.sha256(sound.numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_music_is_the_same_just_compiled_from_the_disk_and_for_another_processor(tmp_path):
    """To the last bit: a seed is worth nothing if music changes with the second start.

    The other one has AVX2 alone.
    """

    def composed(**told: str) -> str:
        command = [sys.executable, "-c", COMPOSED, str(Path(__file__).parent)]
        environment = os.environ | told | {"NUMBA_CACHE_DIR": str(tmp_path)}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout

    just_compiled = composed()
    assert len(just_compiled.split()) == 6
    assert composed() == just_compiled
    assert composed(**OTHER_PROCESSOR) == just_compiled


@pytest.mark.slow
def test_a_processor_without_products_of_bytes_gives_the_same(tmp_path):
    """The same tests again, compiled for AVX2 alone; where that is all there is they say nothing
    new.
    """
    here = Path(__file__)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "not slow",
        str(here),
        str(here.with_name("test_numba_engine.py")),
    ]
    environment = os.environ | OTHER_PROCESSOR | {"NUMBA_CACHE_DIR": str(tmp_path)}
    ended = subprocess.run(
        command, env=environment, cwd=here.parents[1], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout[-3000:]
