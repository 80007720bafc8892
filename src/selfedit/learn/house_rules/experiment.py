"""L3. House rules: an agent is corrected, self-edits after it, and is examined; beside agents that only keep notes.

    act → be told → write a self-edit → a quick update every few interactions → rest: one adapter for all, anew

1. All arms lie on one adapter, which was made on other worlds and knows the form of requests, of rules in sight and of
   actions. So no arm wins by learning how to answer.
2. A rest begins from that adapter and studies the self-edits of all that holds, in the order of their ids. What was
   superseded is not studied. So a rest leaves nothing of the rest before, and cannot wear out by being repeated.
3. Exams use words that neither lessons nor self-edits nor that adapter have seen.
4. Everything goes through the ledger: versions, self-edits, answers. Started again, it goes on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product

from selfedit import seeds
from selfedit.learn.common_start import common_start, trained
from selfedit.learn.house_rules.form import form_examples
from selfedit.learn.house_rules.memory import CountTokens, Interaction, Note, Sight, interactions, notes_after
from selfedit.learn.house_rules.settings import Arm, HouseRulesConfig
from selfedit.learn.house_rules.study import Piece, pieces_of, varied
from selfedit.learn.house_rules.writing import taught_examples, write_about
from selfedit.learn.rehearsal import by_turns, rehearsals
from selfedit.loop.runtime import Runtime
from selfedit.loop.trials import TrialPlanner, try_all
from selfedit.records import (
    UNTOUCHED,
    Context,
    Example,
    Outcome,
    Policy,
    Probe,
    Query,
    SelfEdit,
    Stage,
    TrainingConfig,
    TrialSpec,
    Update,
    Version,
)
from selfedit.tasks.episodes.prompts import everyday_requests, put_query, put_request
from selfedit.tasks.episodes.world import Encounter, HouseRule, World

WEIGHTS = Arm("weights")
EXAM, RECURRENCE, UNTAUGHT = "exam", "recurrence", "untaught"
"""Methods of outcomes: unseen wordings of what was taught; the second meeting; what was never taught."""
GENERAL, KNOWN = "general", "known"
"""Methods of outcomes: general text, which is not asked but read; common knowledge."""
UNTOUCHED_ROW, FORM_ROW = "untouched", "form"
"""Rows of these: the model as it comes, and what all arms lie on."""
REST, QUICK, TAUGHT = "rest", "quick", "taught"
"""Notes of versions; the last is the writer's."""
FORM = "adapters/form"
"""Where the adapter lies that all arms share, in the folder of the run that makes it."""


@dataclass(frozen=True, slots=True)
class Life:
    """One world, lived through once."""

    index: int
    """Counts all lives, from 0; a chain in the ledger."""
    world: World
    seed_index: int
    """Which training of this world's adapters."""
    heard: tuple[Interaction, ...]
    """In order."""

    def rests(self, n: int) -> list[int]:
        """After how many interactions it rests."""
        return [round(len(self.heard) * (i + 1) / n) for i in range(n)]


Counts = dict[str, dict[str, int]]
"""By arm, by rule: how often its note was in sight and the action right, less how often it was wrong."""


@dataclass(frozen=True, slots=True)
class VersionPlace:
    """Where an adapter stands in the ledger."""

    row: str
    chain: int
    step: int
    about: str
    """The last rule that it has heard of."""


@dataclass(frozen=True, slots=True)
class Lived:
    """What is left of a life at its end."""

    policy: Policy
    """The adapter of its last rest."""
    counts: Counts
    """Of its playbooks."""


