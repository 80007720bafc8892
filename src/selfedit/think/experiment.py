"""L3. The experiment "past the window": streams are read in segments, learnt at each boundary, and asked about what has
left the window.

At a boundary: EXTRACT lines from the segment while it is visible, UPDATE the stream's adapter on them and some earlier
ones, CHECK that the visible text did not become less likely, EVICT what is past the window, and make the keys and
values of what stays anew. Streams of a group go on side by side, each with an adapter of its own; all arms are asked
the same questions at the same moments, so that every difference is paired.

1. Where a lemma is derived, its right line is read on afterwards, whatever was answered: an early fault does not count
   again. The adapter that is updated once at the end is untouched until then, so that in mid-stream it answers as the
   window alone does.
2. A question counts as past the window where not all that it rests on is in sight: whole segments leave it.
3. Lines are the oracle's (`EditLine`s of the world) where the mechanism is tried; the template's, sentences of the
   segment, and the policy's, which the model writes in sight of it, where writers are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from selfedit import seeds
from selfedit.edits.sentences import split_sentences
from selfedit.protocols import MovingTexts, Progress
from selfedit.records import MidAnswer, MidQuestion, MidStudied, MidStudy, SamplingParams, TrainingConfig
from selfedit.think.arms import WindowArm
from selfedit.think.lines import (
    LINE_TOKENS,
    EditLine,
    LineWriter,
    Notebook,
    policy_notes,
    policy_prompt,
    template_notes,
)
from selfedit.think.memory import Count, found, latest
from selfedit.think.settings import REPLAYED
from selfedit.think.world import LINES, Stream, StreamQuestion

Opener = Callable[[int, TrainingConfig, bool], MovingTexts]
"""(how many texts, how their adapters train, whether stale keys are kept) → the texts."""


@dataclass(frozen=True, slots=True)
class MidConfig:
    """How a text is read past its window."""

    training: TrainingConfig
    """The adapter; its epochs are the optimiser steps of an update."""
    window: int = 256
    """W: tokens that are visible at a time, in whole segments …"""
    segment: int = 128
    """… of at most so many."""
    replayed: int = REPLAYED
    """Earlier lines that are studied again in each update, at most."""
    tolerance: float = 0.3
    """τ: by how much the visible text's loss may rise in an update, nats per token."""
    most_lines: int = 4
    """Lines that the template or the policy writes about a segment, at most."""
    temperature: float = 0.7
    """At which the policy writes."""


@dataclass(frozen=True, slots=True)
class AskedPast:
    """A question of a stream with what one arm answered."""

    stream: str
    """The stream's id."""
    question: str
    """The question's id, unique in its stream."""
    arm: str
    """The arm's name."""
    kind: str
    """`fact`, `look-up` or `join`."""
    is_mid: bool
    """Whether a lemma was to be derived in mid-stream."""
    age: int
    """Segments since what it rests on was last said; of two things the older."""
    is_past: bool
    """Whether that has left the window."""
    is_right: bool
    """All values are the gold ones."""
    is_stale: bool | None
    """The value before its last change was given; None where it never changed."""
    gold_logprob: float
    """Of the gold values, nats per token."""


@dataclass(frozen=True, slots=True)
class BoundaryDone:
    """What came of one update."""

    stream: str
    segment: int
    studied: MidStudied


@dataclass(frozen=True, slots=True)
class GroupResult:
    """What came of streams that went on side by side."""

    answers: tuple[AskedPast, ...]
    boundaries: tuple[BoundaryDone, ...]
    """Of the adapters that are updated at every boundary."""
    ask_seconds: dict[str, float]
    """By arm: seconds for all its questions, keys that are made for them included."""


