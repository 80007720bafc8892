"""L3. Self-edits are written, by the policy or by a writer from elsewhere; each is recorded as written, with the reason
if it cannot be studied.

1. Contexts are written about in chunks that are fixed by the whole list, for the reason that fixes the groups of
   trials. What a writer from elsewhere says does not depend on what shares its chunk, so that it is asked only about
   the contexts that miss self-edits.
2. Where a task asks in two steps, the first replies of a chunk are followed by all its follow-ups in one batch.
3. A text that a writer fails to deliver is no self-edit, not even an invalid one: what was written is kept, and the run
   ends with the reason, to be resumed.
4. A context that is too long for the model that writes has invalid self-edits, with the reason, and the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from selfedit import seeds
from selfedit.errors import InvalidEdit, SelfeditError
from selfedit.loop.cutting import cut
from selfedit.loop.runtime import Runtime
from selfedit.loop.trials import compile_edit
from selfedit.protocols import Done, Engine, Task, TwoStep
from selfedit.records import (
    Completion,
    Context,
    Failed,
    Generation,
    Invalid,
    Policy,
    Prompt,
    SamplingParams,
    SelfEdit,
    Stage,
    digest,
)
from selfedit.thinking import spoken

Written = Completion | Invalid | Failed
"""A text; or why there can be none, or why there is none as yet."""
Write = Callable[[Iterable[Sequence["Draw"]]], Iterator[Done[Written]]]
"""Groups of draws → their texts, each group as it ends."""


NOTHING = Completion("", 0, False)
"""In the place of a text that there cannot be."""


@dataclass(frozen=True, slots=True)
class Draw:
    """A text to be written by whoever writes."""

    prompt: Prompt
    """What is asked."""
    seed: int
    """Common to all draws of the prompt."""
    number: int
    """Which of them, from 0."""


def engine_write(engine: Engine, policy: Policy, sampling: SamplingParams) -> Write:
    """A version of a model writes."""

    def write(groups: Iterable[Sequence[Draw]]) -> Iterator[Done[Written]]:
        for done in engine.generate(
            [Generation(policy, d.prompt, sampling, seeds.derive(d.seed, "draw", d.number)) for d in group]
            for group in groups
        ):
            yield Done(done.group, done.results)

    return write


@dataclass(frozen=True, slots=True)
class WritingPlan:
    """How the self-edits of a stage are written."""

    stage: Stage
    """Where in the run."""
    policy: Policy
    """The version that writes, where a policy does."""
    n: int
    """Self-edits for each context."""
    sampling: SamplingParams
    """How they are drawn."""
    seed: int
    """The run's seed."""
    writer: str = ""
    """Who writes where the policy does not."""


