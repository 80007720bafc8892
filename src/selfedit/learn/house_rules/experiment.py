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

import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from selfedit import seeds
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.learn.house_rules.memory import CountTokens, Interaction, Note, Sight, interactions, notes_after
from selfedit.learn.house_rules.settings import Arm, HouseRulesConfig
from selfedit.loop.runtime import Runtime
from selfedit.loop.trials import TrialPlanner, compile_edit, try_all
from selfedit.loop.writing import WritingPlan, write_edits
from selfedit.records import (
    SHARED_EDITS,
    UNTOUCHED,
    Context,
    Example,
    Invalid,
    Outcome,
    Policy,
    Query,
    SelfEdit,
    Stage,
    TrainingConfig,
    TrialSpec,
    Update,
    UpdateResult,
    Version,
    WarmUp,
    digest,
)
from selfedit.store.adapters import adapter_in, is_adapter
from selfedit.tasks.episodes.edits import oracle_edit, template_edit
from selfedit.tasks.episodes.prompts import put_example, put_query
from selfedit.tasks.episodes.world import Encounter, HouseRule, World, make_world

WEIGHTS = Arm("weights")
EXAM, RECURRENCE, UNTAUGHT = "exam", "recurrence", "untaught"
"""Methods of outcomes: unseen wordings of what was taught; the second meeting; what was never taught."""
REST, QUICK = "rest", "quick"
"""Notes of versions."""
FORM = "adapters/form"
"""Where the adapter lies that all arms share, in the folder of the run that makes it."""
_FORM_WORLDS = 1_000_000
"""Seeds of the worlds that the shared adapter is made on begin here; worlds of an experiment are below."""
_FORM_SIZES = (0, 0, 1, 1, 2, 3, 4, 6, 8, 12)
"""Rules in sight of one example, drawn evenly."""


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


