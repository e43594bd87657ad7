"""Twins against the real nodes: the same graphs in a real ComfyUI and here, value for value.

Runs only where COMFYUI_DIR names a checkout of ComfyUI, and COMFYUI_PYTHON an interpreter in which
it starts (this one, if it is not set). Written against ComfyUI 0.30.0.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from fakes import run
from real_comfyui import Keep
from safetensors.torch import load_file

from musicgraph.nodes.host import Run, running
from musicgraph.workflows.executor import Runner
from musicgraph.workflows.inputs import WIDGET_TYPES
from musicgraph.workflows.media.audio import read_audio, write_audio
from musicgraph.workflows.media.tags import read_tags
from musicgraph.workflows.media.video import Clip, Pictures, unpacked, whole
from musicgraph.workflows.media.video_files import write_video
from musicgraph.workflows.problems import NodeError
from musicgraph.workflows.registry import NodeSpec
from musicgraph.workflows.twins.catalogue import NODE_CLASS_MAPPINGS

COMFYUI = os.environ.get("COMFYUI_DIR")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not COMFYUI, reason="COMFYUI_DIR names no ComfyUI"),
]

LATER = {"AudioDuration"}
"""nodes that ComfyUI 0.30.0 has not yet"""
CLASSES = {**NODE_CLASS_MAPPINGS, "Keep": Keep}


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def chain(class_type, slots=1, **inputs):
    """A graph of two loaded sounds, one node, and all that it gives."""
    graph = {
        "a": node("LoadAudio", audio="stereo.wav"),
        "b": node("LoadAudio", audio="mono.wav"),
        "c": node("LoadAudio", audio="other_mono.wav"),
        "n": node(class_type, **inputs),
    }
    return graph | {f"k{slot}": node("Keep", value=["n", slot]) for slot in range(slots)}


A, B, C = ["a", 0], ["b", 0], ["c", 0]
BANDS = {"low_freq": 120, "mid_freq": 900, "mid_q": 1.3, "high_freq": 6000}
GAINS = {"low_gain_dB": 6.0, "mid_gain_dB": -9.0, "high_gain_dB": 3.5}

SOUND = {
    "trim": chain("TrimAudioDuration", audio=A, start_index=0.1234, duration=0.2),
    "trim from the end": chain("TrimAudioDuration", audio=A, start_index=-0.2, duration=9.0),
    "trim nothing": chain("TrimAudioDuration", audio=A, start_index=99.0, duration=1.0),
    "split": chain("SplitAudioChannels", 2, audio=A),
    "split mono": chain("SplitAudioChannels", 2, audio=B),
    "join": chain("JoinAudioChannels", audio_left=B, audio_right=B),
    "join two rates": chain("JoinAudioChannels", audio_left=B, audio_right=C),
    "join stereo": chain("JoinAudioChannels", audio_left=A, audio_right=B),
    "concat": chain("AudioConcat", audio1=A, audio2=B, direction="after"),
    "concat before": chain("AudioConcat", audio1=B, audio2=C, direction="before"),
    "empty": chain("EmptyAudio", duration=0.0123, sample_rate=44100, channels=1),
    "volume": chain("AudioAdjustVolume", audio=A, volume=-7),
    "volume 0": chain("AudioAdjustVolume", audio=A, volume=0),
    "equalizer": chain("AudioEqualizer3Band", audio=A, **BANDS, **GAINS),
    "equalizer loud": chain(
        "AudioEqualizer3Band", audio=A, **BANDS, **{**GAINS, "low_gain_dB": 24}
    ),
    **{
        f"merge {method}": chain("AudioMerge", audio1=A, audio2=B, merge_method=method)
        for method in ("add", "mean", "subtract", "multiply")
    },
    **{
        f"{kind} hands on": chain(kind, audio=A, **inputs)
        for kind, inputs in {
            "SaveAudio": {"filename_prefix": "on/a"},
            "SaveAudioAdvanced": {"filename_prefix": "on/b", "format": "flac"},
            "PreviewAudio": {},
        }.items()
    },
}
TOLERANCES = {"equalizer": 5e-5, "equalizer loud": 2e-4}
"""where ComfyUI computes its filters in single precision"""


def saver(prefix, source, kind="SaveAudioAdvanced", **inputs):
    graph = chain(kind, audio=source, filename_prefix=prefix, **inputs)
    return {name: one for name, one in graph.items() if name != "k0"}


FILES = {
    "flac": saver("x", A, format="flac"),
    "flac again": saver("x", B, format="flac"),
    "old flac": saver("x", C, "SaveAudio"),
    "old mp3": saver("sub/y", A, "SaveAudioMP3", quality="128k"),
    "old opus": saver("sub/y", B, "SaveAudioOpus", quality="96k"),
    **{
        f"{kind} {quality}": saver("q/z", A, format=kind, **{"format.quality": quality})
        for kind, qualities in NODE_CLASS_MAPPINGS["SaveAudioAdvanced"].QUALITIES.items()
        for quality in qualities
    },
}

LOADED = {"v": node("LoadVideo", file="v.mp4"), "g": node("GetVideoComponents", video=["v", 0])}
PARTS = {f"k{slot}": node("Keep", value=["g", slot]) for slot in range(4)}


def cut(start, duration, strict=False):
    inputs = {"start_time": start, "duration": duration, "strict_duration": strict}
    part = node("Video Slice", video=["v", 0], **inputs)
    return {**LOADED, **PARTS, "s": part, "g": node("GetVideoComponents", video=["s", 0])}


def saved_video(video, **inputs):
    inputs = {"filename_prefix": "v/x", "format": "auto", "codec": "auto", **inputs}
    return {**LOADED, "a": node("LoadAudio", audio="stereo.wav"), **video} | {
        "w": node("SaveVideo", video=[next(iter(video), "v"), 0], **inputs)
    }


MADE = {"m": node("CreateVideo", images=["g", 0], fps=24.0, audio=A)}
VIDEOS = {
    "load": {**LOADED, **PARTS},
    "cut": cut(0.25, 0.25),
    "cut from the end": cut(-0.25, 0.0),
    "cut too long": cut(0.25, 9.0, True),
}
VIDEO_FILES = {
    "copied": saved_video({}),
    "made": saved_video(MADE),
    "made well": saved_video(
        MADE, codec="h264", **{"codec.encoding": "re-encode", "codec.encoding.crf": 5.0}
    ),
}
DEEP = {
    f"made deep {take}": saved_video(
        {"m": node("CreateVideo", images=["g", 0], fps=12.5, bit_depth=10)},
        filename_prefix=f"v/deep{take}",  # else the second would be the first, kept
    )
    for take in range(4)
}
PICTURES = {"pictures": {**LOADED, "p": node("SaveImage", images=["g", 0], filename_prefix="p/i")}}


def worked(class_type, slots=1, **inputs):
    return {"n": node(class_type, **inputs)} | {
        f"k{slot}": node("Keep", value=["n", slot]) for slot in range(slots)
    }


def calculated(expression, a=7, b=2.5):
    return {
        "a": node("PrimitiveInt", value=a),
        "b": node("PrimitiveFloat", value=b),
        **worked(
            "ComfyMathExpression",
            3,
            **{"expression": expression, "values.a": ["a", 0], "values.b": ["b", 0]},
        ),
    }


def formatted(f_string):
    return {
        "a": node("PrimitiveInt", value=7),
        "b": node("PrimitiveStringMultiline", value="x\ny"),
        **worked("StringFormat", f_string=f_string, **{"values.a": ["a", 0], "values.b": ["b", 0]}),
    }


def compared(string_a, string_b, mode, case):
    inputs = {"string_a": string_a, "string_b": string_b, "mode": mode, "case_sensitive": case}
    return worked("StringCompare", **inputs)


SWITCHES = {"case_insensitive": True, "multiline": False, "dotall": False}
SEARCHED = {"string": "a1 B2\nc", "regex_pattern": r"([a-z])(\d)"}
EXPRESSIONS = (
    "a + b",
    "max(4, (int(a) // 16) * 16)",
    "floor(a/2)*2 if a > b else -1",
    "sum(values) + sum(1, 2) - min(values) ** 2",
    "a and not b",
    "round(b * 1.07, 1) / (a % 3 - 0.5)",
    "sqrt(-a)",
    "a / 0",
    "10 ** 400",
    "a +",
)
VALUES = {
    **{f"math {one}": calculated(one) for one in EXPRESSIONS},
    **{f"format {one}": formatted(one) for one in ("{a:03d} {b!r} {{}}", "{b:>5}", "{c}", "{")},
    **{
        f"extract {mode}": worked("RegexExtract", **SEARCHED, **SWITCHES, mode=mode, group_index=2)
        for mode in ("First Match", "All Matches", "First Group", "All Groups")
    },
    "match": worked("RegexMatch", **SEARCHED, **SWITCHES),
    "match no pattern": worked("RegexMatch", **{**SEARCHED, "regex_pattern": "("}, **SWITCHES),
    "replace": worked("RegexReplace", **SEARCHED, replace=r"\2-\1", **SWITCHES, count=1),
    "concatenate": worked("StringConcatenate", string_a="a", string_b="b", delimiter=", "),
    "substring": worked("StringSubstring", string="abcdef", start=1, end=-2),
    "length": worked("StringLength", string="äö\n"),
    **{
        f"case {mode}": worked("CaseConverter", string="ab cD-e", mode=mode)
        for mode in ("UPPERCASE", "lowercase", "Capitalize", "Title Case")
    },
    **{f"trim {m}": worked("StringTrim", string=" a ", mode=m) for m in ("Both", "Left", "Right")},
    "put": worked("StringReplace", string="abab", find="ab", replace="c"),
    "contains": worked("StringContains", string="Abc", substring="aB", case_sensitive=False),
    "starts": compared("Abc", "a", "Starts With", True),
    "ends": compared("Abc", "C", "Ends With", False),
    "json": worked("JsonExtractString", json_string='{"a": {"b": [1, null]}}', key="a"),
    "json null": worked("JsonExtractString", json_string='{"a": null}', key="a"),
    "convert": {"n": node("PrimitiveString", value=" 12.7 ")}
    | {"c": node("ComfyNumberConvert", value=["n", 0])}
    | {f"k{slot}": node("Keep", value=["c", slot]) for slot in range(2)},
    "show": {"n": node("PrimitiveFloat", value=2.0), "p": node("PreviewAny", source=["n", 0])}
    | {"k": node("Keep", value=["p", 0])},
    "switch": {
        "a": node("PrimitiveInt", value=7),
        "b": node("PrimitiveString", value="no"),
        "n": node("ComfySwitchNode", switch=True, on_true=["a", 0], on_false=["b", 0]),
        "k": node("Keep", value=["n", 0]),
    },
    "seed": worked("SeedNode", seed=12345),
    "and": {
        "a": node("PrimitiveInt", value=7),
        "b": node("PrimitiveBoolean", value=False),
        "n": node("ComfyAndNode", **{"values.value0": ["a", 0], "values.value1": ["b", 0]}),
        "o": node("ComfyOrNode", **{"values.value0": ["a", 0], "values.value1": ["b", 0]}),
        "t": node("ComfyNotNode", value=["b", 0]),
        **{f"k{name}": node("Keep", value=[name, 0]) for name in "not"},
    },
}
ALL = {**SOUND, **FILES, **VIDEOS, **VIDEO_FILES, **DEEP, **PICTURES, **VALUES}


# ---------------------------------------------------------------- both sides


def fill(folder):
    time = torch.arange(22050) / 44100
    wave = 0.4 * torch.sin(2 * torch.pi * 440 * time) + 0.1 * (torch.rand(22050) - 0.5)
    write_audio(folder / "stereo.wav", torch.stack([wave, -0.5 * wave.flip(0)]), 44100)
    write_audio(folder / "mono.wav", torch.rand(1, 9000) * 1.2 - 0.6, 32000)
    write_audio(folder / "other_mono.wav", torch.rand(1, 9000) * 0.6 - 0.3, 48000)
    across = torch.linspace(0, 1, 70)[None, None, :, None].expand(12, 48, 70, 3)
    images = (across * torch.linspace(0.3, 1, 12)[:, None, None, None]).clone()
    sound = {"waveform": torch.rand(1, 2, 16000) - 0.5, "sample_rate": 32000}
    from fractions import Fraction

    write_video(folder / "v.mp4", Pictures(images, Fraction(24), sound), tags={"old": "1"})


class Both:
    """Results of the two sides, and where their files are."""

    def __init__(self, folder):
        self.real, self.ours = folder / "real", folder / "ours"
        inputs = folder / "in"
        for one in (inputs, self.real, self.ours):
            one.mkdir()
        torch.manual_seed(0)
        with running(Run()):
            fill(inputs)
        self._ask_real(inputs)
        runner = Runner(CLASSES)
        self.run_in = {"input_dir": inputs, "output_dir": self.ours, "temp_dir": folder / "temp"}
        self.here = {name: self._here(runner, name, graph) for name, graph in ALL.items()}

    def _ask_real(self, inputs):
        temp = self.real.parent / "real_temp"
        temp.mkdir()
        job = self.real.parent / "job.json"
        folders = {"input_dir": inputs, "output_dir": self.real, "temp_dir": temp}
        facts = {name: str(path) for name, path in folders.items()}
        job.write_text(json.dumps({**facts, "twins": list(NODE_CLASS_MAPPINGS), "graphs": ALL}))
        program = Path(__file__).with_name("real_comfyui.py")
        command = [os.environ.get("COMFYUI_PYTHON", sys.executable), program, COMFYUI, job]
        subprocess.run(command, check=True, timeout=600)
        self.declared = json.loads(job.with_name("declared.json").read_text())
        self.there = json.loads(job.with_name("results.json").read_text())
        self.tensors = load_file(job.with_name("values.safetensors"))

    def _here(self, runner, name, graph):
        Keep.KEPT.clear()
        png = {"workflow": {"name": name}}
        try:
            result = run(runner, graph, extra_pnginfo=png, **self.run_in)
        except NodeError as error:
            return {"error": str(error)}
        return {"kept": dict(Keep.KEPT), "ui": result.ui, "files": result.files}

    def wired(self, name, key):
        """The value that a Keep got here, and there."""
        return self.here[name]["kept"][key], self._rich(self.there[name]["kept"][key])

    def _rich(self, value):
        if isinstance(value, dict) and set(value) == {"tensor"}:
            return self.tensors[value["tensor"]]
        if isinstance(value, dict):
            return {name: self._rich(one) for name, one in value.items()}
        return value

    def files(self, name, kind):
        """(here, there) of each file that a graph's saver wrote."""
        for node_id, ui in self.there[name]["ui"].items():
            for entry, own in zip(
                ui.get(kind, ()), self.here[name]["ui"][node_id][kind], strict=True
            ):
                assert {key: own[key] for key in entry} == entry
                place = Path(entry["subfolder"]) / entry["filename"]
                yield self.ours / place, self.real / place


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return Both(tmp_path_factory.mktemp("comfyui"))