class _Group:
    """Streams that go on side by side, and all that is asked of them."""

    def __init__(
        self,
        streams: Sequence[Stream],
        arms: Sequence[WindowArm],
        config: MidConfig,
        opened: Opener,
        count: Count,
        seed: int,
        lines: LineWriter,
    ) -> None:
        self.lines = lines
        self.streams, self.arms, self.config, self.count, self.seed = streams, arms, config, count, seed
        training, n = config.training, len(streams)
        wants = {arm.answerer for arm in arms}
        self.texts = opened(n, training, any(arm.keys == "stale" for arm in arms))
        self.whole = opened(n, training, False) if any(arm.memory == "whole" for arm in arms) else None
        once = _once(training, config.replayed, len(streams[0].segments))
        self.at_end = opened(n, once, False) if "end" in wants else None
        self.is_learning = bool(wants & {"own", "other"})
        self.notebooks = [Notebook() for _ in streams]
        self.lengths: list[list[int]] = [[] for _ in streams]
        """Tokens of each segment."""
        self.visible = [0] * n
        """Segments in sight."""
        self.gone: list[list[str]] = [[] for _ in streams]
        """Sentences that have left the window."""
        self.answers: list[AskedPast] = []
        self.boundaries: list[BoundaryDone] = []
        self.ask_seconds = {arm.name: 0.0 for arm in arms}

    def read(self, pieces: Sequence[str], is_new: bool) -> None:
        """Every stream goes on; `is_new`: with a new segment."""
        numbered = list(enumerate(pieces))
        lengths = self.texts.read(numbered)
        for texts in (self.whole, self.at_end):
            if texts:
                texts.read(numbered)
        for i, length in enumerate(lengths):
            if is_new:
                self.lengths[i].append(0)
                self.visible[i] += 1
            self.lengths[i][-1] += length

    def ask(self, segment: int, is_mid: bool) -> None:
        """All questions of this moment, to every arm."""
        asked = [
            (i, question)
            for i, stream in enumerate(self.streams)
            for question in stream.questions
            if question.is_mid == is_mid and question.segment == segment
        ]
        for arm in self.arms if asked else ():
            started = time.perf_counter()
            texts = self.whole if arm.memory == "whole" else self.at_end if arm.answerer == "end" else self.texts
            assert texts is not None
            replies = texts.ask([self._question(i, question, arm) for i, question in asked])
            self.ask_seconds[arm.name] += time.perf_counter() - started
            self.answers += [self._answered(i, q, arm, reply) for (i, q), reply in zip(asked, replies, strict=True)]

    def learn(self, segment: int) -> None:
        """Extract, update, check, evict."""
        studies = []
        written = self._written(segment)
        for i, stream in enumerate(self.streams):
            new = written[i]
            chosen = self.notebooks[i].chosen(new, self.config.replayed, seeds.derive(self.seed, stream.id, segment))
            self.notebooks[i].add(new)
            examples = tuple(note.example for note in chosen) if self.is_learning else ()
            studies.append(
                MidStudy(i, examples, seeds.derive(self.seed, "order", stream.id, segment), self._evicted(i, segment))
            )
        done = self.texts.study(studies, self.config.tolerance)
        if self.at_end:
            self.at_end.study([replace(study, examples=()) for study in studies], 0.0)
        if self.is_learning:
            self.boundaries += [BoundaryDone(s.id, segment, one) for s, one in zip(self.streams, done, strict=True)]

    def _written(self, segment: int) -> list[tuple[EditLine, ...]]:
        """Each stream's lines about its segment."""
        texts = [stream.segments[segment].text + stream.segments[segment].lemma for stream in self.streams]
        if self.lines == "oracle":
            return [stream.segments[segment].notes for stream in self.streams]
        if self.lines == "template":
            return [template_notes(text, self.config.most_lines) for text in texts]
        sampling = SamplingParams(self.config.temperature, 0.95, LINE_TOKENS)
        asked = [
            MidQuestion(
                i,
                prompt=policy_prompt(text),
                sampling=sampling,
                seed=seeds.derive(self.seed, "lines", self.streams[i].id, segment),
                is_behind_text=False,
            )
            for i, text in enumerate(texts)
        ]
        replies = self.texts.ask(asked)
        return [
            policy_notes(reply.reply, reply.is_finished, text)[: self.config.most_lines]
            for reply, text in zip(replies, texts, strict=True)
        ]

    def learn_once(self) -> None:
        """All lines that hold, for the adapter that is updated at the end alone."""
        if self.at_end:
            self.at_end.study(
                [
                    MidStudy(i, tuple(note.example for note in book.notes), seeds.derive(self.seed, "end", i), 99)
                    for i, book in enumerate(self.notebooks)
                ],
                self.config.tolerance,
            )

    def _evicted(self, i: int, segment: int) -> int:
        """Pieces that stay visible: those of the newest segments that the window holds beside the next one."""
        is_last = segment == len(self.streams[i].segments) - 1
        keep, total = 0, 0 if is_last else self.config.segment
        for length in reversed(self.lengths[i][-self.visible[i] :]):
            total += length
            if total > self.config.window:
                break
            keep += 1
        first = len(self.lengths[i]) - self.visible[i]
        for leaving in self.streams[i].segments[first : first + self.visible[i] - keep]:
            self.gone[i] += [*split_sentences(leaving.text).splitlines(), leaving.lemma.strip()]
        self.visible[i] = keep
        return 2 * keep

    def _question(self, i: int, question: StreamQuestion, arm: WindowArm) -> MidQuestion:
        adapter = {"none": -1, "own": None, "end": None, "other": (i + 1) % len(self.streams)}[arm.answerer]
        return MidQuestion(i, question.places, adapter=adapter, keys=arm.keys, behind=self._beside(i, question, arm))

    def _beside(self, i: int, question: StreamQuestion, arm: WindowArm) -> str:
        """What stands between the window and the question."""
        if arm.memory == "text":
            return latest([note.text for note in self.notebooks[i].notes], arm.budget, self.count)
        if arm.memory == "search":
            return found(self.gone[i], question.words, arm.budget, self.count)
        return ""

    def _answered(self, i: int, question: StreamQuestion, arm: WindowArm, reply: MidAnswer) -> AskedPast:
        gold = tuple(place.gold for place in question.places)
        # The window holds the segment under way and those before it.
        is_past = question.age >= self.visible[i]
        is_stale = reply.values == (question.old,) if question.old else None
        told = self.streams[i].id, question.id, arm.name, question.kind, question.is_mid, question.age, is_past
        return AskedPast(*told, reply.values == gold, is_stale, reply.gold_logprob)


