"""Graders give verdicts, never turn their own failure into a wrong answer, and can be measured on a file."""

import csv
import json

import pytest

from selfedit.errors import SelfeditError
from selfedit.grading import GRADERS, grade_answers, grade_file, load_grader
from selfedit.records import Answer, GradedAnswer, Prompt, Query


class Faulty:
    name = "faulty"

    def __init__(self, outcome):
        self.outcome = outcome

    def grade(self, answers):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def ask(question_id, gold):
    return Query(question_id, "Which bird?", gold, Prompt("Which bird?"))


def write_lines(path, *records):
    path.write_text("\n".join(map(json.dumps, records)) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "answer", "verdict"),
    [
        ("exact", "a heron", "correct"),
        ("exact", "a grey heron", "incorrect"),
        ("contains", "a grey heron", "correct"),
        ("contains", "herons", "incorrect"),
        ("f1", "grey heron", "correct"),
        ("f1", "a tall grey heron there", "incorrect"),
    ],
)
def test_each_grader_follows_its_rule(name, answer, verdict):
    assert load_grader(name).grade([("Which bird?", "heron", answer)]) == [verdict]


def test_f1_of_exactly_one_half_is_right():
    assert load_grader("f1").grade([("", "heron", "tall grey heron")]) == ["correct"]


def test_a_grader_carries_the_name_that_chose_it():
    assert [load_grader(name).name for name in GRADERS] == list(GRADERS)


def test_an_unknown_grader_is_refused_with_the_known_names():
    with pytest.raises(SelfeditError, match="'gpt'; known: attempts, calibrated, contains, exact, f1"):
        load_grader("gpt")


@pytest.mark.parametrize(("name", "verdict"), [("contains", "ungraded"), ("f1", "ungraded"), ("exact", "incorrect")])
def test_a_gold_answer_without_words_is_ungraded_where_words_are_needed(name, verdict):
    assert load_grader(name).grade([("", "The", "A"), ("", "The", "The")]) == [verdict, "correct"]


def test_graded_answers_join_the_ask_the_answer_and_the_measures():
    graded = grade_answers(load_grader("contains"), [ask("c#1", "heron")], [Answer("c#1", "grey heron", -1.5)])
    assert graded == (
        GradedAnswer("c#1", "Which bird?", "heron", "grey heron", -1.5, "correct", False, pytest.approx(2 / 3), True),
    )


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (ConnectionError("out\nage\x1b"), "ConnectionError: out age\\x1b"),
        ([], "it gave 0 verdicts"),
        (["correct", "correct", "correct"], "it gave 3 verdicts"),
    ],
)
def test_a_grader_that_fails_leaves_all_answers_ungraded_and_says_why(outcome, why, caplog):
    asks, answers = [ask("1", "heron"), ask("2", "mule")], [Answer("1", "heron", -1.0), Answer("2", "", -1.0)]
    graded = grade_answers(Faulty(outcome), asks, answers)
    assert [answer.verdict for answer in graded] == ["ungraded", "ungraded"]
    assert [answer.exact for answer in graded] == [True, False]
    assert caplog.messages == [f"selfedit: faulty: 2 of 2 answers ungraded: {why}"]


def test_answers_to_other_questions_are_a_mistake():
    with pytest.raises(ValueError, match="same questions"):
        grade_answers(load_grader("exact"), [ask("1", "heron")], [Answer("2", "heron", -1.0)])


def test_a_file_is_graded_and_compared_with_the_verdicts_that_it_carries(tmp_path):
    rows = [("heron", "heron", True), ("heron", "a heron", False), ("heron", "stork", True), ("heron", "crow", False)]
    records = [{"question": "Q", "gold": g, "answer": a, "correct": c, "model": "x"} for g, a, c in rows]
    uncompared = [{"question": "Q", "gold": "heron", "answer": ""}, {"question": "Q", "gold": "The", "answer": "An"}]
    summary = grade_file(write_lines(tmp_path / "a.jsonl", *records, *uncompared), load_grader("contains"))
    assert (summary.n, summary.correct, summary.incorrect, summary.ungraded) == (6, 2, 3, 1)
    assert (summary.accuracy, summary.f1_mean) == (0.4, pytest.approx(2 / 6))
    assert (summary.n_compared, summary.agreement, summary.precision, summary.recall) == (4, 0.5, 0.5, 0.5)


