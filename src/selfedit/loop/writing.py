"""L3. Self-edits are written, by the policy or by a writer from elsewhere; each is recorded as written, with the reason
if it cannot be studied.

1. Contexts are written about in chunks that are fixed by the whole list, for the reason that fixes the groups of
   trials. What a writer from elsewhere says does not depend on what shares its chunk, so that it is asked only about
   the contexts that miss self-edits.
2. Where a task asks in two steps, the first replies of a chunk are followed by all its follow-ups in one batch.
3. A text that a writer fails to deliver is no self-edit, not even an invalid one: what was written is kept, and the run
   ends with the reason, to be resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from selfedit import seeds
from selfedit.loop.kit import Kit
from selfedit.loop.trials import study_of
from selfedit.records import Context, Edit, InvalidEdit, Policy, Prompt, Sampling, SelfeditError, Written, digest
from selfedit.seams import Task

Draw = Callable[[Sequence[Prompt], int, Sequence[int]], Sequence[Sequence[Written | str]]]
"""(prompts, n, a seed for each prompt) → n texts for each prompt; a string names why there is no text."""


def write_edits(
    kit: Kit,
    stage: str,
    policy: Policy,
    contexts: Sequence[Context],
    n: int,
    sampling: Sampling,
    run_seed: int,
    draw: Draw | None = None,
    writer: str = "",
) -> list[Edit]:
    """`n` self-edits for each context, in order; those that the ledger of `stage` holds are not written again.

    `draw` writes the texts of the `writer` named; without it, the policy writes.

    Raises:
        SelfeditError: some could not be written; those that could are in the ledger.
    """
    desk = _Desk(kit, stage, policy, n, sampling, run_seed, draw or _policy_draw(kit, policy, sampling), writer)
    size, total = max(1, kit.rows // n), n * len(contexts)
    kit.progress.stage(f"{stage}: writing self-edits", total)
    edits: list[Edit] = []
    reasons: list[str] = []
    for chunk in (contexts[start : start + size] for start in range(0, len(contexts), size)):
        results, note = desk.write(chunk)
        written = [result for result in results if isinstance(result, Edit)]
        edits += written
        reasons += [result for result in results if isinstance(result, str)]
        kit.progress.advance(len(written), note)
        if not written:
            break  # An outage: the chunks to come would only wait for it as well.
    if reasons:
        lost = f"{total - len(edits)} of {total} self-edits could not be written"
        raise SelfeditError(f"{stage}: {lost}: {reasons[0]}; run again to resume")
    return edits


@dataclass(frozen=True, slots=True)
class _Draft:
    """One self-edit that is to be written."""

    key: str
    context: Context
    index: int
    seed: int
    """Of its second step."""


@dataclass(frozen=True, slots=True)
class _Desk:
    """What all self-edits of a stage have in common; writes those of one chunk at a time."""

    kit: Kit
    stage: str
    policy: Policy
    n: int
    sampling: Sampling
    run_seed: int
    draw: Draw
    writer: str

    def write(self, chunk: Sequence[Context]) -> tuple[list[Edit | str], str]:
        """A self-edit, or why there is none, for each draw about each context; and a note for who is watching."""
        drafts_C_E = [self._drafts(context) for context in chunk]
        known = {edit.key: edit for edit in self.kit.ledger.edits(self.stage)}
        todo = [drafts_E for drafts_E in drafts_C_E if any(draft.key not in known for draft in drafts_E)]
        results: dict[str, Edit | str] = {}
        if todo:
            results = self._write_all(todo if self.writer else drafts_C_E)
            edits = [result for result in results.values() if isinstance(result, Edit)]
            self.kit.ledger.add_edits([edit for edit in edits if edit.key not in known])
        note = "" if todo else "from the ledger"
        return [known.get(draft.key) or results[draft.key] for drafts_E in drafts_C_E for draft in drafts_E], note

    def _drafts(self, context: Context) -> list[_Draft]:
        prompt, seed = self.kit.task.prompt(context), self._seed(context)
        parts = [dict(self.kit.facts), self.policy.digest, context.id, prompt, self.sampling, seed]
        by = [self.writer] if self.writer else []
        return [
            _Draft(digest(*parts, index, *by), context, index, seeds.derive(seed, "follow-ups", index))
            for index in range(self.n)
        ]

    def _seed(self, context: Context) -> int:
        return seeds.derive(self.run_seed, "write", self.stage, context.id)

    def _write_all(self, drafts_C_E: Sequence[Sequence[_Draft]]) -> dict[str, Edit | str]:
        contexts = [drafts_E[0].context for drafts_E in drafts_C_E]
        prompts = [self.kit.task.prompt(context) for context in contexts]
        with self.kit.timed(f"{self.stage}/write"):
            replies_C_E = self.draw(prompts, self.n, [self._seed(context) for context in contexts])
            drafts = [draft for drafts_E in drafts_C_E for draft in drafts_E]
            return self._finish(drafts, [reply for replies_E in replies_C_E for reply in replies_E])

    def _finish(self, drafts: Sequence[_Draft], replies: Sequence[Written | str]) -> dict[str, Edit | str]:
        """First replies become self-edits: as they stand, or through a second step."""
        texts = {draft.key: reply for draft, reply in zip(drafts, replies, strict=True)}
        asked: dict[_Draft, Sequence[Prompt]] = {}
        invalid: dict[str, str] = {}
        for draft, reply in zip(drafts, replies, strict=True):
            if isinstance(reply, Written):
                try:
                    asked[draft] = _follow_ups(self.kit.task, draft.context, reply.text, draft.seed)
                except InvalidEdit as reason:
                    invalid[draft.key] = str(reason) or "no reason given"
        texts.update(self._second_step(asked))
        return {
            draft.key: text if isinstance(text, str) else self._edit(draft, text, invalid.get(draft.key, ""))
            for draft, text in ((draft, texts[draft.key]) for draft in drafts)
        }

    def _second_step(self, asked: Mapping[_Draft, Sequence[Prompt]]) -> dict[str, Written | str]:
        """The replies to each draft's follow-ups as one text, all asked together."""
        prompts = [prompt for follow_ups in asked.values() for prompt in follow_ups]
        seeds_P = [
            seeds.derive(draft.seed, "follow-up", number)
            for draft, follow_ups in asked.items()
            for number in range(len(follow_ups))
        ]
        replies = iter(self.draw(prompts, 1, seeds_P) if prompts else ())
        return {
            draft.key: _joined([next(replies)[0] for _ in follow_ups])
            for draft, follow_ups in asked.items()
            if follow_ups
        }

    def _edit(self, draft: _Draft, text: Written, invalid: str = "") -> Edit:
        study = invalid or study_of(self.kit.task, draft.context, text.text)
        return Edit(
            key=draft.key,
            context_id=draft.context.id,
            stage=self.stage,
            index=draft.index,
            policy=self.policy.version,
            text=text.text,
            tokens=text.tokens,
            invalid=study if isinstance(study, str) else "",
            writer=self.writer,
        )


def _policy_draw(kit: Kit, policy: Policy, sampling: Sampling) -> Draw:
    return lambda prompts, n, seeds_P: kit.engine.write(policy, kit.home, prompts, n, sampling, seeds_P)


def _follow_ups(task: Task, context: Context, reply: str, seed: int) -> Sequence[Prompt]:
    """What the task asks next; a task that knows of no second step asks nothing. Raises InvalidEdit."""
    ask: Callable[[Context, str, int], Sequence[Prompt]] | None = getattr(task, "follow_ups", None)
    return ask(context, reply, seed) if ask else ()


def _joined(replies: Sequence[Written | str]) -> Written | str:
    """The replies of a second step as one text; a failure where one of them is."""
    texts = [reply for reply in replies if isinstance(reply, Written)]
    failures = [reply for reply in replies if isinstance(reply, str)]
    if failures:
        return failures[0]
    return Written(
        "\n\n".join(text.text for text in texts),
        sum(text.tokens for text in texts),
        all(text.is_finished for text in texts),
    )
