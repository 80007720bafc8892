"""Files of passages in the shapes that people have: read, told what is left out, or refused in one line."""

import json

import pytest

from selfedit.errors import SelfeditError
from selfedit.tasks import load_passages
from selfedit.tasks.passages.files import read_passages


def passage(n, **changes):
    pairs = [{"question": f"Question {n}?", "answer": f"answer {n}"}]
    return {"title": f"Title {n}", "context": f"Text {n}.", "questions": pairs} | changes


def write_lines(path, *records):
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


def write_json(path, value, indent=None):
    path.write_text(json.dumps(value, indent=indent))
    return path


def read(path):
    """(title, text, [(question, answer)]) of each passage."""
    return [(c.title, c.text, [(q.question, q.answer) for q in c.questions]) for _, c in read_passages(path)]


def refused(complaint):
    return pytest.raises(SelfeditError, match=rf"^[^\n]*{complaint}[^\n]*; [^\n]+$")


@pytest.mark.parametrize(
    "pair",
    [
        {"question": "A?", "answers": [{"text": "nine", "answer_start": 0}, {"text": "9"}]},
        {"question": "A?", "answers": ["nine", "9"]},
        {"question": "A?", "answer": None, "answers": ["nine"]},
        {"question": "A?", "answers": {"text": ["nine", "9"], "answer_start": [10, 12]}},
        {"question": "A?", "answers": [["nine", "9"], ["9.0"]]},
        {"question": "A?", "answers": [[], [None, "", "nine"]]},
        {"question": "A?", "answers": "nine"},
        {"question": "A?", "answer": ["nine"]},
        {"question": "A?", "answer": {"value": "nine", "aliases": ["9"]}},
    ],
)
def test_the_first_of_several_answers_is_the_gold_one(tmp_path, pair):
    assert read(write_lines(tmp_path / "p.jsonl", passage(1, questions=[pair])))[0][2] == [("A?", "nine")]


@pytest.mark.parametrize(("number", "text"), [("1945", "1945"), ("3.10", "3.10"), ("-5", "-5"), ("1e5", "1e5")])
def test_a_number_is_an_answer_as_it_is_written(tmp_path, number, text):
    path = tmp_path / "p.jsonl"
    path.write_text(f'{{"title": 1984, "context": "x", "questions": [{{"question": "A?", "answer": {number}}}]}}')
    assert read(path) == [("1984", "x", [("A?", text)])]


