"""Self-edits are written in one step or two, by the policy or by a writer from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError
from selfedit.loop import Runtime
from selfedit.loop.trials import TrialPlanner
from selfedit.loop.writing import Draw, Write, WritingPlan, write_edits
from selfedit.protocols import Done
from selfedit.records import (
    Completion,
    Failed,
    Invalid,
    Policy,
    Prompt,
    SamplingParams,
    SelfEdit,
    Stage,
    TrainingConfig,
    digest,
)
from selfedit.store import Ledger
from selfedit.testing import FakeEngine, SilentProgress, TwoStepTask, make_runtime

STAGE = Stage.round(1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def runtime(ledger: Ledger, engine: FakeEngine) -> Runtime:
    return make_runtime(ledger, engine)


def write(
    runtime: Runtime, n: int = 2, contexts: int = 4, draw: Write | None = None, writer: str = ""
) -> list[SelfEdit]:
    chosen = runtime.task.contexts("train")[:contexts]
    plan = WritingPlan(STAGE, Policy(), n, SamplingParams(), 0, writer)
    return write_edits(runtime, plan, chosen, draw)


class Endpoint:
    """A writer from elsewhere that fails where it is told to; remembers what it was asked."""

    def __init__(self, fails: Callable[[Prompt, int], bool] = lambda prompt, call: False) -> None:
        self.fails = fails
        self.asked: list[str] = []

    def __call__(self, groups: Iterable[Sequence[Draw]]) -> Iterator[Done[Completion | Failed]]:
        for number, group in enumerate(groups):
            yield Done(number, tuple(self._one(draw.prompt, draw.seed + draw.number) for draw in group))

    def _one(self, prompt: Prompt, seed: int) -> Completion | Failed:
        self.asked.append(prompt.text)
        text = f"about {prompt.text}, {digest(prompt, seed)[:6]}"
        return Failed("HTTP 503") if self.fails(prompt, len(self.asked)) else Completion(text, 7, True)


def test_self_edits_come_in_the_order_of_contexts_and_draws(runtime: Runtime, ledger: Ledger) -> None:
    edits = write(runtime, n=2, contexts=3)
    assert [(edit.context_id, edit.index) for edit in edits] == [(c, i) for c in ("t0", "t1", "t2") for i in (0, 1)]
    assert {edit.key for edit in ledger.edits(STAGE)} == {edit.key for edit in edits}
    assert {edit.writer for edit in edits} == {""}


def test_what_the_ledger_holds_is_not_written_again(runtime: Runtime, engine: FakeEngine) -> None:
    edits = write(runtime)
    before = engine.texts_written
    assert write(runtime) == edits
    assert engine.texts_written == before


def test_the_key_of_a_self_edit_is_that_of_what_it_was_drawn_from(runtime: Runtime) -> None:
    assert write(runtime)[1].key == "517e8f02efcc6aa34a1d8e81"


def test_follow_ups_are_asked_in_one_batch_and_their_replies_joined(runtime: Runtime, engine: FakeEngine) -> None:
    batches: list[list[str]] = []
    usual = engine.generate

    def watch(groups):  # type: ignore[no-untyped-def]
        for group in groups:
            batches.append([item.prompt.text for item in group])
            yield from usual([group])

    engine.generate = watch  # type: ignore[method-assign]
    runtime = replace(runtime, task=TwoStepTask(), texts=4)
    edits = write(runtime, n=2, contexts=2)
    assert batches[0] == ["write about text t0"] * 2 + ["write about text t1"] * 2
    assert len(batches) == 2 and len(batches[1]) == 2 * 2 * 2
    assert len(set(batches[1])) == 8, "each draw is asked about its own first reply"
    assert all(edit.text.count("\n\n") == 1 and edit.text.count("implication") == 4 for edit in edits)
    assert len({edit.text for edit in edits}) == 4
    assert {edit.tokens for edit in edits} == {8}


def test_each_reply_of_a_second_step_loses_its_own_thoughts(runtime: Runtime, engine: FakeEngine) -> None:
    second = {"a": "hm\n</think>\nfirst", "b": "second", "c": "<think>it never"}
    engine.write_text = lambda prompt, seed: second.get(prompt.text[-1], "a\nb\nc")
    [edit] = write(replace(runtime, task=TwoStepTask()), n=1, contexts=1)
    assert (edit.text, edit.invalid) == ("first\n\nsecond", "")


def test_the_same_follow_up_is_drawn_anew_for_each_draw(runtime: Runtime, engine: FakeEngine) -> None:
    usual = engine.write_text
    engine.write_text = lambda prompt, seed: "same\nsame" if prompt.text.startswith("write") else usual(prompt, seed)
    edits = write(replace(runtime, task=TwoStepTask()), n=2, contexts=1)
    parts = [part for edit in edits for part in edit.text.split("\n\n")]
    assert len(set(parts)) == 4


def test_two_steps_are_resumed_from_the_ledger_and_written_alike_elsewhere(runtime: Runtime, tmp_path: Path) -> None:
    runtime = replace(runtime, task=TwoStepTask())
    edits = write(runtime)
    assert write(runtime) == edits
    with Ledger(tmp_path / "other.db") as other:
        assert write(replace(runtime, ledger=other)) == edits


def test_a_first_reply_that_nothing_can_be_asked_about_is_an_invalid_edit(runtime: Runtime, engine: FakeEngine) -> None:
    engine.write_text = lambda prompt, seed: "alone" if prompt.text == "write about text t0" else "one\ntwo"
    runtime = replace(runtime, task=TwoStepTask())
    edits = write(runtime, n=1, contexts=2)
    assert (edits[0].text, edits[0].invalid, edits[0].tokens) == ("alone", "names one thing", 1)
    assert (edits[1].text, edits[1].invalid, edits[1].tokens) == ("one\ntwo\n\none\ntwo", "", 4)


def test_an_edit_that_failed_in_its_first_step_is_never_tried(runtime: Runtime, engine: FakeEngine) -> None:
    engine.write_text = lambda prompt, seed: "alone"
    runtime = replace(runtime, task=TwoStepTask())
    contexts = runtime.task.contexts("train")[:1]
    planner = TrialPlanner(runtime.task, {}, Policy(), TrainingConfig(), 2, 0)
    planned = planner.each_edit("synthetic", contexts, write(runtime, n=1, contexts=1))
    assert [one.work for one in planned] == [Invalid("names one thing")]


def test_another_writer_is_named_in_the_edit_and_told_apart_by_its_key(runtime: Runtime, engine: FakeEngine) -> None:
    own, other, third = (
        write(runtime),
        write(runtime, draw=Endpoint(), writer="big"),
        write(runtime, draw=Endpoint(), writer="x"),
    )
    assert {edit.writer for edit in other} == {"big"} and all(edit.text.startswith("about ") for edit in other)
    assert len({edit.key for edit in (*own, *other, *third)}) == 3 * len(own)


def test_a_failure_of_the_writer_is_no_edit_names_the_context_and_the_rest_is_kept(
    runtime: Runtime, ledger: Ledger
) -> None:
    flaky = Endpoint(lambda prompt, call: call == 3)
    told = r"1 of 8 self-edits could not be written: HTTP 503 \(first: t1\); run again to resume, or leave that one out"
    with pytest.raises(SelfeditError, match=told):
        write(runtime, draw=flaky, writer="big")
    assert len(ledger.edits(STAGE)) == 7
    assert not any(edit.invalid or "503" in edit.text for edit in ledger.edits(STAGE))


def test_a_resumed_run_asks_the_writer_only_about_contexts_that_miss_an_edit(runtime: Runtime, ledger: Ledger) -> None:
    with pytest.raises(SelfeditError):
        write(runtime, draw=Endpoint(lambda prompt, call: call == 3), writer="big")
    kept = ledger.edits(STAGE)
    again = Endpoint()
    edits = write(runtime, draw=again, writer="big")
    assert again.asked == ["write about text t1"] * 2
    assert len(edits) == 8 and set(kept) < set(edits)


def too_long(groups: Iterable[Sequence[Draw]]) -> Iterator[Done[Completion | Invalid]]:
    """A model that the context `t1` is too long for."""
    for number, group in enumerate(groups):
        is_long = ["t1" in draw.prompt.text for draw in group]
        yield Done(number, tuple(Invalid("9 tokens") if long else Completion("text", 1, True) for long in is_long))


def test_a_context_that_is_too_long_to_write_about_has_invalid_edits_and_the_others_go_on(runtime: Runtime) -> None:
    edits = write(runtime, n=2, contexts=3, draw=too_long)
    assert [(edit.context_id, edit.text, edit.invalid) for edit in edits] == [
        *[("t0", "text", "")] * 2,
        *[("t1", "", "t1: 9 tokens")] * 2,
        *[("t2", "text", "")] * 2,
    ]
    assert write(runtime, n=2, contexts=3, draw=lambda groups: iter(())) == edits


@pytest.mark.parametrize(
    ("lost", "is_kept"), [([Invalid("9 tokens")], True), ([Invalid("9 tokens"), Failed("outage")], False)]
)
def test_a_second_step_that_is_too_long_is_an_invalid_edit_unless_it_failed_as_well(
    ledger: Ledger, lost: list[Invalid | Failed], is_kept: bool
) -> None:
    runtime = replace(make_runtime(ledger), task=TwoStepTask())
    waiting = iter(lost)

    def draw(groups: Iterable[Sequence[Draw]]) -> Iterator[Done[Completion | Invalid | Failed]]:
        for number, group in enumerate(groups):
            is_second = group[0].prompt.text.startswith("go on")
            texts = [
                next(waiting, Completion("one\ntwo", 1, True)) if is_second else Completion("one\ntwo", 1, True)
                for _ in group
            ]
            yield Done(number, tuple(texts))

    if is_kept:
        assert [edit.invalid for edit in write(runtime, n=1, contexts=1, draw=draw)] == ["t0: 9 tokens"]
        return
    with pytest.raises(SelfeditError, match="outage"):
        write(runtime, n=1, contexts=1, draw=draw)


def test_an_outage_ends_the_asking_after_one_chunk(runtime: Runtime, ledger: Ledger) -> None:
    down = Endpoint(lambda prompt, call: True)
    with pytest.raises(SelfeditError, match="8 of 8 self-edits could not be written"):
        write(replace(runtime, texts=4), draw=down, writer="big")
    assert len(down.asked) == 4 and ledger.edits(STAGE) == []


def test_a_failure_in_the_second_step_loses_the_edit(runtime: Runtime, ledger: Ledger) -> None:
    runtime = replace(runtime, task=TwoStepTask(), texts=8)

    class TwoLines(Endpoint):
        def _one(self, prompt: Prompt, seed: int) -> Completion | Failed:
            one = super()._one(prompt, seed)
            return one if isinstance(one, Failed) else replace(one, text=f"{one.text}\nmore")

    flaky = TwoLines(lambda prompt, call: call == 6)
    with pytest.raises(SelfeditError, match="1 of 4 self-edits could not be written"):
        write(runtime, n=1, draw=flaky, writer="big")
    assert [edit.context_id for edit in ledger.edits(STAGE)] == ["t1", "t2", "t3"]


def test_progress_counts_what_is_written(runtime: Runtime) -> None:
    progress = SilentProgress()
    write(replace(runtime, progress=progress))
    assert progress.stages == ["round-1: writing self-edits"]
