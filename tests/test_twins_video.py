"""Twins of ComfyUI's nodes for video: what goes in comes out, tags and bounds included."""

import json
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from fakes import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import damaged

from musicgraph.models.limits import Limits
from musicgraph.models.refused import Refused
from musicgraph.nodes.host import Run, running
from musicgraph.workflows.bounds import Ledger
from musicgraph.workflows.calls import Outcome
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.media.tags import read_tags
from musicgraph.workflows.media.video import Clip, Pictures, StoredPictures, unpacked, whole
from musicgraph.workflows.problems import NodeError, WorkflowError
from musicgraph.workflows.twins.catalogue import NODE_CLASS_MAPPINGS


def call(class_type, **inputs):
    node_class = NODE_CLASS_MAPPINGS[class_type]
    return getattr(node_class(), node_class.FUNCTION)(**inputs)


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


def steps(count=12, width=64, height=48):
    """Smooth pictures, each lighter than the one before: `[B, H, W, 3]`."""
    across = torch.linspace(0.2, 0.6, width)[None, None, :, None]
    lighter = torch.linspace(0, 0.3, count)[:, None, None, None]
    return (across + lighter).expand(count, height, width, 3).clone()


def pictures(video):
    return whole(unpacked(video).images)


def tone(seconds=1.0, rate=32000, channels=2):
    time = torch.arange(int(rate * seconds)) / rate
    wave = 0.3 * torch.sin(2 * torch.pi * 440 * time)
    return {"waveform": wave.expand(1, channels, -1).clone(), "sample_rate": rate}


def saved(folders, video, **inputs):
    inputs = {"filename_prefix": "v/x", "format": "auto", "codec": "auto", **inputs}
    (entry,) = call("SaveVideo", video=video, **inputs)["ui"]["images"]
    return folders.output_dir / entry["subfolder"] / entry["filename"]


def made(**inputs):
    (video,) = call("CreateVideo", **{"images": steps(), "fps": 24.0, **inputs})
    return video


@pytest.mark.parametrize("width", [64, 70])
@pytest.mark.parametrize("depth", [8, 10])
def test_a_video_comes_back_with_its_pictures_sound_rate_and_depth(folders, width, depth):
    path = saved(folders, made(images=steps(width=width), audio=tone(), bit_depth=depth))
    assert path.name == "x_00001_.mp4"
    stored, audio, fps, bits = call("GetVideoComponents", video=Clip(path))
    images = whole(stored)
    assert images.shape == stored.shape == (12, 48, width, 3) and (fps, bits) == (24.0, depth)
    away = (images - steps(width=width)).abs()
    assert away.mean() < 0.005  # FFmpeg's scaler leaves a few pixels of odd widths in 10 bits wrong
    assert width % 8 or away.max() < 0.03
    assert audio["sample_rate"] == 32000 and audio["waveform"].shape[:2] == (1, 2)
    heard = audio["waveform"][..., :16000]  # half a second of pictures: the sound is as long
    assert abs(audio["waveform"].shape[-1] - 16000) <= 1024
    assert (heard - tone(0.5)["waveform"])[..., 2000:14000].abs().max() < 0.05


def test_a_video_without_sound_hands_on_nothing(folders):
    _, audio, _, _ = call("GetVideoComponents", video=Clip(saved(folders, made())))
    assert audio is None


def test_what_was_never_a_file_is_taken_apart_exactly():
    images, sound = steps(), tone()
    parts = call("GetVideoComponents", video=made(images=images, audio=sound, fps=29.97))
    assert torch.equal(parts[0], images) and parts[1] is sound
    assert parts[2:] == (29.97, 8)


def test_the_graph_is_in_the_tags_and_can_be_run_from_them(folders):
    prompt = {"1": {"class_type": "LoadVideo", "inputs": {"file": "a.mp4"}}}
    path = saved(folders, made(), prompt=prompt, extra_pnginfo={"workflow": {"nodes": []}})
    tags = read_tags(path)
    assert {name: json.loads(text) for name, text in tags.items()} == {
        "prompt": prompt,
        "workflow": {"nodes": []},
    }


def test_a_loaded_video_is_copied_and_gets_the_new_graph(folders):
    first = saved(folders, made(audio=tone()), prompt={"old": 1})
    second = saved(folders, Clip(first), prompt={"new": 2})
    assert json.loads(read_tags(second)["prompt"]) == {"new": 2}
    assert packets(first) == packets(second)


def packets(path):
    with av.open(str(path)) as container:
        return sorted((one.stream.type, bytes(one)) for one in container.demux() if one.size)