def write_edits(
    runtime: Runtime, plan: WritingPlan, contexts: Sequence[Context], write: Write | None = None
) -> list[SelfEdit]:
    """Self-edits for each context, in order; those that the ledger holds are not written again.

    `write` writes the texts of the plan's writer; without it, the policy writes.

    Raises:
        SelfeditError: some could not be written; those that could are in the ledger.
    """
    desk = _Desk(runtime, plan, write or engine_write(runtime.writer, plan.policy, plan.sampling))
    size, total = max(1, runtime.texts // plan.n), plan.n * len(contexts)
    runtime.progress.stage(f"{plan.stage}: writing self-edits", total)
    known = {edit.key: edit for edit in runtime.ledger.edits(plan.stage)}
    chunks = cut(contexts, size, runtime.cut_for)
    drafts_K = [desk.due([desk.drafts(context) for context in chunk], known) for chunk in chunks]
    if n_known := total - sum(map(len, drafts_K)):
        runtime.progress.advance(n_known, is_recalled=True)
    results: dict[str, SelfEdit | Failed] = dict(known)
    for written in desk.write_all([drafts for drafts in drafts_K if drafts]):
        fresh = [one for one in written.values() if isinstance(one, SelfEdit)]
        runtime.ledger.add_edits([edit for edit in fresh if edit.key not in known])
        results = {**written, **results}
        runtime.progress.advance(len(fresh))
        if not fresh:
            break  # An outage: the chunks to come would only wait for it as well.
    found = [(context.id, results.get(draft.key)) for context in contexts for draft in desk.drafts(context)]
    edits = [one for _, one in found if isinstance(one, SelfEdit)]
    if len(edits) < total:
        about, reason = next((name, one.reason) for name, one in found if isinstance(one, Failed))
        lost = f"{total - len(edits)} of {total} self-edits could not be written"
        told = f"{plan.stage}: {lost}: {reason} (first: {about}); run again to resume"
        raise SelfeditError(f"{told}, or leave that one out where it alone is refused" if edits else told)
    return edits


@dataclass(frozen=True, slots=True)
class _Draft:
    """One self-edit that is to be written."""

    key: str
    context: Context
    draw: Draw
    seed: int
    """Of its second step."""


@dataclass(frozen=True, slots=True)
class _Desk:
    """What all self-edits of a stage have in common."""

    runtime: Runtime
    plan: WritingPlan
    write: Write

    def drafts(self, context: Context) -> list[_Draft]:
        """What is to be written about one context."""
        plan, prompt = self.plan, self.runtime.task.prompt(context)
        seed = seeds.derive(plan.seed, "write", plan.stage, context.id)
        parts = [dict(self.runtime.writer.facts), plan.policy.digest, context.id, prompt, plan.sampling, seed]
        by = [plan.writer] if plan.writer else []
        return [
            _Draft(digest(*parts, i, *by), context, Draw(prompt, seed, i), seeds.derive(seed, "follow-ups", i))
            for i in range(plan.n)
        ]

    def due(self, drafts_C_E: Sequence[Sequence[_Draft]], known: Mapping[str, SelfEdit]) -> list[_Draft]:
        """Of a chunk what is written; all of it where any is missing, for its numbers hang together."""
        todo = [drafts_E for drafts_E in drafts_C_E if any(draft.key not in known for draft in drafts_E)]
        return [
            draft for drafts_E in ((todo if self.plan.writer else drafts_C_E) if todo else ()) for draft in drafts_E
        ]

    def write_all(self, drafts_K: Sequence[Sequence[_Draft]]) -> Iterator[dict[str, SelfEdit | Failed]]:
        """The self-edits of each chunk as it ends, by key; or why there is none."""
        start = time.monotonic()
        for done in self.write([draft.draw for draft in drafts] for drafts in drafts_K):
            written = self._finish(drafts_K[done.group], done.results)
            self.runtime.ledger.add_timing(self.plan.stage, "write", time.monotonic() - start)
            yield written
            start = time.monotonic()

    def _finish(self, drafts: Sequence[_Draft], replies: Sequence[Written]) -> dict[str, SelfEdit | Failed]:
        """First replies become self-edits: as they stand, or through a second step."""
        texts: dict[str, Written] = {draft.key: reply for draft, reply in zip(drafts, replies, strict=True)}
        asked: dict[_Draft, Sequence[Prompt]] = {}
        invalid: dict[str, Invalid] = {}
        for draft, reply in zip(drafts, replies, strict=True):
            if isinstance(reply, Completion):
                try:
                    asked[draft] = _follow_ups(self.runtime.task, draft, reply.text)
                except InvalidEdit as reason:
                    invalid[draft.key] = Invalid(str(reason) or "no reason given")
        texts.update(self._second_step(asked))
        return {
            draft.key: text if isinstance(text, Failed) else self._edit(draft, text, invalid.get(draft.key))
            for draft, text in ((draft, texts[draft.key]) for draft in drafts)
        }

    def _second_step(self, asked: Mapping[_Draft, Sequence[Prompt]]) -> dict[str, Written]:
        """The replies to each draft's follow-ups as one text, all asked together."""
        draws = [
            Draw(prompt, seeds.derive(draft.seed, "follow-up", number), 0)
            for draft, prompts in asked.items()
            for number, prompt in enumerate(prompts)
        ]
        replies = iter([reply for done in self.write([draws]) for reply in done.results] if draws else ())
        return {draft.key: _joined([next(replies) for _ in prompts]) for draft, prompts in asked.items() if prompts}

    def _edit(self, draft: _Draft, written: Completion | Invalid, invalid: Invalid | None) -> SelfEdit:
        if isinstance(written, Invalid):
            invalid, written = Invalid(f"{draft.context.id}: {written.reason}"), NOTHING
        spec = invalid or compile_edit(self.runtime.task, draft.context, written.text)
        return SelfEdit(
            key=draft.key,
            context_id=draft.context.id,
            stage=self.plan.stage,
            index=draft.draw.number,
            policy=self.plan.policy.version,
            text=written.text,
            tokens=written.tokens,
            invalid=spec.reason if isinstance(spec, Invalid) else "",
            writer=self.plan.writer,
        )


def _follow_ups(task: Task, draft: _Draft, reply: str) -> Sequence[Prompt]:
    """What the task asks next. Raises InvalidEdit."""
    return task.follow_ups(draft.context, reply, draft.seed) if isinstance(task, TwoStep) else ()


def _joined(replies: Sequence[Written]) -> Written:
    """The replies of a second step as one text, each without its thoughts; the first failure where there is one, else
    why there can be no text."""
    texts = [reply for reply in replies if isinstance(reply, Completion)]
    lost = sorted(
        (reply for reply in replies if not isinstance(reply, Completion)), key=lambda r: isinstance(r, Invalid)
    )
    if lost:
        return lost[0]
    said = [said for said in (spoken(text.text) for text in texts) if said is not None]
    return Completion(
        "\n\n".join(said or [text.text for text in texts]),
        sum(text.tokens for text in texts),
        all(text.is_finished for text in texts),
    )
