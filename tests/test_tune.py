"""`musicgraph tune`: it learns, goes on after a kill as if nothing had been, and its adapter loads
in PEFT and here.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from fresh import BOUND
from peft import PeftModel
from safetensors.torch import load_file
from sessions import opened
from test_lora import on, our_logits, their_logits
from upstream import musicgen_model

from musicgraph import cli
from musicgraph.app import tune_cli
from musicgraph.app.tune import course, pieces, sounds
from musicgraph.app.tune.lora_model import LoraModel
from musicgraph.app.tune.needs import adapter_size, memory_bytes
from musicgraph.app.tune.settings import TuneSettings
from musicgraph.models.compose.delay import delayed
from musicgraph.models.compose.guidance import branches_for, weights_of
from musicgraph.models.engines.drawing import mixed
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.refused import Refused
from musicgraph.models.weights.peft_adapter import CONFIG, TENSORS


class Silent:
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)

    def progress(self, what, done, total, note=""):
        pass


def write_sounds(folder, count=3, seconds=1.5):
    folder.mkdir()
    for i in range(count):
        times = np.arange(int(8000 * seconds)) / 8000
        soundfile.write(folder / f"{i}.wav", 0.3 * np.sin(2 * np.pi * 220 * (i + 1) * times), 8000)
        (folder / f"{i}.txt").write_text(f"a sine, number {i}\n")
    return folder


@pytest.fixture(scope="module")
def asked(mono, tmp_path_factory):
    """Some steps on three sounds, for a test to give an output to."""
    where = tmp_path_factory.mktemp("tune")
    return TuneSettings(
        write_sounds(where / "sounds"), str(mono.folder), where / "out", steps=30, rank=4,
        seconds=1.0, rate=2e-2, every=15, device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def tuned(asked):
    listener = Silent()
    return course.train(asked, listener), listener.said


def test_the_held_out_loss_falls_and_the_best_adapter_is_kept(asked, tuned):
    made, said = tuned
    assert made.after < made.before - 0.3
    rows = (asked.output / "losses.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "0", "15", "30"]
    best = asked.output / "steps" / f"{made.best_step:06}"
    for name in (CONFIG, TENSORS):
        assert (asked.output / name).read_bytes() == (best / name).read_bytes()
    assert "GB of memory" in said[0] and "in all" in said[1], "before the first step"
    for step in (0, 15, 30):
        samples = [asked.output / "steps" / f"{step:06}" / name for name in course.SAMPLES]
        (usual, _), (plain, rate) = map(soundfile.read, samples)
        assert (len(usual), len(plain), rate) == (8000, 8000, 8000)
        assert not np.array_equal(usual, plain), "with guidance and without"


def test_the_adapter_loads_in_peft_and_here_with_equal_logits(mono, asked, tuned):
    theirs = PeftModel.from_pretrained(musicgen_model(mono.folder), asked.output)
    ours = our_logits(on(mono, asked.output))
    torch.testing.assert_close(ours, their_logits(mono, theirs), atol=1e-4, rtol=0)
    assert (ours - our_logits(mono.checkpoint)).abs().max() > 0.1
    config = json.loads((asked.output / CONFIG).read_text())
    assert config["base_model_name_or_path"] == mono.folder.name, "no path of this machine"


KILLED = """
import pathlib, torch
torch.set_num_threads(1)
from musicgraph.app.tune import course
from musicgraph.app.tune.settings import TuneSettings
class Told:
    def say(self, text): pass
    def progress(self, what, done, total, note=""): print(what, done, flush=True)
