"""`musicgraph batch`: a file for each row, each what `musicgraph generate` makes of it; stopped and
gone on with.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fresh import BOUND
from test_generate_command import generate

from musicgraph import cli
from musicgraph.app.batch import crew as crews
from musicgraph.app.batch import maker
from musicgraph.app.batch.cost import cost_of
from musicgraph.app.batch.course import groups_of, run_batch
from musicgraph.app.batch.crew import LocalCrew, Retries
from musicgraph.app.batch.destination import FolderDestination, destination_at, output_at
from musicgraph.app.batch.jobs import BatchJob, JobOutcome
from musicgraph.app.batch.maker import Maker
from musicgraph.app.batch.manifest import RemoteManifest
from musicgraph.app.batch.ray_crew import RayCrew
from musicgraph.app.batch.rows import jobs_of
from musicgraph.app.batch.table import read_table
from musicgraph.models.refused import Refused


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """The engine whose rows are the same in company; machine code of an earlier run is taken."""
    monkeypatch.setenv("MUSICGRAPH_ENGINE", "numba")


@pytest.fixture
def model(mono):
    return str(mono.folder)


def batch(capsys, monkeypatch, *arguments):
    """Code and output of a command whose worker is this process."""
    monkeypatch.setattr(crews, "LocalCrew", Here)
    monkeypatch.setattr(sys, "argv", ["musicgraph", "batch", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


class Here:
    """A crew of nobody but this process."""

    def __init__(self, count, place):
        self._maker = Maker(destination_at(str(place)))

    def outcomes(self, groups, on_music):
        for group in groups:
            yield from self._maker.make(group, on_music)


def listed(folder, *rows, name="list.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def manifest(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def done(folder):
    return {line["id"]: line for line in manifest(folder) if line["status"] == "done"}


# ---------------------------------------------------------------- what is made


def test_each_file_is_what_generate_makes_of_its_row(tmp_path, capsys, monkeypatch, model):
    common = {"model": model, "duration": 0.5, "top_k": 50, "precision": "int8"}
    rows = [
        {"id": "calm", "prompt": "calm piano", "seed": 3, **common},
        {"id": "two", "prompt": "drums", "seed": 2**64 - 1, "variations": 2, **common},
        {"id": "away", "prompt": "drums", "negative": "noise", "seed": 4, **common},
        {"id": "mix", "prompt": "a 0.7 + b 0.3", "seed": 5, **common, "format": "mp3"},
        {"id": "loud", "prompt": "drums", "seed": 6, "loudness": -20, **common, "format": "wav"},
        {"id": "later", "prompt": "drums", "schedule": "0.2: x", "blend": 0, "seed": 7, **common},
    ]
    code, out, _ = batch(capsys, monkeypatch, listed(tmp_path, *rows), "-o", tmp_path / "out")
    assert (code, out.strip()) == (0, str(tmp_path / "out/manifest.jsonl"))
    for row in rows:
        flags = {
            k.replace("_", "-"): v for k, v in row.items() if k not in ("id", "format", "prompt")
        }
        options = [word for name, value in flags.items() for word in (f"--{name}", value)]
        target = tmp_path / "alone" / f"{row['id']}.{row.get('format', 'flac')}"
        assert generate(capsys, monkeypatch, row["prompt"], "-o", target, *options)[0] == 0
    made, alone = (
        {p.name: p.read_bytes() for p in (tmp_path / f).glob("[a-z]*.*")} for f in ("out", "alone")
    )
    assert made.pop("manifest.jsonl")
    assert made == alone and len(made) == 7


def test_rows_go_side_by_side_and_one_that_fails_harms_none(tmp_path, monkeypatch, model):
    rows = [{"prompt": f"a {i}", "model": model, "duration": 0.3, "top_k": 50} for i in range(3)]
    rows[1] |= {"negative": "x", "cfg": 1}  # which the sampler refuses
    path = listed(tmp_path, *rows)
    jobs = jobs_of(path, read_table(path), {})
    at_work, whole, begin = set(), maker.make_music, threading.Barrier(3)

    def watched(*told, **more):
        at_work.add(threading.get_ident())
        begin.wait(20)
        return whole(*told, **more)

    monkeypatch.setattr(maker, "make_music", watched)
    outcomes = Maker(FolderDestination(tmp_path / "out")).make(jobs, lambda _: None)
    assert [bool(one.error) for one in outcomes] == [False, True, False]
    assert "cfg 1" in outcomes[1].error
    assert len(at_work) == 3
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_workflow_is_run_for_each_row_as_run_runs_it(tmp_path, capsys, monkeypatch, model):
    flow = cli.__file__.replace("cli.py", "workflows/text_to_music.json")
    keep = {"1.model": model, "3.duration": 0.3, "3.top_k": 50}
    rows = [{"id": "a", "2.text": "x", "3.seed": 1}, {"id": "b", "2.text": "y", "3.seed": 2}]
    common = [word for name, value in keep.items() for word in ("--set", f"{name}={value}")]
    path = listed(tmp_path, *rows)
    out = tmp_path / "out"
    assert batch(capsys, monkeypatch, path, "--workflow", flow, "-o", out, *common)[0] == 0
    sets = [word for name in ("2.text", "3.seed") for word in ("--set", f"{name}={rows[1][name]}")]
    words = ["musicgraph", "run", flow, *common, *sets, "--output", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        cli.main()
    one, other = (sorted((tmp_path / f).rglob("*.flac")) for f in ("out/b", "run"))
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in other] and len(one) == 1


def test_a_row_without_a_seed_has_one_of_its_own_that_stays(tmp_path, model):
    rows = [{"prompt": "drums", "model": model}] * 2
    path = listed(tmp_path, *rows)
    seeds = [[job.asked["seed"] for job in jobs_of(path, read_table(path), {})] for _ in range(2)]
    assert seeds[0] == seeds[1]
    assert seeds[0][0] != seeds[0][1]


def test_a_job_survives_the_way_to_another_process(tmp_path, model):
    path = listed(tmp_path, {"prompt": "a", "model": model, "loras": []})
    (job,) = jobs_of(path, read_table(path), {})
    assert BatchJob.read(json.loads(json.dumps(job.as_json()))) == job


# ---------------------------------------------------------------- stopped, and gone on with


class Counting(Here):
    made: list[str] = []

    def outcomes(self, groups, on_music):
        for one in super().outcomes(groups, on_music):
            self.made.append(one.id)
            yield one


class Quiet:
    def begun(self, left, earlier):
        pass

    def made(self, music_s):
        pass

    def finished(self, entry):
        pass


@pytest.fixture
def course(tmp_path, model, monkeypatch):
    """Runs a list into a folder; says which ids were made."""
    monkeypatch.setattr(Counting, "made", [])

    def run(*rows, out=tmp_path / "out", common=()):
        path = listed(tmp_path, *rows)
        common = {"model": model, "duration": "0.1", "top_k": "50", **dict(common)}
        jobs = jobs_of(path, read_table(path), common)
        Counting.made.clear()
        run_batch(jobs, str(out), Counting(1, out), 8, 1, Quiet())
        return list(Counting.made)

    return run


ROWS = [{"id": name, "prompt": f"music {name}"} for name in "abc"]


def test_what_is_done_is_not_made_again_and_a_list_may_grow(course, tmp_path):
    assert course(*ROWS[:2]) == ["a", "b"]
    assert course(*ROWS) == ["c"]
    assert course(*ROWS) == []
    assert [line["id"] for line in manifest(tmp_path / "out")] == ["a", "b", "c"]


def test_a_file_that_is_gone_is_made_again(course, tmp_path):
    course(*ROWS)
    before = (tmp_path / "out/b.flac").read_bytes()
    (tmp_path / "out/b.flac").unlink()
    assert course(*ROWS) == ["b"]
    assert (tmp_path / "out/b.flac").read_bytes() == before


def test_half_a_line_is_cut_off_and_its_job_made_again(course, tmp_path):
    course(*ROWS)
    path = tmp_path / "out/manifest.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert course(*ROWS) == ["c"]
    assert [json.loads(line)["id"] for line in path.read_bytes().splitlines()] == ["a", "b", "c"]


def test_what_failed_is_tried_again(course, tmp_path):
    bad = {**ROWS[1], "negative": "x", "cfg": 1}
    assert course(ROWS[0], bad) == ["a", "b"]
    assert [line["status"] for line in manifest(tmp_path / "out")] == ["done", "failed"]
    assert course(ROWS[0], ROWS[1]) == ["b"]
    assert set(done(tmp_path / "out")) == {"a", "b"}


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([{**ROWS[0], "prompt": "other"}, *ROWS[1:]], "another prompt"),
        ([{**ROWS[0], "seed": 9}, *ROWS[1:]], "another seed"),
        (ROWS[1:], "1 rows that this list lacks"),
    ],
)
def test_a_folder_of_another_list_is_refused(course, tmp_path, rows, named):
    course(*ROWS)
    before = (tmp_path / "out/manifest.jsonl").read_bytes()
    with pytest.raises(Refused, match=named):
        course(*rows)
    assert (tmp_path / "out/manifest.jsonl").read_bytes() == before


@pytest.mark.parametrize("line", [b"{}", b"[1]", b"\xff", b'{"id": 1}', b"[" * 100_000])
def test_a_manifest_of_something_else_is_refused(course, tmp_path, line):
    course(*ROWS)
    path = tmp_path / "out/manifest.jsonl"
    path.write_bytes(line + b"\n" + path.read_bytes())
    with pytest.raises(Refused, match="manifest.jsonl, line 1"):
        course(*ROWS)


def test_two_batches_at_one_folder_are_refused(course, tmp_path):
    from musicgraph.models.disk.file_lock import locked

    course(*ROWS[:1])
    with (
        locked(tmp_path / "out/.mg-batch.lock", pytest.fail),
        pytest.raises(Refused, match="another"),
    ):
        course(*ROWS)


# ---------------------------------------------------------------- places that are no folders


@pytest.fixture
def bucket():
    """A place in this process's memory."""
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/", recursive=True)