@dataclass(frozen=True)
class HouseRules:
    """The experiment, ready to be run."""

    config: HouseRulesConfig
    runtime: Runtime
    count: CountTokens
    """Counts the model's tokens."""
    lives: tuple[Life, ...]
    probe: Probe
    """General text and common knowledge, which is asked for after the last rest; its openings are rehearsed."""
    edits: dict[str, SelfEdit] = field(default_factory=dict)
    """By context, what was written about it."""

    @cached_property
    def rehearsals(self) -> tuple[Example, ...]:
        """What rests rehearse, so much that each epoch has texts of its own."""
        return self._said(self.config.rehearsed * self.config.inner.epochs)

    def _said(self, n: int) -> tuple[Example, ...]:
        """General text and everyday requests as the untouched model goes on with them."""
        asked = [put_request(one, (), "chat") for one in everyday_requests()]
        return rehearsals(self.runtime.writer, [*asked, *self.probe.openings], n, is_anchored=True)

    def run(self) -> None:
        """Makes the shared adapter, lives through every life, and examines all arms.

        Raises:
            SelfeditError: something could not be trained.
        """
        form = self._form()
        taught = self._taught() if self.config.writer == "taught" else UNTOUCHED
        self._probe(UNTOUCHED_ROW, 0, 0, UNTOUCHED)
        self._probe(FORM_ROW, 0, 0, form)
        lived: dict[int, Lived] = {}
        for life in self.lives:
            self.edits.update(write_about(self.config, self.runtime, life.world, life.heard, form, taught))
            found = lived[life.index] = self._live(life, form)
            self._probe(WEIGHTS.name, life.index, len(life.heard), found.policy)
            self._examine_all(life, form, lived)
        if control := self.control:
            self.edits.update(write_about(self.config, self.runtime, control.world, control.heard, form, taught))
            rested = self._rested(control, len(control.heard), form)
            for life, arm in product(self.lives, self.config.arm_list()):
                if arm.kind == "other":
                    self._examine(life, arm, rested, {})

    @cached_property
    def control(self) -> Life | None:
        """A life in another world for its adapter alone, where a run has one world: it rests once and is asked nothing.
        None where lives are each other's controls."""
        first, worlds = self.lives[0].world, {life.world.seed for life in self.lives}
        if len(worlds) > 1 or not any(arm.kind == "other" for arm in self.config.arm_list()):
            return None
        return _life(self.config, len(self.lives), first.seed + 1, 0)

    def _examine_all(self, life: Life, form: Policy, lived: Mapping[int, Lived]) -> None:
        """Every arm at the end of a life, and the controls that it completes; first what adapters answer, so that a run
        that does not come to its end has that."""
        own, arms = lived[life.index], sorted(self.config.arm_list(), key=lambda arm: not arm.is_trained)
        for arm in arms:
            if arm.kind != "other":
                self._examine(life, arm, own.policy if arm.has_weights else form, own.counts.get(arm.name, {}))
                continue
            for one in self.lives:
                other = self._other(one)
                if other and life in (one, other) and {one.index, other.index} <= set(lived):
                    self._examine(one, arm, lived[other.index].policy, {})

    def _other(self, life: Life) -> Life | None:
        """The life in another world whose adapter is the control of this one: the last before it, else the next."""
        others = [one for one in self.lives if one.world.seed != life.world.seed]
        before = [one for one in others if one.index < life.index]
        return before[-1] if before else next(iter(others), None)

    def _form(self) -> Policy:
        """What all arms lie on."""

        def update() -> Update:
            examples = (
                *form_examples(self.config.form_examples, self.config.seed),
                *self._said(self.config.form_rehearsed),
            )
            return Update(UNTOUCHED, FORM, examples, self.config.form, seeds.derive(self.config.seed, "form"))

        return common_start(self.runtime, "form_adapter", self.config.form_adapter, update)

    def _taught(self) -> Policy:
        """The writer that was shown perfect self-edits of other worlds."""
        seed, folder = seeds.derive(self.config.seed, TAUGHT), f"adapters/{TAUGHT}"

        def update() -> Update:
            examples = taught_examples(self.config.taught_examples, self.config.renderings, self.config.seed)
            self.runtime.progress.stage("the writer that is taught: training", 1)
            return Update(UNTOUCHED, folder, examples, self.config.form, seed)

        return self._version(VersionPlace(TAUGHT, 0, 1, ""), TAUGHT, update)

    def _live(self, life: Life, form: Policy) -> Lived:
        """All interactions of a life."""
        rests, policy, rested_at = life.rests(self.config.rests), form, 0
        resting = form
        self.runtime.progress.stage(f"world {life.world.seed}: {len(life.heard)} interactions", len(life.heard))
        counts: Counts = {}
        for start, end in _windows(len(life.heard), self.config.quick_every, rests):
            self._recur(life, start, end, policy, form, counts)
            notes = notes_after(life.world, life.heard[:end])
            if end in rests:
                policy = resting = self._rested(life, end, form)
                rested_at = end
                self._ask(life, end, WEIGHTS, policy, EXAM, [note.rule for note in notes], notes)
            elif examples := self._quick_examples(life, end, notes, rested_at):
                policy = self._life_version(life, end, resting, QUICK, examples, self.config.quick)
            self.runtime.progress.advance(end - start)
        return Lived(resting, counts)

    def _rested(self, life: Life, end: int, form: Policy) -> Policy:
        """One adapter for all that holds after so many interactions, beside which general text is rehearsed."""
        notes, inner = notes_after(life.world, life.heard[:end]), self.config.inner
        pieces = pieces_of(self.runtime.task, notes, self.edits)
        rehearsed = by_turns(self.rehearsals, self.config.rehearsed, inner.epochs)
        examples = [*self._varied(life, end, pieces, notes, inner), *rehearsed]
        return self._life_version(life, end, form, REST, examples, inner)

    def _quick_examples(self, life: Life, end: int, notes: Sequence[Note], rested_at: int) -> list[Example]:
        """What an update between rests studies: what is new, and some of what is older."""
        new, older = ([note for note in notes if (note.since >= rested_at) is is_new] for is_new in (True, False))
        if not new:
            return []
        held = pieces_of(self.runtime.task, older, self.edits)
        rng = random.Random(seeds.derive(self.config.seed, life.index, end, "replayed"))
        replayed = rng.sample(held, min(self.config.replayed, len(held)))
        pieces = [*pieces_of(self.runtime.task, new, self.edits), *replayed]
        return self._varied(life, end, pieces, notes, self.config.quick)

    def _varied(
        self, life: Life, end: int, pieces: Sequence[Piece], notes: Sequence[Note], training: TrainingConfig
    ) -> list[Example]:
        seed = seeds.derive(self.config.seed, life.world.seed, life.seed_index, end)
        lessons = [note.line for note in sorted(notes, key=lambda one: one.context.id)]
        return varied(pieces, lessons, training.epochs, self.config.in_sight, seed)

    def _life_version(
        self, life: Life, step: int, base: Policy, note: str, examples: Sequence[Example], training: TrainingConfig
    ) -> Policy:
        seed = seeds.derive(self.config.seed, life.world.seed, life.seed_index, step, note)
        update = Update(base, f"adapters/life-{life.index}-{step}", tuple(examples), training, seed)
        place = VersionPlace(WEIGHTS.name, life.index, step, life.heard[step - 1].rule.id)
        return self._version(place, note, lambda: update)

    def _version(self, place: VersionPlace, note: str, update: Callable[[], Update]) -> Policy:
        """An adapter, or the one that was made before."""
        ledger = self.runtime.ledger
        kept = ledger.versions(place.row)
        known = next((v for v in kept if (v.chain, v.step) == (place.chain, place.step)), None)
        if known and self.runtime.has_adapter(known.policy):
            return known.policy
        started, due = time.monotonic(), update()
        [result] = trained(self.runtime.writer, [due])
        policy = result.policies[0]
        if known:
            self.runtime.check_same([known.policy], [policy])
        made = Version(
            place.row, place.chain, place.step, place.about, "", policy, due.base, 1.0, note, result.losses,
            result.steps, result.tokens, time.monotonic() - started,
        )  # fmt: skip
        ledger.add_versions([made])
        return policy

    def _recur(self, life: Life, start: int, end: int, policy: Policy, form: Policy, counts: Counts) -> None:
        """The recurrences of a window, by the arms that learn from them or should know them by now; where there are no
        updates between rests, nobody is asked. A note of a playbook that was in sight has helped, or has not."""
        met = [one.rule for one in life.heard[start:end] if one.kind == "recurrence" and not one.is_told]
        if not met or not self.config.quick_every:
            return
        notes = notes_after(life.world, life.heard[:start])
        for arm in self.config.arm_list():
            if arm.kind not in ("weights", "playbook"):
                continue
            own = counts.setdefault(arm.name, {})
            sight = Sight(notes, self.count, dict(own))
            found = self._ask(life, end, arm, policy if arm.has_weights else form, RECURRENCE, met, notes, own)
            for rule, outcome in zip(met, found, strict=True):
                if rule.lesson in sight.of(arm, rule.recurrence.request) and outcome.accuracy is not None:
                    own[rule.id] = own.get(rule.id, 0) + (1 if outcome.accuracy == 1 else -1)

    def _examine(self, life: Life, arm: Arm, base: Policy, counts: Mapping[str, int]) -> None:
        """The exam of one arm at the end of a life, and what was never taught."""
        if life.seed_index and not arm.is_trained:
            return  # without trained weights a second life in the same world says the same
        notes, end = notes_after(life.world, life.heard), len(life.heard)
        self._ask(life, end, arm, base, EXAM, life.world.final(), notes, counts)
        if life.world.untaught and arm.kind in ("none", "weights", "other"):  # notes say nothing of them
            self._ask(life, end, arm, base, UNTAUGHT, life.world.untaught, notes, counts)

    def _probe(self, row: str, life: int, step: int, base: Policy) -> None:
        """What a version knows of what nobody told it: general text, common knowledge."""
        planner, stage = self._planner(base), Stage.sequence(row, life, step)
        lots = {GENERAL: self.probe.texts, KNOWN: self.probe.questions}
        planned = [
            planner.asked_only(what, Context("@probe", "", "", ()), TrialSpec((), queries))
            for what, queries in lots.items()
            if queries
        ]
        try_all(replace(self.runtime, progress=_Unwatched()), stage, planned)

    def _planner(self, base: Policy) -> TrialPlanner:
        runtime = self.runtime
        return TrialPlanner(runtime.task, runtime.trial_facts, base, self.config.inner, 1, self.config.seed)

    def _ask(
        self,
        life: Life,
        step: int,
        arm: Arm,
        base: Policy,
        what: str,
        rules: Sequence[HouseRule],
        notes: Sequence[Note],
        counts: Mapping[str, int] | None = None,
    ) -> list[Outcome]:
        """What an arm answers; one outcome a rule."""
        sight = Sight(notes, self.count, counts or {})
        stage = Stage.sequence(arm.name, life.index, step)
        planner = self._planner(base)
        planned = []
        for rule in rules:
            asked = (rule.recurrence,) if what == RECURRENCE else rule.exam
            spec = TrialSpec((), tuple(_queries(life.world, rule, what, asked, sight, arm)))
            planned.append(
                replace(
                    planner.asked_only(what, Context(rule_key(life.world, rule), "", "", ()), spec),
                    seed_index=life.seed_index,
                )
            )
        quiet = replace(self.runtime, progress=_Unwatched())
        return try_all(quiet, stage, planned)


