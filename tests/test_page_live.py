"""Sound for the page while it is made: one MP3 that grows, near the loudness of the file."""

import asyncio

import pytest
import torch

from musicgraph.app.page.live import CEILING_DB, LiveSound, RunningGain
from musicgraph.models.dsp import loudness_lufs
from musicgraph.workflows.events import AudioChunk
from musicgraph.workflows.media.audio import read_audio

RATE = 32000


def noise(seconds, level):
    return level * torch.randn(1, int(seconds * RATE))


def chunks(sound, size=RATE):
    at = 0
    for piece in sound.split(size, dim=-1):
        yield AudioChunk("4", piece[None], RATE, at)
        at += piece.shape[-1]


def played(live):
    async def all_of():
        return b"".join([piece async for piece in live.read()])

    return asyncio.run(all_of())


def decoded(data, tmp_path):
    (tmp_path / "live.mp3").write_bytes(data)
    return read_audio(tmp_path / "live.mp3")


@pytest.mark.parametrize("channels", [1, 2])
def test_what_grows_is_all_of_the_sound(tmp_path, channels):
    live, sound = LiveSound(), 0.1 * torch.randn(channels, 3 * RATE)
    assert not live.has_begun
    for chunk in chunks(sound):
        live.push(chunk)
    live.close()
    heard, rate = decoded(played(live), tmp_path)
    assert rate == RATE and heard.shape[0] == channels
    assert heard.shape[-1] == pytest.approx(sound.shape[-1], abs=4000)
    assert len(live.peaks()) == pytest.approx(30, abs=2)


def test_who_comes_late_or_again_gets_the_same_bytes_from_where_they_ask():
    live = LiveSound()
    for chunk in chunks(noise(2, 0.1)):
        live.push(chunk)

    async def follow():
        early = asyncio.create_task(collect(0))
        await asyncio.sleep(0.01)
        live.close()
        return await early, await collect(100)

    async def collect(start):
        return b"".join([piece async for piece in live.read(start)])

    early, late = asyncio.run(follow())
    assert late == early[100:] and len(late) > 1000


def test_a_run_without_sound_ends_without_any():
    live = LiveSound()
    live.close()
    live.push(next(chunks(noise(1, 0.1))))
    assert played(live) == b"" and not live.has_begun


@pytest.mark.parametrize("level", [0.01, 0.3])
def test_quiet_and_loud_music_come_near_the_loudness_asked_for(level):
    gain, sound = RunningGain(-16.0, RATE), noise(12, level)
    heard = torch.cat([gain.push(piece) for piece in sound.split(RATE // 2, dim=-1)], dim=-1)
    assert loudness_lufs(heard, RATE) == pytest.approx(-16.0, abs=1.0)


def test_the_gain_has_no_step_and_moves_slowly():
    gain = RunningGain(-16.0, RATE)
    parts = [*noise(3, 0.01).split(RATE // 2, dim=-1), *noise(3, 0.2).split(RATE // 2, dim=-1)]
    curve = torch.cat([gain.push(part) / part for part in parts], dim=-1)[0].log10() * 20
    steps = curve.diff()
    assert steps.abs().max() < 0.01, "dB from one sample to the next"
    assert steps.abs().max() * RATE <= RunningGain.MAX_STEP_DB_A_S * 1.1
    assert curve[-1] < curve[0]


def test_silence_stays_silent_and_is_not_blown_up_afterwards():
    gain = RunningGain(-16.0, RATE)
    silence = torch.zeros(1, RATE)
    assert torch.equal(gain.push(silence), silence)
    assert gain.push(noise(1, 1e-4)).abs().max() < 0.1


def test_peaks_stay_under_the_ceiling():
    live, sound = LiveSound(-16.0), noise(2, 0.02)
    sound[:, RATE] = 0.9
    for chunk in chunks(sound):
        live.push(chunk)
    live.close()
    assert max(live.peaks()) <= round(99 * 10 ** (CEILING_DB / 20))