def refused_alike(both, name):
    here, there = (side[name].get("error") for side in (both.here, both.there))
    assert bool(here) == bool(there), f"here: {here}, there: {there}"
    return bool(here)


# ---------------------------------------------------------------- the comparisons

FACTS = ("default", "min", "max", "step", "multiline", "lazy")


@pytest.mark.parametrize("kind", sorted(set(NODE_CLASS_MAPPINGS) - LATER))
def test_a_twin_declares_what_the_real_node_declares(both, kind):
    real, spec = both.declared[kind], NodeSpec.of(kind, NODE_CLASS_MAPPINGS[kind])
    assert spec.title == real["title"]
    assert getattr(spec.node_class, "OUTPUT_NODE", False) == real["is_output"]
    if kind != "ComfySwitchNode":  # any type, by another name there
        assert list(spec.output_types) == real["outputs"]
        assert list(spec.output_names) == real["output_names"]
    for category in ("required", "optional"):
        for name, (type_name, *options) in real["inputs"].get(category, {}).items():
            check_input(spec, name, type_name, options[0] if options else {}, category)


def check_input(spec, name, type_name, options, category):
    if type_name == "COMFY_AUTOGROW_V3":
        assert any(own.startswith(f"{name}.") for own in spec.inputs)
        return
    own = spec.inputs[name]
    assert own.required == (category == "required")
    if type_name in WIDGET_TYPES - {"COMBO"}:
        assert own.type == type_name
        for fact in FACTS:
            theirs = options.get(fact)
            if theirs is not None and not (
                fact == "default" and not own.has_default and not theirs
            ):
                mine = getattr(own, {"min": "minimum", "max": "maximum"}.get(fact, fact))
                assert mine == theirs, (name, fact)
    elif type_name == "COMFY_DYNAMICCOMBO_V3":
        assert own.choices == tuple(one["key"] for one in options["options"])
    elif (isinstance(type_name, list) or type_name == "COMBO") and name not in ("audio", "file"):
        theirs = type_name if isinstance(type_name, list) else options["options"]
        assert own.choices == tuple(theirs)


