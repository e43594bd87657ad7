"""The twins of ComfyUI's nodes for sound and pictures do what ComfyUI of today does."""

import time

import pytest
import torch
from fakes import run

from musicgraph.models.limits import Limits
from musicgraph.models.refused import Refused
from musicgraph.nodes.host import Run, running
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.media.audio import read_audio, write_audio
from musicgraph.workflows.media.pngs import png_bytes
from musicgraph.workflows.media.tags import read_tags
from musicgraph.workflows.problems import WorkflowError
from musicgraph.workflows.twins.catalogue import NODE_CLASS_MAPPINGS


def call(class_type, **inputs):
    node_class = NODE_CLASS_MAPPINGS[class_type]
    return getattr(node_class(), node_class.FUNCTION)(**inputs)


def audio(*channels, rate=10):
    return {"waveform": torch.tensor([channels], dtype=torch.float32), "sample_rate": rate}


RAMP = audio([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
STEREO = audio([0.5, 0.5], [-0.5, 0.25])


def samples(result):
    return [[round(value, 6) for value in channel] for channel in result[0]["waveform"][0].tolist()]


@pytest.mark.parametrize(
    ("start", "duration", "expected"),
    [
        (0.2, 0.3, [0.2, 0.3, 0.4]),
        (-0.2, 9, [0.6, 0.7]),
        (-99, 0.1, [0.0]),
        (0, 60, None),
    ],
)
def test_trim_counts_from_either_end_and_stays_inside(start, duration, expected):
    result = samples(call("TrimAudioDuration", audio=RAMP, start_index=start, duration=duration))
    assert result == [expected] if expected else samples((RAMP,))


@pytest.mark.parametrize(("start", "duration"), [(0, 0), (99, 1), (0.8, 1)])
def test_trim_refuses_to_leave_nothing(start, duration):
    with pytest.raises(Refused, match="nothing is left"):
        call("TrimAudioDuration", audio=RAMP, start_index=start, duration=duration)


def test_split_gives_each_side_and_refuses_mono():
    left, right = call("SplitAudioChannels", audio=STEREO)
    assert left["waveform"].tolist() == [[[0.5, 0.5]]] and right["waveform"].tolist() == [
        [[-0.5, 0.25]]
    ]
    with pytest.raises(Refused, match="stereo"):
        call("SplitAudioChannels", audio=RAMP)


def test_concat_makes_stereo_of_mono_in_either_order():
    mono = audio([1.0])
    assert samples(call("AudioConcat", audio1=mono, audio2=STEREO, direction="after")) == [
        [1, 0.5, 0.5],
        [1, -0.5, 0.25],
    ]
    assert samples(call("AudioConcat", audio1=mono, audio2=mono, direction="before")) == [
        [1, 1],
        [1, 1],
    ]


def test_two_rates_meet_at_the_higher_one():
    slow = {"waveform": torch.zeros(1, 1, 100), "sample_rate": 8000}
    fast = {"waveform": torch.zeros(1, 1, 100), "sample_rate": 16000}
    (result,) = call("AudioConcat", audio1=slow, audio2=fast, direction="after")
    assert result["sample_rate"] == 16000 and result["waveform"].shape == (1, 2, 300)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("add", [1.0, 1 / 1.5]),
        ("mean", [0.75, 0.5]),
        ("subtract", [-0.5, 1.0]),
        ("multiply", [0.5, 0.0]),
    ],
)
def test_merge_is_as_long_as_the_first_and_never_above_full_scale(method, expected):
    first, second = audio([0.5, 1.0]), audio([1.0])
    result = samples(call("AudioMerge", audio1=first, audio2=second, merge_method=method))
    assert result == [[pytest.approx(x, abs=1e-5) for x in expected]]
    longer = audio([0.1] * 9)
    assert (
        len(samples(call("AudioMerge", audio1=first, audio2=longer, merge_method="mean"))[0]) == 2
    )


def test_volume_is_in_decibels_and_zero_changes_nothing():
    assert call("AudioAdjustVolume", audio=STEREO, volume=0)[0] is STEREO
    assert samples(call("AudioAdjustVolume", audio=STEREO, volume=20))[0] == [5.0, 5.0]


