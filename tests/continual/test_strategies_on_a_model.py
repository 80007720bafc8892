"""Each strategy on a tiny real model: what it promises, against `none` on the same sequence with the same seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean

import pytest

from selfedit.continual import ContinualConfig, plan_sequences, run_sequences
from selfedit.engine import TorchEngine
from selfedit.grading import grade_answers, load_grader
from selfedit.loop import Runtime
from selfedit.records import (
    START,
    UNTOUCHED,
    Answer,
    Context,
    Example,
    Probe,
    Prompt,
    Query,
    Question,
    SamplingParams,
    Stage,
    TrainingConfig,
    Trial,
    TrialSpec,
    Version,
)
from selfedit.store import Ledger
from selfedit.testing import FakeTask, SilentProgress
from tests.support.reference import engine_of, tried

pytestmark = pytest.mark.model

TEXTS = (
    "A town on the coast was founded by a widow.",
    "seven red boats cross the river at noon.",
    "the lazy dog sold candles in the year 1987.",
)
CONTEXTS = [
    Context(f"c{i}", f"{i}", text, tuple(Question(f"c{i}#{n}", text[:n], text[n:].strip()) for n in (8, 16)))
    for i, text in enumerate(TEXTS)
]
SETTINGS = TrainingConfig(rank=8, alpha=16.0, top_layers=0.5, learning_rate=2e-2, epochs=16)
ROWS = {
    "none": "none",
    "replay": "replay:budget=6",
    "self-replay": "self-replay:budget=6",
    "kl": "kl",
    "gate": "gate:tolerance=0",
    "null-space": "null-space:energy=0.999",
    "orthogonal": "orthogonal:penalty=10",
    "reward-shaping": "reward-shaping:drafts=2",
    "distil": "distil",
    "route": "route",
}
"""Strategy → its row, with numbers that make it felt in three steps."""


class TextTask(FakeTask):
    """Texts are studied as they stand, and asked for by their beginnings."""

    def __init__(self, is_distilled: bool = False) -> None:
        self.splits = {"train": [], "heldout": CONTEXTS}
        self.is_distilled = is_distilled

    def compile(self, context: Context, edit: str | None) -> TrialSpec:
        teacher = Prompt(context.text, raw=True) if self.is_distilled else None
        queries = [Query(q.id, q.question, q.answer, Prompt(q.question, raw=True), 4) for q in context.questions]
        return TrialSpec((Example(context.text, teacher=teacher),), tuple(queries))

    def variant(self, prompt: str = "", is_distilled: bool = False) -> TextTask:
        return TextTask(is_distilled)


class Result:
    """What a row came to."""

    def __init__(self, ledger: Ledger, row: str) -> None:
        self.versions: list[Version] = ledger.versions(row)
        self.order = [version.context_id for version in self.versions]
        self.ledger, self.row = ledger, row

    def level(self, step: int, context_id: str, method: str = "tested") -> float:
        """Gold log-probability after some steps; 0 for the start."""
        stage = Stage.sequence(self.row, 0, step) if step else START
        [found] = [o for o in self.ledger.outcomes(stage) if (o.context_id, o.method) == (context_id, method)]
        return found.gold_logprob or 0.0

    @property
    def lost(self) -> float:
        """What the first context's gold answers lose from just after their update to the end."""
        return self.level(1, self.order[0]) - self.level(len(self.order), self.order[0])

    @property
    def drift(self) -> float:
        """How far the probe's texts are from where they were."""
        return abs(self.level(len(self.order), "probe", "fluent") - self.level(0, "probe", "fluent"))

    @property
    def gained(self) -> float:
        """What contexts gain by their own update."""
        steps = enumerate(self.order, 1)
        return fmean(self.level(step, one) - self.level(step - 1, one) for step, one in steps)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Result]]:
    """Every strategy on one sequence of three contexts."""
    home = tmp_path_factory.mktemp("run")
    engine = engine_of("llama", bank_size=4, n_layers=4, home=home)
    config = ContinualConfig(
        strategy=",".join(ROWS.values()),
        sequences=1,
        contexts=3,
        writer="untouched",
        inner=SETTINGS,
        sampling=SamplingParams(max_new_tokens=12),
    )
    task = TextTask()
    with Ledger(home / "ledger.db") as ledger:
        runtime = Runtime(
            task=task,
            writer=engine,
            learner=engine,
            grade=partial(grade_answers, load_grader("contains")),
            ledger=ledger,
            progress=SilentProgress(),
        )
        run_sequences(plan_sequences(config, task, probe_of(engine)), runtime)
        yield {name: Result(ledger, row) for name, row in ROWS.items()}


def probe_of(engine: TorchEngine) -> Probe:
    """Questions, and texts, with what the untouched model says as gold answers."""
    asked = [Query(f"@q{i}", "q", "x", Prompt(f"the {word}", raw=True), 4) for i, word in enumerate(TEXTS[1].split())]
    known = [replace(query, gold=answer.text or "x") for query, answer in said(engine, asked)]
    openings = tuple(Prompt(f"{word} the", raw=True) for word in ("Answer", "Read", "at"))
    texts = [Query(f"@t{i}", "", "x", opening, 8) for i, opening in enumerate(openings)]
    own = [replace(query, gold=answer.text or "x", max_new_tokens=0) for query, answer in said(engine, texts)]
    return Probe(tuple(known), tuple(own), openings)


def said(engine: TorchEngine, queries: Sequence[Query]) -> list[tuple[Query, Answer]]:
    """What the untouched model answers."""
    [result] = tried(engine, Trial("probe", TrialSpec((), tuple(queries)), SETTINGS, 0, UNTOUCHED))
    return list(zip(queries, result.answers, strict=True))


def test_without_a_strategy_updates_teach_and_earlier_answers_are_lost(results: dict[str, Result]) -> None:
    assert results["none"].gained > 0.1
    assert results["none"].lost > 0.1


@pytest.mark.parametrize("strategy", ["replay", "null-space", "gate", "route"])
def test_earlier_answers_are_lost_less(results: dict[str, Result], strategy: str) -> None:
    assert results[strategy].lost < 0.7 * results["none"].lost


@pytest.mark.parametrize("strategy", ["kl", "self-replay", "gate", "null-space"])
def test_general_text_drifts_less(results: dict[str, Result], strategy: str) -> None:
    assert results[strategy].drift < results["none"].drift


@pytest.mark.parametrize("strategy", ["replay", "self-replay", "kl", "null-space", "orthogonal", "route"])
def test_new_contexts_are_learnt_all_the_same(results: dict[str, Result], strategy: str) -> None:
    assert results[strategy].gained > 0.05


def test_a_gate_without_tolerance_keeps_nothing_that_costs(results: dict[str, Result]) -> None:
    assert all(version.factor < 1 or "costs -" in version.note for version in results["gate"].versions)


def test_routing_by_an_oracle_loses_nothing_at_all(results: dict[str, Result]) -> None:
    route = results["route"]
    first = route.order[0]
    assert route.level(1, first, "oracle") == pytest.approx(route.level(3, first, "oracle"), abs=1e-6)