def test_a_store_of_objects_gets_the_same_files_and_one_manifest(course, tmp_path, bucket):
    course(*ROWS)
    course(*ROWS, out="memory://bucket/pieces")
    there = {name.rpartition("/")[2] for name in bucket.find("/bucket/pieces")}
    assert there == {"a.flac", "b.flac", "c.flac", "manifest.jsonl"}
    for name in ("a.flac", "c.flac"):
        same = bucket.cat_file(f"/bucket/pieces/{name}")
        assert same == (tmp_path / "out" / name).read_bytes()
    lines = [
        json.loads(x)["id"] for x in bucket.cat_file("/bucket/pieces/manifest.jsonl").splitlines()
    ]
    assert sorted(lines) == ["a", "b", "c"]
    assert course(*ROWS, out="memory://bucket/pieces") == []


def test_a_store_of_objects_goes_on_after_a_kill(course, bucket, monkeypatch):
    monkeypatch.setattr(RemoteManifest, "close", lambda _: None)
    assert course(*ROWS[:2], out="memory://bucket/x") == ["a", "b"]
    monkeypatch.undo()
    assert course(*ROWS, out="memory://bucket/x") == ["c"]
    assert bucket.cat_file("/bucket/x/manifest.jsonl").count(b"\n") == 3
    assert not bucket.exists("/bucket/x/.manifest")