def test_empty_audio_has_the_length_asked_for_and_a_bound():
    (result,) = call("EmptyAudio", duration=1.5, sample_rate=100, channels=2)
    assert result["waveform"].shape == (1, 2, 150) and not result["waveform"].any()
    for duration, rate in ((1e12, 44100), (1, 0), (1, -5)):
        with pytest.raises(Refused, match="got"):
            call("EmptyAudio", duration=duration, sample_rate=rate, channels=2)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"duration": 3600}, "too large"),
        ({"sample_rate": 600_000_000}, "sample rate"),
        ({"channels": 3}, "1 or 2 channels"),
        ({"duration": -1}, "0 to 4000 s"),
    ],
)
def test_silence_that_is_too_much_is_refused_before_anything_runs(folders, inputs, reason):
    silence = {"duration": 1, "sample_rate": 44100, "channels": 2, **inputs}
    prompt = {
        "1": {"class_type": "EmptyAudio", "inputs": silence},
        "2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "x"}},
    }
    with pytest.raises(WorkflowError, match=reason):
        run_in(folders, prompt)


def test_sound_that_doubles_at_each_node_is_refused_before_it_is_made():
    (sound,) = call("EmptyAudio", duration=1, sample_rate=1000, channels=2)
    with running(Run(limits=Limits(samples=20_000))), pytest.raises(Refused, match="too large"):
        for _ in range(20):
            (sound,) = call("AudioConcat", audio1=sound, audio2=sound, direction="after")
    assert sound["waveform"].numel() == 16_000


def test_sound_is_not_resampled_beyond_the_bound():
    slow = {"waveform": torch.zeros(1, 1, 1000), "sample_rate": 10}
    fast = {"waveform": torch.zeros(1, 1, 10), "sample_rate": 384_000}
    with running(Run(limits=Limits(samples=1_000_000))), pytest.raises(Refused, match="too large"):
        call("AudioMerge", audio1=slow, audio2=fast, merge_method="add")


def test_merge_spreads_mono_over_the_other_and_refuses_what_does_not_fit():
    merged = samples(call("AudioMerge", audio1=audio([0.5]), audio2=STEREO, merge_method="add"))
    assert merged == [[1.0], [0.0]]
    six = {"waveform": torch.zeros(1, 6, 4), "sample_rate": 10}
    with pytest.raises(Refused, match="do not go together"):
        call("AudioMerge", audio1=STEREO, audio2=six, merge_method="add")


def test_trim_takes_any_number():
    result = call("TrimAudioDuration", audio=RAMP, start_index=0.0, duration=1e308)
    assert samples(result) == samples((RAMP,))
    assert samples(call("TrimAudioDuration", audio=RAMP, start_index=-1.8e19, duration=0.1)) == [
        [0.0]
    ]


def test_inputs_are_left_as_they_are():
    before = STEREO["waveform"].clone()
    call("AudioMerge", audio1=STEREO, audio2=STEREO, merge_method="add")
    call("AudioAdjustVolume", audio=STEREO, volume=6)
    assert torch.equal(before, STEREO["waveform"])


MISSING = [
    ("TrimAudioDuration", {"audio": None, "start_index": 0, "duration": 1}, None),
    ("AudioAdjustVolume", {"audio": None, "volume": 1}, None),
    ("SplitAudioChannels", {"audio": None}, None),
    ("AudioConcat", {"audio1": None, "audio2": None, "direction": "after"}, None),
    ("AudioConcat", {"audio1": RAMP, "audio2": None, "direction": "before"}, RAMP),
    ("AudioMerge", {"audio1": None, "audio2": STEREO, "merge_method": "mean"}, STEREO),
    ("JoinAudioChannels", {"audio_left": None, "audio_right": RAMP}, RAMP),
]


@pytest.mark.parametrize(("class_type", "inputs", "expected"), MISSING)
def test_the_sound_of_a_video_without_sound_goes_through(class_type, inputs, expected):
    assert all(one is expected for one in call(class_type, **inputs))


@pytest.mark.parametrize("kind", ["SaveAudio", "SaveAudioAdvanced", "PreviewAudio"])
def test_what_saves_says_that_there_is_no_sound(folders, kind):
    prefix = {} if kind == "PreviewAudio" else {"filename_prefix": "x"}
    with pytest.raises(Refused, match="no audio"):
        call(kind, audio=None, **prefix)


# ---------------------------------------------------------------- files


@pytest.fixture
def folders(tmp_path):
    run = Run(input_dir=tmp_path / "in", output_dir=tmp_path / "out", temp_dir=tmp_path / "temp")
    for folder in (run.input_dir, run.output_dir):
        folder.mkdir()
    with running(run):
        yield run


