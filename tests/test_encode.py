"""The one encoder: the same samples give the same bytes, in a file, in a stream, at once and in
pieces.
"""

import io
import math

import pytest
import torch

from musicgraph.models.refused import Refused
from musicgraph.workflows.media.audio import audio_bytes, read_audio, write_audio
from musicgraph.workflows.media.encode import CODINGS, Encoder, write_encoded
from musicgraph.workflows.media.formats import BY_SUFFIX, FORMATS
from musicgraph.workflows.registry import NodeSpecs, node_classes

RATE = 32_000
LATER = {
    ".wav": [(4, 8), (40, 44)],  # lengths
    ".flac": [(12, 42)],  # sizes of frames, number of samples, checksum
}
"""The bytes at the beginning that only who can go back knows"""


def sound(channels=1, seconds=2.3):
    noise = torch.rand(channels, int(seconds * RATE), generator=torch.manual_seed(0)) - 0.5
    tone = torch.sin(torch.arange(noise.shape[1]) * 440 * math.tau / RATE)
    return 0.2 * noise + 0.7 * tone


def streamed(suffix, samples, lengths, **more):
    encoder = Encoder(suffix, RATE, samples.shape[0], **more)
    pieces, start = [], 0
    for length in lengths:
        pieces.append(encoder.push(samples[:, start : start + length]))
        start += length
    return b"".join([*pieces, encoder.push(samples[:, start:]), encoder.close()])


def without(data, spans):
    for start, end in spans:
        data = data[:start] + bytes(end - start) + data[end:]
    return data


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("suffix", [".flac", ".opus", ".ogg"])
def test_a_streams_pieces_are_the_bytes_of_the_file(tmp_path, suffix, channels):
    samples, tags = sound(channels), {"prompt": '{"é": 1}'}
    write_audio(tmp_path / f"a{suffix}", samples, RATE, tags=tags)
    file = (tmp_path / f"a{suffix}").read_bytes()
    stream = streamed(suffix, samples, [1, 4608, 7, 30_000], tags=tags)
    assert len(stream) == len(file)
    later = LATER.get(suffix, ())
    assert without(stream, later) == without(file, later)
    assert file == audio_bytes(suffix, samples, RATE, tags)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_files_tags_stand_behind_the_bytes_of_its_stream(channels):
    samples, tags = sound(channels), {"prompt": '{"é": 1}', "musicgraph": "{}"}
    file, stream = audio_bytes(".wav", samples, RATE, tags), streamed(".wav", samples, [7, 4608])
    assert streamed(".wav", samples, [7], tags=tags) == stream
    assert without(file, LATER[".wav"]).startswith(without(stream, LATER[".wav"]))
    chunk = file[len(stream) :]
    assert chunk[:4] == b"id3 " and len(chunk) % 2 == 0
    assert len(chunk) - 8 - int.from_bytes(chunk[4:8], "little") in (0, 1), "of an even length"
    assert int.from_bytes(file[4:8], "little") == len(file) - 8
    assert int.from_bytes(file[40:44], "little") == len(stream) - 44


def test_an_mp3_stream_is_the_file_without_the_frame_that_counts_the_others():
    samples = sound()
    file, stream = audio_bytes(".mp3", samples, RATE), streamed(".mp3", samples, [5, 1152, 9000])
    frames = stream[stream.index(b"\xff\xfb") :]
    assert frames in file and len(file) - len(frames) < 1500


def test_every_kind_of_file_is_coded_and_has_a_node_that_saves():
    assert list(BY_SUFFIX) == list(CODINGS)
    saved = NodeSpecs(node_classes())["SaveAudioAdvanced"].inputs["format"].choices
    assert {one.save_as for one in FORMATS.values()} == set(saved)


@pytest.mark.parametrize("suffix", CODINGS)
def test_how_a_sound_is_cut_into_pieces_changes_no_byte(suffix):
    samples = sound()
    assert streamed(suffix, samples, [1, 2, 3, 5000]) == streamed(suffix, samples, [40_000])


@pytest.mark.parametrize("suffix", CODINGS)
def test_a_second_file_of_the_same_samples_is_the_same(suffix):
    assert audio_bytes(suffix, sound(), RATE) == audio_bytes(suffix, sound(), RATE)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_file_says_how_long_it_is_and_a_stream_is_read_to_its_end(tmp_path, suffix):
    samples = sound()
    for name, data in (
        ("file", audio_bytes(suffix, samples, RATE)),
        ("stream", streamed(suffix, samples, [5000])),
    ):
        (tmp_path / f"{name}{suffix}").write_bytes(data)
        read, rate = read_audio(tmp_path / f"{name}{suffix}")
        assert rate == RATE and read.shape == samples.shape
        assert (read - samples).abs().max() <= 0.5 / 32768 + 1e-7


def test_a_correction_goes_where_it_belongs_in_any_file():
    file = io.BytesIO()
    samples = sound()
    write_encoded(file, Encoder(".wav", RATE, 1, can_rewind=True), samples.split(1000, dim=1))
    data = file.getvalue()
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    assert int.from_bytes(data[40:44], "little") == len(data) - 44 == 2 * samples.shape[1]


@pytest.mark.parametrize("suffix", CODINGS)
def test_loud_sound_is_scaled_for_an_answer_as_it_is_for_a_file(tmp_path, suffix):
    """Scaled after it was resampled, which makes new peaks: a square wave's are 1.2."""
    square = torch.sign(sound())
    write_audio(tmp_path / f"a{suffix}", square, RATE)
    assert audio_bytes(suffix, square, RATE) == (tmp_path / f"a{suffix}").read_bytes()


def test_samples_beyond_full_scale_are_clipped_not_wrapped():
    data = streamed(".wav", torch.tensor([[1.5, -1.5, 1.0, -1.0]]), [2])
    values = torch.frombuffer(bytearray(data[44:]), dtype=torch.int16)
    assert values.tolist() == [32767, -32768, 32767, -32768]


def test_what_a_format_does_not_know_is_refused():
    with pytest.raises(Refused, match="quality"):
        Encoder(".mp3", RATE, 1, quality="V9")
    with pytest.raises(Refused, match="cannot write flac"):
        Encoder(".flac", 2_000_000, 1).push(torch.zeros(1, 5000))
