"""Questions that the model writes about documents, and which of them are kept."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

import selfedit.engine
from selfedit.cli import questions as command
from selfedit.cli.main import main
from selfedit.protocols import Done
from selfedit.records import UNTOUCHED, Completion, Context, Generation, Policy, Question
from selfedit.store.adapters import AdapterFolders, adapter_in, shipped_questioner
from selfedit.tasks.documents import task as documents
from selfedit.tasks.documents.cloze import cloze_questions, sentences_of
from selfedit.tasks.documents.written import (
    ASKED,
    DEPENDENT,
    DRAFTS,
    KNOWN,
    NO_QUESTION,
    TOLD,
    UNANSWERED,
    Draft,
    Questioner,
    draft_questions,
    lessons,
    try_drafts,
    write_questions,
)
from selfedit.testing import FakeEngine
from tests.tasks.documents.test_task import document

WHO = Questioner(UNTOUCHED, UNTOUCHED, is_taught=True)
TEXT = "The mill was built in 1921 by a widow. It stands in Oskaveld beside the old brook."
CONTEXT = Context("mill", "Mill", TEXT, ())


def is_in_sight(asked: Generation) -> bool:
    """Whether the sentence that is asked about, and no other one, stands before the question."""
    return sum(sentence in asked.prompt.text for sentence in sentences_of(TEXT)) == 1


class Scripted(FakeEngine):
    """Writes what it is told for an answer, and answers questions as it is told; counts what it was asked."""

    def __init__(
        self, written: dict[str, list[str]], seen: dict[str, str], blind: dict[str, str] | None = None
    ) -> None:
        super().__init__()
        self.written, self.seen, self.blind = written, seen, blind or {}
        self.asked: list[Generation] = []

    def generate(self, groups: Iterable[Sequence[Generation]]) -> Iterator[Done[Completion]]:
        for number, group in enumerate(groups):
            self.asked += group
            yield Done(number, tuple(Completion(text, 3, True) for text in self._texts(group)))

    def _texts(self, group: Sequence[Generation]) -> Iterator[str]:
        times: dict[str, int] = {}
        for one in group:
            if found := re.search(r"Answer: ([^\n]+)\nQuestion:$", one.prompt.text):
                answer = found[1]
                drafts = self.written.get(answer, [f"Which {'very ' * len(answer)}thing is meant here?"])
                yield drafts[times.get(answer, 0) % len(drafts)]
                times[answer] = times.get(answer, 0) + 1
            else:
                known = self.seen if is_in_sight(one) else self.blind
                yield next((said for question, said in known.items() if question in one.prompt.text), "no idea")


def try_drafts_that_cannot_be_put_are_dropped_by_reason() -> None:
    engine = Scripted(
        {
            "1921": [" When was the mill built?\nmore", " When was the mill built?"],
            "Oskaveld": [" Where is Oskaveld?", " Where does this passage stand?"],
        },
        {},
    )
    drafts, dropped = draft_questions(CONTEXT, engine, WHO, seed=1)
    assert drafts == [Draft("When was the mill built?", "1921", 0)]
    assert dropped == {ASKED: 1, TOLD: 1, DEPENDENT: 1}
    engine = Scripted({"1921": ["no question", "The mill?"], "Oskaveld": ["Mill stands where now?", "Who is it?"]}, {})
    assert draft_questions(CONTEXT, engine, WHO, seed=1) == ([], {NO_QUESTION: 4})


def test_each_answer_is_asked_for_apart_from_any_self_edit_by_the_questioner_alone() -> None:
    engine, writer = Scripted({}, {}), Policy(0, "questioner", "hash")
    draft_questions(CONTEXT, engine, Questioner(writer, UNTOUCHED, is_taught=True), seed=1)
    assert len(engine.asked) == 2 * DRAFTS and {one.base for one in engine.asked} == {writer}
    assert engine.asked[0].prompt.text == (
        "Topic: Mill\nText: The mill was built in 1921 by a widow.\nAnswer: 1921\nQuestion:"
    )
    assert len({one.seed for one in engine.asked}) == len(engine.asked)


def test_an_untaught_questioner_is_shown_examples() -> None:
    shown = Questioner(UNTOUCHED, UNTOUCHED, is_taught=False).prompt("T", "S.", "A").text
    assert shown.endswith("\n\nTopic: T\nText: S.\nAnswer: A\nQuestion:")
    assert shown.count("Question:") == 4


def test_kept_is_what_is_answered_in_sight_of_the_text_and_not_without() -> None:
    drafts = [
        Draft("When was the mill built?", "1921", 0),
        Draft("In what year was it finished?", "1921", 0),
        Draft("Where does the mill stand?", "Oskaveld", 1),
        Draft("Beside what is it?", "brook", 1),
    ]
    seen = {one.question: f"in {one.answer}" for one in drafts[:3]}
    engine = Scripted({}, seen, {"Where does the mill stand?": "Oskaveld"})
    kept, dropped = try_drafts(CONTEXT, drafts, engine, UNTOUCHED, seed=1)
    assert [one.draft for one in kept] == drafts[:1]
    assert (kept[0].in_sight, kept[0].without, kept[0].difficulty) == (1.0, 0.0, 0.0)
    assert dropped == {UNANSWERED: 1, KNOWN: 1, ASKED: 1}


def test_what_the_reader_is_unsure_of_comes_first() -> None:
    class Unsure(Scripted):
        def _texts(self, group: Sequence[Generation]) -> Iterator[str]:
            for number, one in enumerate(group):
                is_lucky = number % 3 == 0 and "stand" in one.prompt.text
                yield (
                    "1921"
                    if "was it built" in one.prompt.text and is_in_sight(one)
                    else ("Oskaveld" if is_in_sight(one) or is_lucky else "no")
                )

    drafts = [Draft("When was it built?", "1921", 0), Draft("Where does it stand?", "Oskaveld", 1)]
    kept, _ = try_drafts(CONTEXT, drafts, Unsure({}, {}), UNTOUCHED, seed=1)
    assert [(one.draft.answer, round(one.difficulty, 2)) for one in kept] == [("Oskaveld", 0.33), ("1921", 0.0)]


def test_a_context_that_offers_no_answer_costs_nothing() -> None:
    engine = Scripted({}, {})
    nothing = Context("n", "N", "Nothing in here can be asked for by anybody at all.", ())
    assert [(kept, dict(dropped)) for _, kept, dropped in write_questions([nothing], engine, WHO, 1)] == [([], {})]
    assert engine.asked == []


def test_lessons_are_questions_whose_answer_stands_in_a_sentence() -> None:
    asked = (Question("1", "Who built it?", "a widow"), Question("2", "What colour is it?", "blue"))
    [lesson] = lessons([Context("mill", "Mill", TEXT, asked)])
    assert lesson.completion == " Who built it?"
    assert lesson.prompt is not None and lesson.prompt.text.endswith("by a widow.\nAnswer: a widow\nQuestion:")


class Reader(Scripted):
    """Writes a fit question for every answer, and answers it in sight of a document."""

    def _texts(self, group: Sequence[Generation]) -> Iterator[str]:
        for one in group:
            text = one.prompt.text
            if found := re.search(r"Answer: ([^\n]+)\nQuestion:$", text):
                yield f" Which part of the line has the length {' '.join('x' * len(found[1]))} {one.seed}?"
                self.seen[found[0]] = found[1]
            else:
                known = re.search(r"was opened in (\d+)", text)
                yield known[1] if known else "no"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three documents, words for tokens, and an engine that knows years in sight alone."""
    monkeypatch.chdir(tmp_path)
    for place in (documents, command):
        monkeypatch.setattr(place, "token_counter", lambda model: lambda text: len(text.split()))
    monkeypatch.setattr(selfedit.engine, "load_engine", lambda *told, **more: Reader({}, {}))
    (tmp_path / "docs").mkdir()
    for year in (1871, 1872, 1873):
        (tmp_path / "docs" / f"line-{year}.md").write_text(document(year))
    return tmp_path


