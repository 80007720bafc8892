"""L3. A start that was made for it: the reading adapter, moved to where studies of other worlds' lines lead (Reptile).

A study takes the lines of two neighbouring segments of another stream, learns them in as many steps as an update has,
and is then asked about them, in other words than the lines', now and then behind a segment that has nothing to do with
them. What the reading adapter is moved to is so a place from which a few steps on lines turn into answers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from selfedit import seeds
from selfedit.loop.meta_learning import MetaPlan, Study, grouped
from selfedit.records import Example, Prompt, TrainingConfig
from selfedit.think.lines import EditLine
from selfedit.think.world import Stream, StreamSegment

FOLDER = "adapters/reading"
"""Where the reading adapter lies, in the run's folder."""
ASKED_EPOCHS = 2
"""Passes over the questions, after those over the lines."""


def meta_plan(
    streams: Sequence[Stream], training: TrainingConfig, studies: int, together: int, step: float, seed: int
) -> MetaPlan:
    """The meta-steps that make a reading adapter.

    Args:
        streams: of other worlds than those that are reported.
        training: of an update; its epochs are the steps.
        studies: how many in all.
        together: how many of them to a meta-step.
        step: share of the way to their mean.
    """
    rng = random.Random(seeds.derive(seed, "reading studies"))
    made = [_study(rng.choice(streams), rng, number, training.epochs) for number in range(studies)]
    longer = replace(training, epochs=training.epochs + ASKED_EPOCHS, batch_size=64)
    return MetaPlan(grouped(made, together, 1, seed), step, longer, seeds.derive(seed, "reading"), FOLDER)


def _study(stream: Stream, rng: random.Random, number: int, steps: int) -> Study:
    at = rng.randrange(1, len(stream.segments))
    notes = {note.key: note for segment in stream.segments[at - 1 : at + 1] for note in segment.notes}
    elsewhere = [s for place, s in enumerate(stream.segments) if abs(place - at) > 2]
    lines = [replace(note.example, in_epoch=epoch) for epoch in range(steps) for note in notes.values()]
    behind = rng.randrange(len(notes))
    asked = [
        replace(_question(note, rng, rng.choice(elsewhere) if place == behind else None), in_epoch=steps + epoch)
        for epoch in range(ASKED_EPOCHS)
        for place, note in enumerate(notes.values())
    ]
    return Study(f"{stream.id}/{at}/{number}", (*lines, *asked))


def _question(note: EditLine, rng: random.Random, segment: StreamSegment | None) -> Example:
    """About a line, as it may be asked, behind a segment or alone."""
    kind, _, thing = note.key.partition(" of ")
    asked = f"Question: What is the {note.key}?\nAnswer:"
    if thing and kind != "badge" and rng.random() < 0.5:
        asked = f"So the {kind} wanted for {rng.choice('ABCDEFGHIJKLMNOPQRSTUVWXYZ')} is that of {thing}:"
    text = segment.text + segment.lemma if segment else ""
    return Example(note.value.strip() + ".", Prompt(text + asked, raw=True))
