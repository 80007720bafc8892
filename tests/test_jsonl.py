"""Data files as people have them: whatever is wrong is told in one line with file and line."""

import csv
import gzip
import json

import pytest

from selfedit.errors import SelfeditError
from selfedit.jsonl import read_id, read_objects, read_text


def refused(complaint):
    return pytest.raises(SelfeditError, match=rf"^[^\n]*{complaint}[^\n]*$")


def objects(path):
    return [record for _, record in read_objects(path)]


def places(path):
    return [str(place).removeprefix(f"{path}:") for place, _ in read_objects(path)]


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('{"a": "1"}\n\n{"a": "2"}\n', ["1", "3"]),
        ('{"a": "1"}\r\n{"a": "2"}\r\n', ["1", "2"]),
        ('\n[{"a": "1"}, {"a": "2"}]', ["2", "2"]),
        ('[\n {\n  "a": "1"\n },\n {"a": "2"}\n]\n', ["2", "5"]),
        ('{\n "a": "1"\n}\n{\n "a": "2"\n}\n', ["1", "4"]),
        ('{"a": "1"}{"a": "2"}', ["1", "1"]),
        ('{"a":\n "1"}\n{"a": "2"}', ["1", "3"]),
    ],
)
def test_objects_stand_in_lines_in_an_array_or_one_after_another(tmp_path, text, lines):
    path = written(tmp_path / "x.json", text)
    assert objects(path) == [{"a": "1"}, {"a": "2"}]
    assert places(path) == lines


def test_numbers_stay_as_written_and_nan_is_null(tmp_path):
    [found] = objects(written(tmp_path / "x.jsonl", '{"a": 3.10, "b": NaN, "c": 007e, "d": 1}'.replace("007e", "-0")))
    assert found == {"a": "3.10", "b": None, "c": "-0", "d": "1"}


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
        lambda text: text.encode("utf-32"),
        lambda text: gzip.compress(text.encode()),
    ],
)
def test_unicode_in_all_its_encodings_and_gzip_are_read(tmp_path, encode):
    path = tmp_path / "x.jsonl"
    path.write_bytes(encode('{"a": "é"}\n{"a": "米"}'))
    assert objects(path) == [{"a": "é"}, {"a": "米"}]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "x.jsonl:1: empty file"),
        (b" \n\t\n", "x.jsonl:1: empty file"),
        (b"[]", "x.jsonl:1: nothing in it"),
        ('{}\n{"a": "é"}'.encode("latin-1"), "x.jsonl:2: not UTF-8"),
        (b'{"a": "b"}\n{"a": "b\0"}', "x.jsonl:2: holds NUL bytes"),
        (gzip.compress(b'{"a": 1}', mtime=0)[:-9], "x.jsonl: damaged or cut off"),
        (b"PAR1\x15\x04", "x.jsonl: a Parquet file; write it as JSON lines"),
        (b"PK\x03\x04..", "x.jsonl: a zip archive or a spreadsheet"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "x.jsonl: a Git LFS pointer"),
        (b"\n<!DOCTYPE html>", "x.jsonl: a web page"),
        (b"title,context\nT,x", "x.jsonl:1: not JSON at column 1: expecting value"),
    ],
)
def test_what_is_no_data_is_named(tmp_path, data, complaint):
    path = tmp_path / "x.jsonl"
    path.write_bytes(data)
    with refused(complaint):
        read_objects(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            '{\n "a": [\n  {\n   "b": 1,\n  }\n ]\n}',
            "x.json:5: not JSON at column 3: } behind a comma.*line 4, column 10",
        ),
        ('{\n "a": [\n  1,\n ]\n}', "x.json:4: not JSON at column 2: ] behind a comma.*line 3, column 4"),
        ('[\n {"a": 1},\n]', "x.json:3: not JSON at column 1: ] behind a comma.*line 2, column 10"),
        ('[{"a": 1}\n {"a": 2}]', "x.json:2: not JSON at column 2: a comma or ] is missing"),
        ('{"a": 1}\n{"a": 1,}\n{"a": 2}', "x.json:2: not JSON at column 9: } behind a comma.*line 2, column 8"),
        ('{"a": 1}\n{"a": ', "x.json:2: not JSON at column 7: it ends within a value, as if cut off"),
        ('{"a": 1}\n{"a": "b', "x.json:2: not JSON at column 7: it ends within a value, as if cut off"),
        ('[\n {"a": 1},\n {"a"', "x.json:3: not JSON at column 6: it ends within a value, as if cut off"),
        ('[\n {"a": 1},', "x.json:2: not JSON .*: it ends within a value, as if cut off"),
        ('{\n "a": {\n "b": 1\n}', "x.json:4: not JSON .*: it ends within a value, as if cut off"),
        ('{"a": {"b": 1}\n{"a": 2}', "x.json:1: not JSON .*: it ends within a value"),
        ("{'a': 1}", "x.json:1: not JSON at column 2: expecting property name enclosed in double quotes"),
        ('{"a": 1}\n{"a": 1, "a": 2}', "x.json:2: not JSON at column 10: the key 'a' stands twice"),
        (
            '{"a": [[], {"b": {"c": 1, "d": {"e": 1},\n "c": 2}}',
            "x.json:2: not JSON at column 2: the key 'c' stands twice",
        ),
        ('{"a": 1}\n' + "[" * 100_000, "x.json:2: not JSON at column 1: it is nested too deeply"),
        ("[" * 100_000, "x.json:1: not JSON at column 2: it is nested too deeply"),
        ('{"a": 1}\n[]', "x.json:2: not a JSON object"),
        ('[{"a": 1},\n 3]', "x.json:2: not a JSON object"),
        ('[{"a": 1}]\n[{"a": 1}]', "x.json:2: not JSON at column 1: something follows the array"),
        ('"text"', "x.json:1: not a JSON object"),
    ],
)
def test_a_fault_is_told_with_line_and_column(tmp_path, text, complaint):
    with refused(complaint):
        read_objects(written(tmp_path / "x.json", text))