WRITE = ["questions", "docs", "--out", "q.jsonl", "--chunk-tokens", "64", "--questioner", "untouched"]
WRITTEN = [*WRITE, "--reader", "untouched", "--tests", "written"]


def test_written_questions_go_to_a_file_with_what_was_dropped(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WRITTEN, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["chunks"], told["questions"], told["of_these_select"]) == (3, 3, 3)
    assert told[f"dropped: {UNANSWERED}"] > 0
    rows = [json.loads(line) for line in Path("q.jsonl").read_text().splitlines()]
    assert [one["answer"] for row in rows for one in row["questions"]] == ["1871", "1872", "1873"]
    assert {one["kind"] for row in rows for one in row["questions"]} == {"written"}
    assert "dropped" not in rows[0] and not Path("q.jsonl.partial").exists()


def test_written_and_cloze_questions_of_a_sentence_are_in_the_same_set(here: Path) -> None:
    assert main([*WRITTEN[:-1], "both"]) == 0
    for row in map(json.loads, Path("q.jsonl").read_text().splitlines()):
        of_1871 = {one["test"] for one in row["questions"] if "opened" in one["question"] or one["kind"] == "written"}
        assert len(of_1871) == 1 and {one["kind"] for one in row["questions"]} == {"written", "cloze"}


