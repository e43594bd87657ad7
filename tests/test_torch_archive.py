"""Archives of torch's: read as weights and as nothing else, whatever a stranger put into them."""

import pickle
import tarfile
import zipfile

import pytest
import torch

from musicgraph.models.refused import Refused
from musicgraph.models.weights.torch_archive import TorchArchive, texts


class Writes:
    """Unpickled, it writes a file: what a stranger's pickle may do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state_dict.bin"


def save(path, **content):
    torch.save(content, path)


def test_tensors_are_mapped_and_found_under_their_keys(path):
    weight = torch.arange(6.0).reshape(2, 3)
    save(path, best_state={"model": {"a": weight}}, version="1")
    archive = TorchArchive(path)
    assert list(archive.select("best_state", "model")) == ["a"]
    assert torch.equal(archive.tensor("a"), weight)
    assert archive.size_bytes == path.stat().st_size
    assert archive.content()["version"] == "1"


def test_an_object_that_would_do_something_is_refused_and_does_nothing(path, tmp_path):
    save(path, best_state={"a": torch.zeros(1)}, extra=Writes(tmp_path / "written"))
    with pytest.raises(Refused, match="objects besides tensors, which could run code"):
        TorchArchive(path).content()
    assert not (tmp_path / "written").exists()
    torch.load(path, weights_only=False)["extra"].close()
    assert (tmp_path / "written").exists(), "read by anything else it does"


def plain_pickle(path, written):
    path.write_bytes(pickle.dumps({"a": Writes(written)}))


def old_format(path, written):
    torch.save({"a": Writes(written)}, path, _use_new_zipfile_serialization=False)


def tar(path, written):
    with tarfile.open(path, "w") as archive:
        inner = path.with_name("pickle")
        plain_pickle(inner, written)
        archive.add(inner, "pickle")


@pytest.mark.parametrize("write", [plain_pickle, old_format, tar])
def test_only_the_zip_format_is_read(path, tmp_path, write):
    write(path, tmp_path / "written")
    with pytest.raises(Refused, match="another format"):
        TorchArchive(path)
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_an_archive_that_is_cut_short_is_said_to_be(path, share):
    save(path, best_state={"a": torch.randn(1000)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(Refused, match="no whole archive.*probably cut short"):
        TorchArchive(path)


def repacked(path, change, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        parts = {one.filename: archive.read(one) for one in archive.infolist()}
    change(parts)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def named(parts, ending):
    return next(name for name in parts if name.endswith(ending))


def without(ending):
    return lambda parts: parts.pop(named(parts, ending))


def with_pickle(content):
    return lambda parts: parts.update({named(parts, "/data.pkl"): content})


DAMAGED = {
    "no list": (without("/data.pkl"), "no list of tensors"),
    "no tensor": (without("/data/0"), "what torch cannot read"),
    "a number": (with_pickle(pickle.dumps(3, protocol=2)), "got int"),
    "nothing": (with_pickle(b""), "what torch cannot read"),
    "noise": (with_pickle(b"\x80\x02\xff\xfe"), "objects besides|what torch cannot read"),
    "a recursion": (with_pickle(b"\x80\x02" + b"(" * 100000), "what torch cannot|objects"),
    "a short tensor": (
        lambda parts: parts.update({named(parts, "/data/0"): b"\0" * 8}),
        "what torch cannot read",
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_archive_is_refused(path, kind):
    change, message = DAMAGED[kind]
    save(path, best_state={"a": torch.randn(1000)})
    repacked(path, change)
    with pytest.raises(Refused, match=message):
        TorchArchive(path).content()


def test_a_packed_archive_is_refused_before_it_is_unpacked(path):
    save(path, best_state={"a": torch.zeros(1_000_000)})
    repacked(path, lambda parts: None, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10_000
    with pytest.raises(Refused, match="packed"):
        TorchArchive(path)


def test_its_texts_are_known_without_reading_it(path, tmp_path):
    save(path, **{"xp.cfg": "a: 1\nb: 2\n", "more": Writes(tmp_path / "written")})
    assert "a: 1\nb: 2\n" in texts(path)
    assert not (tmp_path / "written").exists()
    path.write_bytes(b"PK\x03\x04")
    assert texts(path) == texts(tmp_path / "nowhere") == []