told = {told}
folders = {{name: pathlib.Path(told[name]) for name in ("folder", "output")}}
course.train(TuneSettings(**{{**told, **folders}}), Told())
"""


def _plain(value):
    return str(value) if isinstance(value, Path) else value


def adapter_of(folder):
    return load_file(folder / TENSORS)


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_adapter(asked, tuned, tmp_path):
    """Killed by force after some steps, in a process of its own."""
    told = {**vars(asked), "output": tmp_path / "out", "save_s": 0.0}
    script = BOUND + KILLED.format(told={name: _plain(value) for name, value in told.items()})
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line == "training 20\n":
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    listener = Silent()
    resumed = course.train(replace(asked, output=tmp_path / "out"), listener)
    step = next(int(text.split()[-1]) for text in listener.said if text.startswith("going on"))
    assert 15 <= step < 30
    straight = tuned[0]
    assert (resumed.before, resumed.after) == (straight.before, straight.after)
    for name, tensor in adapter_of(asked.output).items():
        assert torch.equal(tensor, adapter_of(tmp_path / "out")[name]), name


def test_a_finished_training_is_not_done_again(asked, tuned):
    began = time.monotonic()
    again = course.train(asked, Silent())
    assert again == tuned[0] and time.monotonic() - began < 60
    assert not (asked.output / "steps" / "000031").exists()


# ---------------------------------------------------------------- the loss


@pytest.mark.parametrize("share", [0, 0.5], ids=["as played", "with noise"])
@pytest.mark.parametrize("guidance", [None, (2.5, 1.0)], ids=["plain", "guided"])
def test_the_loss_is_the_cross_entropy_of_the_logits_that_are_drawn_from(mono, share, guidance):
    """Of two pieces of unlike length and text, as our engine plays them. What is predicted is what
    was played, whatever was read before it.
    """
    model = LoraModel(mono.folder, mono.config, 2, torch.device("cpu"), 0)
    frames, lengths, texts = 9, (9, 5), ["drums and bass", "piano"]
    tokens = torch.randint(0, 64, (2, 4, frames), generator=torch.manual_seed(3))
    mask = torch.arange(frames) < torch.tensor(lengths).unsqueeze(1)
    heard = mono.text.encode(texts)
    read = pieces.swapped(tokens, mask, share, pieces.step_generator(0, 0))
    tokens = tokens * mask.unsqueeze(1)
    asked = None if guidance is None else torch.tensor(guidance)
    loss = model.loss(tokens, mask, heard.states, heard.mask, read, asked)
    expected = []
    for row, (length, cfg) in enumerate(zip(lengths, guidance or (1.0, 1.0), strict=True)):
        played, told = (
            delayed(one[row : row + 1, :, :length], mono.config.delays, 64)
            for one in (tokens, read)
        )
        one = mono.text.encode(texts[row : row + 1])
        branches = branches_for(one, None, cfg)
        session = opened(TorchEngine(mono.lm), one, max_steps=played.shape[2], cfg=cfg)
        for step in range(1, played.shape[2]):
            logits = mixed(session.step(told[:, :, step - 1 : step]), weights_of(branches))[0]
            logits = logits.log_softmax(dim=-1)
            expected += [-logits[k, t] for k, t in enumerate(played[0, :, step]) if t != 64]
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), abs=1e-4)


def test_nothing_is_learnt_where_only_one_branch_of_guidance_would_hear_it(mono):
    model = LoraModel(mono.folder, mono.config, 2, torch.device("cpu"), 0)
    assert not [name for name in model.parameters if "encoder_attn" in name]


def test_what_is_said_to_learn_is_what_learns(mono):
    model = LoraModel(mono.folder, mono.config, 3, torch.device("cpu"), 0)
    config = mono.checkpoint.config
    assert adapter_size(3, config) == sum(p.numel() for p in model.parameters.values())
    asked = TuneSettings(mono.folder, "tiny", mono.folder)
    assert memory_bytes(asked, config, False) < memory_bytes(
        replace(asked, batch=64), config, False
    )


def test_a_loss_that_is_no_number_ends_it_in_words_and_what_was_kept_stays(
    asked, tmp_path, monkeypatch
):
    real, output = course._Training._loss, tmp_path / "out"

    def spoiled(training, *given):
        loss = real(training, *given)
        return loss * float("nan") if training.step == 20 else loss

    monkeypatch.setattr(course._Training, "_loss", spoiled)
    words = r"after step 20: got a loss that is no number.*\(--rate 0.007\), into another --output"
    with pytest.raises(Refused, match=words):
        course.train(replace(asked, output=output), Silent())
    kept = load_file(output / TENSORS)
    assert all(tensor.isfinite().all() for tensor in kept.values())
    assert [row.split(",")[0] for row in (output / "losses.csv").read_text().split()[1:]] == [
        "0", "15",
    ]  # fmt: skip


# ---------------------------------------------------------------- pieces


def test_whole_sounds_are_held_out_where_there_are_enough():
    many = pieces.divided([100] * 20, 30, seed=1)
    held = {piece.sound for piece in many.held}
    assert len(held) == 2 and not held & {piece.sound for piece in many.trained}
    assert sum(piece.stop - piece.start for piece in many.held) == 200


def test_the_end_of_each_sound_is_held_out_where_there_are_few():
    few = pieces.divided([100, 50], 30, seed=1)
    assert few.trained == (pieces.Piece(0, 0, 90), pieces.Piece(1, 0, 45))
    assert few.held == (pieces.Piece(0, 90, 100), pieces.Piece(1, 45, 50))


def test_pieces_come_from_everywhere_and_a_step_draws_the_same_ones_again():
    stretches = [pieces.Piece(0, 0, 100), pieces.Piece(1, 10, 15)]
    found = [
        piece
        for step in range(300)
        for piece in pieces.drawn(stretches, 20, 4, pieces.step_generator(0, step))
    ]
    again = pieces.drawn(stretches, 20, 4, pieces.step_generator(0, 0))
    assert found[:4] == again
    long = [piece for piece in found if piece.sound == 0]
    assert {piece.start for piece in long} == set(range(81))
    assert all(piece.stop - piece.start == 20 for piece in long)
    assert {(one.start, one.stop) for one in found if one.sound == 1} == {(10, 15)}


def test_noise_swaps_a_share_for_music_of_the_same_codebook_and_draws_it_again():
    tokens = torch.arange(4).view(1, 4, 1) * 1000 + torch.arange(600).view(2, 1, 300)  # [2, 4, 300]
    mask = torch.arange(300) < torch.tensor([[300], [100]])
    tokens = tokens.masked_fill(~mask.unsqueeze(1), 9999)
    read, again = (pieces.swapped(tokens, mask, 0.25, pieces.step_generator(7, 3)) for _ in "12")
    assert torch.equal(read, again)
    assert not torch.equal(read, pieces.swapped(tokens, mask, 0.25, pieces.step_generator(7, 4)))
    music = mask.unsqueeze(1).expand_as(tokens)
    changed = (read != tokens)[music].float().mean().item()
    assert changed == pytest.approx(0.25, abs=0.03)
    assert torch.equal(read[music] // 1000, tokens[music] // 1000), "no padding, no other codebook"
    assert ((read % 1000 >= 300) != (tokens % 1000 >= 300))[music].any(), "of another piece too"
    assert torch.equal(pieces.swapped(tokens, mask, 0.0, pieces.step_generator(7, 3)), tokens)


def test_the_learning_rate_rises_and_falls():
    shares = [course.rate_share(step, 100) for step in range(100)]
    assert shares[0] == pytest.approx(0.05, abs=0.01) and max(shares) > 0.9
    assert shares[-1] == pytest.approx(course.LAST_RATE, abs=0.01)


# ---------------------------------------------------------------- refusals


def test_captions_may_stand_in_a_table(tmp_path):
    folder = write_sounds(tmp_path / "sounds", 2, 0.1)
    expected = [one.caption for one in sounds.read_folder(folder)]
    for text in folder.glob("*.txt"):
        text.unlink()
    rows = [("1.wav", "with, a comma"), ("0.wav", 'and "quotes"')]
    (folder / "captions.csv").write_text(
        'file,caption\n1.wav,"with, a comma"\n0.wav,"and ""quotes"""\n'
    )
    found = sounds.read_folder(folder)
    assert [one.caption for one in found] == [rows[1][1], rows[0][1]] and len(expected) == 2
    (folder / "captions.csv").unlink()
    lines = [json.dumps({"file": name, "caption": caption}) for name, caption in rows]
    (folder / "captions.jsonl").write_text("\n".join(lines))
    assert sounds.read_folder(folder) == found


