"""Sequences of updates on fakes: the protocol, what each strategy changes, and that nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from selfedit.continual import ContinualConfig, plan_sequences, row_name, run_sequences
from selfedit.continual.learner import PER_OPENING, spread
from selfedit.continual.plan import draw_sequences
from selfedit.continual.strategies import STRATEGIES, Replay, parse_row
from selfedit.continual.strategies.route import best_match
from selfedit.errors import SelfeditError
from selfedit.loop import Runtime
from selfedit.protocols import Done
from selfedit.records import (
    Answer,
    Completion,
    Context,
    Example,
    Generation,
    Invalid,
    Policy,
    Probe,
    Prompt,
    Query,
    Stage,
    TrainingConfig,
    Version,
)
from selfedit.store import AdapterFolders, Ledger
from selfedit.store.adapters import WEIGHTS
from selfedit.testing import FakeGrader, FakeTask, ForgetfulEngine, Stopped, make_runtime

PROBE = Probe(
    questions=tuple(Query(f"@q{i}", f"what does everybody know, {i}?", "this", Prompt("?"), 4) for i in range(6)),
    texts=(Query("@t", "everybody writes so", "a text", Prompt("title"), 0),),
    openings=tuple(Prompt(f"opening {i}", raw=True) for i in range(5)),
)


class Parrot(ForgetfulEngine):
    """Answers every question with its gold answer, so that it shows what was asked."""

    def _answer(self, base: Policy, query: Query, studied: Sequence[str]) -> Answer:
        return Answer(query.question_id, query.gold, -1.0)


class Short(ForgetfulEngine):
    """The context h1 is too long for it."""

    def generate(self, groups: Iterable[Sequence[Generation]]) -> Iterator[Done[Completion | Invalid]]:
        for group, done in zip(groups, super().generate(groups), strict=True):
            texts = zip(group, done.results, strict=True)
            yield Done(done.group, tuple(Invalid("9 tokens") if "h1" in i.prompt.text else t for i, t in texts))


def config(**settings: Any) -> ContinualConfig:
    return ContinualConfig(**{"sequences": 2, "contexts": 3, "writer": "untouched", **settings})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


def runtime_of(ledger: Ledger, engine: ForgetfulEngine, n: int = 6) -> Runtime:
    return replace(make_runtime(ledger, engine), task=FakeTask(n_heldout=n))


def run(
    home: Path,
    ledger: Ledger,
    engine: ForgetfulEngine | None = None,
    files: dict[str, list[str]] | None = None,
    probe: Probe = PROBE,
    **settings: Any,
) -> ForgetfulEngine:
    engine = engine or ForgetfulEngine()
    engine.adapters = AdapterFolders(home)
    runtime = runtime_of(ledger, engine)
    run_sequences(plan_sequences(config(**settings), runtime.task, probe, files=files), runtime)
    return engine


def given(home: Path, ledger: Ledger, texts: Callable[[str], str]) -> ForgetfulEngine:
    """Self-edits from a file, by context id."""
    files = {context.id: [texts(context.id)] for context in FakeTask(n_heldout=6).contexts("heldout")}
    return run(home, ledger, files=files, edits="x.jsonl", writer="current")


def accuracy(ledger: Ledger, row: str, chain: int = 0) -> list[list[float | None]]:
    """[step][context in the order learnt], from 1."""
    order = [v.context_id for v in ledger.versions(row) if v.chain == chain]
    found = []
    for step in range(1, len(order) + 1):
        by_id = {
            o.context_id: o.accuracy for o in ledger.outcomes(Stage.sequence(row, chain, step)) if o.method == "tested"
        }
        found.append([by_id.get(context_id) for context_id in order])
    return found


def test_after_each_update_all_contexts_are_asked_about_and_the_probe(tmp_path: Path, ledger: Ledger) -> None:
    run(tmp_path, ledger, ForgetfulEngine(memory=2))
    assert accuracy(ledger, "none") == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    last = {o.method: len(o.answers) for o in ledger.outcomes(Stage.sequence("none", 1, 3))}
    assert last == {"tested": 1, "known": 6, "fluent": 1}
    start = [o for o in ledger.outcomes(Stage("start")) if o.method == "tested"]
    assert len(start) == 6 and all(o.accuracy == 0 for o in start)


def test_long_sequences_ask_about_everything_only_every_so_often_but_always_about_what_was_just_learnt(
    tmp_path: Path, ledger: Ledger
) -> None:
    run(tmp_path, ledger, ForgetfulEngine(memory=2), contexts=3, ask_every=2)
    assert accuracy(ledger, "none") == [[1, None, None], [0, 1, 0], [0, 0, 1]]
    methods = [{o.method for o in ledger.outcomes(Stage.sequence("none", 0, step))} for step in (1, 2, 3)]
    assert methods == [{"tested"}, {"tested", "known", "fluent"}, {"tested", "known", "fluent"}]


def test_every_version_has_its_parent_its_context_its_edit_and_a_folder(tmp_path: Path, ledger: Ledger) -> None:
    run(tmp_path, ledger)
    versions = ledger.versions("none")
    edits = {edit.key: edit for edit in ledger.edits()}
    for chain in (0, 1):
        mine = [version for version in versions if version.chain == chain]
        assert [version.step for version in mine] == [1, 2, 3]
        assert [version.policy.version for version in mine] == [1, 2, 3]
        assert [version.parent for version in mine] == [Policy(), mine[0].policy, mine[1].policy]
        for version in mine:
            assert edits[version.edit_key].context_id == version.context_id
            assert (tmp_path / version.policy.adapter).is_dir()


def test_sequences_share_no_context_while_there_are_enough() -> None:
    task = FakeTask(n_heldout=7)
    apart = draw_sequences(config(), task)
    assert len({context.id for contexts in apart for context in contexts}) == 6
    again = draw_sequences(config(contexts=5), task)
    assert all(len({context.id for context in contexts}) == 5 for contexts in again)
    assert again[0] != again[1]
    assert draw_sequences(config(seed=1), task) != apart


def test_rows_study_the_same_self_edits_with_the_same_seeds_unless_the_current_model_writes(
    tmp_path: Path, ledger: Ledger
) -> None:
    engine = run(tmp_path, ledger, strategy="none,orthogonal")
    plain, other = engine.updates[:6], engine.updates[6:]
    assert [u.examples for u in plain] == [u.examples for u in other]
    assert [u.seed for u in plain] == [u.seed for u in other]
    assert set(engine.writers) == {""}


def test_the_current_model_writes_its_own_self_edits_as_published(tmp_path: Path, ledger: Ledger) -> None:
    engine = run(tmp_path, ledger, writer="current")
    before_last = [version.policy.digest for version in ledger.versions("none") if version.step == 2]
    assert engine.writers[-2:] == before_last


def test_sentences_and_files_need_no_writer(tmp_path: Path, ledger: Ledger) -> None:
    engine = given(tmp_path, ledger, lambda name: f"from a file {name}")
    assert not engine.writers
    assert all(update.examples[0].completion.startswith("from a file") for update in engine.updates)


def test_a_self_edit_that_cannot_be_studied_leaves_the_context_alone(tmp_path: Path, ledger: Ledger) -> None:
    engine = given(tmp_path, ledger, lambda name: " ")
    assert {len(update.examples) for update in engine.updates} == {1}
    assert all("empty" in version.note for version in ledger.versions())


def test_a_failed_update_leaves_the_chain_as_it_was(tmp_path: Path, ledger: Ledger) -> None:
    first = draw_sequences(config(), FakeTask(n_heldout=6))[0][1].id
    given(tmp_path, ledger, lambda name: "broken" if name == first else "fine")
    versions = [version for version in ledger.versions() if version.chain == 0]
    assert [version.failure for version in versions] == ["", "it broke", ""]
    assert versions[1].policy == versions[0].policy and versions[1].factor == 0
    assert versions[2].parent == versions[0].policy


@pytest.mark.parametrize(
    ("strategy", "writer"),
    [
        ("none", "current"),
        ("replay+gate", "untouched"),
        ("self-replay+kl", "current"),
        ("reward-shaping+null-space", "current"),
        ("route", "untouched"),
    ],
)
def test_a_kill_between_any_two_writes_resumes_to_the_same_matrix(tmp_path: Path, strategy: str, writer: str) -> None:
    def attempt(home: Path, stop_at: int) -> tuple[bool, str]:
        home.mkdir(exist_ok=True)
        with Ledger(home / "ledger.db") as ledger:
            engine.adapters = AdapterFolders(home)
            runtime = replace(runtime_of(ledger, engine), ledger=_Dying(ledger, stop_at))  # type: ignore[arg-type]
            plan = plan_sequences(config(strategy=strategy, writer=writer), runtime.task, PROBE)
            try:
                run_sequences(plan, runtime)
            except Stopped:
                return False, ""
            return True, _fingerprint(ledger)

    engine = ForgetfulEngine()
    _, wanted = attempt(tmp_path / "whole", 10**6)
    is_done, stop_at = False, 0
    while not is_done:
        stop_at += 1
        attempt(tmp_path / f"killed-{stop_at}", stop_at)
        _, found = attempt(tmp_path / f"killed-{stop_at}", 10**6)
        assert found == wanted
        is_done, _ = attempt(tmp_path / f"probe-{stop_at}", stop_at)


@pytest.mark.parametrize("strategy", ["none", "replay+gate", "reward-shaping", "route"])
def test_a_version_whose_adapter_was_lost_is_learnt_again(tmp_path: Path, strategy: str) -> None:
    engine = ForgetfulEngine()
    engine.adapters = AdapterFolders(tmp_path)
    with Ledger(tmp_path / "ledger.db") as ledger:
        runtime = runtime_of(ledger, engine)
        plan = plan_sequences(config(strategy=strategy), runtime.task, PROBE)
        run_sequences(plan, runtime)
        wanted, done = ledger.fingerprint(), len(engine.updates)
        run_sequences(plan, runtime)
        assert len(engine.updates) == done
        lost = [tmp_path / version.policy.adapter / WEIGHTS for version in ledger.versions() if version.step == 2]
        before = [path.read_bytes() for path in lost]
        for path in lost:
            path.write_bytes(b"")
        engine.adapters = AdapterFolders(tmp_path)
        run_sequences(plan, runtime)
        assert ledger.fingerprint() == wanted and [path.read_bytes() for path in lost] == before
        assert len(engine.updates) > done


def _fingerprint(ledger: Ledger) -> str:
    return ledger.fingerprint()


class _Dying:
    """A ledger whose process dies before its n-th write."""

    def __init__(self, ledger: Ledger, stop_at: int) -> None:
        self.ledger, self.left = ledger, stop_at

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("add_", "put_")):
            self.left -= 1
            if not self.left:
                raise Stopped
        return getattr(self.ledger, name)


def test_replay_mixes_in_what_was_studied_before_and_keeps_it_known(tmp_path: Path, ledger: Ledger) -> None:
    engine = run(tmp_path, ledger, ForgetfulEngine(memory=4), strategy="none,replay:budget=6")
    firsts, seconds = engine.updates[6:8], engine.updates[8:10]
    assert all(len(update.examples) == 2 for update in firsts)
    for first, second in zip(firsts, seconds, strict=True):
        for epoch in range(second.training.epochs):
            mixed = {replace(e, in_epoch=None) for e in second.examples[2:] if e.in_epoch == epoch}
            assert mixed == set(first.examples)
    assert engine.updates[-1].examples[2:]
    assert accuracy(ledger, "replay:budget=6")[1] == [1, 1, 0]
    assert accuracy(ledger, "none")[2] == [0, 1, 1]


def test_replay_stays_within_its_budget(tmp_path: Path, ledger: Ledger) -> None:
    engine = run(tmp_path, ledger, strategy="replay:budget=3")
    epochs = range(engine.updates[0].training.epochs)
    for update, wanted in zip(engine.updates, [2, 2, 4, 4, 5, 5], strict=True):
        assert [sum(e.in_epoch in (None, epoch) for e in update.examples) for epoch in epochs] == [wanted] * len(epochs)


def test_self_replay_mixes_in_what_the_model_says_of_earlier_topics_and_in_general(
    tmp_path: Path, ledger: Ledger
) -> None:
    engine = run(tmp_path, ledger, strategy="self-replay:budget=4")
    first, last = engine.updates[0].examples[2:], engine.updates[-1].examples[2:]
    assert len(first) == len(last) == 4
    assert all(example.completion.startswith("opening") for example in first)
    assert sum(example.completion.startswith("Title h") for example in last) == 2
    assert ledger.versions("self-replay:budget=4")[1].policy.digest in engine.writers


def test_kl_holds_the_model_to_what_it_expected_at_the_start(tmp_path: Path, ledger: Ledger) -> None:
    engine = run(tmp_path, ledger, strategy="kl:anchors=2")
    for update in engine.updates:
        held = update.examples[2:]
        assert len(held) == 2 * update.training.epochs
        assert all(e.is_anchored and e.teacher and e.completion.startswith("opening") for e in held)


def test_what_is_rehearsed_comes_up_evenly_over_the_epochs() -> None:
    pool = [Example(letter) for letter in "abcdefg"]
    drawn = spread(pool, 3, 5, Random(1))
    by_epoch = [[e.completion for e in drawn if e.in_epoch == epoch] for epoch in range(5)]
    assert all(len(set(texts)) == 3 for texts in by_epoch)
    counts = Counter(e.completion for e in drawn)
    assert set(counts) == set("abcdefg") and max(counts.values()) - min(counts.values()) <= 1
    assert [len(spread(pool[:2], 3, 2, Random(1))), len(spread([], 3, 2, Random(1)))] == [4, 0]


def test_null_space_protects_everything_studied_and_general_text(tmp_path: Path, ledger: Ledger) -> None:
    engine = run(tmp_path, ledger, strategy="null-space:energy=0.9")
    first, last = engine.updates[0].constraint, engine.updates[-1].constraint
    assert first and last and (first.kind, first.strength) == ("null-space", 0.9)
    studied = {e.completion for u in engine.updates[1::2][:2] for e in u.examples}
    assert len(first.texts) == PER_OPENING * len(PROBE.openings)
    assert studied < set(last.texts)


def test_orthogonal_begins_with_the_second_update(tmp_path: Path, ledger: Ledger) -> None:
    engine = run(tmp_path, ledger, strategy="orthogonal:penalty=0.5")
    kinds = [update.constraint.kind if update.constraint else "" for update in engine.updates]
    assert kinds == ["", "", *["orthogonal"] * 4]
    assert engine.updates[-1].constraint and engine.updates[-1].constraint.strength == 0.5


def test_distil_gives_the_new_examples_a_teacher_with_the_context_in_sight_and_leaves_replayed_ones(
    tmp_path: Path, ledger: Ledger
) -> None:
    engine = run(tmp_path, ledger, strategy="replay:budget=2+distil")
    assert ledger.versions()[0].row == "distil+replay:budget=2"
    update = engine.updates[-1]
    assert all(example.teacher and "in sight" in example.teacher.text for example in update.examples[:2])
    assert all(example.teacher is None for example in update.examples[2:]) and len(update.examples) > 2


@pytest.mark.parametrize(
    ("harm", "factor", "note"),
    [(0.05, 1.0, "costs"), (0.15, 0.5, "costs"), (0.3, 0.25, "costs"), (9.0, 0.0, "rejected")],
)
def test_gate_accepts_weakens_or_rejects_by_what_an_update_costs(
    tmp_path: Path, ledger: Ledger, harm: float, factor: float, note: str
) -> None:
    engine = ForgetfulEngine()
    engine.harm = lambda folder, kept: harm * kept if "/0/2" in folder else 0.0
    run(tmp_path, ledger, engine, strategy="gate:tolerance=0.1")
    versions = [version for version in ledger.versions() if version.chain == 0]
    assert versions[1].factor == factor and versions[1].note.startswith(note)
    assert [version.factor for version in versions if version.step != 2] == [1, 1]
    assert (versions[1].policy == versions[0].policy) == (factor == 0)
    assert versions[2].parent == versions[1].policy


def test_reward_shaping_studies_the_self_edit_that_serves_new_and_earlier_contexts_best(
    tmp_path: Path, ledger: Ledger
) -> None:
    engine = ForgetfulEngine()
    engine.harm = lambda folder, factor: 0.0 if folder.endswith(".drafts/2") else 1.0
    run(tmp_path, ledger, engine, strategy="reward-shaping:drafts=3", sequences=1)
    drafts = {edit.key: edit.index for edit in ledger.edits(Stage("edits"))}
    assert [drafts[version.edit_key] for version in ledger.versions()] == [2, 2, 2]
    assert not (tmp_path / "adapters/.drafts").exists()


def test_route_asks_the_adapter_of_the_context_that_a_question_fits_and_the_oracle_that_of_its_own(
    tmp_path: Path, ledger: Ledger
) -> None:
    engine = run(tmp_path, ledger, strategy="route")
    assert all(update.base == Policy() for update in engine.updates)
    methods = {o.method for o in ledger.outcomes(Stage.sequence("route", 0, 3))}
    assert methods == {"tested", "oracle", "known", "fluent"}
    oracle = [o.accuracy for o in ledger.outcomes(Stage.sequence("route", 0, 3)) if o.method == "oracle"]
    assert oracle == [1, 1, 1]


def test_a_question_goes_to_the_context_with_its_words_and_to_none_that_has_few_of_them() -> None:
    river = Context("r", "The Amber", "The river Amber rises in the northern hills and reaches the harbour.", ())
    town = Context("t", "Oston", "The town of Oston was founded by a widow who sold candles in the harbour.", ())
    assert best_match("Who founded the town of Oston?", [river, town]) == town
    assert best_match("Where does the river Amber rise?", [river, town]) == river
    assert best_match("What is the chemical symbol for gold?", [river, town]) is None
    assert best_match("Which river flows through Paris?", [river, town]) is None
    assert best_match("What is Oston?", [river, town]) == town
    assert best_match("What is a widow?", [river, town]) is None, "one word, and in no title"
    assert best_match("And what is it?", [river, town]) is None
    assert best_match("Who founded the town of Oston?", []) is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"strategy": "rehearse"}, "unknown; choose from none, distil, replay"),
        ({"strategy": "replay+"}, "unknown; choose from"),
        ({"strategy": "replay+replay"}, "has replay twice"),
        ({"strategy": "none+replay"}, "none goes with no other"),
        ({"strategy": "null-space+orthogonal"}, "contradict each other"),
        ({"strategy": "gate+route"}, "contradict each other"),
        ({"strategy": "reward-shaping", "writer": "sentences"}, "has one"),
        ({"strategy": "reward-shaping", "held_back": 0}, "held_back must be at least 1"),
        ({"strategy": "kl", "inner": TrainingConfig(budget="steps:9")}, "kl rehearses other examples in each epoch"),
        ({"strategy": "distil", "inner": TrainingConfig(skip_above=0.5)}, "distil learns what a teacher expects"),
    ],
)
def test_strategies_that_cannot_be_are_refused_in_one_line(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SelfeditError, match=told):
        plan_sequences(config(**settings), FakeTask(n_heldout=6), PROBE)


def test_more_contexts_than_there_are_are_refused() -> None:
    with pytest.raises(SelfeditError, match=r"^contexts 9: .* has 6 held out"):
        plan_sequences(config(contexts=9), FakeTask(n_heldout=6), PROBE)


def test_holding_back_every_question_is_refused() -> None:
    with pytest.raises(SelfeditError, match=r"^held_back 2: h\d has no more questions than that"):
        plan_sequences(config(held_back=2), FakeTask(n_heldout=6), PROBE)


def test_a_file_without_a_self_edit_for_a_context_is_refused() -> None:
    files = {context.id: ["text"] for context in FakeTask(n_heldout=6).contexts("heldout") if context.id != "h1"}
    with pytest.raises(SelfeditError, match="has no self-edit for h1"):
        plan_sequences(config(edits="x", writer="current"), FakeTask(n_heldout=6), PROBE, files=files)


def test_a_probe_that_the_model_fails_is_refused(tmp_path: Path, ledger: Ledger) -> None:
    unknown = replace(PROBE, questions=tuple(replace(q, question="a riddle on x?") for q in PROBE.questions))
    with pytest.raises(SelfeditError, match="gets 0 of 6 questions right"):
        run(tmp_path, ledger, probe=unknown)


class Away(FakeGrader):
    """A judge that has no verdict on what comes after some answers."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def grade(self, answers: Any) -> Any:
        before, self.left = self.left, self.left - len(answers)
        verdicts = super().grade(answers)
        return [verdict if number < before else "ungraded" for number, verdict in enumerate(verdicts)]


