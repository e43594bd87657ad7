"""Audio files: what goes in comes out, tags included, and nothing else is trusted."""

import json
import math
import os
import zlib

import pytest
import torch

from musicgraph.models.disk import files
from musicgraph.models.limits import Limits
from musicgraph.models.refused import Refused
from musicgraph.nodes.graph_tags import workflow_tags
from musicgraph.nodes.host import Interrupted, Run, running
from musicgraph.workflows.media import audio as media
from musicgraph.workflows.media.encode import CODINGS
from musicgraph.workflows.media.tags import read_tags


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


def test_wav_and_flac_hold_the_same_samples(tmp_path):
    waveform = torch.rand(2, 5000, generator=torch.manual_seed(0)) * 2 - 1
    for suffix in (".wav", ".flac"):
        media.write_audio(tmp_path / f"a{suffix}", waveform, 44100)
    wav, flac = (media.read_audio(tmp_path / f"a{suffix}")[0] for suffix in (".wav", ".flac"))
    assert torch.equal(wav, flac)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_sound_above_full_scale_is_scaled_by_one_factor_which_is_said(tmp_path, suffix, caplog):
    waveform = torch.rand(2, 70000, generator=torch.manual_seed(0)) * 2 - 1
    waveform[1, 69000] = -6.0
    factor = media.write_audio(tmp_path / f"a{suffix}", waveform, 44100)
    read, _ = media.read_audio(tmp_path / f"a{suffix}")
    assert factor == pytest.approx(1 / 6) and "scaled by 0.167" in caplog.text
    assert (read - waveform * factor).abs().max() <= 1 / 32768 and read.min() == -1.0
    assert media.write_audio(tmp_path / f"b{suffix}", 0.9 * waveform.clamp(-1, 1), 44100) == 1.0


def test_a_random_codec_that_overshoots_loses_no_peak(tmp_path, mono):
    codes = torch.randint(0, mono.config.codebook_size, (1, 1, mono.config.num_codebooks, 40))
    with torch.inference_mode():
        sound = mono.upstream.audio_encoder.decode(codes, [None]).audio_values[0]
    sound = sound * (4 / sound.abs().max())
    factor = media.write_audio(tmp_path / "a.flac", sound, 32000)
    read, _ = media.read_audio(tmp_path / "a.flac")
    assert factor == pytest.approx(0.25) and (read / factor - sound).abs().max() <= 2 / 32768 * 4


@pytest.mark.parametrize("channels", [3, 4, 5, 6, 7, 8])
def test_sound_of_more_than_two_channels_is_kept_or_mixed_down(tmp_path, channels):
    waveform = 0.2 * torch.rand(channels, 4000, generator=torch.manual_seed(0))
    for suffix, kept in ((".wav", channels), (".flac", channels), (".mp3", 2), (".opus", 2)):
        media.write_audio(tmp_path / f"a{suffix}", waveform, 48000)
        read, _ = media.read_audio(tmp_path / f"a{suffix}")
        assert read.shape[0] == kept
        assert kept == 2 or (read - waveform).abs().max() <= 1 / 32768


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


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".opus", ".ogg"])
def test_tags_come_back_as_they_were(tmp_path, suffix):
    tags = workflow_tags({"1": {"inputs": {"text": "é\n\"'=;#"}}}, {"workflow": {"id": 2}})
    media.write_audio(tmp_path / f"a{suffix}", tone(), 32000, tags=tags)
    found = read_tags(tmp_path / f"a{suffix}")
    assert {name: found[name] for name in tags} == tags
    assert json.loads(found["workflow"]) == {"id": 2}


def test_every_quality_of_every_format_can_be_written(tmp_path):
    for suffix, coding in CODINGS.items():
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
        ("a.wav", torch.zeros(9, 10), "shape"),
        ("x" * 252 + ".wav", tone(), "256 bytes"),
        ("é" * 126 + ".wav", tone(), "256 bytes"),
        ("a\nb.wav", tone(), "no line break"),
        ("a\0b.wav", tone(), "no line break"),
        ("a\udcff.wav", tone(), "whole Unicode"),
        ("nul.wav", tone(), "no device"),
        ("y" * 300 + "/a.wav", tone(), "300 bytes"),
        ("/".join(["z" * 200] * 25) + "/a.wav", tone(), "path is too long"),
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

    monkeypatch.setattr(files.os, "replace", full)
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