def test_a_lower_crf_is_better_and_larger(folders):
    noise = torch.rand(8, 48, 64, 3, generator=torch.manual_seed(0))
    sizes, errors = [], []
    for crf in (0.0, 23.0, 51.0):
        chosen = {"codec": "h264", "codec.encoding": "re-encode", "codec.encoding.crf": crf}
        path = saved(folders, made(images=noise), **chosen)
        sizes.append(path.stat().st_size)
        errors.append(float((pictures(Clip(path)) - noise).abs().mean()))
    assert sizes == sorted(sizes)[::-1] and errors == sorted(errors)


def test_a_part_of_a_file_and_of_pictures_are_the_same_part(folders):
    drawn = made(images=steps(24), audio=tone())
    file = Clip(saved(folders, drawn))
    for start, duration, count in ((0.25, 0.5, 12), (-0.25, 0, 6), (0, 0, 24), (0.5, 9, 12)):
        cut = {"start_time": start, "duration": duration, "strict_duration": False}
        (of_file,), (of_pictures,) = (call("Video Slice", video=v, **cut) for v in (file, drawn))
        one, other = unpacked(of_file), unpacked(of_pictures)
        right = whole(other.images)
        assert len(one.images) == len(right) == count
        assert (whole(one.images) - right).abs().mean() < 0.006  # the next picture: 0.013
        lengths = [part.audio["waveform"].shape[-1] for part in (one, other)]
        assert abs(lengths[0] - lengths[1]) <= 1024
        again = pictures(Clip(saved(folders, of_file)))
        assert (again - right).abs().mean() < 0.006 and len(again) == count


@pytest.mark.parametrize(("start", "strict"), [(5.0, False), (0.25, True)])
def test_a_part_that_is_not_there_is_refused(start, strict):
    cut = {"start_time": start, "duration": 0.5, "strict_duration": strict}
    with pytest.raises(Refused, match="not in the video"):
        call("Video Slice", video=made(), **cut)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"images": torch.zeros(0, 8, 8, 3)}, "1 or more pictures"),
        ({"images": torch.zeros(8, 8, 3)}, "1 or more pictures"),
        ({"images": torch.full((1, 8, 8, 3), float("nan"))}, "NaN or infinite"),
        ({"fps": 0.0}, "pictures a second"),
        ({"fps": float("nan")}, "pictures a second"),
    ],
)
def test_what_makes_no_video_is_refused(inputs, reason):
    with pytest.raises(Refused, match=reason):
        made(**inputs)


def test_pictures_of_odd_size_are_refused_and_leave_nothing(folders):
    with pytest.raises(Refused, match="even width"):
        saved(folders, made(images=steps(2, 63, 48)))
    assert not [path for path in folders.output_dir.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("channels", "kept"), [(1, 1), (3, 2), (6, 6)])
@pytest.mark.parametrize("rate", [32000, 37000])
def test_sound_of_any_channels_and_rate_gets_into_a_video(folders, channels, kept, rate):
    path = saved(folders, made(audio=tone(rate=rate, channels=channels)))
    _, audio, _, _ = call("GetVideoComponents", video=Clip(path))
    assert audio["waveform"].shape[1] == kept
    assert audio["sample_rate"] == (44100 if rate == 37000 else rate)


# ---------------------------------------------------------------- strangers


