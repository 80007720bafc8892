"""L3. A text is read, or written, past its window: a line of self-edits at each boundary, an update, a check, and on.

The adapter is the session's alone. When it ends, nothing of it is left: the model, its library and every run are as
they were. What is worth keeping are the lines, which can be given to `learn` like any document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from selfedit import seeds
from selfedit.protocols import MovesOn, MovingTexts
from selfedit.records import UNTOUCHED, MidQuestion, MidStudied, MidStudy, Policy, Prompt, SamplingParams
from selfedit.think.lines import LINE_TOKENS, EditLine, Notebook, policy_notes, policy_prompt, template_notes
from selfedit.think.pacing import AllowedUpdate, UpdatePace
from selfedit.think.segments import segments_of
from selfedit.think.settings import ThinkSettings

_ANSWER_TOKENS = 48


@dataclass(frozen=True, slots=True)
class Boundary:
    """What was done behind a segment."""

    number: int
    """Of the segment, from 1."""
    tokens: int
    """Of the segment."""
    lines: tuple[str, ...]
    """Self-edit lines that were written about it."""
    replayed: int
    """Earlier lines that were studied again."""
    studied: MidStudied
    """What came of the update."""
    dropped: int
    """Segments that have left the window."""
    visible: int
    """Tokens that are still visible."""
    cut: str = ""
    """Why the update was made smaller, or not at all, to keep within its seconds; empty where it was not."""


@dataclass(frozen=True, slots=True)
class PastAnswer:
    """A question's answer."""

    question: str
    text: str
    """With what was learnt on the way."""
    without: str
    """The same model with the window alone."""


class ReadingSession:
    """One text under way.

    Args:
        engine: reads and learns.
        base: what lies beneath the session's adapter.
    """

    def __init__(self, engine: MovesOn, settings: ThinkSettings, base: Policy = UNTOUCHED) -> None:
        self.engine, self.settings = engine, settings
        self.texts: MovingTexts = engine.moving(1, settings.inner, base, False, settings.seed)
        self.notebook = Notebook()
        self.pace = UpdatePace(settings.budget_s, settings.inner.epochs) if settings.budget_s else None
        """What fits into an update's seconds; None where they are not bounded."""
        self.number = 0
        self._lengths: list[int] = []
        """Tokens of each visible segment."""

    def segments(self, text: str) -> tuple[str, ...]:
        """The text as it is read."""
        return segments_of(text, self.settings.update_every, self.engine.count_tokens)

    def read(self, text: str) -> Iterator[Boundary]:
        """Reads on; what was done is told at each boundary."""
        for segment in self.segments(text):
            yield self._go_on(segment)

    def write(self, tokens: int) -> Iterator[tuple[str, Boundary]]:
        """The model writes on, up to so many tokens, in segments that are learnt like those that were read; ends where
        it has nothing to say."""
        left = tokens
        while left > 0:
            most = min(left, self.settings.update_every)
            sampling = SamplingParams(self.settings.temperature, 0.95, most)
            seed = seeds.derive(self.settings.seed, "write", self.number)
            [reply] = self.texts.ask([MidQuestion(0, prompt=Prompt("", raw=True), sampling=sampling, seed=seed)])
            said = f"{reply.reply} " if reply.reply.strip() else ""
            if not said or self.engine.count_tokens(said) > self.settings.window:
                return
            left -= max(1, self.engine.count_tokens(said))
            yield said, self._go_on(said)
            if reply.is_finished:
                return

    def answer(self, question: str) -> PastAnswer:
        """Asked behind what is visible; nothing of it becomes part of the text."""
        prompt = Prompt(f"\n\nQuestion: {question.strip()}\nAnswer:", raw=True)
        sampling = SamplingParams(temperature=0.0, max_new_tokens=_ANSWER_TOKENS)
        asked = MidQuestion(0, prompt=prompt, sampling=sampling, is_one_line=True)
        with_weights, alone = self.texts.ask([asked, replace(asked, adapter=-1)])
        return PastAnswer(question, with_weights.reply, alone.reply)

    def _go_on(self, segment: str) -> Boundary:
        settings = self.settings
        self.number += 1
        [n_tokens] = self.texts.read([(0, segment)])
        self._lengths.append(n_tokens)
        new = self._extract(segment)
        seed = seeds.derive(settings.seed, "replay", self.number)
        chosen = self.notebook.chosen(new, settings.replayed, seed) if new else ()
        self.notebook.add(new)
        keep = self._keep()
        dropped = len(self._lengths) - keep
        self._lengths = self._lengths[dropped:]
        order = seeds.derive(settings.seed, "order", self.number)
        allowed = self._allowed(chosen, len(new))
        chosen = chosen if allowed.has_replay else chosen[: len(new)]
        examples = tuple(note.example for note in chosen) if allowed.passes else ()
        study = MidStudy(0, examples, order, keep, allowed.passes if allowed.why else 0)
        [studied] = self.texts.study([study], settings.tolerance)
        self._note(studied, chosen, allowed)
        lines = tuple(note.text for note in new)
        visible = sum(self._lengths)
        replayed = max(0, len(examples) - len(new))
        return Boundary(self.number, n_tokens, lines, replayed, studied, dropped, visible, self._cut(studied, allowed))

    def _allowed(self, chosen: Sequence[EditLine], n_new: int) -> AllowedUpdate:
        """What the update may do; all that is wanted where its seconds are not bounded, or there is nothing to do."""
        if self.pace is None or not chosen:
            return AllowedUpdate(self.settings.inner.epochs, True, "")
        return self.pace.allow(self.tokens_of(chosen[:n_new]), self.tokens_of(chosen[n_new:]))

    def tokens_of(self, notes: Sequence[EditLine]) -> int:
        """Of lines, as they are studied."""
        return sum(self.engine.count_tokens(note.text) for note in notes)

    def _note(self, studied: MidStudied, chosen: Sequence[EditLine], allowed: AllowedUpdate) -> None:
        if self.pace is None or not chosen:
            return
        if allowed.passes:
            self.pace.note(studied, self.tokens_of(chosen), allowed.passes)
        else:
            self.pace.note_skipped()

    def _cut(self, studied: MidStudied, allowed: AllowedUpdate) -> str:
        """What is to be told of the seconds that an update may take."""
        budget = self.settings.budget_s
        over = f"took longer than the {budget:g} s allowed" if budget and studied.seconds > budget else ""
        return "; ".join(filter(None, (allowed.why, over)))

    def _keep(self) -> int:
        """Segments that stay: those that leave room for the next one."""
        keep, total = 0, self.settings.update_every
        for length in reversed(self._lengths):
            total += length
            if total > self.settings.window:
                break
            keep += 1
        return keep

    def _extract(self, segment: str) -> tuple[EditLine, ...]:
        settings = self.settings
        if settings.lines == "template":
            return template_notes(segment, settings.most_lines)
        sampling = SamplingParams(settings.temperature, 0.95, LINE_TOKENS)
        seed = seeds.derive(settings.seed, "lines", self.number)
        asked = MidQuestion(0, prompt=policy_prompt(segment), sampling=sampling, seed=seed, is_behind_text=False)
        [reply] = self.texts.ask([asked])
        return policy_notes(reply.reply, reply.is_finished, segment)[: settings.most_lines]