def test_a_table_is_read_by_its_columns(tmp_path):
    path = written(tmp_path / "x.csv", '\ufeffa,b\n1,"x\ny"\n\n2,z\n')
    assert objects(path) == [{"a": "1", "b": "x\ny"}, {"a": "2", "b": "z"}]
    before = csv.field_size_limit()
    (tmp_path / "x.tsv.gz").write_bytes(gzip.compress(b"a\tb\n1\t" + b"y" * 200_000))
    assert len(objects(tmp_path / "x.tsv.gz")[0]["b"]) == 200_000
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a,b\n1,2\n3\n", "x.csv:3: not the 2 columns that line 1 names"),
        ("a,b\n1,2,3\n", "x.csv:2: not the 2 columns that line 1 names"),
        ("\na,b\n\n1\n", "x.csv:4: not the 2 columns that line 2 names"),
        ("a,b,a\n1,2,3\n", "x.csv:1: the column 'a' stands twice; rename one or leave it out"),
        ("\n\na,a\n1,\n", "x.csv:3: the column 'a' stands twice"),
        ('a,b\n1,"2\n', "x.csv:2: not a table"),
        ("a,b\n", "x.csv:1: nothing in it"),
    ],
)
def test_a_faulty_table_is_told_with_its_line(tmp_path, text, complaint):
    with refused(complaint):
        read_objects(written(tmp_path / "x.csv", text))


def test_a_row_behind_blank_lines_has_its_own_line(tmp_path):
    path = written(tmp_path / "x.csv", '\na,b,,\n\n\n1,2,,\n\n3,"4\n",,\n5,6,,\n')
    assert places(path) == ["5", "7", "9"]
    assert [record["a"] for record in objects(path)] == ["1", "3", "5"]


def test_a_bracket_in_a_table_is_text_where_no_list_is_wanted(tmp_path):
    path = written(tmp_path / "x.csv", 'a,b\n"[1, 2]","[1, ""2""]"\n')
    assert objects(path) == [{"a": "[1, 2]", "b": '[1, "2"]'}]
    [(_, record)] = read_objects(path, lists=("b",))
    assert record == {"a": "[1, 2]", "b": ["1", "2"]}


def test_a_path_that_leads_to_no_file_is_told(tmp_path):
    for name, complaint in [
        ("absent", "no such file"),
        (".", "a folder"),
        ("a\0b", "cannot be read"),
        ("n" * 300, "cannot be read"),
    ]:
        with refused(complaint):
            read_text(tmp_path / name)


def test_an_id_is_in_its_composed_form(tmp_path):
    [(place, record)] = read_objects(written(tmp_path / "x.jsonl", json.dumps({"id": " e\u0301 "})))
    assert read_id(place, record) == "\u00e9"