def test_a_very_long_number_is_an_answer_too(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(
        f'{{"title": "T", "context": "x", "questions": [{{"question": "A?", "answer": {"9" * 5000}}}], "id": 7}}'
    )
    assert read_passages(path)[0][1].id == "7"


@pytest.mark.parametrize("indent", [None, 2])
def test_a_squad_file_is_read_paragraph_by_paragraph(tmp_path, indent):
    qas = [{"id": "5733", "question": "How many?", "answers": [{"text": "nine", "answer_start": 3}]}]
    paragraphs = [{"context": f"Text {n}.", "qas": qas} for n in range(3)]
    data = {"version": "1.1", "data": [{"title": "Huts", "paragraphs": paragraphs}]}
    train, heldout = load_passages(str(write_json(tmp_path / "squad.json", data, indent)))
    assert [(c.title, c.text, c.questions[0].answer) for c in train] == [
        ("Huts", "Text 0.", "nine"),
        ("Huts", "Text 1.", "nine"),
    ]
    assert len({context.id for context in (*train, *heldout)}) == 3


def test_squads_impossible_questions_are_left_out_aloud(tmp_path, caplog):
    qas = [
        {"question": "How many?", "answers": [{"text": "nine"}], "is_impossible": False},
        {"question": "Who fell?", "answers": [], "is_impossible": True, "plausible_answers": [{"text": "Tolm"}]},
    ]
    paragraphs = [{"context": "Text.", "qas": qas}, {"context": "Other.", "qas": qas[1:]}]
    path = write_json(tmp_path / "v2.json", {"version": "v2.0", "data": [{"title": "T", "paragraphs": paragraphs}]}, 1)
    assert read(path) == [("T", "Text.", [("How many?", "nine")])]
    [told] = [record.getMessage() for record in caplog.records]
    assert "left out 2 questions marked as impossible (such as 'Who fell?' at " in told
    assert "v2.json:19: data[0].paragraphs[0]: question 2)" in told
    assert "1 passage without questions (such as 'T' at " in told


@pytest.mark.parametrize("nobody", [[], None, ""])
def test_what_nobody_has_annotated_is_left_out_aloud(tmp_path, caplog, nobody):
    path = write_lines(
        tmp_path / "p.jsonl",
        passage(1),
        passage(2, questions=nobody if nobody != "" else []),
        passage(3, questions=[{"question": "A?", "answers": nobody}, {"question": "B?", "answer": "b"}]),
        {"title": "T", "context": "No questions at all."},
    )
    assert [len(pairs) for _, _, pairs in read(path)] == [1, 1]
    assert "left out 1 question without an answer (such as 'A?' at" in caplog.text
    assert "2 passages without questions (such as 'Title 2' at" in caplog.text


def test_a_file_without_any_answered_question_is_refused_with_the_numbers(tmp_path):
    with refused("no passage has a question with an answer: 1 question without an answer .*p.jsonl:1: question 1"):
        read_passages(write_lines(tmp_path / "p.jsonl", passage(1, questions=[{"question": "A?", "anwser": "x"}])))


def test_a_whole_file_is_read_without_a_word(tmp_path, caplog):
    assert len(read(write_lines(tmp_path / "p.jsonl", passage(1), passage(2)))) == 2
    assert not caplog.records


def test_passages_without_titles_are_called_by_number_aloud(tmp_path, caplog):
    path = write_lines(tmp_path / "p.jsonl", passage(1), passage(2, title=None), passage(3, title=""))
    assert [title for title, _, _ in read(path)] == ["Title 1", "Passage 2", "Passage 3"]
    assert "2 without a title, called by number (such as 'Passage 2' at" in caplog.text


def test_rows_of_one_question_each_are_grouped_by_passage(tmp_path):
    rows = [
        {"id": f"q{n}", "title": "T", "context": text, "question": f"Q{n}?", "answers": {"text": [f"a{n}"]}}
        for n, text in enumerate(["One.", "Two.", "One.", "One."])
    ]
    assert read(write_lines(tmp_path / "hf.jsonl", *rows, rows[0])) == [
        ("T", "One.", [("Q0?", "a0"), ("Q2?", "a2"), ("Q3?", "a3")]),
        ("T", "Two.", [("Q1?", "a1")]),
    ]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "shape",
    [
        lambda records: records,
        lambda records: {"data": records},
        lambda records: {"rows": [{"row_idx": n, "row": record} for n, record in enumerate(records)]},
    ],
)
def test_passages_stand_in_an_array_or_within_data_or_rows(tmp_path, shape, indent):
    path = write_json(tmp_path / "p.json", shape([passage(1), passage(2)]), indent)
    assert [text for _, text, _ in read(path)] == ["Text 1.", "Text 2."]


def test_objects_over_several_lines_may_follow_one_another(tmp_path):
    path = tmp_path / "p.json"
    path.write_text("\n".join(json.dumps(passage(n), indent=2) for n in (1, 2)) + json.dumps(passage(3)))
    assert [text for _, text, _ in read(path)] == ["Text 1.", "Text 2.", "Text 3."]


def test_questions_and_answers_may_be_two_lists_of_texts(tmp_path):
    path = write_lines(tmp_path / "p.jsonl", passage(1, questions=["A?", "B?"], answers=["a", ["b", "bb"]]))
    assert read(path)[0][2] == [("A?", "a"), ("B?", "b")]


def test_a_table_has_a_question_a_row(tmp_path):
    path = tmp_path / "p.csv"
    rows = 'title,context,question,answer\r\nT,"One,\r\ntwo.",Q1?,5\r\n\r\nT,"One,\r\ntwo.",Q2?,"a ""b"""\r\n'
    path.write_text(rows, newline="")
    assert read(path) == [("T", "One,\ntwo.", [("Q1?", "5"), ("Q2?", 'a "b"')])]


