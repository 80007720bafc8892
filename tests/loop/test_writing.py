"""Self-edits are written in one step or two, by the policy or by a writer from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import FakeEngine, SilentProgress, TwoStepTask, make_kit
from selfedit.loop import Kit
from selfedit.loop.trials import Setup, edit_jobs
from selfedit.loop.writing import Draw, write_edits
from selfedit.records import Edit, LoraSettings, Policy, Prompt, Sampling, SelfeditError, Written, digest
from selfedit.store import Ledger

STAGE = "round-1"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def kit(tmp_path: Path, ledger: Ledger, engine: FakeEngine) -> Kit:
    return make_kit(tmp_path, ledger, engine)


def write(kit: Kit, n: int = 2, contexts: int = 4, draw: Draw | None = None, writer: str = "") -> list[Edit]:
    chosen = kit.task.contexts("train")[:contexts]
    return write_edits(kit, STAGE, Policy(), chosen, n, Sampling(), 0, draw, writer)


class Endpoint:
    """A writer from elsewhere that fails where it is told to; remembers what it was asked."""

    def __init__(self, fails: Callable[[Prompt, int], bool] = lambda prompt, call: False) -> None:
        self.fails = fails
        self.asked: list[str] = []

    def __call__(self, prompts: Sequence[Prompt], n: int, seeds: Sequence[int]) -> list[list[Written | str]]:
        pairs = zip(prompts, seeds, strict=True)
        return [[self._one(prompt, seed + draw) for draw in range(n)] for prompt, seed in pairs]

    def _one(self, prompt: Prompt, seed: int) -> Written | str:
        self.asked.append(prompt.text)
        text = f"about {prompt.text}, {digest(prompt, seed)[:6]}"
        return "HTTP 503" if self.fails(prompt, len(self.asked)) else Written(text, 7, True)


def test_self_edits_come_in_the_order_of_contexts_and_draws(kit: Kit, ledger: Ledger) -> None:
    edits = write(kit, n=2, contexts=3)
    assert [(edit.context_id, edit.index) for edit in edits] == [(c, i) for c in ("t0", "t1", "t2") for i in (0, 1)]
    assert {edit.key for edit in ledger.edits(STAGE)} == {edit.key for edit in edits}
    assert {edit.writer for edit in edits} == {""}


def test_what_the_ledger_holds_is_not_written_again(kit: Kit, engine: FakeEngine) -> None:
    edits = write(kit)
    before = engine.prompts_written
    assert write(kit) == edits
    assert engine.prompts_written == before


def test_the_key_of_a_self_edit_is_that_of_what_it_was_drawn_from(kit: Kit) -> None:
    assert write(kit)[1].key == "517e8f02efcc6aa34a1d8e81"


def test_follow_ups_are_asked_in_one_batch_and_their_replies_joined(kit: Kit, engine: FakeEngine) -> None:
    batches: list[list[str]] = []
    usual = engine.write

    def watch(*args):  # type: ignore[no-untyped-def]
        batches.append([prompt.text for prompt in args[2]])
        return usual(*args)

    engine.write = watch  # type: ignore[method-assign]
    kit = replace(kit, task=TwoStepTask(), rows=4)
    edits = write(kit, n=2, contexts=2)
    assert batches[0] == ["write about text t0", "write about text t1"]
    assert len(batches) == 2 and len(batches[1]) == 2 * 2 * 2
    assert len(set(batches[1])) == 8, "each draw is asked about its own first reply"
    assert all(edit.text.count("\n\n") == 1 and edit.text.count("implication") == 4 for edit in edits)
    assert len({edit.text for edit in edits}) == 4
    assert {edit.tokens for edit in edits} == {8}


def test_the_same_follow_up_is_drawn_anew_for_each_draw(kit: Kit, engine: FakeEngine) -> None:
    usual = engine.write_text
    engine.write_text = lambda prompt, seed: "same\nsame" if prompt.text.startswith("write") else usual(prompt, seed)
    edits = write(replace(kit, task=TwoStepTask()), n=2, contexts=1)
    parts = [part for edit in edits for part in edit.text.split("\n\n")]
    assert len(set(parts)) == 4


def test_two_steps_are_resumed_from_the_ledger_and_written_alike_elsewhere(kit: Kit, tmp_path: Path) -> None:
    kit = replace(kit, task=TwoStepTask())
    edits = write(kit)
    assert write(kit) == edits
    with Ledger(tmp_path / "other.db") as other:
        assert write(replace(kit, ledger=other)) == edits


def test_a_first_reply_that_nothing_can_be_asked_about_is_an_invalid_edit(kit: Kit, engine: FakeEngine) -> None:
    engine.write_text = lambda prompt, seed: "alone" if prompt.text == "write about text t0" else "one\ntwo"
    kit = replace(kit, task=TwoStepTask())
    edits = write(kit, n=1, contexts=2)
    assert (edits[0].text, edits[0].invalid, edits[0].tokens) == ("alone", "names one thing", 1)
    assert (edits[1].text, edits[1].invalid, edits[1].tokens) == ("one\ntwo\n\none\ntwo", "", 4)


def test_an_edit_that_failed_in_its_first_step_is_never_tried(kit: Kit, engine: FakeEngine) -> None:
    engine.write_text = lambda prompt, seed: "alone"
    kit = replace(kit, task=TwoStepTask())
    contexts = kit.task.contexts("train")[:1]
    jobs = edit_jobs(Setup(kit, Policy(), LoraSettings(), 2, 0), contexts, write(kit, n=1, contexts=1))
    assert [(job.trial, job.refusal) for job in jobs] == [(None, "invalid edit: names one thing")]


def test_another_writer_is_named_in_the_edit_and_told_apart_by_its_key(kit: Kit, engine: FakeEngine) -> None:
    own, other, third = write(kit), write(kit, draw=Endpoint(), writer="big"), write(kit, draw=Endpoint(), writer="x")
    assert {edit.writer for edit in other} == {"big"} and all(edit.text.startswith("about ") for edit in other)
    assert len({edit.key for edit in (*own, *other, *third)}) == 3 * len(own)


def test_a_failure_of_the_writer_is_no_edit_and_the_rest_is_kept(kit: Kit, ledger: Ledger) -> None:
    flaky = Endpoint(lambda prompt, call: call == 3)
    with pytest.raises(SelfeditError, match=r"1 of 8 self-edits could not be written: HTTP 503; run again to resume"):
        write(kit, draw=flaky, writer="big")
    assert len(ledger.edits(STAGE)) == 7
    assert not any(edit.invalid or "503" in edit.text for edit in ledger.edits(STAGE))


def test_a_resumed_run_asks_the_writer_only_about_contexts_that_miss_an_edit(kit: Kit, ledger: Ledger) -> None:
    with pytest.raises(SelfeditError):
        write(kit, draw=Endpoint(lambda prompt, call: call == 3), writer="big")
    kept = ledger.edits(STAGE)
    again = Endpoint()
    edits = write(kit, draw=again, writer="big")
    assert again.asked == ["write about text t1"] * 2
    assert len(edits) == 8 and set(kept) < set(edits)


def test_an_outage_ends_the_asking_after_one_chunk(kit: Kit, ledger: Ledger) -> None:
    down = Endpoint(lambda prompt, call: True)
    with pytest.raises(SelfeditError, match="8 of 8 self-edits could not be written"):
        write(replace(kit, rows=4), draw=down, writer="big")
    assert len(down.asked) == 4 and ledger.edits(STAGE) == []


def test_a_failure_in_the_second_step_loses_the_edit(kit: Kit, ledger: Ledger) -> None:
    kit = replace(kit, task=TwoStepTask(), rows=8)

    class TwoLines(Endpoint):
        def _one(self, prompt: Prompt, seed: int) -> Written | str:
            one = super()._one(prompt, seed)
            return one if isinstance(one, str) else replace(one, text=f"{one.text}\nmore")

    flaky = TwoLines(lambda prompt, call: call == 6)
    with pytest.raises(SelfeditError, match="1 of 4 self-edits could not be written"):
        write(kit, n=1, draw=flaky, writer="big")
    assert [edit.context_id for edit in ledger.edits(STAGE)] == ["t1", "t2", "t3"]


def test_progress_counts_what_is_written(kit: Kit) -> None:
    progress = SilentProgress()
    write(replace(kit, progress=progress))
    assert progress.stages == ["round-1: writing self-edits"]
