"""The recipe as a whole: its budgets, which pieces are long and which held out, what is asked of a
model that it made.
"""

import os
import re
import signal
import sys
import threading
import time
from argparse import Namespace
from pathlib import Path
from subprocess import CalledProcessError

import pytest

TRAINING = Path(__file__).parents[1] / "training"
sys.path.insert(0, str(TRAINING))

from asks import asks, genres_with_drums  # noqa: E402
from compose import compose  # noqa: E402
from everyday import EVERYDAY  # noqa: E402
from render import is_validation, piece  # noqa: E402
from run import parse_args, run_stage, stages  # noqa: E402
from sound_world import LEADS, TEMPI_BPM  # noqa: E402
from words.pieces import KIN  # noqa: E402


def _stages(hours: float, **others) -> dict[str, dict[str, str]]:
    """Options by script."""
    known = {"work_dir": Path("work"), "to": Path("made"), "start": None, "music_hours": None}
    args = Namespace(hours=hours, device="cpu", workers=2, **(known | others))
    return {
        stage.script: dict(zip(stage.options[::2], stage.options[1::2], strict=True))
        for stage in stages(args)
    }


@pytest.mark.parametrize("hours", [0.2, 8.2])
def test_the_training_stages_share_the_hours(hours):
    made = _stages(hours)
    codec, words = made["train_codec.py"], made["polish_text.py"]
    shares = codec["--hours"], codec["--detail-hours"], words["--hours"]
    language = float(made["train_lm.py"]["--hours"])
    assert sum(map(float, shares)) + language == pytest.approx(hours)
    assert language > hours / 2


def test_a_short_run_makes_less_music_and_judges_fewer_clips():
    short, whole = _stages(0.2), _stages(8.2)
    assert float(short["render.py"]["--hours"]) < 3
    assert 80 <= float(whole["render.py"]["--hours"]) <= 100
    assert int(short["evaluate.py"]["--items"]) < int(whole["evaluate.py"]["--items"])
    assert _stages(0.2, music_hours=5)["render.py"]["--hours"] == "5"


def test_the_model_lies_in_the_work_folder_unless_somebody_says_where():
    made, elsewhere = (
        stages(parse_args(["--work-dir", "build/small", *more]))[-1].options
        for more in ([], ["--to", "models/pocket"])
    )
    assert made[:2] == ("--model", str(Path("build/small/model")))
    assert elsewhere[:2] == ("--model", str(Path("models/pocket")))


STAGE = """
import pathlib, signal, sys, time
told = []
signal.signal(signal.SIGINT, lambda *_: told.append(1))
pathlib.Path(sys.argv[1], "begun").touch()
while not told:
    time.sleep(0.01)
time.sleep(0.1)
pathlib.Path(sys.argv[1], "state").write_text(str(len(told)))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals there are others")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_asks_for_the_end_is_heard_by_the_stage_which_is_waited_for(tmp_path, number):
    def ask():
        end = time.monotonic() + 10
        while not (tmp_path / "begun").exists() and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    threading.Thread(target=ask).start()
    with pytest.raises(SystemExit) as ended:
        run_stage([sys.executable, "-c", STAGE, str(tmp_path)])
    assert ended.value.code == 128 + number
    assert (tmp_path / "state").read_text() == "1", "told once, and not killed"
    assert signal.getsignal(number) is before


def test_a_stage_that_fails_ends_the_run():
    run_stage([sys.executable, "-c", ""])
    with pytest.raises(CalledProcessError):
        run_stage([sys.executable, "-c", "raise SystemExit(3)"])


def test_every_stage_takes_the_options_that_it_is_given():
    for script, options in _stages(1, start=Path("models/pocket")).items():
        source = (TRAINING / script).read_text() + (TRAINING / "evaluate_everyday.py").read_text()
        assert set(options) <= set(re.findall(r'"(--[a-z-]+)"', source)), script


def test_some_of_the_held_out_pieces_are_long_and_some_are_not():
    for held_out in (True, False):
        indices = [i for i in range(600) if is_validation(i) is held_out][:24]
        long = [piece(index).duration_s >= 30 for index in indices]
        assert any(long) and not all(long)


def test_a_piece_is_what_its_index_composes():
    assert piece(7) == compose(7)
    assert piece(12) == compose(12, long=True)


def test_every_lead_is_asked_for_and_asked_only_for_what_genres_play():
    wanted = asks(128)
    assert {ask.lead for ask in wanted if not ask.drums} == set(LEADS)
    assert {ask.lead for ask in wanted if ask.drums} == {n for n in LEADS if genres_with_drums(n)}
    for ask in wanted:
        assert ask.tempo_bpm in TEMPI_BPM and f"{ask.tempo_bpm} bpm" in ask.text
        assert ask.mode in ask.text and ("no drums" in ask.text) != ask.drums


def test_modes_are_asked_for_about_equally_often():
    modes = [ask.mode for ask in asks(128)]
    assert 0.4 < modes.count("minor") / len(modes) < 0.6


def test_what_strangers_expect_can_be_judged():
    families = {instrument.family for instrument in LEADS.values()}
    for asked in EVERYDAY:
        assert set(asked.families) <= families, asked.text
        low, high = asked.bpm or (1, 2)
        assert low < high


def test_every_lead_of_the_world_can_be_asked_for_in_words():
    leads = {name for kin in KIN.values() for name in kin if name in LEADS}
    assert leads == set(LEADS)