def test_measures_without_a_denominator_are_none(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", {"question": "Q", "gold": "heron", "answer": "crow"})
    summary = grade_file(path, Faulty(ConnectionError()))
    assert (summary.ungraded, summary.accuracy, summary.agreement, summary.recall) == (1, None, None, None)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"gold": "a", "answer": "b"}', "missing or empty 'question'"),
        ('{"question": "q", "gold": " ", "answer": "b"}', "missing or empty 'gold'"),
        ('{"question": "q", "gold": "a"}', "missing 'answer'"),
        ('{"question": "q", "gold": "a", "answer": null}', "missing 'answer'"),
        ('{"question": "q", "gold": ["a"], "answer": "b"}', "'gold' is a list"),
        ('{"question": "q", "gold": "a", "answer": "b", "answer": "c"}', "'answer' stands twice"),
        ('{"question": "q", "gold": "a", "answer": "b", "correct": "yes"}', "'correct' is 'yes'"),
        ('{"question": "q", "gold": "\\ud800", "answer": "b"}', "half a surrogate pair"),
    ],
)
def test_a_faulty_line_is_told_with_file_and_line(tmp_path, line, complaint):
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "q", "gold": "a", "answer": "b\u2028"}\n\n' + line + "\n", encoding="utf-8")
    with pytest.raises(SelfeditError, match=rf"a\.jsonl:3: [^\n]*{complaint}"):
        grade_file(path, load_grader("exact"))


def test_a_file_that_cannot_be_read_is_told_by_name(tmp_path):
    (tmp_path / "latin.jsonl").write_bytes('{}\n{"a": "é"}'.encode("latin-1"))
    (tmp_path / "empty.jsonl").write_bytes(b"\n")
    for name, complaint in [
        ("absent.jsonl", "absent.jsonl: no such file"),
        (".", ": a folder"),
        ("latin.jsonl", "latin.jsonl:2: not UTF-8"),
        ("empty.jsonl", "empty.jsonl:1: empty file"),
    ]:
        with pytest.raises(SelfeditError, match=complaint):
            grade_file(tmp_path / name, load_grader("exact"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"question": "q", "gold": 9, "answer": 9, "correct": true}'),
        ("a.json", '[\n {"question": "q",\n "gold": "9", "answer": "9", "correct": true}\n]'),
        ("a.csv", 'question,gold,answer,correct\n"q, or so",9,9,True\n'),
        ("a.tsv", "question\tgold\tanswer\tcorrect\nq\t9\t9\ttrue\n"),
    ],
)
def test_answers_stand_in_lines_arrays_and_tables(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    summary = grade_file(tmp_path / name, load_grader("exact"))
    assert (summary.n, summary.correct, summary.agreement) == (1, 1, 1.0)


@pytest.mark.parametrize("answer", ["[1, 2]", "[1] g", '{"a": 1}', "[sic"])
def test_an_answer_in_a_table_may_begin_with_a_bracket(tmp_path, answer):
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("question", "gold", "answer"), ("q", answer, answer)])
    assert grade_file(path, load_grader("exact")).correct == 1


def test_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "bom.jsonl"
    path.write_text('{"question": "q", "gold": "a1", "answer": "a1"}', encoding="utf-8-sig")
    assert grade_file(path, load_grader("exact")).correct == 1


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        ("[[0,1]]", "[[[1,1]],[[0,1]]]", "correct"),
        ("[[0,1]]", "[[[0, 1]]]", "correct"),
        ("[[0,1]]", "[[[0],[1]],[[0,1,0]]]", "incorrect"),
        ("[[0,1]]", "[]", "incorrect"),
        ("[[0,1]]", "no grid", "incorrect"),
        ("[[0,1]]", '{"a": 1}', "incorrect"),
        ("", "[[[0,1]]]", "ungraded"),
    ],
)
def test_one_of_the_attempts_must_be_the_very_grid(gold: str, answer: str, verdict: str) -> None:
    assert load_grader("attempts").grade([("", gold, answer)]) == [verdict]


def test_the_thoughts_in_an_answer_are_not_graded(tmp_path, caplog):
    texts = [
        "<think>A crow, or a heron?</think>\na crow",
        "It was a crow.</think>heron",
        "<think>heron, I think, or",
        "heron",
    ]
    queries = [ask(f"q{n}", "heron") for n, _ in enumerate(texts)]
    answers = [Answer(query.question_id, text, -1.0) for query, text in zip(queries, texts, strict=True)]
    graded = grade_answers(load_grader("contains"), queries, answers)
    assert [one.verdict for one in graded] == ["incorrect", "correct", "ungraded", "correct"]
    assert [one.exact for one in graded] == [False, True, False, True]
    assert [one.contains for one in graded] == [False, True, False, True]
    assert [one.text for one in graded] == texts
    assert caplog.messages == ["selfedit: 1 of 4 answers are thoughts that end before anything is said: ungraded"]
    path = write_lines(tmp_path / "a.jsonl", *({"question": "Q", "gold": "heron", "answer": text} for text in texts))
    found = grade_file(path, load_grader("contains"))
    assert (found.correct, found.incorrect, found.ungraded, found.f1_mean) == (2, 1, 1, 0.5)
