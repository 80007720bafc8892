"""Each remedy on a tiny real model: what it promises, against `none` on the same sequence with the same seeds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from reference import engine_of

from fakes import FakeTask, SilentProgress
from selfedit.config import ContinualConfig
from selfedit.engine.keeper import ChainKeeper
from selfedit.executors import EXECUTORS
from selfedit.grading import grade_answers, load_grader
from selfedit.loop import Kit, run_sequences
from selfedit.records import Ask, Context, Example, LoraSettings, Policy, Prompt, Question, Sampling, Study
from selfedit.store import Ledger
from selfedit.versions import Probe, Version

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
SETTINGS = LoraSettings(rank=8, alpha=16.0, adapt_layers=0.5, learning_rate=2e-2, epochs=16)


class TextTask(FakeTask):
    """Texts are studied as they stand, and asked for by their beginnings."""

    def __init__(self, is_distilled: bool = False) -> None:
        self.splits = {"train": [], "heldout": CONTEXTS}
        self.is_distilled = is_distilled

    def study(self, context: Context, edit: str | None) -> Study:
        teacher = Prompt(context.text, plain=True) if self.is_distilled else None
        asks = [Ask(q.id, q.question, q.answer, Prompt(q.question, plain=True), 4) for q in context.questions]
        return Study((Example(context.text, teacher=teacher),), tuple(asks))

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
        stage = f"{self.row}/0/{step}" if step else "start"
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
    """Every remedy on one sequence of three contexts."""
    home = tmp_path_factory.mktemp("run")
    engine = engine_of("llama", bank_size=4, n_layers=4)
    config = ContinualConfig(
        remedy="none,replay,self-replay,kl,gate,null-space,orthogonal,reward-shaping,distil,route",
        sequences=1,
        contexts=3,
        writer="untouched",
        inner=SETTINGS,
        sampling=Sampling(max_new_tokens=12),
        budget=6,
        drafts=2,
        tolerance=0.0,
        energy=0.999,
        penalty=10.0,
    )
    with Ledger(home / "ledger.db") as ledger:
        kit = Kit(
            task=TextTask(),
            engine=engine,
            executor=EXECUTORS["local"](engine),
            grade=partial(grade_answers, load_grader("contains")),
            ledger=ledger,
            progress=SilentProgress(),
            home=home,
            facts=engine.facts,
            bank=4,
        )
        keeper = ChainKeeper(engine, SETTINGS)
        run_sequences(config, kit, keeper, probe_of(keeper, home), Policy())
        yield {row: Result(ledger, row) for row in config.remedy.split(",")}


def probe_of(keeper: ChainKeeper, home: Path) -> Probe:
    """Questions, and texts, with what the untouched model says as gold answers."""
    asks = [Ask(f"@q{i}", "q", "x", Prompt(f"the {word}", plain=True), 4) for i, word in enumerate(TEXTS[1].split())]
    [answers] = keeper.ask(home, [(Policy(), asks)])
    known = tuple(replace(ask, gold=answer.text or "x") for ask, answer in zip(asks, answers, strict=True))
    openings = tuple(Prompt(f"{word} the", plain=True) for word in ("Answer", "Read", "at"))
    said = [Ask(f"@t{i}", "", "x", opening, 8) for i, opening in enumerate(openings)]
    [answers] = keeper.ask(home, [(Policy(), said)])
    own = [replace(ask, gold=answer.text or "x", max_new_tokens=0) for ask, answer in zip(said, answers, strict=True)]
    return Probe(known, tuple(own), openings)


def test_without_a_remedy_updates_teach_and_earlier_answers_are_lost(results: dict[str, Result]) -> None:
    assert results["none"].gained > 0.1
    assert results["none"].lost > 0.1


@pytest.mark.parametrize("remedy", ["replay", "null-space", "gate", "route"])
def test_earlier_answers_are_lost_less(results: dict[str, Result], remedy: str) -> None:
    assert results[remedy].lost < 0.7 * results["none"].lost


@pytest.mark.parametrize("remedy", ["kl", "self-replay", "gate", "null-space"])
def test_general_text_drifts_less(results: dict[str, Result], remedy: str) -> None:
    assert results[remedy].drift < results["none"].drift


@pytest.mark.parametrize("remedy", ["replay", "self-replay", "kl", "null-space", "orthogonal", "route"])
def test_new_contexts_are_learnt_all_the_same(results: dict[str, Result], remedy: str) -> None:
    assert results[remedy].gained > 0.05


def test_a_gate_without_tolerance_keeps_nothing_that_costs(results: dict[str, Result]) -> None:
    assert all(version.factor < 1 or "costs -" in version.note for version in results["gate"].versions)


def test_routing_by_an_oracle_loses_nothing_at_all(results: dict[str, Result]) -> None:
    route = results["route"]
    first = route.order[0]
    assert route.level(1, first, "oracle") == pytest.approx(route.level(3, first, "oracle"), abs=1e-6)
