"""Streams of documents on fakes: who answers, what is studied, and that it resumes where it was stopped."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from selfedit.errors import SettingError
from selfedit.grading import grade_answers, load_grader
from selfedit.learn.stream import ASKED, KNOWN_STILL, StreamArm, StreamConfig, StreamRun, streams_of
from selfedit.learn.stream.experiment import reader_examples
from selfedit.learn.stream.keeping import KeptSoFar
from selfedit.learn.stream.study import latest_answers, lines_of
from selfedit.loop import Runtime
from selfedit.records import UNTOUCHED, Policy, TrainingConfig
from selfedit.report.pages.stream import page
from selfedit.report.run_data import read_run_data
from selfedit.store import Ledger
from selfedit.store.run_folder import open_run
from selfedit.tasks import load_probe, load_task
from selfedit.tasks.streams.edits import as_replied, read_lines
from selfedit.tasks.streams.events import DocumentEvent, DocumentStream
from selfedit.tasks.streams.task import StreamSettings
from selfedit.tasks.streams.world import make_document_stream
from selfedit.testing import FakeEngine, SilentProgress, Stopped

CONFIG = StreamConfig(
    task_args=StreamSettings(documents=5, facts=2, deleted=1),
    sleep_every=3,
    renderings=1,
    reader_examples=4,
    taught_examples=3,
    rehearsed=2,
    arms="none,retrieval:60,merge,route,fast+slow,text+weights:60,other",
)


def count(text: str) -> int:
    return len(text.split())


def run(
    folder: Path,
    config: StreamConfig = CONFIG,
    stop_at: int | None = None,
    streams: tuple[DocumentStream, ...] | None = None,
) -> tuple[str, FakeEngine]:
    """The ledger's fingerprint at the end, and the engine."""
    engine = FakeEngine(home=folder, stop_at=stop_at)
    with open_run(folder, "stream", config.identity(), {}, config.defaults()) as held, Ledger(held.ledger) as ledger:
        runtime = Runtime(
            task=load_task(config),
            writer=engine,
            learner=engine,
            grade=partial(grade_answers, load_grader("exact")),
            ledger=ledger,
            progress=SilentProgress(),
        )
        probe = load_probe("bundled")
        probe = replace(probe, questions=probe.questions[:4], texts=probe.texts[:2])
        StreamRun(config, runtime, count, streams or streams_of(config), probe).run()
        return ledger.fingerprint(), engine


def kept(stream: DocumentStream, event: int, slept: int) -> KeptSoFar:
    fast = {one.number: Policy(0, f"fast-{one.number}", "f") for one in stream.events if one.text}
    start, slow = Policy(0, "start", "a"), Policy(0, "slow", "b")
    return KeptSoFar(
        stream.documents_at(event), start, Policy(0, "merged", "c"), fast, slow, slept, Policy(0, "other", "d"), count
    )


def test_a_document_that_came_after_the_sleep_is_answered_by_its_own_adapter_and_any_other_by_the_slow_one() -> None:
    stream = make_document_stream(3)
    end, slept = 9, 6
    now = kept(stream, end, slept)
    fast = {q.since for q in stream.questions if q.since <= end}
    for question in [one for one in stream.questions if one.since <= end]:
        who, sight = now.serve(StreamArm("fast+slow"), question.question)
        assert sight == () and who.adapter == (f"fast-{question.since}" if question.since > slept else "slow")
        assert now.serve(StreamArm("route"), question.question)[0].adapter == f"fast-{question.since}"
        assert now.serve(StreamArm("none"), question.question)[0].adapter == "start"
        assert now.serve(StreamArm("merge"), question.question)[0].adapter == "merged"
    assert len(fast) == end
    strange = "What is the capital of France?"
    assert now.serve(StreamArm("route"), strange)[0].adapter == "start"