def test_a_workflows_folder_goes_to_a_store_of_objects(bucket):
    place = destination_at("memory://bucket/flows")
    with place.folder("one") as folder:
        (folder / "audio").mkdir()
        (folder / "audio/x.flac").write_bytes(b"x")
    assert bucket.cat_file("/bucket/flows/one/audio/x.flac") == b"x"


def test_a_file_url_is_a_folder_and_an_unknown_one_is_refused(tmp_path):
    assert output_at(f"file://{tmp_path}/x").path == tmp_path / "x"
    with pytest.raises(Refused, match="nowhere://x"):
        output_at("nowhere://x")


def test_whatever_a_place_raises_is_a_refusal(bucket, monkeypatch):
    class NoCredentials(Exception):
        """As of the libraries of stores: no OSError."""

    def refuse(*_, **__):
        raise NoCredentials("unable to locate\ncredentials")

    place = output_at("memory://bucket/x")
    monkeypatch.setattr(type(place.files), "pipe_file", refuse)
    with pytest.raises(Refused, match="unable to locate credentials"):
        place.write("a.flac", b"x")
    monkeypatch.setattr("fsspec.core.url_to_fs", refuse)
    with pytest.raises(Refused, match="unable to locate credentials"):
        output_at("memory://bucket/x")


@pytest.mark.parametrize("how", ["empty", "a link to nothing"])
def test_a_file_that_a_crash_left_without_its_content_is_made_again(course, tmp_path, how):
    course(*ROWS)
    lost = tmp_path / "out/b.flac"
    lost.unlink()
    lost.touch() if how == "empty" else lost.symlink_to("nowhere")
    assert course(*ROWS) == ["b"]
    assert lost.stat().st_size > 0


# ---------------------------------------------------------------- groups


def test_groups_are_of_one_kind_full_and_shared_out():
    def job(kind, takes=1, name=""):
        return BatchJob(name, (), {}, kind, 1.0, takes, None)

    few = [job("x"), job("y"), job("x"), job("x", takes=3)]
    assert [[one.kind for one in g] for g in groups_of(few, 8, 1)] == [["x", "x"], ["x"], ["y"]]
    assert [len(g) for g in groups_of([job("x")] * 20, 8, 1)] == [8, 8, 4]
    assert [len(g) for g in groups_of([job("x")] * 8, 8, 2)] == [4, 4]