@pytest.mark.parametrize("after", [0, 30, 45])
def test_what_a_judge_that_was_away_left_open_is_graded_when_it_is_back(tmp_path: Path, after: int) -> None:
    def start(home: Path, after: int) -> str:
        home.mkdir(exist_ok=True)
        with Ledger(home / "ledger.db") as ledger:
            engine = ForgetfulEngine()
            engine.adapters = AdapterFolders(home)
            runtime = replace(make_runtime(ledger, engine, Away(after)), task=FakeTask(n_heldout=6))
            run_sequences(plan_sequences(config(strategy="none"), runtime.task, PROBE), runtime)
            return ledger.fingerprint()

    never_away = start(tmp_path / "a", 10**6)
    if after == 0:
        with pytest.raises(
            SelfeditError, match=r"^start: 6 of 6 questions of the probe have no verdict; [^\n]+ when the"
        ):
            start(tmp_path / "b", after)
    else:
        assert start(tmp_path / "b", after) != never_away
    assert start(tmp_path / "b", 10**6) == never_away


def test_questions_that_the_model_did_not_know_at_the_start_are_asked_no_more(tmp_path: Path, ledger: Ledger) -> None:
    mixed = replace(PROBE, questions=(replace(PROBE.questions[0], question="a riddle on x?"), *PROBE.questions[1:]))
    run(tmp_path, ledger, probe=mixed)
    [known] = [o for o in ledger.outcomes(Stage.sequence("none", 0, 1)) if o.method == "known"]
    assert [answer.question_id for answer in known.answers] == [q.question_id for q in PROBE.questions[1:]]


