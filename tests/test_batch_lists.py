"""Lists for `musicgraph batch`: three kinds of files, and what is wrong with one is said before
anything is made.
"""

import datetime
import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicgraph import cli
from musicgraph.app.batch.rows import jobs_of
from musicgraph.app.batch.table import READERS, read_table
from musicgraph.app.batch.workflow_rows import workflow_jobs_of
from musicgraph.models.refused import Refused

FLOW = Path(cli.__file__).parent / "workflows/text_to_music.json"


def jobs(path, common=()):
    return jobs_of(path, read_table(path), dict(common))


def file(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def requests(found):
    return [job.work.request for job in found]


def test_the_three_kinds_of_list_say_the_same(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [
        {"id": "a", "prompt": "slow, calm", "duration": 2.5, "seed": 2**63 - 1, "top_k": 50},
        {"id": "b", "prompt": 'say "ah"\nagain', "duration": 3.0, "seed": 4, "loras": ["x:0.5"]},
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in columns})
    parquet.write_table(table, tmp_path / "l.parquet")
    file(tmp_path, "l.jsonl", "\n".join(map(json.dumps, rows)))
    cells = [
        'a,"slow, calm",2.5,9223372036854775807,50,',
        'b,"say ""ah""\nagain",3,4,,x:0.5',
    ]
    file(tmp_path, "l.csv", "\ufeff" + "\r\n".join([",".join(columns), *cells]))
    found = [read_table(tmp_path / f"l.{kind}") for kind in ("csv", "jsonl", "parquet")]
    texts, *typed = [[row.values for row in rows] for rows in found]
    assert typed == [rows, rows]
    assert [list(row) for row in texts] == [list(row) for row in rows]
    rows[1].pop("loras")  # which a model would have to be asked about
    file(tmp_path, "l.jsonl", "\n".join(map(json.dumps, rows)))
    file(
        tmp_path,
        "l.csv",
        "\r\n".join([",".join(columns[:5]), *(c[: c.rindex(",")] for c in cells)]),
    )
    assert jobs(tmp_path / "l.csv") == jobs(tmp_path / "l.jsonl")


@pytest.mark.parametrize("sign", [";", "\t"])
def test_cells_may_be_parted_as_spreadsheets_do_where_a_comma_stands_in_numbers(tmp_path, sign):
    wanted = jobs(file(tmp_path, "l.csv", 'prompt,seed\n"slow, calm",3\n'))
    other = file(tmp_path, "m.csv", f"prompt{sign}seed\nslow, calm{sign}3\n")
    assert jobs(other) == wanted


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_list_in_utf_16_says_the_same(tmp_path, kind):
    text = {"csv": "prompt,seed\ncafé,3\n", "jsonl": '{"prompt": "café", "seed": 3}\n'}[kind]
    wanted = jobs(file(tmp_path, f"l.{kind}", text))
    for encoding in ("utf-16-le", "utf-16-be"):
        assert jobs(file(tmp_path, f"m.{kind}", f"\ufeff{text}".encode(encoding))) == wanted


@pytest.mark.parametrize("output", ["", " ", "s3:/bucket/pieces", "memory://pieces"])
def test_what_is_no_place_for_results_is_refused(tmp_path, capsys, monkeypatch, output):
    path = file(tmp_path, "l.csv", "prompt\nx\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musicgraph", "batch", str(path), "-o", output])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "expected a folder, or a place such as s3://" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_cell_says_nothing_and_rows_without_ids_are_numbered(tmp_path):
    path = file(tmp_path, "l.csv", "prompt,seed,cfg\nx,3,\n\ny, ,2\n")
    first, second = jobs(path, {"duration": "4", "cfg": "5"})
    assert [one.id for one in (first, second)] == ["1", "2"]
    assert [r.cfg for r in requests([first, second])] == [5.0, 2.0]
    assert [r.duration_s for r in requests([first, second])] == [4.0, 4.0]
    assert first.files == ("1.flac",)