def test_documents_in_sight_fit_and_the_newest_stands_last() -> None:
    stream = make_document_stream(3)
    now = kept(stream, len(stream.events), 0)
    question = next(one for one in stream.questions if len(one.answers) > 1 and one.answers[-1][1] and one.since > 3)
    who, sight = now.serve(StreamArm("retrieval", 150), question.question)
    assert who.adapter == "start" and len(sight) >= 1 and sum(count(one) + 2 for one in sight) <= 150
    numbers = [next(e.number for e in now.documents if one.startswith(e.title + "\n")) for one in sight]
    assert numbers == sorted(numbers)
    assert any(question.answer_at(len(stream.events)) in one for one in sight)
    assert now.serve(StreamArm("retrieval", 3), question.question)[1] == ()


def test_a_stopped_run_goes_on_and_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole, engine = run(tmp_path / "a")
    for stop in (1, 3, 9):
        with pytest.raises(Stopped):
            run(tmp_path / "b", stop_at=stop)
    again, last = run(tmp_path / "b")
    assert again == whole and last.groups_run < engine.groups_run
    _, idle = run(tmp_path / "b")
    assert idle.groups_run == 0 and idle.updates == []


def test_a_sleep_after_a_document_went_is_the_one_that_there_would_be_had_it_never_come(tmp_path: Path) -> None:
    stream = make_document_stream(0, 5, 2, 0.0, 1)
    gone = next(event.document for event in stream.events if event.kind == "delete")
    rest = [event for event in stream.events if event.document != gone]
    never = DocumentStream("never", tuple(replace(e, number=n) for n, e in enumerate(rest, 1)), ())
    config = CONFIG.model_copy(update={"streams": 1, "arms": "fast+slow"})
    last = []
    for name, one in (("a", stream), ("b", never)):
        run(tmp_path / name, config, streams=(one,))
        with Ledger(tmp_path / name / "ledger.db") as ledger:
            last.append(ledger.versions("slow")[-1])
    assert last[0].policy.digest == last[1].policy.digest and last[0].step != last[1].step


def test_what_stays_the_same_is_asked_once(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"arms": "none", "streams": 1})
    stream = make_document_stream(0, 5, 2, 0.0, 0)
    first = tuple(question for question in stream.questions if question.since == 1)
    _, engine = run(tmp_path, config, streams=(replace(stream, questions=first),))
    with Ledger(tmp_path / "ledger.db") as ledger:
        asked = [one for one in ledger.outcomes() if one.method == ASKED]
    assert [one.stage.step for one in asked] == [1, 2, 3, 4, 5] and len({one.answers for one in asked}) == 1
    assert engine.groups_run == 2  # after the first document, and at the end the probe


def test_every_arm_is_asked_all_that_a_document_has_answered_by_then(tmp_path: Path) -> None:
    run(tmp_path)
    with Ledger(tmp_path / "ledger.db") as ledger:
        outcomes = ledger.outcomes()
    for chain, stream in enumerate(streams_of(CONFIG)):
        end = len(stream.events)
        for arm in CONFIG.arm_list():
            for event in [end] if arm.kind == "other" else range(1, end + 1):
                own = [o for o in outcomes if (o.stage.row, o.stage.chain, o.stage.step) == (arm.name, chain, event)]
                gold = {a.question_id: a.gold for o in own if o.method == ASKED for a in o.answers}
                assert gold == {q.id: q.answer_at(event) for q in stream.questions if q.since <= event}
                assert any(o.method == KNOWN_STILL for o in own) == (event == end)


def test_the_reader_sees_no_words_of_an_exam() -> None:
    asked = {question.question for question in make_document_stream(0).questions}
    for example in reader_examples(30, 0):
        assert example.prompt and not any(one in example.prompt.text for one in asked)
        if len(example.prompt.text) > 200:
            assert example.completion in example.prompt.text


def test_the_page_tells_what_was_to_be_shown(tmp_path: Path) -> None:
    run(tmp_path)
    document = page(read_run_data(tmp_path))
    demands = {one["text"]: one["is_met"] for one in document.data["demands"]}
    assert len(demands) == 6 and all(isinstance(met, bool) for met in demands.values())
    assert [row["name"] for row in document.data["arms"]] == [arm.name for arm in CONFIG.arm_list()]
    figures = [block for block in document.blocks if hasattr(block, "draw")]
    assert len(figures) == 2 and all(figure.draw() for figure in figures)