@pytest.mark.parametrize("strategy", ["none", "route"])
def test_a_probe_whose_ids_are_those_of_contexts_keeps_its_answers_to_itself(
    tmp_path: Path, ledger: Ledger, strategy: str
) -> None:
    ids = iter([f"h{context}#{question}" for context in range(3) for question in (1, 2)])
    same = replace(PROBE, questions=tuple(replace(query, question_id=next(ids)) for query in PROBE.questions))
    run(tmp_path, ledger, Parrot(), probe=same, strategy=strategy)
    answers = [a for o in ledger.outcomes() if o.method in ("tested", "known") for a in o.answers]
    assert {a.question_id for a in answers} >= {query.question_id for query in same.questions}
    assert all(a.text == a.gold for a in answers)


def test_a_context_that_is_too_long_to_write_about_is_studied_alone_and_the_others_go_on(
    tmp_path: Path, ledger: Ledger
) -> None:
    run(tmp_path, ledger, Short(), writer="current")
    notes = {version.context_id: version.note for version in ledger.versions("none")}
    assert {name for name, note in notes.items() if note} == {"h1"}
    assert notes["h1"] == "the context alone: 9 tokens"


def test_every_strategy_of_the_help_exists_and_no_other() -> None:
    assert ContinualConfig.model_fields["strategy"].default == "none"
    assert set(STRATEGIES) == {
        *("none", "replay", "self-replay", "kl", "gate", "null-space"),
        *("orthogonal", "reward-shaping", "route", "distil"),
    }


def test_a_row_is_read_and_spelled_alike_and_numbers_show_where_they_are_not_the_default() -> None:
    assert parse_row("kl + replay:budget=16") == (Replay(16), STRATEGIES["kl"]())
    assert row_name(parse_row("kl+replay:budget=16")) == "replay:budget=16+kl"
    assert row_name(parse_row("replay:budget=8")) == "replay"


def test_versions_survive_the_ledger(tmp_path: Path, ledger: Ledger) -> None:
    one = Version("none", 0, 1, "c", "e", Policy(1, "a", "d", 0), Policy(), 0.5, "n", (1.0,), 3, 30, 1.5)
    ledger.add_versions([one, replace(one, chain=1)])
    assert ledger.versions("none") == [one, replace(one, chain=1)]
    assert ledger.versions("other") == []