@pytest.mark.parametrize(
    "limits",
    [Limits(seconds=1), Limits(samples=63_000), Limits(channels=1), Limits(highest_rate=8)],
)
def test_audio_beyond_any_limit_is_refused_by_name(tmp_path, limits):
    media.write_audio(tmp_path / "song.wav", tone(seconds=1.01, channels=2), 32000)
    with running(Run(limits=limits)), pytest.raises(Refused, match="song.wav"):
        media.read_audio(tmp_path / "song.wav")


def test_decoding_stops_at_the_bound_and_not_at_the_end(tmp_path, monkeypatch):
    media.write_audio(tmp_path / "a.wav", torch.zeros(1, 1_000_000), 32000)
    pieces = []
    whole = media._frame_samples
    monkeypatch.setattr(media, "_frame_samples", lambda *a: pieces.append(1) or whole(*a))
    with running(Run(limits=Limits(samples=50_000))), pytest.raises(Refused, match="too large"):
        media.read_audio(tmp_path / "a.wav")
    assert len(pieces) < 100
    media.write_audio(tmp_path / "b.flac", torch.zeros(1, 1_000_000), 32000)
    pieces.clear()
    with running(Run(limits=Limits(samples=50_000))), pytest.raises(Refused, match="too large"):
        media.read_audio(tmp_path / "b.flac")
    assert not pieces


def test_sound_longer_than_a_block_comes_back_whole(tmp_path, monkeypatch):
    waveform = tone(seconds=1, channels=2)
    media.write_audio(tmp_path / "a.flac", waveform, 32000)
    monkeypatch.setattr(media, "BLOCK_SAMPLES", 999)
    read, _ = media.read_audio(tmp_path / "a.flac")
    assert (read - waveform).abs().max() <= 0.5 / 32768 + 1e-7


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_file_with_samples_that_are_no_numbers_is_named(tmp_path, bad):
    import soundfile

    samples = torch.zeros(3000)
    samples[2000] = bad
    soundfile.write(tmp_path / "bad.wav", samples.numpy(), 8000, subtype="FLOAT")
    with pytest.raises(Refused, match="bad.wav.*NaN or infinite"):
        media.read_audio(tmp_path / "bad.wav")


def test_a_pipe_and_a_device_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    for path in (tmp_path / "a.wav", "/dev/zero"):
        for read in (media.read_audio, media.probe_audio, read_tags):
            with pytest.raises(Refused, match="a (pipe|device), expected a file"):
                read(path)


def id3(version, flags, claim, packed):
    size = len(packed) + 4
    syncsafe = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    length = syncsafe if version == 4 else size.to_bytes(4, "big")
    frame = b"TXXX" + length + bytes([0, flags]) + claim + packed
    total = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3" + bytes([version, 0, 0]) + total + frame


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(("version", "flags"), [(3, 0x80), (4, 0x09)])
def test_an_id3_tag_that_unpacks_to_too_much_never_reaches_the_unpacker(
    tmp_path, version, flags, inside
):
    tag = id3(version, flags, b"\x7f\x7f\x7f\x7f", zlib.compress(bytes(1000)))
    chunk = b"RIFF\0\0\0\0WAVEid3 " + len(tag).to_bytes(4, "little") + tag
    (tmp_path / "a.mp3").write_bytes(chunk if inside else tag)
    for read in (media.read_audio, read_tags):
        with pytest.raises(Refused, match="unpacks to"):
            read(tmp_path / "a.mp3")


def test_a_name_as_long_as_names_can_be_is_written(tmp_path):
    name = "x" * 251 + ".wav"
    media.write_audio(tmp_path / name, tone(), 32000)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(Refused, match="none.wav"):
        media.read_audio(tmp_path / "none.wav")
