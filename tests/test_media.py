"""Audio files: what goes in comes out, tags included, and nothing else is trusted."""

import json
import math

import pytest
import torch

from musicgraph.models.refused import Refused
from musicgraph.nodes.host import Interrupted, Run, running
from musicgraph.workflows import files, media, tags as workflow_tag


def tone(rate=32000, seconds=0.5, channels=1):
    time = torch.arange(int(rate * seconds)) / rate
    return torch.stack(
        [0.5 * torch.sin(2 * math.pi * 440 * (c + 1) * time) for c in range(channels)]
    )


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_lossless_files_hold_the_samples_to_16_bits(tmp_path, suffix, channels):
    waveform = tone(channels=channels)
    media.write_audio(tmp_path / f"a{suffix}", waveform, 32000)
    read, rate = media.read_audio(tmp_path / f"a{suffix}")
    assert rate == 32000 and read.shape == waveform.shape
    assert (read - waveform).abs().max() <= 0.5 / 32768 + 1e-7


def test_wav_and_flac_hold_the_same_samples_clipped_to_full_scale(tmp_path):
    waveform = 1.5 * torch.rand(2, 5000, generator=torch.manual_seed(0)) * 2 - 1.5
    for suffix in (".wav", ".flac"):
        media.write_audio(tmp_path / f"a{suffix}", waveform, 44100)
    wav, flac = (media.read_audio(tmp_path / f"a{suffix}")[0] for suffix in (".wav", ".flac"))
    assert torch.equal(wav, flac) and wav.min() == -1.0 and wav.max() == 32767 / 32768


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("suffix", "rate"), [(".mp3", 32000), (".opus", 48000), (".ogg", 48000)])
def test_lossy_files_keep_pitch_level_and_channels(tmp_path, suffix, rate, channels):
    media.write_audio(tmp_path / f"a{suffix}", tone(seconds=1, channels=channels), 32000)
    read, read_rate = media.read_audio(tmp_path / f"a{suffix}")
    assert read_rate == rate and read.shape[0] == channels
    middle = read[0, read.shape[1] // 4 : read.shape[1] // 4 + rate // 2]
    spectrum = torch.fft.rfft(middle).abs()
    assert abs(int(spectrum.argmax()) * 2 - 440) <= 2
    assert middle.abs().max() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("suffix", [".flac", ".mp3", ".opus", ".ogg"])
def test_tags_come_back_as_they_were(tmp_path, suffix):
    tags = media.workflow_tags({"1": {"inputs": {"text": "é\n\"'=;#"}}}, {"workflow": {"id": 2}})
    media.write_audio(tmp_path / f"a{suffix}", tone(), 32000, tags=tags)
    found = media.read_tags(tmp_path / f"a{suffix}")
    assert {name: found[name] for name in tags} == tags
    assert json.loads(found["workflow"]) == {"id": 2}


def test_every_quality_of_every_format_can_be_written(tmp_path):
    for suffix, coding in media.CODINGS.items():
        for quality in coding.qualities:
            media.write_audio(tmp_path / f"{quality}{suffix}", tone(), 32000, quality=quality)
    with pytest.raises(Refused, match="quality"):
        media.write_audio(tmp_path / "a.mp3", tone(), 32000, quality="V9")


def test_a_rate_that_the_format_cannot_hold_becomes_one_that_it_can(tmp_path):
    for name, rate in (("a.opus", 22050), ("b.opus", 96000), ("c.mp3", 96000)):
        media.write_audio(tmp_path / name, tone(rate), rate)
        read, read_rate = media.read_audio(tmp_path / name)
        assert read_rate == 48000 and read.shape[1] == pytest.approx(
            24000, abs=1300
        )  # lossy formats pad


@pytest.mark.parametrize(
    ("name", "waveform", "reason"),
    [
        ("a.aac", tone(), "suffix"),
        ("a", tone(), "suffix"),
        ("a.wav", torch.zeros(3, 10), "shape"),
        ("a.wav", torch.zeros(1, 0), "shape"),
        ("a.wav", torch.zeros(10), "shape"),
        ("a.flac", torch.full((1, 10), torch.nan), "NaN"),
        ("file.txt/a.wav", tone(), "not a folder"),
        ("folder.wav", tone(), "is a folder"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path, name, waveform, reason):
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(Refused, match=reason):
        media.write_audio(tmp_path / name, waveform, 32000)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file.txt", "folder.wav"]


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    media.write_audio(tmp_path / "a.flac", tone(), 32000)
    before = (tmp_path / "a.flac").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(media.os, "replace", full)
    with pytest.raises(Refused, match="No space left"):
        media.write_audio(tmp_path / "a.flac", 0.1 * tone(), 32000)
    assert [path.name for path in tmp_path.iterdir()] == ["a.flac"] and (
        tmp_path / "a.flac"
    ).read_bytes() == before


def test_a_stop_while_encoding_leaves_nothing(tmp_path):
    with running(Run(stopped=lambda: True)), pytest.raises(Interrupted):
        media.write_audio(tmp_path / "a.flac", tone(), 32000)
    assert not list(tmp_path.iterdir())


def test_folders_are_made_for_the_file(tmp_path):
    media.write_audio(tmp_path / "new" / "deep" / "a.wav", tone(), 32000)
    assert media.read_audio(tmp_path / "new" / "deep" / "a.wav")[0].shape == (1, 16000)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello" * 100,
        b"RIFF\xff\xff\xff\xffWAVE",
        b"ffconcat version 1.0\nfile other.wav\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.wav\n#EXT-X-ENDLIST\n",
    ],
)
def test_what_is_not_audio_is_refused(tmp_path, content):
    media.write_audio(tmp_path / "other.wav", tone(), 32000)
    (tmp_path / "a.wav").write_bytes(content)
    for read in (media.read_audio, media.probe_audio):
        with pytest.raises(Refused, match="not an audio file"):
            read(tmp_path / "a.wav")


def test_audio_that_is_too_long_is_refused(tmp_path):
    media.write_audio(tmp_path / "a.wav", tone(seconds=2), 32000)
    with pytest.raises(Refused, match="too long"):
        media.read_audio(tmp_path / "a.wav", max_seconds=1)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(Refused, match="none.wav"):
        media.read_audio(tmp_path / "none.wav")