@dataclass(frozen=True)
class HouseRules:
    """The experiment, ready to be run."""

    config: HouseRulesConfig
    runtime: Runtime
    count: CountTokens
    """Counts the model's tokens."""
    lives: tuple[Life, ...]
    edits: dict[str, SelfEdit] = field(default_factory=dict)
    """By context, what was written about it."""

    def run(self) -> None:
        """Makes the shared adapter, lives through every life, and examines all arms.

        Raises:
            SelfeditError: something could not be trained.
        """
        form, arms = self._form(), self.config.arm_list()
        finals: dict[int, Policy] = {}
        for life in self.lives:
            self._write(life)
            finals[life.index] = self._live(life, form)
            for arm in (one for one in arms if one.kind != "other"):
                has_weights = arm.has_weights or arm.kind == "weights"
                self._examine(life, arm, finals[life.index] if has_weights else form)
        for life in self.lives:
            others = [one.index for one in self.lives if one.world.seed != life.world.seed]
            for arm in (one for one in arms if one.kind == "other" and others):
                self._examine(life, arm, finals[others[life.index % len(others)]])

    def _form(self) -> Policy:
        """What all arms lie on."""
        ledger = self.runtime.ledger
        if folder := self.config.form_adapter:
            if not is_adapter(folder):
                told = f" {folder}: no adapter lies there; run what makes it first"
                raise SettingError(Field("form_adapter"), told)
            return adapter_in(folder)
        known = ledger.warm_up()
        if known and self.runtime.has_adapter(known.policy):
            return known.policy
        examples = form_examples(self.config.form_examples, self.config.seed)
        started = time.monotonic()
        self.runtime.progress.stage("the adapter that all arms share: training", 1)
        result = self._trained(UNTOUCHED, FORM, examples, self.config.form, seeds.derive(self.config.seed, "form"))
        self.runtime.progress.advance()
        seconds = time.monotonic() - started
        made = WarmUp(result.policies[0], 0, len(examples), result.losses, result.steps, result.tokens, seconds)
        if known:
            self.runtime.check_same([known.policy], [made.policy])
        ledger.add_warm_up(made)
        return made.policy

    def _trained(
        self, base: Policy, folder: str, examples: Sequence[Example], training: TrainingConfig, seed: int
    ) -> UpdateResult:
        update = Update(base, folder, tuple(examples), training, seed)
        [result] = [one for done in self.runtime.writer.update([[update]]) for one in done.results]
        if result.failure or not all(map(math.isfinite, result.losses)):
            raise SelfeditError(f"{folder} could not be trained: {result.failure or 'its loss is not finite'}")
        return result

    def _write(self, life: Life) -> None:
        """Self-edits about all that is ever told in a life."""
        contexts = {}
        for end in range(1, len(life.heard) + 1):
            if life.heard[end - 1].is_told:
                note = notes_after(life.world, life.heard[:end])[-1]
                contexts[note.context.id] = note
        if self.config.writer == "policy":
            plan = WritingPlan(
                Stage.of("synthetic", life.world.seed), UNTOUCHED, 1, self.config.sampling, self.config.seed
            )
            written = write_edits(self.runtime, plan, [note.context for note in contexts.values()])
        else:
            written = [self._by_rule(note) for note in contexts.values()]
            self.runtime.ledger.add_edits(written)
        self.edits.update({edit.context_id: edit for edit in written})

    def _by_rule(self, note: Note) -> SelfEdit:
        writer = self.config.writer
        if writer == "oracle":
            text = oracle_edit(note.rule, self.config.renderings)
        else:
            text = template_edit(note.rule.lesson, note.rule.meeting)
        key = digest(writer, note.context.id, text)
        return SelfEdit(key, note.context.id, SHARED_EDITS, 0, 0, text, 0, writer=writer)

    def _examples(self, notes: Sequence[Note]) -> list[Example]:
        """What is studied of some notes, by id; of a self-edit that cannot be studied, what was said alone."""
        found: list[Example] = []
        for note in sorted(notes, key=lambda one: one.context.id):
            edit = self.edits[note.context.id]
            spec = compile_edit(self.runtime.task, note.context, None if edit.invalid else edit.text)
            if isinstance(spec, Invalid):
                spec = self.runtime.task.compile(note.context, None)
            found += spec.examples
        return list(dict.fromkeys(found))

    def _live(self, life: Life, form: Policy) -> Policy:
        """All interactions of a life; returns the adapter of its last rest."""
        rests, policy, rested_at = life.rests(self.config.rests), form, 0
        resting = form
        self.runtime.progress.stage(f"world {life.world.seed}: {len(life.heard)} interactions", len(life.heard))
        counts: dict[str, dict[str, int]] = {}
        for start, end in _windows(len(life.heard), self.config.quick_every, rests):
            self._recur(life, start, end, policy, form, counts)
            notes = notes_after(life.world, life.heard[:end])
            if end in rests:
                policy = resting = self._version(life, end, form, REST, self._examples(notes), self.config.inner)
                rested_at = end
                self._ask(life, end, WEIGHTS, policy, EXAM, [note.rule for note in notes], notes)
            elif new := [note for note in notes if note.since >= rested_at]:
                examples = self._examples(new) + self._replayed(life, end, [n for n in notes if n.since < rested_at])
                policy = self._version(life, end, resting, QUICK, examples, self.config.quick)
            self.runtime.progress.advance(end - start)
        return resting

    def _replayed(self, life: Life, end: int, older: Sequence[Note]) -> list[Example]:
        every = self._examples(older)
        rng = random.Random(seeds.derive(self.config.seed, life.index, end, "replayed"))
        return rng.sample(every, min(self.config.replayed, len(every)))

    def _version(
        self, life: Life, step: int, base: Policy, note: str, examples: Sequence[Example], training: TrainingConfig
    ) -> Policy:
        """An adapter on `base`, or the one that was made before."""
        ledger = self.runtime.ledger
        known = next((v for v in ledger.versions(WEIGHTS.name) if (v.chain, v.step) == (life.index, step)), None)
        if known and self.runtime.has_adapter(known.policy):
            return known.policy
        started = time.monotonic()
        seed = seeds.derive(self.config.seed, life.world.seed, life.seed_index, step, note)
        result = self._trained(base, f"adapters/life-{life.index}-{step}", examples, training, seed)
        policy = result.policies[0]
        if known:
            self.runtime.check_same([known.policy], [policy])
        last = life.heard[step - 1].rule.id
        made = Version(
            WEIGHTS.name, life.index, step, last, "", policy, base, 1.0, note, result.losses, result.steps,
            result.tokens, time.monotonic() - started,
        )  # fmt: skip
        ledger.add_versions([made])
        return policy

    def _recur(
        self, life: Life, start: int, end: int, policy: Policy, form: Policy, counts: dict[str, dict[str, int]]
    ) -> None:
        """The recurrences of a window, by the arms that learn from them or should know them by now; where there are no
        updates between rests, nobody is asked."""
        if not self.config.quick_every:
            return
        met = [one.rule for one in life.heard[start:end] if one.kind == "recurrence" and not one.is_told]
        notes = notes_after(life.world, life.heard[:start])
        for arm in self.config.arm_list():
            if not met or arm.kind not in ("weights", "playbook"):
                continue
            own = counts.setdefault(arm.name, {})
            base = policy if arm.kind == "weights" or arm.has_weights else form
            found = self._ask(life, end, arm, base, RECURRENCE, met, notes, own)
            seen = {note.rule.id for note in notes}
            for rule, outcome in zip(met, found, strict=True):
                if rule.id in seen and outcome.accuracy is not None:
                    own[rule.id] = own.get(rule.id, 0) + (1 if outcome.accuracy == 1 else -1)

    def _examine(self, life: Life, arm: Arm, base: Policy) -> None:
        """The exam of one arm at the end of a life, and what was never taught."""
        if life.seed_index and not (arm.has_weights or arm.kind in ("weights", "other")):
            return  # without trained weights a second life in the same world says the same
        notes, end = notes_after(life.world, life.heard), len(life.heard)
        counts = self._counts(life, arm) if arm.kind == "playbook" else {}
        self._ask(life, end, arm, base, EXAM, life.world.final(), notes, counts)
        if life.world.untaught and arm.kind in ("none", "weights", "other"):  # notes say nothing of them
            self._ask(life, end, arm, base, UNTAUGHT, life.world.untaught, notes, counts)

    def _counts(self, life: Life, arm: Arm) -> dict[str, int]:
        """What the recurrences said of each note."""
        found: dict[str, int] = {}
        for outcome in self.runtime.ledger.outcomes():
            stage = outcome.stage
            if (stage.row, stage.chain, outcome.method) == (arm.name, life.index, RECURRENCE):
                found[outcome.context_id] = found.get(outcome.context_id, 0) + (1 if outcome.accuracy == 1 else -1)
        return {rule.id: found.get(rule_key(life.world, rule), 0) for rule in life.world.rules}

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
        planner = TrialPlanner(
            self.runtime.task, self.runtime.trial_facts, base, self.config.inner, 1, self.config.seed
        )
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
    """Every world of a run, as often as there are seeds."""
    settings = config.task_args
    worlds = [make_world(settings.world + n, settings.rules, settings.untaught) for n in range(config.worlds)]
    pairs = [(world, n) for world in worlds for n in range(config.seeds)]
    return tuple(Life(index, world, n, interactions(world)) for index, (world, n) in enumerate(pairs))


def form_examples(n: int, seed: int) -> tuple[Example, ...]:
    """Requests with their actions, each of a world of its own, with the rule and others in sight or without any; in no
    words of the exam."""
    found = []
    for number in range(n):
        rng = random.Random(seeds.derive("form", seed, number))
        world = make_world(_FORM_WORLDS + rng.randrange(10**9), rng.choice([12, 24, 48]), 0)
        rule = rng.choice(world.rules)
        met = rng.choice([rule.meeting, rule.recurrence, *rule.study])
        size = min(rng.choice(_FORM_SIZES), len(world.rules))
        lines = rng.sample([one.lesson for one in world.rules if one is not rule], max(0, size - 1))
        lines += [rule.lesson] if size else []
        rng.shuffle(lines)
        found.append(put_example(met.request, met.action, lines))
    return tuple(found)


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