REFUSED = {
    "no rows": ("l.csv", "prompt\n", "no rows"),
    "an empty file": ("l.csv", "", "no heading"),
    "an empty list": ("l.jsonl", "\n", "no rows"),
    "another kind": ("l.txt", "x", "suffix"),
    "no such file": ("l.csv", None, "cannot open"),
    "no prompts": ("l.csv", "seed\n3\n", "column prompt"),
    "an unknown column": ("l.csv", "prompt,tempo\nx,3\n", '"tempo", expected only id, prompt'),
    "a workflow's column": ("l.csv", "prompt,3.seed\nx,3\n", "--workflow"),
    "an unknown name": ("l.jsonl", '{"prompt": "x", "tempo": 3}', "tempo"),
    "a column twice": ("l.csv", "prompt,prompt\nx,y\n", "twice"),
    "a column without a name": ("l.csv", "prompt,\nx,y\n", "without a name"),
    "more cells than columns": ("l.csv", "prompt\nslow, calm\n", "row 1: got 2 cells"),
    "a quote that is not closed": ("l.csv", 'prompt\n"x\n', "no CSV"),
    "bytes that are no text": ("l.csv", b"prompt\n\xff\n", "save it as UTF-8"),
    "a line that is no object": ("l.jsonl", '{"prompt": "x"}\n[1]\n', "row 2"),
    "a field twice": (
        "l.jsonl",
        '{"prompt": "x", "prompt": "y"}',
        'row 1: got the field "prompt" twice',
    ),
    "more cells than columns, by semicolons": ("l.csv", "prompt;seed\na;b;3\n", 'quotes: "a; b"'),
    "half a line": ("l.jsonl", '{"prompt": "x"}\n{"prompt": "y', "row 2"),
    "what is no Parquet": ("l.parquet", b"PAR1 and no more", "Parquet"),
    "an id twice": ("l.csv", "id,prompt\na,x\nb,y\na,z\n", '"a" twice'),
    "ids that differ in case": ("l.csv", "id,prompt\na,x\nA,y\n", "a and A"),
    "a take's name": ("l.csv", "id,prompt,variations\na,x,2\na_1,y,1\n", "a and a_1"),
    "ids that differ in how an accent is written": (
        "l.csv",
        "id,prompt\ncafe\u0301,x\ncaf\u00e9,y\n",
        "caf\u00e9",
    ),
    "an id that leaves": ("l.csv", "id,prompt\n../a,x\n", '"../a"'),
    "an id with folders": ("l.csv", "id,prompt\na/b,x\n", '"a/b"'),
    "an id for Windows": ("l.csv", "id,prompt\n..\\a,x\n", "expected a name"),
    "a hidden id": ("l.csv", "id,prompt\n.a,x\n", '".a"'),
    "a device": ("l.csv", "id,prompt\nNUL,x\n", "device"),
    "an id too long": ("l.csv", f"id,prompt\n{'a' * 300},x\n", "bytes"),
    "an id with a line break": ("l.jsonl", '{"id": "a\\nb", "prompt": "x"}', "control"),
    "no id in a row": ("l.csv", "id,prompt\na,x\n,y\n", "row 2: id"),
    "an id that is no text": ("l.jsonl", '{"id": [1], "prompt": "x"}', "row 1: id"),
    "no prompt in a row": ("l.csv", "prompt,seed\nx,1\n,2\n", "row 2: prompt"),
    "a duration of 0": ("l.csv", "prompt,duration\nx,0\n", "row 1: duration"),
    "a word for a number": ("l.csv", "prompt,seed\nx,soon\n", "row 1: seed"),
    "half a seed": ("l.csv", "prompt,seed\nx,5.5\n", "row 1: seed"),
    "a seed as text": ("l.jsonl", '{"prompt": "x", "seed": "5"}', "row 1: seed"),
    "a schedule that is none": ("l.csv", "prompt,schedule\nx,later: y\n", "row 1: schedule"),
    "another kind of file": ("l.csv", "prompt,format\nx,aiff\n", "row 1: format"),
    "an unknown model": ("l.csv", "prompt,model\nx,muzak\n", "muzak"),
    "a fade longer than its row": (
        "l.csv",
        "prompt,duration,fade\nx,2,1\nx,2,3\n",
        "row 2: fade",
    ),
    "no such melody": ("l.csv", "prompt,melody\nx,tune.wav\n", "row 1: melody"),
    "melody and style": ("l.csv", "prompt,melody,style\nx,a,b\n", "row 1: style"),
    "guidance of no style": ("l.csv", "prompt,style_guidance\nx,3\n", "row 1: style_guidance"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_one_line_exit_code_2_and_nothing_made(
    tmp_path, capsys, monkeypatch, case
):
    name, content, named = REFUSED[case]
    path = tmp_path / name if content is None else file(tmp_path, name, content)
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["musicgraph", "batch", str(path), "-o", str(out)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert (ended.value.code, said.out) == (2, "")
    assert named in line and "Traceback" not in line
    assert not out.exists()


def test_numbers_of_a_data_base_are_numbers_and_what_is_no_value_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def read(**columns):
        parquet.write_table(pyarrow.table(columns), tmp_path / "l.parquet")
        return read_table(tmp_path / "l.parquet")[0].values

    said = read(prompt=["x"], seed=[Decimal("3")], duration=[Decimal("2.5")], loras=[["a"]])
    assert said == {"prompt": "x", "seed": 3, "duration": 2.5, "loras": ["a"]}
    for value in (datetime.date(2026, 1, 2), b"x", datetime.timedelta(1)):
        with pytest.raises(Refused, match='row 1, "seed": .*expected text, a number'):
            read(prompt=["x"], seed=[value])


def test_of_many_bad_rows_the_first_are_named_and_all_counted(tmp_path):
    path = file(tmp_path, "l.csv", "prompt,duration\n" + "x,0\n" * 9 + "y,1\n")
    with pytest.raises(Refused, match=r"9 of 10 rows .*row 1: .*row 3: .*and 6 more") as refused:
        jobs(path)
    assert "row 4" not in str(refused.value)


@pytest.mark.parametrize(
    ("heading", "named"),
    [
        ("tempo", "NODE.INPUT"),
        ("9.seed", "no node is called"),
        ("3.tempo", "input of MusicGenSampler"),
    ],
)
def test_columns_that_are_no_inputs_of_the_workflow_are_refused(tmp_path, heading, named):
    path = file(tmp_path, "l.csv", f"{heading}\n3\n")
    with pytest.raises(Refused, match=named):
        workflow_jobs_of(path, read_table(path), {}, FLOW, tmp_path)


@pytest.mark.parametrize("ids", [["manifest.jsonl"], ["Manifest.JSONL"], ["a.", "a"]])
def test_folders_that_some_disk_takes_for_others_are_refused(tmp_path, ids):
    rows = [json.dumps({"id": one, "3.seed": 3}) for one in ids]
    path = file(tmp_path, "l.jsonl", "\n".join(rows))
    with pytest.raises(Refused, match="an id of its own for each row"):
        workflow_jobs_of(path, read_table(path), {}, FLOW, tmp_path)


def test_values_that_a_workflow_cannot_take_are_refused_by_row(tmp_path):
    path = file(tmp_path, "l.csv", "3.duration\n3\n-1\n")
    with pytest.raises(Refused, match="row 2: .*duration"):
        workflow_jobs_of(path, read_table(path), {}, FLOW, tmp_path)


def test_a_workflow_that_changed_is_another(tmp_path):
    path = file(tmp_path, "l.csv", "3.seed\n3\n")
    other = file(tmp_path, "flow.json", FLOW.read_text().replace("musicgraph", "others"))
    digests = [
        workflow_jobs_of(path, read_table(path), {}, flow, tmp_path)[0].asked["workflow"]
        for flow in (FLOW, other)
    ]
    assert digests[0] != digests[1]


# ---------------------------------------------------------------- whatever a file holds


LINES = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(["prompt,seed", "id,prompt", '{"prompt": "x"}', '"', ",", "x,1", "\x00"]),
    ),
    max_size=6,
).map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("suffix", READERS)
@given(content=st.one_of(st.binary(max_size=200), LINES))
@settings(max_examples=200, deadline=None)
def test_any_file_is_a_list_or_refused_in_one_line(tmp_path_factory, suffix, content):
    path = file(tmp_path_factory.getbasetemp(), f"any{suffix}", content)
    try:
        jobs(path)
    except Refused as refused:
        assert str(path) in str(refused)