def without(name):
    return lambda folder: (folder / name).unlink()


def with_text(name, text):
    return lambda folder: (folder / name).write_text(text)


def emptied(folder):
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("1.txt"), '1 sounds without a caption: "1.wav"'),
        (without("1.wav"), '1 captions without a sound: "1.txt"'),
        (emptied, "0 sound files"),
        (shutil.rmtree, "nothing there"),
        (with_text("1.txt", " \n"), "0 characters"),
        (with_text("1.txt", "x" * 2001), "2001 characters"),
        (with_text("1.wav", "no sound"), "not an audio file"),
        (with_text("captions.csv", "file,caption\n"), "captions.csv and 0.txt"),
        (lambda folder: (folder / "1.txt").write_bytes(b"\xff\xfe\xfd"), "no UTF-8"),
    ],
)
def test_sounds_and_captions_that_do_not_fit_are_refused_and_nothing_is_written(
    asked, tmp_path, change, words
):
    folder = write_sounds(tmp_path / "sounds", 3, 0.1)
    change(folder)
    with pytest.raises(Refused, match=words):
        course.train(replace(asked, folder=folder, output=tmp_path / "out"), Silent())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("captions.csv", "name,text\n0.wav,x\n", "file and caption"),
        ("captions.csv", "file,caption\n0.wav,x\n0.wav,y\n1.wav,z\n", "twice"),
        ("captions.jsonl", '{"file": "0.wav"', "file and caption"),
        ("captions.jsonl", '{"file": "0.wav", "caption": 7}', "file and caption"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(tmp_path, name, content, words):
    folder = write_sounds(tmp_path / "sounds", 2, 0.1)
    for text in folder.glob("*.txt"):
        text.unlink()
    (folder / name).write_text(content)
    with pytest.raises(Refused, match=words):
        sounds.read_folder(folder)


def test_a_sound_that_is_too_short_is_refused_before_anything_is_written(asked, tmp_path):
    folder = write_sounds(tmp_path / "sounds", 2, 0.5)
    with pytest.raises(Refused, match="0.50 s of sound"):
        course.train(replace(asked, folder=folder, output=tmp_path / "out"), Silent())
    assert not (tmp_path / "out").exists()


def test_another_runs_folder_is_left_alone(asked, tuned, tmp_path):
    before = sorted(asked.output.rglob("*"))
    with pytest.raises(Refused, match="a run of another settings"):
        course.train(replace(asked, rank=5), Silent())
    assert sorted(asked.output.rglob("*")) == before
    (tmp_path / "music.wav").touch()
    with pytest.raises(Refused, match="other files"):
        course.train(replace(asked, output=tmp_path), Silent())


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"steps": 0}, "--steps"),
        ({"rate": float("nan")}, "--rate"),
        ({"seconds": 31}, "--seconds"),
        ({"noise": 1.0}, "--noise"),
        ({"guidance": 0.5}, "--guidance"),
        ({"device": "tpu"}, "--device"),
        ({"model": "nowhere"}, "not on this machine"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(asked, tmp_path, setting, words):
    with pytest.raises(Refused, match=words):
        course.train(replace(asked, output=tmp_path / "out", **setting), Silent())


def test_the_command_refuses_in_one_line(tmp_path, capsys, monkeypatch):
    arguments = ["tune", str(tmp_path / "nowhere"), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["musicgraph", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out = capsys.readouterr()
    assert ended.value.code == 2 and out.err.count("\n") == 1 and "nothing there" in out.err
    assert list(tmp_path.iterdir()) == []


def test_a_log_hears_each_minute_how_far_it_is(capsys):
    seconds = iter([0, 30, 61, 90, 125, 130, 200])
    lines = tune_cli._Lines(lambda: float(next(seconds)))
    for done in (1, 2, 3, 4, 5):
        lines.progress("training", done, 9, "loss 2.5")
    lines.progress("decoding", 1, 2)
    lines.progress("decoding", 2, 2)
    assert capsys.readouterr().err.splitlines() == [
        "training 3/9, 3 min left loss 2.5",
        "training 5/9, 2 min left loss 2.5",
        "decoding 2/2, 0 s left",
    ]
