"""Twins of ComfyUI's newer nodes for sound: every format, pass-through, sides, bands, rates."""

import av
import pytest
import torch
from fakes import run

from musicgraph.models.dsp import resample
from musicgraph.models.limits import Limits
from musicgraph.models.refused import Refused
from musicgraph.nodes.host import Run, running
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.media.audio import read_audio, write_audio
from musicgraph.workflows.problems import WorkflowError
from musicgraph.workflows.twins import equalizer
from musicgraph.workflows.twins.catalogue import NODE_CLASS_MAPPINGS
from musicgraph.workflows.twins.rates import resampled


def call(class_type, **inputs):
    node_class = NODE_CLASS_MAPPINGS[class_type]
    return getattr(node_class(), node_class.FUNCTION)(**inputs)


def tone(frequency, rate=44100, seconds=0.5, channels=1):
    time = torch.arange(int(rate * seconds)) / rate
    wave = 0.1 * torch.sin(2 * torch.pi * frequency * time)
    return {"waveform": wave.expand(1, channels, -1).clone(), "sample_rate": rate}


@pytest.fixture
def folders(tmp_path):
    run = Run(input_dir=tmp_path / "in", output_dir=tmp_path / "out", temp_dir=tmp_path / "temp")
    for folder in (run.input_dir, run.output_dir):
        folder.mkdir()
    with running(run):
        yield run


def run_in(folders, prompt, **more):
    places = {name: getattr(folders, name) for name in ("input_dir", "output_dir", "temp_dir")}
    return run(Runner(NODE_CLASS_MAPPINGS), prompt, **places, **more)


# ---------------------------------------------------------------- saving

CODECS = {"flac": "flac", "mp3": "mp3float", "opus": "opus"}
ADVANCED = [
    (kind, quality)
    for kind, qualities in NODE_CLASS_MAPPINGS["SaveAudioAdvanced"].QUALITIES.items()
    for quality in (None, *qualities)
]


@pytest.mark.parametrize(("kind", "quality"), ADVANCED)
def test_the_advanced_saver_writes_every_format_at_every_quality(folders, kind, quality):
    sound = tone(440, 48000)
    chosen = {} if quality is None else {"format.quality": quality}
    result = call("SaveAudioAdvanced", audio=sound, filename_prefix="a/x", format=kind, **chosen)
    (entry,) = result["ui"]["audio"]
    assert entry == {"filename": f"x_00001.{kind}", "subfolder": "a", "type": "output"}
    path = folders.output_dir / "a" / entry["filename"]
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert stream.codec_context.name == CODECS[kind] and stream.codec_context.channels == 1
        if kind == "mp3" and quality not in (None, "V0"):
            assert stream.bit_rate == int(quality.removesuffix("k")) * 1000


def test_a_better_quality_makes_a_larger_file(folders):
    noise = {"waveform": torch.rand(1, 2, 96000) - 0.5, "sample_rate": 48000}
    sizes = []
    for quality in ("64k", "96k", "128k", "192k", "320k"):
        chosen = {"format": "opus", "format.quality": quality}
        entry = call("SaveAudioAdvanced", audio=noise, filename_prefix="x", **chosen)["ui"]["audio"]
        sizes.append((folders.output_dir / entry[0]["filename"]).stat().st_size)
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1] / 3


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"format": "wav"}, "one of flac, mp3, opus"),
        ({"format": "mp3", "format.quality": "64k"}, "one of V0, 128k, 320k"),
        ({"format": "opus", "format.quality": "V0"}, "one of 64k, 96k"),
    ],
)
def test_a_quality_that_the_format_has_not_is_refused_before_anything_runs(folders, chosen, reason):
    with pytest.raises(WorkflowError, match=reason):
        run_in(folders, silence_into("SaveAudioAdvanced", filename_prefix="x", **chosen))


def silence_into(class_type, **inputs):
    silence = {"duration": 0.1, "sample_rate": 48000, "channels": 1}
    return {
        "1": {"class_type": "EmptyAudio", "inputs": silence},
        "2": {"class_type": class_type, "inputs": {"audio": ["1", 0], **inputs}},
    }


SAVERS = ["SaveAudio", "SaveAudioMP3", "SaveAudioOpus", "SaveAudioAdvanced", "PreviewAudio"]


@pytest.mark.parametrize("kind", SAVERS)
def test_what_saves_hands_the_sound_on(folders, kind):
    inputs = {} if kind == "PreviewAudio" else {"filename_prefix": "x"}
    inputs |= {"format": "flac"} if kind == "SaveAudioAdvanced" else {}
    prompt = silence_into(kind, **inputs)
    prompt["3"] = {
        "class_type": "SaveAudio",
        "inputs": {"audio": ["2", 0], "filename_prefix": "again"},
    }
    result = run_in(folders, prompt)
    assert result.value("2") is result.value("1") and len(result.files) == 2
    assert result.files[1].name == "again_00001.flac"


def test_numbers_go_on_from_files_of_either_age(folders):
    for name in ("x_00007_.flac", "x_00003.flac", "x_9_old.mp3", "x_y_00050.flac", "xx_00099.flac"):
        (folders.output_dir / name).touch()
    result = call("SaveAudio", audio=tone(440), filename_prefix="x")
    assert result["ui"]["audio"][0]["filename"] == "x_00010.flac"


# ---------------------------------------------------------------- recording