def test_a_tables_answers_may_be_json_and_never_pythons_lists(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text('context,question,answers\nOne.,Q?,"{""text"": [""a""]}"\n')
    assert read(path)[0][2] == [("Q?", "a")]
    path.write_text("context,question,answers\nOne.,Q?,\"{'text': array(['a'], dtype=object)}\"\n")
    with refused("p.csv:2: 'answers' looks like a list but is no JSON"):
        read_passages(path)


def test_a_passage_that_stands_there_twice_is_left_out_aloud(tmp_path, caplog):
    assert len(read(write_lines(tmp_path / "p.jsonl", passage(1), passage(1)))) == 1
    assert "left out 1 passage that stood there before (such as 'Title 1' at" in caplog.text


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ([], "'data' is no list of objects"),
        ("x", "'data' is no list of objects"),
        ([{"title": "T"}], r"data\[0\]: missing or empty 'context'"),
        ([{"title": "T", "paragraphs": []}], r"data\[0\]: 'paragraphs' is no list of objects"),
        ([3], r"data\[0\]: not an object"),
        ([{"title": "T", "paragraphs": [3]}], r"data\[0\].paragraphs\[0\]: not an object"),
    ],
)
def test_a_faulty_squad_file_is_told_with_the_place(tmp_path, data, complaint):
    with refused(f"squad.json:1: {complaint}"):
        read_passages(write_json(tmp_path / "squad.json", {"data": data}))


def test_a_place_within_a_file_over_many_lines_has_its_own_line(tmp_path):
    data = {"data": [{"title": "T", "paragraphs": [{"context": "x", "qas": []}, {"context": 3, "qas": [4]}]}]}
    with refused(r"squad.json:13: data\[0\].paragraphs\[1\]: question 1: not an object"):
        read_passages(write_json(tmp_path / "squad.json", data, 1))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"title": ["x"]}, "'title' is a list"),
        ({"context": None}, "missing or empty 'context'"),
        ({"context": {"text": "x"}}, "'context' is an object"),
        ({"context": "\ud800"}, "half a surrogate"),
        ({"questions": {"a": 1}}, "'questions' is no list"),
        ({"questions": "Why?"}, "question 1: not an object"),
        ({"questions": ["Why?"]}, "question 1: not an object"),
        ({"questions": ["Why?"], "answers": ["a", "b"]}, "question 1: not an object"),
        ({"questions": [{"question": " ", "answer": "x"}]}, "question 1: missing or empty 'question'"),
        ({"questions": [{"question": "A?", "answer": True}]}, "question 1: its answer is true"),
        ({"questions": [{"question": "A?", "answer": {"x": 1}}]}, "question 1: its answer is an object without 'text'"),
        ({"questions": [{"question": "A?", "answer": "\udc00"}]}, "question 1: 'answer' holds half a surrogate"),
        ({"id": ""}, "missing or empty 'id'"),
        ({"id": [1]}, "'id' is a list"),
        ({"id": True}, "'id' is true or false"),
        ({"id": "a\x00b"}, r"'id' holds a control character \(U\+0000\)"),
        ({"id": "a\nb"}, r"'id' holds a control character \(U\+000A\)"),
        ({"id": "\x1b]0;x\x07"}, r"'id' holds a control character \(U\+001B\)"),
        ({"id": "\ud800"}, "'id' holds half a surrogate"),
        ({"id": "x" * 300}, "'id' has 300 letters"),
        ({"id": "first"}, "same id 'first' as .*p.jsonl:1"),
        ({"id": "fi\u0301rst"}, "same id 'fírst' as .*p.jsonl:2"),
    ],
)
def test_a_faulty_passage_is_told_with_file_and_line(tmp_path, changes, complaint):
    records = passage(1, id="first"), passage(2, id="f\u00edrst"), passage(3, **changes)
    with refused(f"p.jsonl:3: .*{complaint}"):
        read_passages(write_lines(tmp_path / "p.jsonl", *records))


@pytest.mark.parametrize("name", ["a/b", "../../x", "/abs/x", "a~1", "a#1", "@question", "[/x]", "con", "."])
def test_ids_may_look_like_anything_that_is_text(tmp_path, name):
    assert read_passages(write_lines(tmp_path / "p.jsonl", passage(1, id=name)))[0][1].id == name