def test_jobs_of_a_lost_worker_are_tried_again_by_themselves_and_given_up_then():
    first, second = (BatchJob(name, (), {}, "", 1.0, 1, None) for name in "ab")
    work = Retries([[first, second]])
    assert work.next() == [first, second]
    assert work.lost([first, second], "signal 9") == []
    assert [work.next(), work.next(), work.next()] == [[first], [second], None]
    (outcome,) = work.lost([first], "signal 9")
    assert outcome.id == "a" and "signal 9" in outcome.error


def test_a_trial_says_what_the_rest_will_cost(tmp_path, model):
    class HalfASecond:
        """For each second of music, once the model is loaded, which takes a minute."""

        def outcomes(self, groups, on_music):
            for job in (job for group in groups for job in group):
                seconds = 60 if job.id.startswith("warm-up") else job.music_s / 2
                yield JobOutcome(job.id, job.files, "", seconds)

    path = listed(tmp_path, *[{"prompt": f"a {i}", "model": model} for i in range(10)])
    jobs = jobs_of(path, read_table(path), {"duration": "36"})
    cost = cost_of(jobs, str(tmp_path / "out"), HalfASecond, 8, 2)
    assert (cost.jobs, cost.music_h, cost.x_real_time) == (10, 0.1, pytest.approx(4))
    assert cost.hours == pytest.approx(0.025)
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- processes


PROGRAM = BOUND + "from musicgraph import cli\nimport sys\ncli.main(sys.argv[1:])\n"


def started(tmp_path, path, *more):
    command = [sys.executable, "-c", PROGRAM, "batch", path, "-o", tmp_path / "out", *more]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)


@pytest.fixture
def reference_engine(monkeypatch):
    """Processes of their own would compile the fast one, each time."""
    monkeypatch.setenv("MUSICGRAPH_ENGINE", "torch")


def test_killed_by_force_and_started_again_every_job_is_done_once(
    tmp_path, model, reference_engine
):
    rows = [{"prompt": f"a {i}", "model": model, "duration": 2, "top_k": 50} for i in range(8)]
    path = listed(tmp_path, *rows)
    process = started(tmp_path, path, "--together", 1)
    written = tmp_path / "out/manifest.jsonl"
    while not (written.exists() and written.read_bytes().count(b"\n") >= 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.5)
    left = written.read_bytes()
    assert 2 <= left.count(b"\n") < 8
    time.sleep(1)
    assert written.read_bytes() == left
    assert started(tmp_path, path, "--workers", 2).wait() == 0
    lines = manifest(tmp_path / "out")
    assert sorted(line["id"] for line in lines) == sorted(map(str, range(1, 9)))
    assert written.read_bytes().startswith(left)
    files = {p.name for p in (tmp_path / "out").iterdir() if not p.name.startswith(".mg-batch")}
    assert files == {"manifest.jsonl", *(f"{i}.flac" for i in range(1, 9))}


def test_a_worker_that_is_killed_is_replaced(tmp_path, model, reference_engine):
    rows = [{"prompt": f"a {i}", "model": model, "duration": 1, "top_k": 50} for i in range(3)]
    path = listed(tmp_path, *rows)
    jobs, out = jobs_of(path, read_table(path), {}), tmp_path / "out"
    out.mkdir()

    def groups():
        yield jobs[:1]
        (child,) = children()
        os.kill(child, signal.SIGKILL)
        yield jobs[1:]

    made = {one.id: one.error for one in LocalCrew(1, str(out)).outcomes(groups(), lambda _: None)}
    assert made == {"1": "", "2": "", "3": ""}
    assert len(list(out.glob("*.flac"))) == 3


def actors():
    """Processes of Ray's that make music, by the names that it gives them."""
    return [
        int(entry.parent.name)
        for entry in Path("/proc").glob("[0-9]*/cmdline")
        if b"ray::RayMaker" in entry.read_bytes()
    ]


def children():

    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found


@pytest.mark.slow  # a cluster takes a while to start
def test_on_a_ray_cluster_a_worker_is_killed_and_every_job_is_done_once(
    tmp_path, model, reference_engine
):
    ray = pytest.importorskip("ray")
    rows = [{"prompt": f"a {i}", "model": model, "duration": 1, "top_k": 50} for i in range(8)]
    path = listed(tmp_path, *rows)
    jobs, out = jobs_of(path, read_table(path), {}), tmp_path / "out"
    out.mkdir()
    made, killed = [], []
    try:
        crew = RayCrew("local", 2, str(out))
        for one in crew.outcomes([jobs[:2], jobs[2:4], jobs[4:6], jobs[6:]], lambda _: None):
            assert not one.error
            made.append(one.id)
            if not killed:
                killed = actors()
                os.kill(killed[-1], signal.SIGKILL)
    finally:
        ray.shutdown()
    assert sorted(made) == sorted(job.id for job in jobs)
    assert {p.name for p in out.iterdir()} == {f"{job.id}.flac" for job in jobs}
