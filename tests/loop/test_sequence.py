"""Sequences of updates on fakes: the protocol, what each remedy changes, and that nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fakes import FakeKeeper, FakeTask, Stopped, make_contexts, make_kit
from selfedit.config import ContinualConfig
from selfedit.loop import Kit, check_contexts, draw_sequences, plan_remedies, run_sequences
from selfedit.loop.chains import PER_OPENING, spread
from selfedit.loop.remedies import REMEDIES
from selfedit.loop.remedies.route import best_match
from selfedit.records import Ask, Context, Example, Policy, Prompt, SelfeditError
from selfedit.store import Ledger
from selfedit.versions import Probe, Version

PROBE = Probe(
    questions=tuple(Ask(f"@q{i}", f"what does everybody know, {i}?", "this", Prompt("?"), 4) for i in range(6)),
    texts=(Ask("@t", "everybody writes so", "a text", Prompt("title"), 0),),
    openings=tuple(Prompt(f"opening {i}", plain=True) for i in range(5)),
)


def config(**settings: Any) -> ContinualConfig:
    return ContinualConfig(**{"sequences": 2, "contexts": 3, "budget": 2, "writer": "untouched", **settings})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


def kit_of(home: Path, ledger: Ledger, n: int = 6) -> Kit:
    return replace(make_kit(home, ledger), task=FakeTask(n_heldout=n))


def run(home: Path, ledger: Ledger, keeper: FakeKeeper | None = None, **settings: Any) -> FakeKeeper:
    keeper = keeper or FakeKeeper()
    run_sequences(config(**settings), kit_of(home, ledger), keeper, PROBE, Policy())
    return keeper


def accuracy(ledger: Ledger, row: str, chain: int = 0) -> list[list[float | None]]:
    """[step][context in the order learnt], from 1."""
    order = [v.context_id for v in ledger.versions(row) if v.chain == chain]
    found = []
    for step in range(1, len(order) + 1):
        by_id = {o.context_id: o.accuracy for o in ledger.outcomes(f"{row}/{chain}/{step}") if o.method == "tested"}
        found.append([by_id.get(context_id) for context_id in order])
    return found


def test_after_each_update_all_contexts_are_asked_about_and_the_probe(tmp_path: Path, ledger: Ledger) -> None:
    run(tmp_path, ledger, FakeKeeper(memory=2))
    assert accuracy(ledger, "none") == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    last = {o.method: len(o.answers) for o in ledger.outcomes("none/1/3")}
    assert last == {"tested": 1, "known": 6, "fluent": 1}
    start = [o for o in ledger.outcomes("start") if o.method == "tested"]
    assert len(start) == 6 and all(o.accuracy == 0 for o in start)


def test_long_sequences_ask_about_everything_only_every_so_often_but_always_about_what_was_just_learnt(
    tmp_path: Path, ledger: Ledger
) -> None:
    run(tmp_path, ledger, FakeKeeper(memory=2), contexts=3, ask_every=2)
    assert accuracy(ledger, "none") == [[1, None, None], [0, 1, 0], [0, 0, 1]]
    methods = [{o.method for o in ledger.outcomes(f"none/0/{step}")} for step in (1, 2, 3)]
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
    apart = draw_sequences(task, config())
    assert len({context.id for contexts in apart for context in contexts}) == 6
    again = draw_sequences(task, config(contexts=5))
    assert all(len({context.id for context in contexts}) == 5 for contexts in again)
    assert again[0] != again[1]
    assert draw_sequences(task, config(seed=1)) != apart


def test_rows_study_the_same_self_edits_with_the_same_seeds_unless_the_current_model_writes(
    tmp_path: Path, ledger: Ledger
) -> None:
    keeper = run(tmp_path, ledger, remedy="none,orthogonal")
    plain, other = keeper.updates[:6], keeper.updates[6:]
    assert [u.examples for u in plain] == [u.examples for u in other]
    assert [u.seed for u in plain] == [u.seed for u in other]
    assert set(keeper.writers) == {""}


def test_the_current_model_writes_its_own_self_edits_as_published(tmp_path: Path, ledger: Ledger) -> None:
    keeper = run(tmp_path, ledger, writer="current")
    before_last = [version.policy.digest for version in ledger.versions("none") if version.step == 2]
    assert keeper.writers[-2:] == before_last


def test_sentences_and_files_need_no_writer(tmp_path: Path, ledger: Ledger) -> None:
    keeper = FakeKeeper()
    kit = kit_of(tmp_path, ledger)
    files = {context.id: [f"from a file {context.id}"] for context in kit.task.contexts("heldout")}
    run_sequences(config(edits="x.jsonl", writer="current"), kit, keeper, PROBE, Policy(), files)
    assert not keeper.writers
    assert all(update.examples[0].completion.startswith("from a file") for update in keeper.updates)


def test_a_self_edit_that_cannot_be_studied_leaves_the_context_alone(tmp_path: Path, ledger: Ledger) -> None:
    kit, keeper = kit_of(tmp_path, ledger), FakeKeeper()
    files = {context.id: [" "] for context in kit.task.contexts("heldout")}
    run_sequences(config(edits="x.jsonl", writer="current"), kit, keeper, PROBE, Policy(), files)
    assert {len(update.examples) for update in keeper.updates} == {1}
    assert all("empty" in version.note for version in ledger.versions())


def test_a_failed_update_leaves_the_chain_as_it_was(tmp_path: Path, ledger: Ledger) -> None:
    kit, keeper = kit_of(tmp_path, ledger), FakeKeeper()
    first = draw_sequences(kit.task, config())[0][1].id
    files = {c.id: ["broken" if c.id == first else "fine"] for c in kit.task.contexts("heldout")}
    run_sequences(config(edits="x.jsonl", writer="current"), kit, keeper, PROBE, Policy(), files)
    versions = [version for version in ledger.versions() if version.chain == 0]
    assert [version.failure for version in versions] == ["", "it broke", ""]
    assert versions[1].policy == versions[0].policy and versions[1].factor == 0
    assert versions[2].parent == versions[0].policy


@pytest.mark.parametrize(
    ("remedy", "writer"),
    [
        ("none", "current"),
        ("replay+gate", "untouched"),
        ("self-replay+kl", "current"),
        ("reward-shaping+null-space", "current"),
        ("route", "untouched"),
    ],
)
def test_a_kill_between_any_two_writes_resumes_to_the_same_matrix(tmp_path: Path, remedy: str, writer: str) -> None:
    def attempt(home: Path, stop_at: int) -> tuple[bool, str]:
        home.mkdir(exist_ok=True)
        with Ledger(home / "ledger.db") as ledger:
            dying = _Dying(ledger, stop_at)
            kit = replace(kit_of(home, ledger), ledger=dying)  # type: ignore[arg-type]
            try:
                run_sequences(config(remedy=remedy, writer=writer), kit, keeper, PROBE, Policy())
            except Stopped:
                return False, ""
            return True, _fingerprint(ledger)

    keeper = FakeKeeper()
    _, wanted = attempt(tmp_path / "whole", 10**6)
    is_done, stop_at = False, 0
    while not is_done:
        stop_at += 1
        attempt(tmp_path / f"killed-{stop_at}", stop_at)
        _, found = attempt(tmp_path / f"killed-{stop_at}", 10**6)
        assert found == wanted
        is_done, _ = attempt(tmp_path / f"probe-{stop_at}", stop_at)


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
    keeper = run(tmp_path, ledger, FakeKeeper(memory=4), remedy="none,replay", budget=6)
    firsts, seconds = keeper.updates[6:8], keeper.updates[8:10]
    assert all(len(update.examples) == 2 for update in firsts)
    for first, second in zip(firsts, seconds, strict=True):
        for epoch in range(second.settings.epochs):
            mixed = {replace(e, in_epoch=None) for e in second.examples[2:] if e.in_epoch == epoch}
            assert mixed == set(first.examples)
    assert keeper.updates[-1].examples[2:]
    assert accuracy(ledger, "replay")[1] == [1, 1, 0]
    assert accuracy(ledger, "none")[2] == [0, 1, 1]


def test_replay_stays_within_its_budget(tmp_path: Path, ledger: Ledger) -> None:
    keeper = run(tmp_path, ledger, remedy="replay", budget=3)
    epochs = range(keeper.updates[0].settings.epochs)
    for update, wanted in zip(keeper.updates, [2, 2, 4, 4, 5, 5], strict=True):
        assert [sum(e.in_epoch in (None, epoch) for e in update.examples) for epoch in epochs] == [wanted] * len(epochs)


def test_self_replay_mixes_in_what_the_model_says_of_earlier_topics_and_in_general(
    tmp_path: Path, ledger: Ledger
) -> None:
    keeper = run(tmp_path, ledger, remedy="self-replay", budget=4)
    first, last = keeper.updates[0].examples[2:], keeper.updates[-1].examples[2:]
    assert len(first) == len(last) == 4
    assert all(example.completion.startswith("opening") for example in first)
    assert sum(example.completion.startswith("Title h") for example in last) == 2
    assert ledger.versions("self-replay")[1].policy.digest in keeper.writers


def test_kl_holds_the_model_to_what_it_expected_at_the_start(tmp_path: Path, ledger: Ledger) -> None:
    keeper = run(tmp_path, ledger, remedy="kl", anchors=2)
    for update in keeper.updates:
        held = update.examples[2:]
        assert len(held) == 2 * update.settings.epochs
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
    keeper = run(tmp_path, ledger, remedy="null-space", energy=0.9)
    first, last = keeper.updates[0].restraint, keeper.updates[-1].restraint
    assert first and last and (first.kind, first.strength) == ("null-space", 0.9)
    studied = {e.completion for u in keeper.updates[1::2][:2] for e in u.examples}
    assert len(first.texts) == PER_OPENING * len(PROBE.openings)
    assert studied < set(last.texts)


def test_orthogonal_begins_with_the_second_update(tmp_path: Path, ledger: Ledger) -> None:
    keeper = run(tmp_path, ledger, remedy="orthogonal", penalty=0.5)
    kinds = [update.restraint.kind if update.restraint else "" for update in keeper.updates]
    assert kinds == ["", "", *["orthogonal"] * 4]
    assert keeper.updates[-1].restraint and keeper.updates[-1].restraint.strength == 0.5


def test_distil_gives_the_new_examples_a_teacher_with_the_context_in_sight_and_leaves_replayed_ones(
    tmp_path: Path, ledger: Ledger
) -> None:
    keeper = run(tmp_path, ledger, remedy="replay+distil")
    assert ledger.versions()[0].row == "distil+replay"
    update = keeper.updates[-1]
    assert all(example.teacher and "in sight" in example.teacher.text for example in update.examples[:2])
    assert all(example.teacher is None for example in update.examples[2:]) and len(update.examples) > 2


@pytest.mark.parametrize(
    ("harm", "factor", "note"),
    [(0.05, 1.0, "costs"), (0.15, 0.5, "costs"), (0.3, 0.25, "costs"), (9.0, 0.0, "rejected")],
)
def test_gate_accepts_weakens_or_rejects_by_what_an_update_costs(
    tmp_path: Path, ledger: Ledger, harm: float, factor: float, note: str
) -> None:
    keeper = FakeKeeper()
    keeper.harm = lambda folder, kept: harm * kept if "/0/2" in folder else 0.0
    run(tmp_path, ledger, keeper, remedy="gate", tolerance=0.1)
    versions = [version for version in ledger.versions() if version.chain == 0]
    assert versions[1].factor == factor and versions[1].note.startswith(note)
    assert [version.factor for version in versions if version.step != 2] == [1, 1]
    assert (versions[1].policy == versions[0].policy) == (factor == 0)
    assert versions[2].parent == versions[1].policy


def test_reward_shaping_studies_the_self_edit_that_serves_new_and_earlier_contexts_best(
    tmp_path: Path, ledger: Ledger
) -> None:
    keeper = FakeKeeper()
    keeper.harm = lambda folder, factor: 0.0 if folder.endswith(".drafts/2") else 1.0
    run(tmp_path, ledger, keeper, remedy="reward-shaping", drafts=3, sequences=1)
    drafts = {edit.key: edit.index for edit in ledger.edits("edits")}
    assert [drafts[version.edit_key] for version in ledger.versions()] == [2, 2, 2]
    assert not (tmp_path / "adapters/.drafts").exists()


def test_route_asks_the_adapter_of_the_context_that_a_question_fits_and_the_oracle_that_of_its_own(
    tmp_path: Path, ledger: Ledger
) -> None:
    keeper = run(tmp_path, ledger, remedy="route")
    assert all(update.policy == Policy() for update in keeper.updates)
    methods = {o.method for o in ledger.outcomes("route/0/3")}
    assert methods == {"tested", "oracle", "known", "fluent"}
    oracle = [o.accuracy for o in ledger.outcomes("route/0/3") if o.method == "oracle"]
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
        ({"remedy": "rehearse"}, "unknown; choose from none, distil, replay"),
        ({"remedy": "replay+"}, "unknown; choose from"),
        ({"remedy": "replay+replay"}, "has replay twice"),
        ({"remedy": "none+replay"}, "none goes with no other"),
        ({"remedy": "null-space+orthogonal"}, "contradict each other"),
        ({"remedy": "gate+route"}, "contradict each other"),
        ({"remedy": "reward-shaping", "writer": "sentences"}, "has one"),
        ({"remedy": "reward-shaping", "held_back": 0}, "--held-back must be at least 1"),
    ],
)
def test_remedies_that_cannot_be_are_refused_in_one_line(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SelfeditError, match=told):
        plan_remedies(config(**settings))


def test_more_contexts_than_there_are_are_refused() -> None:
    with pytest.raises(SelfeditError, match="--contexts 9: invented has 6 held out"):
        draw_sequences(FakeTask(n_heldout=6), config(contexts=9))


def test_holding_back_every_question_is_refused() -> None:
    with pytest.raises(SelfeditError, match="--held-back 2: h0 has no more questions than that"):
        check_contexts(config(held_back=2), [make_contexts("h", 2)], None)


def test_a_file_without_a_self_edit_for_a_context_is_refused() -> None:
    with pytest.raises(SelfeditError, match="has no self-edit for h1"):
        check_contexts(config(edits="x", writer="current"), [make_contexts("h", 2)], {"h0": ["text"]})


def test_a_probe_that_the_model_fails_is_refused(tmp_path: Path, ledger: Ledger) -> None:
    unknown = replace(PROBE, questions=tuple(replace(q, question="a riddle on x?") for q in PROBE.questions))
    with pytest.raises(SelfeditError, match="gets 0 of 6 questions right"):
        run_sequences(config(), kit_of(tmp_path, ledger), FakeKeeper(), unknown, Policy())


def test_questions_that_the_model_did_not_know_at_the_start_are_asked_no_more(tmp_path: Path, ledger: Ledger) -> None:
    mixed = replace(PROBE, questions=(replace(PROBE.questions[0], question="a riddle on x?"), *PROBE.questions[1:]))
    run_sequences(config(), kit_of(tmp_path, ledger), FakeKeeper(), mixed, Policy())
    [known] = [o for o in ledger.outcomes("none/0/1") if o.method == "known"]
    assert [answer.question_id for answer in known.answers] == [q.question_id for q in PROBE.questions[1:]]


def test_every_remedy_of_the_help_exists_and_no_other() -> None:
    told = ContinualConfig.model_fields["remedy"]
    assert told.default == "none"
    assert set(REMEDIES) == {
        *("none", "replay", "self-replay", "kl", "gate", "null-space"),
        *("orthogonal", "reward-shaping", "route", "distil"),
    }


def test_versions_survive_the_ledger(tmp_path: Path, ledger: Ledger) -> None:
    one = Version("none", 0, 1, "c", "e", Policy(1, "a", "d", 0), Policy(), 0.5, "n", (1.0,), 3, 30, 1.5)
    ledger.add_versions([one, replace(one, chain=1)])
    assert ledger.versions("none") == [one, replace(one, chain=1)]
    assert ledger.versions("other") == []