@pytest.mark.parametrize("name", SOUND)
def test_sound_is_the_same_sample_for_sample(both, name):
    if refused_alike(both, name):
        return
    for key in both.there[name]["kept"]:
        ours, real = both.wired(name, key)
        assert ours["sample_rate"] == real["sample_rate"]
        assert ours["waveform"].shape == real["waveform"].shape
        apart = float((ours["waveform"] - real["waveform"]).abs().max())
        assert apart <= TOLERANCES.get(name, 2e-6), apart


@pytest.mark.parametrize("name", FILES)
def test_files_of_sound_have_the_same_names_tags_and_samples(both, name):
    assert not refused_alike(both, name)
    pairs = list(both.files(name, "audio"))
    assert pairs
    for ours, real in pairs:
        assert tags(ours) == tags(real)
        (one, rate), (other, real_rate) = read_audio(ours), read_audio(real)
        assert rate == real_rate and one.shape == other.shape
        if ours.suffix == ".flac":
            assert torch.equal(one, other)
        else:
            apart = (one - other).abs()  # a rounding error may change what an encoder decides
            assert apart.max() < 0.02 and apart.mean() < 1e-4


def tags(path):
    """Those that ComfyUI writes too: its graph says what told it whether a file has changed, and
    ours stand beside what the file was made with.
    """
    found = {name: json.loads(text) for name, text in read_tags(path).items()}
    found.pop("musicgraph", None)
    for one in found["prompt"].values():
        one.pop("is_changed", None)
    return found


