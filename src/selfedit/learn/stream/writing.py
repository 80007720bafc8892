"""L3. Who writes the self-edits about the documents of a stream.

oracle    knows what a document says and what of it still holds
template  the document's own sentences
policy    the model, untouched: those sentences, and its questions with answers
taught    likewise, after it was trained on perfect self-edits of other worlds
checked   several drafts of the taught one: of their questions those that the reader answers likewise with the document
          in sight. What a document does not say is answered by each in its own way, and so falls.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence

from selfedit import seeds
from selfedit.learn.stream.settings import StreamConfig
from selfedit.learn.stream.study import StudiedLine, lines_of
from selfedit.loop.runtime import Runtime
from selfedit.loop.writing import WritingPlan, write_edits
from selfedit.records import SHARED_EDITS, Example, Policy, SelfEdit, Stage, digest
from selfedit.tasks.streams.edits import as_replied, oracle_lines, perfect_reply, read_lines, template_lines
from selfedit.tasks.streams.events import DocumentEvent, DocumentStream
from selfedit.tasks.streams.task import ask_about, event_context
from selfedit.tasks.streams.world import make_document_stream

Agree = Callable[[Sequence[tuple[DocumentEvent, str, str]]], Sequence[bool]]
"""Of (document, question, answer): whether the reader says the same."""
_TAUGHT_WORLDS = 2_000_000_000
"""Seeds of the worlds that the taught writer learns on begin here: behind those of the reader."""


def write_about(
    config: StreamConfig, runtime: Runtime, stream: DocumentStream, chain: int, author: Policy, agree: Agree
) -> dict[int, SelfEdit]:
    """Self-edits about every state of every document, by the number of its event.

    Args:
        author: the model that writes, where one does.
        agree: says of questions with answers which the reader answers likewise with the document in sight.
    """
    told = [event for event in stream.events if event.text]
    if config.writer in ("policy", "taught"):
        plan = WritingPlan(Stage.of("synthetic", chain), author, 1, config.sampling, config.seed)
        written = write_edits(runtime, plan, [event_context(stream, event) for event in told])
    elif config.writer == "checked":
        plan = WritingPlan(Stage.of("synthetic", chain), author, config.drafts, config.sampling, config.seed)
        drafts = write_edits(runtime, plan, [event_context(stream, event) for event in told])
        written = _checked(runtime, stream, told, drafts, agree)
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
    if config.writer == "checked":
        return [*own, *lines_of(event, edit.text)]
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


def _checked(
    runtime: Runtime, stream: DocumentStream, told: Sequence[DocumentEvent], drafts: Sequence[SelfEdit], agree: Agree
) -> list[SelfEdit]:
    """Of the drafts about each document the lines that the reader agrees with; those that the ledger holds are not
    checked again."""
    known = {edit.key: edit for edit in runtime.ledger.edits()}
    context_of = {event.number: event_context(stream, event).id for event in told}
    own = {n: [one for one in drafts if one.context_id == context_id] for n, context_id in context_of.items()}
    key_of = {n: digest("checked", [(one.key, one.text) for one in edits]) for n, edits in own.items()}
    due = [event for event in told if key_of[event.number] not in known]
    asked = [(event, *line) for event in due for line in _answered(own[event.number])]
    kept: dict[int, list[str]] = {event.number: [] for event in due}
    for (event, question, answer), is_agreed in zip(asked, agree(asked) if asked else (), strict=True):
        if is_agreed:
            kept[event.number].append(f"Question: {question}\nAnswer: {answer}")
    made = []
    for number, lines in kept.items():
        why, tokens = "" if lines else "the reader agrees with nothing of it", sum(one.tokens for one in own[number])
        edit = SelfEdit(
            key_of[number], context_of[number], SHARED_EDITS, 0, 0, "\n".join(lines), tokens, why, "checked"
        )
        made.append(edit)
    runtime.ledger.add_edits(made)
    fresh = {edit.key: edit for edit in made}
    return [fresh.get(key) or known[key] for key in key_of.values()]


def _answered(drafts: Sequence[SelfEdit]) -> list[tuple[str, str]]:
    """Questions of all drafts with their answers, each pair once."""
    valid = [read_lines(as_replied(edit.text)) for edit in drafts if not edit.invalid]
    return list(dict.fromkeys(pair for said in valid for pair in said.answered))


def _by_rule(config: StreamConfig, stream: DocumentStream, event: DocumentEvent) -> SelfEdit:
    context, writer = event_context(stream, event), config.writer
    keys = {fact.key for fact in event.facts}
    text = oracle_lines(event, keys, config.renderings) if writer == "oracle" else template_lines(event)
    key = digest(writer, context.id, text)
    return SelfEdit(key, context.id, SHARED_EDITS, 0, 0, text, 0, writer=writer)