def test_where_nothing_is_learnt_at_once_the_slow_adapter_is_judged_and_set_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, CONFIG.model_copy(update={"arms": "none,retrieval:60,slow", "ask_every": 2}))
    data = page(read_run_data(tmp_path)).data
    slow, retrieval = (next(row for row in data["arms"] if row["name"] == name) for name in ("slow", "retrieval:60"))
    more = slow["final"]["value"] - retrieval["final"]["value"]
    assert retrieval["behind"]["value"] == pytest.approx(more) and retrieval["behind"]["n_questions"]
    judged = [one["is_met"] for one in data["demands"]]
    assert judged[0] is None and all(isinstance(met, bool) for met in judged[1:]) and len(judged) == 4
    assert slow["learnt"]["value"] is not None
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "benchmarks")
    paired = importlib.import_module("paired")
    told = paired.compared(*(paired.read_stage(f"{tmp_path}:{arm}") for arm in ("retrieval:60", "slow")))
    assert told["accuracy"] == retrieval["behind"]


def test_what_was_asked_once_is_not_said_to_have_been_kept(tmp_path: Path) -> None:
    run(tmp_path, CONFIG.model_copy(update={"arms": "none,fast+slow", "ask_every": 99}))
    document = page(read_run_data(tmp_path))
    assert {row["learnt"]["value"] for row in document.data["arms"]} == {None}
    assert document.data["demands"][0]["is_met"] is None
    assert "just learnt" not in document.sentences[0]


def test_a_sleep_holds_to_what_the_reader_expects_of_other_texts_in_each_pass(tmp_path: Path) -> None:
    _, engine = run(tmp_path, CONFIG.model_copy(update={"streams": 1, "arms": "slow"}))
    reader = next(update for update in engine.updates if update.folder == "adapters/reader")
    sleeps = [update for update in engine.updates if update.folder.startswith("adapters/slow")]
    assert len(sleeps) == len(CONFIG.sleeps(streams_of(CONFIG)[0]))
    for sleep in sleeps:
        assert sleep.anchor == sleep.base and sleep.base.adapter == reader.folder
        held = [one for one in sleep.examples if one.is_anchored]
        assert [one.in_epoch for one in held] == [epoch for epoch in range(6) for _ in range(2)]
        assert len({one.completion for one in held}) == len(held)
        assert all(one.teacher == one.prompt for one in held)


def test_a_share_of_a_sleeps_questions_is_studied_behind_documents_half_of_them_without_the_right_one(
    tmp_path: Path,
) -> None:
    config = CONFIG.model_copy(
        update={
            "streams": 1,
            "arms": "slow",
            "in_sight": 0.5,
            "task_args": StreamSettings(deleted=0),
            "sleep_every": 99,
        }
    )
    _, engine = run(tmp_path, config)
    [sleep] = [update for update in engine.updates if update.folder.startswith("adapters/slow")]
    asked = [one for one in sleep.examples if one.prompt and not one.is_anchored]
    behind = [one for one in asked if one.prompt and not one.prompt.text.startswith("Answer the question")]
    assert 0.4 < len(behind) / len(asked) < 0.6
    right = [one for one in behind if one.prompt and one.completion in one.prompt.text.rpartition("Question:")[0]]
    assert 0.35 < len(right) / len(behind) < 0.75
    assert {one.in_epoch for one in asked} == set(range(6))


def test_of_a_question_that_a_later_document_answers_too_the_later_answer_is_studied() -> None:
    first, notice = (DocumentEvent(n, "new", f"d{n}", f"Title {n}", "Text.") for n in (1, 2))
    lines = [
        *lines_of(notice, "Question: What colour is it?\nAnswer: blue"),
        *lines_of(first, "It is red.\nQuestion: What colour is it?\nAnswer: red\nQuestion: When?\nAnswer: now"),
    ]
    kept = latest_answers(lines)
    assert [one.example.completion for one in kept] == ["blue", "Title 1\nIt is red.", "now"]