@pytest.mark.parametrize("name", ["../v.mp4", "/etc/passwd", "none.mp4", "text.mp4", "a.wav", ""])
def test_only_videos_inside_the_input_folder_are_loaded(folders, name):
    saved(folders, made(), filename_prefix="v").rename(folders.input_dir.parent / "v.mp4")
    (folders.input_dir / "text.mp4").write_text("no video")
    with av.open(str(folders.input_dir / "a.wav"), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
    with pytest.raises(WorkflowError, match="custom_validation_failed"):
        run_in(folders, through(name))


def through(name):
    save = {"filename_prefix": "x", "format": "auto", "codec": "auto"}
    return {
        "1": {"class_type": "LoadVideo", "inputs": {"file": name}},
        "2": {"class_type": "SaveVideo", "inputs": {"video": ["1", 0], **save}},
        "3": {"class_type": "GetVideoComponents", "inputs": {"video": ["2", 0]}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
    }


def test_a_playlist_that_names_other_files_is_no_video(folders):
    saved(folders, made(), filename_prefix="v").rename(folders.input_dir / "v.mp4")
    (folders.input_dir / "list.mp4").write_text("ffconcat version 1.0\nfile v.mp4\n")
    with pytest.raises(WorkflowError, match="not an audio file|not a video"):
        run_in(folders, through("list.mp4"))


def test_a_video_goes_through_a_graph_to_pictures(folders):
    saved(folders, made(), filename_prefix="v").rename(folders.input_dir / "v.mp4")
    result = run_in(folders, through("v.mp4"))
    assert [path.suffix for path in result.files] == [".mp4"] + [".png"] * 12


def test_pictures_are_unpacked_up_to_the_bound_and_no_further(folders):
    path = saved(folders, made(images=steps(40)))
    values = 10 * 64 * 48 * 3
    with (
        running(Run(limits=Limits(samples=values))),
        pytest.raises(Refused, match="11 or more pictures of 64 × 48"),
    ):
        pictures(Clip(path))
    with (
        running(Run(limits=Limits(samples=64 * 48 * 3 - 1))),
        pytest.raises(Refused, match="large"),
    ):
        unpacked(Clip(path))


def test_a_video_gets_another_sound_one_picture_at_a_time(folders):
    """Though all its pictures together would be beyond the limit."""
    path = saved(folders, made(images=steps(40), audio=tone(2, rate=8000, channels=1)))
    before = pictures(Clip(path))
    few = Run(output_dir=folders.output_dir, limits=Limits(samples=4 * 64 * 48 * 3))
    with running(few):
        sound = tone(rate=8000, channels=1)
        images, _, fps, _ = call("GetVideoComponents", video=Clip(path))
        (video,) = call("CreateVideo", images=images, fps=fps, audio=sound)
        with pytest.raises(Refused, match="5 or more pictures"):
            call("PreviewImage", images=images)
        again = saved(few, video)
    assert isinstance(images, StoredPictures) and call("GetImageSize", image=images) == (64, 48, 40)
    parts = unpacked(Clip(again))
    assert (whole(parts.images) - before).abs().mean() < 0.01
    assert parts.audio["sample_rate"] == 8000


def test_a_part_of_a_part_counts_its_own_pictures(folders):
    path = saved(folders, made(images=steps(24)))
    images = unpacked(Clip(path)).images
    video = made(images=images)
    for start, count in ((0.25, 12), (0.125, 6)):
        cut = {"start_time": start, "duration": count / 24, "strict_duration": True}
        (video,) = call("Video Slice", video=video, **cut)
        assert len(video.images) == count
    assert torch.equal(whole(video.images), whole(images)[9:15])
    with pytest.raises(Refused, match="not in the video"):
        call("Video Slice", video=video, start_time=0.125, duration=0.5, strict_duration=True)


def test_an_endless_video_is_not_encoded_anew(folders):
    path = saved(folders, made(images=steps(48)))
    again = {"codec": "h264", "codec.encoding": "re-encode"}
    short = Run(output_dir=folders.output_dir, limits=Limits(seconds=1))
    with running(short), pytest.raises(Refused, match="more than 24 pictures"):
        saved(short, Clip(path), **again)


def test_a_stop_while_a_video_is_written_leaves_nothing(folders):
    from musicgraph.nodes.host import Interrupted

    with running(Run(output_dir=folders.output_dir, stopped=lambda: True)):
        with pytest.raises(Interrupted):
            saved(folders, made())
    assert not [path for path in folders.output_dir.rglob("*") if path.is_file()]


def test_the_pictures_and_the_sound_of_a_video_count_as_kept():
    video = Pictures(torch.zeros(2, 4, 4, 3), Fraction(24), tone(0.001))
    ledger = Ledger(Limits())
    ledger.keep("1", Outcome(([video],)))
    assert ledger.kept_samples == 2 * 4 * 4 * 3 + 2 * 32
    ledger.keep("2", Outcome(([video.images],)))
    assert ledger.kept_samples == 2 * 4 * 4 * 3 + 2 * 32


def test_files_of_a_run_are_bounded_together(folders):
    saved(folders, made(), filename_prefix="v").rename(folders.input_dir / "v.mp4")
    size = (folders.input_dir / "v.mp4").stat().st_size
    prompt = {name: node for name, node in through("v.mp4").items() if name in "12"}
    run_in(folders, prompt, limits=Limits(written_bytes=2 * size))
    prompt["3"] = {**prompt["2"], "inputs": {**prompt["2"]["inputs"], "filename_prefix": "y"}}
    with pytest.raises(NodeError, match="writes too much"):
        run_in(folders, prompt, limits=Limits(written_bytes=size + size // 2))


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_damaged_video_is_read_copied_and_written_or_refused(folders, whole_bytes, data):
    path = folders.input_dir / "damaged.mp4"
    path.write_bytes(data.draw(damaged([whole_bytes])))
    for use in (pictures, lambda clip: saved(folders, clip), lambda clip: again(folders, clip)):
        try:
            use(Clip(path))
        except Refused as error:
            assert str(error).strip()


def again(folders, clip):
    saved(folders, clip, **{"codec": "h264", "codec.encoding": "re-encode"})


@pytest.fixture(scope="module")
def whole_bytes(tmp_path_factory):
    run = Run(output_dir=tmp_path_factory.mktemp("whole"))
    with running(run):
        return saved(run, made(images=steps(6), audio=tone(0.3))).read_bytes()