@pytest.mark.parametrize("name", VIDEOS)
def test_a_video_is_taken_apart_alike(both, name):
    if refused_alike(both, name):
        return
    (images, theirs), (sound, their_sound) = (both.wired(name, key) for key in ("k0", "k1"))
    images = whole(images)
    assert images.shape == theirs.shape and (images - theirs).abs().max() < 1e-5
    assert sound["sample_rate"] == their_sound["sample_rate"]
    lengths = [one["waveform"].shape[-1] for one in (sound, their_sound)]
    assert abs(lengths[0] - lengths[1]) <= 1
    assert apart_at_best(sound["waveform"], their_sound["waveform"]) < 1e-5
    for key in ("k2", "k3"):
        assert both.wired(name, key)[0] == both.wired(name, key)[1]


def apart_at_best(ours, real):
    """ComfyUI's cut may begin a sample early, since it rounds down after a subtraction."""
    length = min(ours.shape[-1], real.shape[-1]) - 1
    pairs = [(ours, real), (ours, real[..., 1:])]
    return min(float((a[..., :length] - b[..., :length]).abs().max()) for a, b in pairs)


@pytest.mark.parametrize("name", VIDEO_FILES)
def test_a_video_is_written_alike(both, name):
    assert not refused_alike(both, name)
    ((ours, real),) = both.files(name, "images")
    assert tags(ours) == tags(real)
    with running(Run()):
        one, other = unpacked(Clip(ours)), unpacked(Clip(real))
    assert one.frame_rate == other.frame_rate and one.bit_depth == other.bit_depth
    assert torch.equal(whole(one.images), whole(other.images))
    assert (one.audio is None) == (other.audio is None)
    if one.audio and other.audio:
        assert one.audio["waveform"].shape == other.audio["waveform"].shape
        assert (one.audio["waveform"] - other.audio["waveform"]).abs().max() < 1e-5