def test_writing_that_was_stopped_goes_on_with_what_is_left(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*WRITTEN, "--json"]) == 0
    whole = Path("q.jsonl").read_text()
    Path("q.jsonl").unlink()
    engine = Reader({}, {})
    monkeypatch.setattr(selfedit.engine, "load_engine", lambda *told, **more: engine)
    real, calls = engine.generate, []

    def stopping(groups: Iterable[Sequence[Generation]]) -> Iterator[Done[Completion]]:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(groups)

    monkeypatch.setattr(engine, "generate", stopping)
    assert main(WRITTEN) == 130
    assert "what was finished is kept, and the same command goes on" in capsys.readouterr().err
    begun = Path("q.jsonl.partial").read_text()
    assert len(begun.splitlines()) == 2 and not Path("q.jsonl").exists()
    Path("q.jsonl.partial").write_text(begun + '{"id": "torn')
    other = [word if word != "64" else "65" for word in WRITTEN]
    assert main(other) == 2
    assert "q.jsonl.partial: was begun with other settings" in capsys.readouterr().err
    calls[:] = [1] * 10
    assert main(WRITTEN) == 0
    assert Path("q.jsonl").read_text() == whole and not Path("q.jsonl.partial").exists()


def test_two_processes_do_not_write_the_same_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Path("q.jsonl.partial").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert main(WRITTEN) == 2
    assert "q.jsonl.partial: another process writes it; wait for it" in capsys.readouterr().err
    assert main(WRITTEN) == 0


def test_a_questioner_is_taught_once_and_on_other_lessons_again(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Reader({}, {})
    monkeypatch.setattr(selfedit.engine, "load_engine", lambda *told, adapters: _at(engine, adapters))
    lesson = {"title": "Mill", "context": TEXT, "questions": [{"question": "Who built it?", "answer": "a widow"}]}
    Path("p.jsonl").write_text(json.dumps(lesson) + "\n")
    for times in (1, 1):
        assert main([*WRITTEN, "--train-questioner", "p.jsonl"]) == 0
        assert len(engine.updates) == times
        assert "training the questioner on 1 question " in capsys.readouterr().err
        Path("q.jsonl").unlink()
    assert {one.base.digest for one in engine.asked if "Answer: " in one.prompt.text} != {UNTOUCHED.digest}
    assert main([*WRITTEN, "--train-questioner", "p.jsonl", "--seed", "5"]) == 0
    assert len(engine.updates) == 2
    Path("q.jsonl").unlink()
    assert main([*WRITTEN, "--train-questioner", "nowhere.jsonl"]) == 2
    assert "nowhere.jsonl" in capsys.readouterr().err


def _at(engine: Reader, adapters: AdapterFolders) -> Reader:
    engine.adapters = adapters
    return engine


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--questioner", "shipped"], "--questioner shipped: nobody writes a cloze test"),
        (["--train-questioner", "x"], "--train-questioner: nobody writes a cloze test"),
        (["--tests", "written", "--reader", "nowhere"], "--reader nowhere: no adapter lies there"),
        (["--tests", "written", "--model", "m", "--questioner", "shipped"], "is for smollm2-135m, not for m"),
    ],
)
def test_who_cannot_write_or_read_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["questions", "docs", "--out", "q.jsonl", *words]) == 2
    assert told in capsys.readouterr().err
    assert list(Path().glob("q.jsonl*")) == []


@pytest.mark.slow
def test_the_shipped_questioner_asks_what_the_shipped_reader_can_answer_from_the_sentence(
    tmp_path: Path,
) -> None:
    text = (
        "The Oskaveld line was opened in 1874 by Ada Merl, who paid 31,000 crowns for it. It follows the Luma brook as"
        " far as Drennick, where the passengers change for the coast. Since 1969 its last station has been a school for"
        " clockmakers."
    )
    engine = selfedit.engine.load_engine("smollm2-135m", adapters=AdapterFolders(tmp_path))
    who = Questioner(shipped_questioner(), adapter_in("shipped"), is_taught=True)
    context = Context("line", "The Oskaveld line", text, ())
    drafts, dropped = draft_questions(context, engine, who, seed=1)
    assert len(drafts) >= 5 and len(drafts) + sum(dropped.values()) == DRAFTS * len(cloze_questions("", text))
    kept, _ = try_drafts(context, drafts, engine, who.reader, seed=1)
    assert kept and all(one.in_sight > 0.6 and one.without < 0.4 for one in kept)
    assert (drafts, dropped) == draft_questions(context, engine, who, seed=1)
