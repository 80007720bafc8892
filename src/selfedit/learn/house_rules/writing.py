"""L3. Who writes the self-edits about what an agent is told in a world.

    oracle    knows the world
    template  knows what was said, and no more
    policy    the model, untouched, shown examples of other rules
    taught    the model after it was trained on perfect self-edits of other worlds

What a model writes is checked by the model itself, without anybody who knows better. Each request that it drafted is
put to the adapter that reads, twice, with the lesson and others in sight. It is kept where both actions are the
lesson's: every word that the lesson has in common with its action is in them, at the same end, and the others stand in
the request. Studied is what was kept, with that action.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from selfedit import seeds
from selfedit.errors import InvalidEdit
from selfedit.learn.house_rules.form import WORLDS
from selfedit.learn.house_rules.memory import Interaction, Note, notes_after
from selfedit.learn.house_rules.settings import HouseRulesConfig
from selfedit.loop.runtime import Runtime
from selfedit.loop.trials import TrialPlanner, try_all
from selfedit.loop.writing import WritingPlan, write_edits
from selfedit.records import (
    SHARED_EDITS,
    UNTOUCHED,
    Context,
    Example,
    Outcome,
    Policy,
    Query,
    SelfEdit,
    Stage,
    TrialSpec,
    digest,
)
from selfedit.tasks.episodes.edits import oracle_edit, read_rendering, template_edit, write_rendering
from selfedit.tasks.episodes.prompts import ask_for_renderings, put_query
from selfedit.tasks.episodes.task import EpisodesTask, said_text
from selfedit.tasks.episodes.world import Encounter, World, make_world

CHECKED = "checked"
"""Row and method of what the reader says to drafted requests."""
_LISTS = 2
"""How often each is asked, with other lessons in sight."""
_OTHERS = 3
"""Lessons in sight beside the one that it is about."""
_MOST_CHECKED = 10
"""Requests of all drafts about one lesson."""


def write_about(
    config: HouseRulesConfig,
    runtime: Runtime,
    world: World,
    heard: Sequence[Interaction],
    reader: Policy,
    taught: Policy,
) -> dict[str, SelfEdit]:
    """Self-edits about all that is ever told in a life, by context.

    Args:
        reader: the adapter that all arms share.
        taught: the writer that was taught, where that one writes.
    """
    told = [n for n, one in enumerate(heard, 1) if one.is_told]
    notes = [notes_after(world, heard[:end])[-1] for end in told]
    if config.writer in ("oracle", "template"):
        texts = [_by_rule(config, note) for note in notes]
    else:
        texts = _by_model(config, runtime, world, notes, reader, taught)
    written = [_edit(config.writer, note.context, text) for note, text in zip(notes, texts, strict=True)]
    runtime.ledger.add_edits(written)
    return {edit.context_id: edit for edit in written}


def taught_examples(n: int, renderings: int, seed: int) -> tuple[Example, ...]:
    """Lessons of other worlds, each with a perfect self-edit."""
    found = []
    for number in range(n):
        rng = random.Random(seeds.derive("taught", seed, number))
        rule = rng.choice(make_world(WORLDS + rng.randrange(10**9), 12, 0).rules)
        prompt = ask_for_renderings(said_text(rule.lesson, rule.meeting), has_shots=False)
        found.append(Example(write_rendering((), rule.study[:renderings]), prompt))
    return tuple(found)


def _by_rule(config: HouseRulesConfig, note: Note) -> str:
    if config.writer == "oracle":
        return oracle_edit(note.rule, config.renderings_of(note.rule.kind))
    return template_edit(note.rule.lesson, note.rule.meeting)


def _edit(writer: str, context: Context, text: str) -> SelfEdit:
    return SelfEdit(digest(writer, context.id, text), context.id, SHARED_EDITS, 0, 0, text, 0, writer=writer)


def _by_model(
    config: HouseRulesConfig, runtime: Runtime, world: World, notes: Sequence[Note], reader: Policy, taught: Policy
) -> list[str]:
    """What was said, as the template has it, with the requests that were drafted and kept."""
    is_taught = config.writer == "taught"
    author = taught if is_taught else UNTOUCHED
    plan = WritingPlan(Stage.of("synthetic", world.seed), author, config.drafts, config.sampling, config.seed)
    asking = replace(runtime, task=EpisodesTask((), (), has_shots=not is_taught))
    drafts = write_edits(asking, plan, [note.context for note in notes])
    requests = [_drafted(note, [one.text for one in drafts if one.context_id == note.context.id]) for note in notes]
    told = [note.line for note in notes]
    planner = TrialPlanner(runtime.task, runtime.trial_facts, reader, config.inner, 1, config.seed)
    planned = [
        planner.asked_only(CHECKED, note.context, TrialSpec((), tuple(_checks(note, own, told, config.seed))))
        for note, own in zip(notes, requests, strict=True)
        if own
    ]
    said = try_all(runtime, Stage.sequence(CHECKED, world.seed, 0), planned)
    by_context = {outcome.context_id: outcome for outcome in said}
    return [
        write_rendering([note.line], (*read_rendering(_floor(note)).pairs, *kept))
        for note, own in zip(notes, requests, strict=True)
        for kept in [_kept(note, own, by_context.get(note.context.id), config.renderings)]
    ]


def _floor(note: Note) -> str:
    return template_edit(note.rule.lesson, note.rule.meeting)


def _drafted(note: Note, texts: Sequence[str]) -> list[str]:
    """Requests of some drafts, each once: not the one that the lesson was said about, and none that has its action."""
    key = _telling(note)
    found: dict[str, None] = {}
    for text in texts:
        for one in _pairs(text):
            if one.request != note.rule.meeting.request and not key & _words(one.request):
                found[one.request] = None
    return list(found)[:_MOST_CHECKED]


def _pairs(text: str) -> tuple[Encounter, ...]:
    try:
        return read_rendering(text).pairs
    except InvalidEdit:
        return ()


def _checks(note: Note, requests: Sequence[str], told: Sequence[str], seed: int) -> Iterator[Query]:
    """Every request so often, each time with other lessons in sight."""
    others = [line for line in told if line != note.line]
    for number, request in enumerate(requests):
        for turn in range(_LISTS):
            rng = random.Random(seeds.derive(seed, note.context.id, number, turn))
            lines = [note.line, *rng.sample(others, min(_OTHERS, len(others)))]
            rng.shuffle(lines)
            yield put_query(f"{note.context.id}-{number}-{turn}", request, note.rule.meeting.action, lines)


def _kept(note: Note, requests: Sequence[str], outcome: Outcome | None, most: int) -> list[Encounter]:
    """Requests to which the reader gives the lesson's action, whatever else is in sight."""
    found = []
    answers = iter(outcome.answers if outcome else ())
    for request in requests if outcome else ():
        actions = {" ".join(next(answers).text.split()) for _ in range(_LISTS)}
        if len(actions) == 1 and _is_of(note, request, action := actions.pop()):
            found.append(Encounter(request, action))
    return found[:most]


def _is_of(note: Note, request: str, action: str) -> bool:
    said, key = _words(action), _telling(note)
    is_alike = _ends(action, key) == _ends(note.rule.meeting.action, key)
    return bool(key) and key <= said and said - key <= _words(request) and is_alike


def _ends(action: str, key: set[str]) -> tuple[bool, bool]:
    """Whether an action begins, and whether it ends, with what it has of its rule."""
    words = action.lower().split() or [""]
    return words[0] in key, words[-1] in key


def _telling(note: Note) -> set[str]:
    """What a lesson's action has of its rule: `dock` and `k7`, or the word that is put behind prices."""
    return _words(note.line) & _words(note.rule.meeting.action)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[\w:]+", text.lower()))
