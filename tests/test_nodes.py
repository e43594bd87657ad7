"""The nodes as a runner calls them."""

import inspect

import pytest
import torch

from musicgraph.models.refused import Refused
from musicgraph.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, host
from musicgraph.nodes.codec import EnCodecDecode, EnCodecEncode
from musicgraph.nodes.load import MusicGenModelLoader
from musicgraph.nodes.sample import MusicGenSampler
from musicgraph.nodes.text import MusicGenTextEncode
from musicgraph.workflows.registry import node_classes

SETTINGS = {
    "duration": 1.0,
    "seed": 3,
    "cfg": 3.0,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 0.0,
    "variations": 1,
}

CLASSES = node_classes()


@pytest.fixture(scope="module")
def loaded(mono):
    return MusicGenModelLoader().load(str(mono.folder), "auto", "cpu")


@pytest.fixture(scope="module")
def loaded_stereo(stereo):
    return MusicGenModelLoader().load(str(stereo.folder), "fp32", "cpu")


def encode(loaded, text):
    return MusicGenTextEncode().encode(loaded[1], text)[0]


def sample(loaded, text="a happy song", **changes):
    return MusicGenSampler().sample(loaded[0], encode(loaded, text), **{**SETTINGS, **changes})[0]


@pytest.mark.parametrize("name", NODE_CLASS_MAPPINGS)
def test_a_node_says_what_it_takes_and_gives(name):
    node = NODE_CLASS_MAPPINGS[name]
    declared = node.INPUT_TYPES()
    parameters = inspect.signature(getattr(node, node.FUNCTION)).parameters
    names = [*declared.get("required", {}), *declared.get("optional", {})]
    assert {*names, *declared.get("hidden", {})} == set(parameters) - {"self"}
    assert all(
        parameters[name].default is not inspect.Parameter.empty
        for name in declared.get("optional", {})
    )
    assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES) == len(node.OUTPUT_TOOLTIPS)
    assert NODE_DISPLAY_NAME_MAPPINGS[name]


def test_the_whole_chain_makes_sound_of_the_length_asked_for(loaded):
    tokens = sample(loaded, duration=1.3)
    (audio,) = EnCodecDecode().decode(loaded[2], tokens)
    assert tokens["tokens"].shape == (1, 4, 65)
    assert audio["waveform"].shape == (1, 1, 65 * 160)
    assert audio["sample_rate"] == 8000
    assert audio["waveform"].dtype == torch.float32


def test_lines_are_prompts_and_each_has_its_variations(loaded):
    tokens = sample(loaded, "drums\n\n  piano \n", variations=2)["tokens"]
    assert tokens.shape[0] == 4
    for i, (text, seed) in enumerate([("drums", 3), ("drums", 4), ("piano", 5), ("piano", 6)]):
        assert torch.equal(tokens[i : i + 1], sample(loaded, text, seed=seed)["tokens"])


def test_an_empty_prompt_is_unconditional_and_the_log_says_so(loaded, caplog):
    conditioning = encode(loaded, " \n ")
    assert conditioning.is_null
    assert "unconditional" in caplog.text


def test_progress_counts_frames_and_blocks_of_tokens_are_reported_without_gaps(loaded):
    seen, blocks = [], []
    with host.running(host.Run(on_progress=lambda *p: seen.append(p), on_tokens=blocks.append)):
        tokens = sample(loaded, duration=1.3)["tokens"]
    assert seen == [(done, 65) for done in range(66)]
    assert [block.start_frame for block in blocks] == [0, *range(10, 51, 5), 60], "soon at first"
    assert {block.total_frames for block in blocks} == {65}
    assert torch.equal(torch.cat([block.tokens for block in blocks], dim=2), tokens)


def test_a_stop_ends_sampling_within_a_step(loaded):
    seen = []
    run = host.Run(
        on_progress=lambda done, total: seen.append(done), stopped=lambda: len(seen) >= 5
    )
    with host.running(run), pytest.raises(host.Interrupted):
        sample(loaded, duration=5.0)
    assert seen == [0, 1, 2, 3, 4]


def test_decoding_from_a_stream_gives_the_same_samples(loaded):
    blocks = []
    with host.running(host.Run(on_tokens=blocks.append)):
        tokens = sample(loaded, duration=3.0)
    stream = EnCodecDecode().open_stream(codec=loaded[2])
    heard = [audio for audio in (stream.push(block.audio_tokens) for block in blocks) if audio]
    (streamed,) = stream.close()
    (at_once,) = EnCodecDecode().decode(loaded[2], tokens)
    assert len(heard) >= 2
    assert torch.equal(streamed["waveform"], at_once["waveform"])


def test_music_can_be_continued_from_any_recording(loaded):
    """44.1 kHz stereo in, 8 kHz mono tokens out: converted, and the beginning of the result."""
    recording = {"waveform": torch.randn(1, 2, 44100) * 0.1, "sample_rate": 44100}
    (prompt,) = EnCodecEncode().encode(loaded[2], recording)
    assert prompt["tokens"].shape == (1, 4, 50)
    tokens = sample(loaded, duration=2.0, audio_prompt=prompt)["tokens"]
    assert torch.equal(tokens[:, :, :50], prompt["tokens"])


def test_continuing_generated_tokens_equals_generating_at_once(loaded):
    greedy = {"temperature": 0.0}
    whole = sample(loaded, duration=4.0, **greedy)["tokens"]
    half = sample(loaded, duration=2.0, **greedy)
    assert torch.equal(sample(loaded, duration=4.0, audio_prompt=half, **greedy)["tokens"], whole)