def test_a_video_of_ten_bits_is_written_alike(both):
    """Ours always; ComfyUI's at least once, since on several threads FFmpeg gets some wrong."""
    takes = []
    for name in DEEP:
        ((ours, real),) = both.files(name, "images")
        assert tags(ours) == tags(real)
        with running(Run()):
            one, other = unpacked(Clip(ours)), unpacked(Clip(real))
        assert one.frame_rate == other.frame_rate and one.bit_depth == other.bit_depth == 10
        takes.append((whole(one.images), whole(other.images)))
    assert all(torch.equal(ours, takes[0][0]) for ours, _ in takes)
    assert any(torch.equal(ours, theirs) for ours, theirs in takes)


def test_pictures_are_the_same_to_the_last_bit(both):
    pairs = list(both.files("pictures", "images"))
    assert len(pairs) == 12
    for ours, real in pairs:
        assert tags(ours) == tags(real)
        assert np.array_equal(*(pixels(path) for path in (ours, real)))


def pixels(path):
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


@pytest.mark.parametrize("name", VALUES)
def test_values_and_texts_are_the_same(both, name):
    if refused_alike(both, name):
        return
    assert both.there[name]["kept"]
    for key in both.there[name]["kept"]:
        ours, real = both.wired(name, key)
        assert ours == real and type(ours) is type(real)
