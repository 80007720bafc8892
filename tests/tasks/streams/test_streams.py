"""Streams of documents: worlds, files, and what is right after each event."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfedit.errors import InvalidEdit, SelfeditError, SettingError
from selfedit.tasks.streams.edits import as_replied, oracle_lines, read_lines, template_lines
from selfedit.tasks.streams.files import read_stream
from selfedit.tasks.streams.task import StreamSettings, load_streams, study
from selfedit.tasks.streams.world import make_document_stream, statements, study_questions, words

FILE = """
{"document": "mill", "title": "The mill", "text": "The mill is closed on Monday."}
{"question": "When is the mill closed?", "answers": [{"from": 1, "answer": "Monday"}, {"from": 3, "answer": "Sunday"}]}
{"document": "inn", "text": "The inn is red."}
{"document": "mill", "title": "The mill", "text": "The mill is closed on Sunday."}
{"question": "What colour is the inn?", "answers": [{"from": 2, "answer": "red"}]}
{"remove": "inn"}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "stream.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("seed", range(6))
def test_a_world_says_what_is_right_and_its_documents_say_it_too(seed: int) -> None:
    stream = make_document_stream(seed, 16, 3, 0.3, 2)
    changed = 0
    for question in stream.questions:
        for since, answer in question.answers:
            event = stream.events[since - 1]
            if answer:
                assert answer in event.text and event.document in (question.document, f"notice-{since:03}")
            else:
                assert (event.kind, event.document) == ("delete", question.document)
        changed += sum(bool(answer) for _, answer in question.answers) - 1
    assert len(stream.questions) == 48 and 10 <= changed <= 14
    kinds = [event.kind for event in stream.events]
    assert kinds.count("delete") == 2 and "edit" in kinds
    assert any(event.document.startswith("notice") for event in stream.events)
    assert [event.number for event in stream.events] == list(range(1, len(stream.events) + 1))


def test_what_holds_is_the_latest_of_what_is_there_and_nothing_of_what_is_gone() -> None:
    stream = make_document_stream(3)
    for event in range(1, len(stream.events) + 1):
        holding = stream.valid_facts(event)
        said = {f.key: f.value for e in stream.documents_at(event) for f in e.facts if (e.number, f.key) in holding}
        right = {q.id: q.answer_at(event) for q in stream.questions if q.answer_at(event)}
        assert said == right


def test_exams_are_in_other_words_than_what_is_studied() -> None:
    for attribute in words()["attributes"].values():
        assert not set(attribute["exam"]) & set(attribute["study"])
        assert len(attribute["values"]) >= 7 and len(attribute["exam"]) == 2
    stream = make_document_stream(1)
    studied = {one for event in stream.events for fact in event.facts for one in study_questions(fact)}
    assert not studied & {question.question for question in stream.questions}


def test_the_same_seed_gives_the_same_stream_and_another_one_another() -> None:
    assert make_document_stream(5) == make_document_stream(5) != make_document_stream(6)
    with pytest.raises(ValueError, match="deleted"):
        make_document_stream(0, 4, 3, 0.3, 3)


def test_a_perfect_self_edit_leaves_out_what_no_longer_holds() -> None:
    event = make_document_stream(1).events[0]
    first, *rest = event.facts
    text = oracle_lines(event, {fact.key for fact in rest}, 2)
    assert not any(one in text for one in statements(first))
    assert all(one in text for fact in rest for one in statements(fact))
    assert len(read_lines(text).answered) == 2 * len(rest)
    assert oracle_lines(event, set(), 2) == ""


def test_sentences_and_questions_are_read_from_whatever_a_model_writes() -> None:
    lines = read_lines(
        "- The mill is red.\nQuestion: What colour?\nAnswer: red\nQ: And when?\n\n2. It is old.\nQuestion: No answer?"
    )
    assert lines.statements == ("The mill is red.", "It is old.") and lines.answered == (("What colour?", "red"),)
    numbered = read_lines(
        as_replied(" What colour?\nAnswer: red\n\nQuestion 2: And when?\nAnswer 2: on Monday\nA. Lunt says so.")
    )
    assert numbered.answered == (("What colour?", "red"), ("And when?", "on Monday"))
    assert numbered.statements == ("A. Lunt says so.",)
    examples = study("The mill", "It is red.\nQuestion: What colour?\nAnswer: red")
    assert examples[0].completion == "The mill\nIt is red." and examples[0].prompt is None
    assert examples[1].completion == "red" and examples[1].prompt is not None
    assert "Question: What colour?\nAnswer:" in examples[1].prompt.text
    for text, why in (("\n \n", "nothing"), ("\n".join(f"line {n}" for n in range(201)), "201 lines")):
        with pytest.raises(InvalidEdit, match=why):
            read_lines(text)