class _Unwatched:
    """Progress of a part that the whole does not count."""

    def stage(self, name: str, total: int) -> None:
        """See `protocols.Progress.stage`."""

    def advance(self, done: int = 1, note: str = "", is_recalled: bool = False) -> None:
        """See `protocols.Progress.advance`."""


def rule_key(world: World, rule: HouseRule) -> str:
    """What a rule's outcomes are kept under; worlds have rules of the same ids."""
    return f"w{world.seed}-{rule.id}"


def lives_of(config: HouseRulesConfig) -> tuple[Life, ...]:
    """Every world of a run, as often as there are seeds: all with the first, then all with the next."""
    pairs = product(range(config.seeds), range(config.worlds))
    return tuple(_life(config, index, config.task_args.world + n, seed) for index, (seed, n) in enumerate(pairs))


def _life(config: HouseRulesConfig, index: int, world_seed: int, seed_index: int) -> Life:
    world = config.task_args.made(world_seed, max(config.renderings, config.of_conditions))
    return Life(index, world, seed_index, interactions(world))


def _queries(
    world: World, rule: HouseRule, what: str, asked: Sequence[Encounter], sight: Sight, arm: Arm
) -> Iterator[Query]:
    for number, one in enumerate(asked, 1):
        lines = sight.of(arm, one.request)
        yield put_query(f"{rule_key(world, rule)}-{what}{number}", one.request, one.action, lines)


def _windows(n: int, every: int, rests: Sequence[int]) -> list[tuple[int, int]]:
    """[start, end) of interactions between updates: every few, and wherever there is a rest."""
    ends = sorted({*range(every, n + 1, every)} | {*rests, n}) if every else sorted({*rests, n})
    return list(zip([0, *ends[:-1]], ends, strict=True))