def test_stereo_models_make_two_channels(loaded_stereo):
    tokens = sample(loaded_stereo)
    (audio,) = EnCodecDecode().decode(loaded_stereo[2], tokens)
    assert tokens["channels"] == audio["waveform"].shape[1] == 2
    (again,) = EnCodecEncode().encode(loaded_stereo[2], audio)
    assert again["tokens"].shape == tokens["tokens"].shape


REFUSALS = {
    "duration": ({"duration": float("nan")}, "duration: got nan"),
    "top_k": ({"top_k": 65}, "top_k: got 65, expected 1 to 64"),
    "batch": ({"text": "a\nb\nc", "variations": 6}, "3 prompts × 6 variations"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_settings_that_cannot_work_are_refused(loaded, case):
    changes, message = REFUSALS[case]
    with pytest.raises(Refused, match=message):
        sample(loaded, **changes)


def test_a_negative_prompt_without_guidance_is_refused_rather_than_ignored(loaded):
    with pytest.raises(Refused, match="negative: got one with cfg 1"):
        sample(loaded, cfg=1.0, negative=encode(loaded, "noise"))


def test_tokens_of_another_model_are_refused(loaded, loaded_stereo):
    with pytest.raises(Refused, match="audio prompt: got tokens of channels 2"):
        sample(loaded, audio_prompt=sample(loaded_stereo))
    tokens = {**sample(loaded), "sample_rate": 32000}
    with pytest.raises(Refused, match="connect the codec of the checkpoint"):
        EnCodecDecode().decode(loaded[2], tokens)
    with pytest.raises(Refused, match="connect the codec of the checkpoint"):
        EnCodecDecode().open_stream(loaded[2]).push(tokens)
    with pytest.raises(Refused, match="sample_rate 32000, expected 8000"):
        sample(loaded, audio_prompt=tokens)


def test_what_is_not_audio_tokens_is_refused(loaded):
    tokens = sample(loaded)
    for wrong in (
        None,
        tokens["tokens"],
        {"tokens": tokens["tokens"]},
        {**tokens, "tokens": tokens["tokens"].float()},
    ):
        with pytest.raises(Refused, match="expected AUDIO_TOKENS"):
            EnCodecDecode().decode(loaded[2], wrong)


def test_no_audio_is_refused_with_what_to_connect(loaded):
    with pytest.raises(Refused, match="audio: got nothing"):
        EnCodecEncode().encode(loaded[2], None)
    with pytest.raises(Refused, match="none of them 0"):
        EnCodecEncode().encode(loaded[2], {"waveform": torch.zeros(1, 1, 0), "sample_rate": 8000})


def test_the_loader_lists_folders_official_models_and_what_the_user_named(monkeypatch, mono):
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(mono.folder.parent))

    def choices():
        return MusicGenModelLoader.INPUT_TYPES()["required"]["model"][0]

    assert mono.folder.name in choices()
    assert "facebook/musicgen-small" in choices()
    assert "/my/model" not in choices()
    with host.running(host.Run(named_models={"/my/model": "/my/model"})):
        assert "/my/model" in choices()


def test_a_device_that_is_not_there_is_refused(mono, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Refused, match="device: got 'cuda'"):
        MusicGenModelLoader().load(str(mono.folder), "auto", "cuda")


@pytest.mark.parametrize(
    ("method", "target"), [("peak", -3.0), ("rms", -20.0), ("loudness", -20.0)]
)
def test_loudness_reaches_its_target(method, target):
    from musicgraph.models import dsp
    from musicgraph.nodes.audio import AudioLoudness

    level = {
        "peak": lambda sound: dsp.peak_db(sound),
        "rms": lambda sound: dsp.rms_db(sound),
        "loudness": lambda sound: dsp.loudness_lufs(sound, 32000),
    }[method]

    audio = {
        "waveform": torch.randn(2, 1, 64000, generator=torch.manual_seed(0)) * 0.02,
        "sample_rate": 32000,
    }
    before = audio["waveform"].clone()
    (out,) = AudioLoudness().adjust(audio, method, target, ceiling=-1.0)
    for sound in out["waveform"]:
        assert level(sound) == pytest.approx(target, abs=0.2)
    assert torch.equal(audio["waveform"], before), (
        "the input is another node's output: never changed in place"
    )


def test_silence_stays_silent():
    from musicgraph.nodes.audio import AudioLoudness

    (out,) = AudioLoudness().adjust(
        {"waveform": torch.zeros(1, 2, 100), "sample_rate": 32000}, "loudness", -14.0, -1.0
    )
    assert not out["waveform"].any()


def test_a_spectrogram_is_an_image_for_each_item():
    from musicgraph.nodes.audio import AudioSpectrogram

    (image,) = AudioSpectrogram().draw(
        {"waveform": torch.randn(3, 2, 9000), "sample_rate": 8000}, 128, 96
    )
    assert image.shape == (3, 96, 128, 3)


@pytest.mark.parametrize("name", [n for n, c in CLASSES.items() if hasattr(c, "IS_CHANGED")])
def test_what_says_whether_a_node_changed_takes_all_its_inputs(name):
    """ComfyUI tells it all of them by name; one too few makes the node run every time."""
    declared = CLASSES[name].INPUT_TYPES()
    inputs = {**declared.get("required", {}), **declared.get("optional", {})}
    inspect.signature(CLASSES[name].IS_CHANGED).bind(**inputs)
