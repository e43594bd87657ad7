"""musicgen-small's full shape with random weights: parity, and memory while loading."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from full_shape import write_small_checkpoint
from transformers import AutoTokenizer

from musicgraph.models.compose.composition import stream
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.weights import checkpoint

pytestmark = pytest.mark.slow
TEXTS = ["a happy song", "drums"]

MEASURE = """
import importlib.util, json, sys
from pathlib import Path
import torch
spec = importlib.util.spec_from_file_location("musicgraph", sys.argv[1])
sys.modules["musicgraph"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["musicgraph"])
from musicgraph.models.weights import checkpoint
from musicgraph.models.config import Generation, Sampling
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.compose.composition import stream
def peak():  # of this process alone: ru_maxrss would start from the parent's
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])
before = peak()
opened = checkpoint.open_checkpoint(Path(sys.argv[2]))
lm = checkpoint.load_lm(opened, torch.float32, torch.device("cpu"))
text, codec = checkpoint.load_text_encoder(opened), checkpoint.load_codec(opened)
loaded = peak()
frames = stream(TorchEngine(lm), Generation(25, 0, Sampling()), text.encode(["a song"]))
codec.decode(torch.cat(list(frames), dim=2), 1)
shares = {"loading": loaded - before, "in_all": peak() - before}
print(json.dumps({name: share / opened.size_bytes for name, share in shares.items()}))
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    yield folder, write_small_checkpoint(folder)
    (folder / "model.safetensors").unlink()


def test_greedy_tokens_and_audio_equal_upstream(small):
    folder, upstream = small
    torch.set_num_threads(2)
    opened = checkpoint.open_checkpoint(folder)
    lm = checkpoint.load_lm(opened, torch.float32, torch.device("cpu"))
    text, codec = checkpoint.load_text_encoder(opened), checkpoint.load_codec(opened)
    batch = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    generation = Generation(12, 0, Sampling(temperature=0))
    ours = torch.cat(list(stream(TorchEngine(lm), generation, text.encode(TEXTS))), dim=2)
    with torch.inference_mode():
        theirs = upstream.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            do_sample=False,
            guidance_scale=3.0,
            max_new_tokens=12 + opened.config.lm.max_delay,
        )
    assert len(ours.unique()) > 10
    torch.testing.assert_close(codec.decode(ours, 1), theirs, atol=1e-5, rtol=0)


def test_loading_needs_the_weights_once(small):
    """Peak memory beyond the imports, as a share of the file: at most 1.25, generation included."""
    init = Path(checkpoint.__file__).parents[2] / "__init__.py"
    out = subprocess.run(
        [sys.executable, "-c", MEASURE, init, small[0]], capture_output=True, text=True, check=True
    )
    shares = json.loads(out.stdout.splitlines()[-1])
    print(shares)
    assert 0.5 < shares["loading"] <= 1.25
    assert shares["in_all"] <= 1.25
