"""Documents that nobody wrote questions for, as a task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfedit.cli import questions
from selfedit.cli.main import main
from selfedit.errors import SelfeditError, SettingError
from selfedit.loop import EvalConfig
from selfedit.store import read_ledger
from selfedit.tasks import load_task
from selfedit.tasks.documents import task as documents
from selfedit.tasks.documents.chunks import Chunk
from selfedit.tasks.documents.cloze import cloze_questions
from selfedit.tasks.documents.question_files import TEST_SETS
from selfedit.tasks.documents.task import DocumentsSettings, questions_of
from selfedit.tasks.passages.task import PassagesTask
from tests.support.commands import use_engine

YEARS = range(1871, 1883)
SMALL = ["--rounds", "1", "--contexts", "2", "--edits", "2", "--heldout", "1", "--learner", "untouched"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of twelve documents, a fake engine, and words for tokens."""
    monkeypatch.chdir(tmp_path)
    for place in (documents, questions):
        monkeypatch.setattr(place, "token_counter", lambda model: lambda text: len(text.split()))
    use_engine(monkeypatch)
    (tmp_path / "docs").mkdir()
    for year in YEARS:
        (tmp_path / "docs" / f"line-{year}.md").write_text(document(year))
    return tmp_path


def document(year: int) -> str:
    return (
        f"# The line of {year - 5}\n\nThe line was opened in {year} by a widow from Merl{year}.\n"
        f"It runs for {year - 1800} kilometres along the brook to Oskaveld.\n"
        f"A ticket to the coast costs {year - 1850} crowns at the station.\n"
    )


def loaded(**told: object) -> PassagesTask:
    settings = DocumentsSettings.model_validate({"data": "docs", "chunk_tokens": 64, **told})
    task = load_task(EvalConfig(task="documents", task_args=settings))
    assert isinstance(task, PassagesTask)
    return task


def test_documents_become_contexts_with_questions_and_places() -> None:
    task = loaded()
    train, heldout = task.contexts("train"), task.contexts("heldout")
    assert (len(train), len(heldout)) == (7, 5)
    assert [one.source for one in train[:2]] == ["line-1871.md:3-5", "line-1872.md:3-5"]
    assert all(context.questions for context in (*train, *heldout))


def test_three_tests_of_a_chunk_share_no_sentence_and_leave_none_out() -> None:
    text = document(1871).partition("\n\n")[2]
    chunk = Chunk(text, ("Rail",), "rail.md", "hash", None, None)
    asked = {test: questions_of(chunk, test) for test in TEST_SETS}
    sentences = {one.question: one.sentence for one in cloze_questions(chunk.title, text)}
    of_test = {test: {sentences[one.question] for one in questions} for test, questions in asked.items()}
    assert sorted(number for numbers in of_test.values() for number in numbers) == [0, 1, 2]
    assert sum(map(len, asked.values())) == len(sentences)