def run_group(
    streams: Sequence[Stream],
    arms: Sequence[WindowArm],
    config: MidConfig,
    opened: Opener,
    count: Count,
    seed: int,
    progress: Progress,
    lines: LineWriter = "oracle",
) -> GroupResult:
    """Streams of equally many segments, read side by side and asked in every arm; one alone has no other stream, and
    goes without that control.

    Args:
        opened: makes the texts; their adapters begin alike.
        count: tokens of a text.
        progress: advanced once a segment.
        lines: who writes them.

    Raises:
        SelfeditError: a segment is longer than the model's context.
    """
    able = arms if len(streams) > 1 else [arm for arm in arms if arm.answerer != "other"]
    group = _Group(streams, able, config, opened, count, seed, lines)
    n_segments = len(streams[0].segments)
    for segment in range(n_segments):
        group.read([stream.segments[segment].text for stream in streams], is_new=True)
        group.ask(segment, is_mid=True)
        group.read([stream.segments[segment].lemma for stream in streams], is_new=False)
        group.learn(segment)
        progress.advance(1)
    group.learn_once()
    group.ask(n_segments - 1, is_mid=False)
    return GroupResult(tuple(group.answers), tuple(group.boundaries), group.ask_seconds)


def _once(training: TrainingConfig, replayed: int, segments: int) -> TrainingConfig:
    """The same, for one update at the end that studies each line as often as updates at every boundary do: when it is
    new, and as often as it is drawn again."""
    studied = sum(LINES + min(replayed, LINES * before) for before in range(segments))
    times = studied / (LINES * segments)
    return replace(training, epochs=round(times * training.epochs), batch_size=min(8, training.batch_size))