def test_a_microphone_is_refused_in_words_and_a_recording_that_is_here_is_loaded(folders):
    prompt = {
        "1": {"class_type": "RecordAudio", "inputs": {"audio": ""}},
        "2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "x"}},
    }
    for name in ("", "audio/1.wav [temp]", "../x.wav", "a\0.wav"):
        prompt["1"]["inputs"]["audio"] = name
        with pytest.raises(WorkflowError, match="record in ComfyUI's page"):
            run_in(folders, prompt)
    write_audio(folders.temp_dir / "audio" / "1.wav", torch.full((1, 80), 0.5), 8000)
    prompt["1"]["inputs"]["audio"] = "audio/1.wav [temp]"
    (file,) = run_in(folders, prompt).files
    assert torch.equal(read_audio(file)[0], torch.full((1, 80), 0.5))


# ---------------------------------------------------------------- sides and lengths


def test_joined_sides_are_what_splitting_gives_back():
    left, right = tone(200), tone(300, seconds=0.4)
    (both,) = call("JoinAudioChannels", audio_left=left, audio_right=right)
    assert both["waveform"].shape == (1, 2, 17640)
    sides = call("SplitAudioChannels", audio=both)
    for side, whole in zip(sides, (left, right), strict=True):
        assert torch.equal(side["waveform"], whole["waveform"][..., :17640])


def test_only_mono_sides_are_joined():
    with pytest.raises(Refused, match="2 and 1 channel"):
        call("JoinAudioChannels", audio_left=tone(1, channels=2), audio_right=tone(1))


def test_joining_is_bounded():
    with running(Run(limits=Limits(samples=40_000))), pytest.raises(Refused, match="too large"):
        call("JoinAudioChannels", audio_left=tone(200), audio_right=tone(200))


def test_a_duration_is_in_seconds_and_nothing_has_none():
    assert call("AudioDuration", audio=tone(200, seconds=0.25)) == (0.25, 44100)
    assert call("AudioDuration", audio=None) == (0.0, 0)


# ---------------------------------------------------------------- rates


@pytest.mark.parametrize(("from_rate", "to_rate"), [(32000, 44100), (44100, 48000), (8000, 48000)])
def test_a_tone_at_another_rate_is_the_same_tone(from_rate, to_rate):
    made = resampled(tone(1000, from_rate)["waveform"], from_rate, to_rate)
    right = tone(1000, to_rate)["waveform"]
    assert made.shape == right.shape
    inner = slice(200, -200)  # the ends hear the silence beyond them
    assert (made - right)[..., inner].abs().max() < 2e-4


def test_rates_without_a_common_divisor_take_the_small_way():
    sound = torch.rand(1, 2, 500) - 0.5
    assert torch.equal(resampled(sound, 44101, 48000), resample(sound, 44101, 48000))


def test_each_item_and_channel_is_resampled_alone():
    sound = torch.rand(2, 2, 500) - 0.5
    together = resampled(sound, 32000, 48000)
    for item in range(2):
        for channel in range(2):
            alone = resampled(sound[item : item + 1, channel : channel + 1], 32000, 48000)
            assert (together[item, channel] - alone[0, 0]).abs().max() < 1e-6


# ---------------------------------------------------------------- the equalizer

FLAT = {
    "low_gain_dB": 0.0,
    "low_freq": 100,
    "mid_gain_dB": 0.0,
    "mid_freq": 1000,
    "mid_q": 0.707,
    "high_gain_dB": 0.0,
    "high_freq": 5000,
}


def gain_db(before, after):
    tail = slice(before.shape[-1] // 2, None)  # once the filters have settled
    return 20 * float(torch.log10(after[..., tail].std() / before[..., tail].std()))


@pytest.mark.parametrize(
    ("band", "frequency", "elsewhere"),
    [("low", 20, 4000), ("mid", 1000, 40), ("high", 20000, 200)],
)
@pytest.mark.parametrize("db", [-12.0, 6.0])
def test_a_band_is_lifted_by_its_decibels_and_the_others_stay(band, frequency, elsewhere, db):
    settings = FLAT | {f"{band}_gain_dB": db}
    for heard, expected in ((frequency, db), (elsewhere, 0)):
        sound = tone(heard, seconds=2)
        (made,) = call("AudioEqualizer3Band", audio=sound, **settings)
        assert gain_db(sound["waveform"], made["waveform"]) == pytest.approx(expected, abs=0.3)


def test_bands_at_zero_change_nothing_and_the_input_stays():
    sound = {"waveform": torch.rand(2, 2, 800) * 3, "sample_rate": 8000}
    before = sound["waveform"].clone()
    (flat,) = call("AudioEqualizer3Band", audio=sound, **FLAT)
    assert torch.equal(flat["waveform"], before)
    (made,) = call("AudioEqualizer3Band", audio=sound, **FLAT | {"low_gain_dB": 24.0})
    assert torch.equal(sound["waveform"], before) and not torch.equal(made["waveform"], before)
    assert made["waveform"].abs().max() == 1  # clipped, as there


def test_a_band_above_half_the_rate_is_refused_unless_it_is_flat():
    sound = tone(100, 8000)
    call("AudioEqualizer3Band", audio=sound, **FLAT)
    with pytest.raises(Refused, match="4000 Hz"):
        call("AudioEqualizer3Band", audio=sound, **FLAT | {"high_gain_dB": 1.0})


def test_a_bell_is_exact_at_its_centre():
    b, a = equalizer.bell(44100, 11025, 6.0, 1.0)  # a quarter of the rate: z = i
    response = complex(b[0] - b[2], -b[1]) / complex(a[0] - a[2], -a[1])
    assert abs(response) == pytest.approx(10 ** (6 / 20))