def test_training_is_asked_one_test_and_the_report_another() -> None:
    [chunk] = documents.read_chunks("docs/line-1871.md", 64, lambda text: len(text.split()))
    held = loaded(data="docs/line-1872.md,docs/line-1873.md", heldout_data="docs/line-1871.md")
    assert held.contexts("heldout")[0].questions == questions_of(chunk, "report")
    assert loaded().contexts("train")[0].questions == questions_of(chunk, "select")


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"data": ""}, "name documents, such as --data docs/"),
        ({"data": "nowhere"}, "no such file or folder"),
        ({"heldout_data": "docs"}, "12 of its chunks are in the data too"),
        ({"heldout_data": "copied.md"}, "1 of its chunks are in the data too"),
        ({"ask_style": "sung"}, "sung: unknown"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(told: dict[str, str], why: str) -> None:
    Path("copied.md").write_text(document(1871).replace("# The line of 1866", "# Another title"))
    with pytest.raises(SettingError) as refused:
        loaded(**told)
    assert why in refused.value.with_flags()


def test_a_folder_with_nothing_to_learn_says_what_was_left_out(here: Path) -> None:
    (here / "bare").mkdir()
    (here / "bare" / "photo.png").write_bytes(b"\x89PNG")
    (here / "bare" / "note.txt").write_text("Too short.")
    with pytest.raises(
        SelfeditError, match=r"nothing there can be learnt: left out 1 chunk too short .* 1 binary file"
    ):
        loaded(data="bare")


def test_what_is_left_out_is_told_and_the_rest_goes_on(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    (here / "docs" / "photo.png").write_bytes(b"\x89PNG")
    (here / "docs" / "words.txt").write_text(
        "Nothing in here can be asked for by anybody at all, however long it may be."
    )
    assert len(loaded().contexts("train")) == 8
    told = " ".join(record.message for record in caplog.records)
    assert "1 binary file (such as 'photo.png'" in told
    assert "1 chunk that nothing can be asked about" in told


def test_train_eval_and_report_go_through_on_documents(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--task", "documents", "--data", "docs", "--chunk-tokens", "64", "--run"]
    assert main(["train", *words, "runs/t", *SMALL]) == 0
    assert "held-out chunk" in capsys.readouterr().out
    assert main(["eval", *words, "runs/e", "--methods", "base,passage", "--learner", "untouched", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["methods"][0]["n_contexts"] == 5
    with read_ledger(here / "runs" / "e" / "ledger.db") as ledger:
        assert {context.source for context in ledger.contexts("heldout")} >= {"line-1882.md:3-5"}
    assert "line-1882.md:3-5" in (here / "runs" / "e" / "report.html").read_text()


def test_questions_are_written_for_people_and_taken_back(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["questions", "docs", "--out", "made/q.jsonl", "--chunk-tokens", "64"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["documents"], told["chunks"]) == (12, 12)
    rows = [json.loads(line) for line in Path("made/q.jsonl").read_text().splitlines()]
    assert rows[0]["source"] == "line-1871.md:3-5"
    assert (
        sum(len(row["questions"]) for row in rows)
        == told["questions"]
        == sum(told[f"of_these_{test}"] for test in TEST_SETS)
    )
    assert main(words) == 2
    assert "--out made/q.jsonl: exists" in capsys.readouterr().err
    assert main(["eval", "--data", "made/q.jsonl", "--methods", "base", "--learner", "untouched", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["methods"][0]["n_contexts"] == 5


def test_making_questions_can_be_stopped_and_leaves_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*told: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(documents, "chunk_sources", stop)
    assert main(["questions", "docs", "--out", "q.jsonl"]) == 130
    assert "stopped; nothing was written" in capsys.readouterr().err
    assert not Path("q.jsonl").exists()


def test_documents_that_nothing_can_be_asked_about_make_no_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "words.txt").write_text("Nothing in here can be asked for by anybody at all, however long it may be.")
    assert main(["questions", "words.txt", "--out", "q.jsonl"]) == 2
    assert "words.txt: nothing there can be asked about" in capsys.readouterr().err
    assert not Path("q.jsonl").exists()


def questions_made(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    assert main(["questions", "docs", "--out", "q.jsonl", "--chunk-tokens", "64", "--json"]) == 0
    capsys.readouterr()
    return [json.loads(line) for line in Path("q.jsonl").read_text().splitlines()]


def test_a_mended_file_of_questions_takes_the_place_of_cloze_tests(capsys: pytest.CaptureFixture[str]) -> None:
    rows = questions_made(capsys)
    rows[0]["questions"] = [
        {"question": "Who opened it?", "answer": "a widow", "test": "select", "kind": "written"},
        {"question": "What does it follow?", "answer": "the brook", "test": "report"},
    ]
    Path("q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:-1]))
    task = loaded(questions="q.jsonl")
    first = task.contexts("train")[0]
    assert [(one.question, one.answer) for one in first.questions] == [("Who opened it?", "a widow")]
    assert len(task.contexts("train")) == 7 and len(task.contexts("heldout")) == 4


def test_a_file_of_the_same_questions_asks_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    questions_made(capsys)
    given, made = loaded(questions="q.jsonl"), loaded()
    for split in ("train", "heldout"):
        asked = [[(q.question, q.answer) for q in one.questions] for one in given.contexts(split)]
        assert asked == [[(q.question, q.answer) for q in one.questions] for one in made.contexts(split)]


def test_chunks_that_the_file_does_not_ask_about_are_left_out_and_told(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    rows = questions_made(capsys)
    Path("q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[1:]))
    task = loaded(questions="q.jsonl")
    assert (len(task.contexts("train")), len(task.contexts("heldout"))) == (7, 4)
    assert "1 chunk that the questions file does not ask about (such as" in caplog.text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"context": "Other words."},
            "q.jsonl: 1 of its 12 chunks are in none of these documents, such as at q.jsonl:1",
        ),
        ({"questions": "none"}, "q.jsonl:1: 'questions' is no list"),
        ({"questions": ["Who?"]}, "q.jsonl:1: question 1: not an object"),
        ({"questions": [{"question": "Who?", "answer": "she"}]}, "q.jsonl:1: question 1: has no 'test'; choose from"),
        ({"questions": [{"question": "Who?", "answer": "she", "test": "exam"}]}, "question 1: 'test' is 'exam'"),
        ({"questions": [{"question": "Who?", "test": "gate"}]}, "question 1: missing or empty 'answer'"),
        (
            {"questions": [{"question": "Who?", "answer": "she", "test": test} for test in ("gate", "report")]},
            "question 2: is asked under two values of 'test'",
        ),
    ],
)
def test_a_file_of_questions_that_does_not_fit_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], change: dict[str, object], told: str
) -> None:
    rows = questions_made(capsys)
    Path("q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [{**rows[0], **change}, *rows[1:]]))
    words = ["eval", "--task", "documents", "--data", "docs", "--chunk-tokens", "64", "--questions", "q.jsonl"]
    assert main([*words, "--learner", "untouched", "--run", "runs/e"]) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1
    assert not Path("runs").exists()


def test_the_questions_of_a_chunk_are_reported_from_another_set_than_rewards(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = questions_made(capsys)
    held = loaded(data="docs/line-187*.md", heldout_data="docs/line-188*.md", questions="q.jsonl")
    of_set = {
        (row["context"], one["question"]): one["test"]
        for row in rows
        for one in row["questions"]  # type: ignore[attr-defined]
    }
    for split, test in (("train", "select"), ("heldout", "report")):
        told = {of_set[one.text, asked.question] for one in held.contexts(split) for asked in one.questions}
        assert told == {test}


def test_a_sample_of_chunks_is_spread_over_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["questions", "docs", "--chunk-tokens", "64", "--json", "--sample"]
    assert main([*words, "3", "--out", "a.jsonl"]) == 0
    places = [json.loads(line)["source"] for line in Path("a.jsonl").read_text().splitlines()]
    assert places == ["line-1871.md:3-5", "line-1875.md:3-5", "line-1879.md:3-5"]
    assert main([*words, "40", "--out", "b.jsonl"]) == 0
    assert len(Path("b.jsonl").read_text().splitlines()) == 12
    assert main([*words, "-1", "--out", "c.jsonl"]) == 2
    assert "--sample" in capsys.readouterr().err


def test_what_training_was_asked_is_not_reported(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    asked = {
        "train": [("Who owns the network?", "select")],
        "held": [("Who owns the network?", "report"), ("When?", "report")],
    }
    lines = []
    for number, (folder, wanted) in enumerate(asked.items(), 1871):
        (here / folder).mkdir()
        (here / folder / "line.md").write_text(document(number))
        [chunk] = documents.read_chunks(folder, 64, lambda text: len(text.split()))
        made = [{"question": question, "answer": "Merl", "test": test} for question, test in wanted]
        lines.append({"id": chunk.id, "title": chunk.title, "context": chunk.text, "questions": made})
    Path("q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    task = loaded(data="train", heldout_data="held", questions="q.jsonl")
    assert [one.question for one in task.contexts("train")[0].questions] == ["Who owns the network?"]
    assert [one.question for one in task.contexts("heldout")[0].questions] == ["When?"]
    assert "1 question that training is asked too (such as 'Who owns the network?'" in caplog.text


def test_a_file_of_a_sample_has_a_held_out_part_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["questions", "docs", "--chunk-tokens", "64", "--sample", "4", "--out", "q.jsonl", "--json"]) == 0
    Path("q.jsonl").write_text("".join(Path("q.jsonl").read_text().splitlines(keepends=True)[:3]))
    task = loaded(questions="q.jsonl")
    assert [len(task.contexts(split)) for split in ("train", "heldout")] == [2, 1]
    assert {one.source for split in ("train", "heldout") for one in task.contexts(split)} == {
        "line-1871.md:3-5",
        "line-1874.md:3-5",
        "line-1877.md:3-5",
    }


def test_a_chunk_whose_only_question_is_of_another_test_is_told_apart_from_one_without_any(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (here / "docs" / "one.md").write_text(
        "# One\n\nThe line was opened in 1874, and nothing else is told of it by anybody."
    )
    loaded(data="docs/line-1871.md", heldout_data="docs/one.md,docs/line-1872.md")
    assert "1 chunk whose few questions are all in other tests (such as 'The line was opened in 1874" in caplog.text
    assert documents.UNASKED.format(s="") not in caplog.text