SILENCE = {"waveform": torch.zeros(2, 1, 800), "sample_rate": 8000}


def test_files_are_numbered_on_per_prefix_and_each_item_has_its_own(folders):
    first = call("SaveAudio", audio=SILENCE, filename_prefix="a/song")
    second = call("SaveAudioMP3", audio=SILENCE, filename_prefix="a/song", quality="V0")
    other = call("SaveAudio", audio=SILENCE, filename_prefix="a/son")
    names = [
        entry["filename"] for result in (first, second, other) for entry in result["ui"]["audio"]
    ]
    assert names[:4] == [
        "song_00001.flac",
        "song_00002.flac",
        "song_00003.mp3",
        "song_00004.mp3",
    ]
    assert names[4:] == ["son_00001.flac", "son_00002.flac"]
    assert first["ui"]["audio"][0] == {
        "filename": "song_00001.flac",
        "subfolder": "a",
        "type": "output",
    }
    assert len(list((folders.output_dir / "a").iterdir())) == 6


def test_a_prefix_may_hold_the_date_and_the_item(folders):
    result = call("SaveAudio", audio=SILENCE, filename_prefix="%year%/x%batch_num%")
    year = str(time.localtime().tm_year)
    assert [(e["subfolder"], e["filename"]) for e in result["ui"]["audio"]] == [
        (year, "x0_00001.flac"),
        (year, "x1_00002.flac"),
    ]


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("x" * 300, "at most 255 bytes"),
        ("x" * 242, "at most 255 bytes"),
        ("y" * 300 + "/x", "at most 255 bytes"),
        ("a\nb", "no line break"),
        ("a\0b", "no line break"),
        ("con/x", "no device of Windows"),
        ("/".join(["z" * 200] * 25), "path is too long"),
    ],
)
def test_a_prefix_that_gives_no_file_name_is_refused_before_anything_runs(folders, prefix, reason):
    write_audio(folders.input_dir / "a.wav", torch.zeros(1, 80), 8000)
    prompt = graph()
    prompt["2"]["inputs"]["filename_prefix"] = prefix
    with pytest.raises(WorkflowError, match=reason):
        run_in(folders, prompt)


def test_a_prefix_as_long_as_names_can_be_is_written(folders):
    write_audio(folders.input_dir / "a.wav", torch.zeros(1, 80), 8000)
    prompt = graph()
    prompt["2"]["inputs"]["filename_prefix"] = "x" * 235
    (file,) = run_in(folders, prompt).files
    assert file.exists() and not list(folders.output_dir.glob(".mg-*"))


@pytest.mark.parametrize(("kind", "folder"), [("SaveImage", "out"), ("PreviewImage", "temp")])
def test_a_picture_can_end_a_graph(folders, kind, folder):
    from PIL import Image

    save = {"images": ["2", 0]} | ({"filename_prefix": "%width%"} if kind == "SaveImage" else {})
    silence = {"duration": 1, "sample_rate": 8000, "channels": 1}
    prompt = {
        "1": {"class_type": "EmptyAudio", "inputs": silence},
        "2": {
            "class_type": "AudioSpectrogram",
            "inputs": {"audio": ["1", 0], "width": 96, "height": 64},
        },
        "3": {"class_type": kind, "inputs": save},
    }
    (file,) = run_in(folders, prompt, Runner()).files
    with Image.open(file) as picture:
        assert picture.size == (96, 64) and picture.mode == "RGB"
    assert file.parent.name == folder and set(read_tags(file)) == {"prompt", "musicgraph"}
    assert kind == "PreviewImage" or file.name == "96_00001_.png"


def test_a_picture_holds_the_colours_it_was_given():
    import io

    from PIL import Image

    image = torch.rand(5, 7, 3, generator=torch.manual_seed(0))
    with Image.open(io.BytesIO(png_bytes(image, {"prompt": "{}"}))) as picture:
        read = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).reshape(5, 7, 3)
    assert torch.equal(read, (image * 255).floor().to(torch.uint8))  # as ComfyUI cuts


def test_six_channels_are_loaded_and_saved(folders):
    write_audio(folders.input_dir / "a.wav", torch.full((6, 800), 0.1), 8000)
    (file,) = run_in(folders, graph()).files
    assert read_audio(file)[0].shape == (6, 800)