def test_a_file_tells_a_stream(tmp_path: Path) -> None:
    stream = read_stream(written(tmp_path, FILE))
    assert [(e.number, e.kind, e.document) for e in stream.events] == [
        (1, "new", "mill"),
        (2, "new", "inn"),
        (3, "edit", "mill"),
        (4, "delete", "inn"),
    ]
    mill, inn = stream.questions
    assert [mill.answer_at(n) for n in range(5)] == ["", "Monday", "Monday", "Sunday", "Sunday"]
    assert [inn.answer_at(n) for n in range(5)] == ["", "", "red", "red", ""]
    assert stream.events[1].title == "inn" and template_lines(stream.events[1]) == "The inn is red."
    assert [e.document for e in stream.documents_at(4)] == ["mill"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"title": "x"}', "jsonl:8: has neither document, remove nor question"),
        ('{"document": "a", "remove": "b"}', "has document and remove"),
        ('{"remove": "inn"}', "jsonl:8: removes inn, which is not there"),
        ('{"document": "a"}', "missing or empty 'text'"),
        ('{"document": "mill", "text": "The mill is closed on Sunday."}', "is there already with this very text"),
        ('{"question": "Who?"}', "answers must be a list"),
        ('{"question": "Who?", "answers": [{"from": 9, "answer": "x"}]}', "from 9, and there are 4 events"),
        ('{"question": "Who?", "answers": [{"from": "one", "answer": "x"}]}', "must be the number of an event"),
        (
            '{"question": "Who?", "answers": [{"from": 2, "answer": "x"}, {"from": 1, "answer": "y"}]}',
            "put them in order",
        ),
        ('{"question": "Who?", "answers": [{"from": 1, "answer": ""}]}', "its first answer is empty"),
        ('{"question": "Who?", "answers": [{"from": 4, "answer": "x"}]}', "is where inn goes"),
        ('{"question": "Who?", "answers": [1]}', 'not an object with "from" and "answer"'),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_one_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(SelfeditError) as error:
        read_stream(written(tmp_path, FILE + line + "\n"))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_file_needs_documents_and_questions(tmp_path: Path) -> None:
    document, question = FILE.strip().splitlines()[:2]
    with pytest.raises(SelfeditError, match="asks nothing"):
        read_stream(written(tmp_path, document))
    with pytest.raises(SelfeditError, match="has no documents"):
        read_stream(written(tmp_path, question))


def test_settings_that_make_no_stream_are_refused() -> None:
    for values, said in (
        ({"documents": 1}, "documents"),
        ({"documents": 4, "deleted": 3}, "deleted"),
        ({"changed": 1.5}, "changed"),
        ({"facts": 9}, "facts"),
        ({"prompt": "rewrite"}, "prompt"),
        ({"heldout_data": "x"}, "heldout_data"),
    ):
        with pytest.raises(SettingError, match=said):
            StreamSettings(**values)  # type: ignore[arg-type]


def test_as_a_task_a_stream_is_its_documents_as_they_stand_at_the_end(tmp_path: Path) -> None:
    from selfedit.learn.stream import StreamConfig

    settings = StreamSettings(data=str(written(tmp_path, FILE)))
    task = load_streams(settings, StreamConfig(task_args=settings, streams=1, writer="template"))
    [mill] = task.contexts("heldout")
    assert mill.text == "The mill is closed on Sunday." and mill.questions[0].answer == "Sunday"
    assert task.in_context(mill).queries[0].prompt.text.startswith("The mill\nThe mill is closed on Sunday.\n\n")
    assert task.compile(mill, None).examples[0].completion == "The mill\nThe mill is closed on Sunday."