def test_what_nobody_is_asked_of_is_not_made(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"streams": 1, "arms": "none,fast+slow", "sleep_every": 99, "ask_every": 99})
    [stream] = streams_of(config)
    _, engine = run(tmp_path, config)
    made = {update.folder.split("-")[0] for update in engine.updates}
    assert made == {"adapters/reader", "adapters/slow"} and config.own_adapters(stream) == []
    assert config.sleeps(stream) == [len(stream.events)]
    [row] = [one for one in page(read_run_data(tmp_path)).data["arms"] if one["name"] == "fast+slow"]
    changed = [one for one in stream.questions if len(one.answers) > 1 and one.answers[-1][1]]
    gone = [one for one in stream.questions if not one.answers[-1][1]]
    assert (row["stale"]["n_questions"], row["given"]["n_questions"]) == (len(changed), len(gone)) and changed and gone
    often = config.model_copy(update={"ask_every": 1, "sleep_every": 3})
    slept = often.sleeps(stream)
    assert [one.number for one in often.own_adapters(stream)] == [
        one.number for one in stream.events if one.text and one.number not in slept
    ]


def test_a_writer_that_is_taught_has_seen_no_measured_world_and_no_exam(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"writer": "taught", "streams": 1, "arms": "slow"})
    _, engine = run(tmp_path, config)
    [taught] = [update for update in engine.updates if update.folder == "adapters/taught"]
    subjects = {fact.subject for one in make_document_stream(0).events for fact in one.facts}
    assert len(taught.examples) == 3 and taught.base == UNTOUCHED
    for one in taught.examples:
        assert one.prompt and not any(subject in one.prompt.text for subject in subjects)
        said = read_lines(as_replied(one.completion))
        assert said.answered and all(answer in one.prompt.text for _, answer in said.answered)


@pytest.mark.parametrize("writer", ["template", "policy", "taught", "checked"])
def test_other_writers_study_the_documents_own_sentences_too(tmp_path: Path, writer: str) -> None:
    config = CONFIG.model_copy(update={"writer": writer, "streams": 1, "arms": "route"})
    _, engine = run(tmp_path, config)
    [first] = [update for update in engine.updates if update.folder == "adapters/fast-0-1"]
    event = streams_of(config)[0].events[0]
    studied = [one.completion for one in first.examples]
    assert sum(one.startswith(f"{event.title}\n") and one.split("\n", 1)[1] in event.text for one in studied) >= 3


def test_of_several_drafts_what_the_reader_answers_likewise_is_studied_and_checked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts = {0: "Who is right?\nAnswer: Ada\nQuestion: What is wrong?\nAnswer: all", 1: "Who else?\nAnswer: Bo"}
    checked: list[tuple[str, str]] = []

    def agree(run: StreamRun, reader: Policy, asked: Sequence[tuple[DocumentEvent, str, str]]) -> list[bool]:
        checked.extend((question, answer) for _, question, answer in asked)
        return [answer != "all" for *_, answer in asked]

    monkeypatch.setattr("selfedit.testing.engines.made_up_text", lambda prompt, seed: drafts[seed % 2])
    monkeypatch.setattr(StreamRun, "_agree", agree)
    config = CONFIG.model_copy(update={"writer": "checked", "drafts": 6, "streams": 1, "arms": "slow"})
    fingerprint, engine = run(tmp_path, config)
    assert set(checked) == {("Who is right?", "Ada"), ("What is wrong?", "all"), ("Who else?", "Bo")}
    studied = {one.completion for update in engine.updates for one in update.examples}
    assert {"Ada", "Bo"} <= studied and "all" not in studied
    seen = len(checked)
    assert run(tmp_path, config)[0] == fingerprint and len(checked) == seen


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"arms": "none,search"}, "search: no such arm"),
        ({"arms": "retrieval"}, "retrieval: no such arm"),
        ({"arms": "route:5"}, "route:5: no such arm"),
        ({"arms": " , "}, "is empty"),
        ({"learner": "untouched"}, "has no use here"),
        ({"task": "passages"}, "streams are of documents"),
        ({"task_args": StreamSettings(data="x.jsonl")}, "nobody knows what the documents of a file say"),
        ({"task_args": StreamSettings(data="x.jsonl"), "writer": "template"}, "a file is one stream"),
        ({"slow": TrainingConfig(budget="tokens:500")}, "knows no passes"),
        ({"in_sight": 1.5}, "must be"),
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        StreamConfig.model_validate(values)