def test_the_advice_fits_what_is_wrong_with_the_file(folders):
    (folders.input_dir / "tag.mp3").write_bytes(b"ID3\x04\0\0\0\0\0\0" + bytes(2000))
    with pytest.raises(WorkflowError) as caught:
        run_in(folders, graph(audio="tag.mp3"))
    assert "input folder" not in str(caught.value)
    with pytest.raises(WorkflowError, match="put the audio file into the input folder"):
        run_in(folders, graph(audio="none.mp3"))


def test_a_file_that_had_to_be_scaled_is_named_with_its_factor(folders):
    write_audio(folders.input_dir / "a.wav", torch.full((1, 80), 0.9), 8000)
    prompt = graph()
    prompt["3"] = {"class_type": "AudioAdjustVolume", "inputs": {"audio": ["1", 0], "volume": 20}}
    runner = Runner(NODE_CLASS_MAPPINGS)
    assert run_in(folders, prompt, runner).scaled_by == {}
    prompt["2"]["inputs"]["audio"] = ["3", 0]
    for _ in range(2):  # the second time from what was kept
        result = run_in(folders, prompt, runner)
        assert result.scaled_by == {result.files[0]: pytest.approx(1 / 9, rel=1e-3)}


def test_previews_go_to_the_temporary_folder(folders):
    entry = call("PreviewAudio", audio=SILENCE)["ui"]["audio"][0]
    assert entry["type"] == "temp" and entry["filename"].startswith("ComfyUI_temp_")
    assert (folders.temp_dir / entry["filename"]).exists()


def graph(**inputs):
    return {
        "1": {"class_type": "LoadAudio", "inputs": {"audio": "a.wav", **inputs}},
        "2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "x"}},
    }


def run_in(folders, prompt, runner=None):
    runner = runner or Runner(NODE_CLASS_MAPPINGS)
    return run(
        runner,
        prompt,
        input_dir=folders.input_dir,
        output_dir=folders.output_dir,
        temp_dir=folders.temp_dir,
    )


@pytest.mark.parametrize("prefix", ["../x", "/etc/x", "a/../../x", "a/b/../../../out2/x"])
def test_nothing_is_written_outside_the_output_folder(folders, prefix):
    write_audio(folders.input_dir / "a.wav", torch.zeros(1, 80), 8000)
    prompt = graph()
    prompt["2"]["inputs"]["filename_prefix"] = prefix
    with pytest.raises(WorkflowError, match="custom_validation_failed"):
        run_in(folders, prompt)
    with pytest.raises(Refused, match="inside"):
        call("SaveAudio", audio=SILENCE, filename_prefix=prefix)


@pytest.mark.parametrize(
    "name", ["../secret.wav", "/etc/passwd", "none.wav", "text.wav", "", "x\0.wav"]
)
def test_only_audio_inside_the_input_folder_is_loaded(folders, name):
    write_audio(folders.input_dir.parent / "secret.wav", torch.zeros(1, 80), 8000)
    (folders.input_dir / "text.wav").write_text("not audio")
    with pytest.raises(WorkflowError, match="custom_validation_failed"):
        run_in(folders, graph(audio=name))


def test_a_subfolder_and_the_output_folder_can_be_read(folders):
    write_audio(folders.input_dir / "sub" / "a.wav", torch.zeros(1, 80), 8000)
    run_in(folders, graph(audio="sub/a.wav"))
    run_in(folders, graph(audio="x_00001.flac [output]"))
    assert (folders.output_dir / "x_00002.flac").exists()


def test_a_file_that_changed_is_loaded_again_and_a_deleted_result_is_written_again(folders):
    runner = Runner(NODE_CLASS_MAPPINGS)
    write_audio(folders.input_dir / "a.wav", torch.zeros(1, 80), 8000)
    (first,) = run_in(folders, graph(), runner).files
    same = run_in(folders, graph(), runner)
    assert same.files == (first,) and set(same.cached) == {"1", "2"}
    first.unlink()
    assert run_in(folders, graph(), runner).cached == ("1",)
    write_audio(folders.input_dir / "a.wav", torch.zeros(1, 160), 8000)
    (changed,) = run_in(folders, graph(), runner).files
    assert read_audio(changed)[0].shape == (1, 160)


def test_load_offers_the_audio_files_of_the_input_folder(folders):
    for name in ("b.mp3", "a.flac", "c.txt", "d.mp4"):
        (folders.input_dir / name).write_text("")
    assert NODE_CLASS_MAPPINGS["LoadAudio"].INPUT_TYPES()["required"]["audio"][0] == [
        "a.flac",
        "b.mp3",
        "d.mp4",
    ]
