"""L3. Who writes the self-edits about what an agent is told in a world."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.learn.house_rules.memory import Interaction, Note, notes_after
from selfedit.learn.house_rules.settings import HouseRulesConfig
from selfedit.loop.runtime import Runtime
from selfedit.records import SHARED_EDITS, Policy, SelfEdit, digest
from selfedit.tasks.episodes.edits import oracle_edit, template_edit
from selfedit.tasks.episodes.world import World


def write_about(
    config: HouseRulesConfig, runtime: Runtime, world: World, heard: Sequence[Interaction], reader: Policy
) -> dict[str, SelfEdit]:
    """Self-edits about all that is ever told in a life, by context."""
    told = [n for n, one in enumerate(heard, 1) if one.is_told]
    notes = [notes_after(world, heard[:end])[-1] for end in told]
    written = [_by_rule(config, note) for note in notes]
    runtime.ledger.add_edits(written)
    return {edit.context_id: edit for edit in written}


def _by_rule(config: HouseRulesConfig, note: Note) -> SelfEdit:
    if config.writer == "oracle":
        text = oracle_edit(note.rule, config.renderings)
    else:
        text = template_edit(note.rule.lesson, note.rule.meeting)
    key = digest(config.writer, note.context.id, text)
    return SelfEdit(key, note.context.id, SHARED_EDITS, 0, 0, text, 0, writer=config.writer)
