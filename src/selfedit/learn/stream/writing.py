"""L3. Who writes the self-edits about the documents of a stream.

oracle    knows what a document says and what of it still holds
template  the document's own sentences
policy    the model, untouched: those sentences, and its questions with answers
taught    likewise, after it was trained on perfect self-edits of other worlds
"""

from __future__ import annotations

import random
from collections.abc import Collection

from selfedit import seeds
from selfedit.learn.stream.settings import StreamConfig
from selfedit.learn.stream.study import StudiedLine, lines_of
from selfedit.loop.runtime import Runtime
from selfedit.loop.writing import WritingPlan, write_edits
from selfedit.records import SHARED_EDITS, Example, Policy, SelfEdit, Stage, digest
from selfedit.tasks.streams.edits import as_replied, oracle_lines, perfect_reply, template_lines
from selfedit.tasks.streams.events import DocumentEvent, DocumentStream
from selfedit.tasks.streams.task import ask_about, event_context
from selfedit.tasks.streams.world import make_document_stream

_TAUGHT_WORLDS = 2_000_000_000
"""Seeds of the worlds that the taught writer learns on begin here: behind those of the reader."""


def write_about(
    config: StreamConfig, runtime: Runtime, stream: DocumentStream, chain: int, author: Policy
) -> dict[int, SelfEdit]:
    """Self-edits about every state of every document, by the number of its event.

    Args:
        author: the model that writes, where one does.
    """
    told = [event for event in stream.events if event.text]
    if config.writer in ("policy", "taught"):
        plan = WritingPlan(Stage.of("synthetic", chain), author, 1, config.sampling, config.seed)
        written = write_edits(runtime, plan, [event_context(stream, event) for event in told])
    else:
        written = [_by_rule(config, stream, event) for event in told]
        runtime.ledger.add_edits(written)
    of = {edit.context_id: edit for edit in written}
    return {one.number: of[event_context(stream, one).id] for one in told}


def studied_lines(
    config: StreamConfig, event: DocumentEvent, edit: SelfEdit, valid: Collection[tuple[int, str]] | None
) -> list[StudiedLine]:
    """What is trained on of a document.

    Args:
        valid: (event, fact) that still hold, where somebody knows; None: all.
    """
    if config.writer == "oracle":
        keys = {fact.key for fact in event.facts if valid is None or (event.number, fact.key) in valid}
        text = oracle_lines(event, keys, config.renderings)
        return lines_of(event, text) if text else []
    own = lines_of(event, template_lines(event))
    if config.writer == "template" or edit.invalid:
        return own
    return [*own, *lines_of(event, as_replied(edit.text))]


def taught_examples(n: int, renderings: int, seed: int) -> tuple[Example, ...]:
    """Documents of other worlds, each with a perfect self-edit."""
    found = []
    for number in range(n):
        rng = random.Random(seeds.derive("taught", seed, number))
        stream = make_document_stream(_TAUGHT_WORLDS + rng.randrange(10**9), 8, 3, 0.4, 0)
        event = rng.choice(stream.events)
        found.append(Example(perfect_reply(event, renderings), ask_about(event.title, event.text)))
    return tuple(found)


def _by_rule(config: StreamConfig, stream: DocumentStream, event: DocumentEvent) -> SelfEdit:
    context, writer = event_context(stream, event), config.writer
    keys = {fact.key for fact in event.facts}
    text = oracle_lines(event, keys, config.renderings) if writer == "oracle" else template_lines(event)
    key = digest(writer, context.id, text)
    return SelfEdit(key, context.id, SHARED_EDITS, 0, 0, text, 0, writer=writer)
