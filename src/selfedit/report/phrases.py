"""L4. Cells and sentences that the pages of a reproduction share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from selfedit.report import wording
from selfedit.report.beside import Difference, Row
from selfedit.report.document import Cell, Table
from selfedit.report.intervals import Interval
from selfedit.report.parts import Effort, Part
from selfedit.report.reliability import Estimate

UNSEEN = (
    "Every gain here is measured on held-out passages and on trials that chose no self-edit; the rewards that chose"
    " some are shown apart, since the best of several looks better than it is."
)
INTERVALS = (
    "Intervals are 95 %, by resampling whole passages 2,000 times; differences are paired on the same questions."
)


def accuracy_cell(interval: Interval | None) -> Cell:
    """In %, with its interval."""
    return _ranged(interval, wording.percent)


def logprob_cell(interval: Interval | None) -> Cell:
    """In nats, with its interval."""
    return _ranged(interval, wording.nats)


def gain_cell(interval: Interval, form: wording.Form, noun: str = "passages") -> Cell:
    """A difference with its interval and what that allows to be said."""
    between = wording.between(interval.low, interval.high, form)
    verdict = wording.verdict(interval, noun)
    return Cell(form(interval.value), verdict if interval.low is None else f"{between}: {verdict}")


def estimate_cell(estimate: Estimate, form: wording.Form) -> Cell:
    """A number with its interval."""
    return Cell(form(estimate.value), _between(estimate.low, estimate.high, form))


def published_cell(value: float | None) -> Cell:
    """A published number in %, as it stands."""
    return Cell(wording.NOTHING if value is None else f"{value:.1f}")


def published_points(value: float | None) -> Cell:
    """A published difference in points."""
    return Cell(wording.points(None if value is None else value / 100))


def effort_cell(effort: Effort | None) -> Cell:
    """Seconds per self-edit, of which writing."""
    if effort is None or effort.seconds_per_edit is None:
        return Cell(wording.NOTHING)
    if not effort.edits:
        return Cell(wording.duration(effort.seconds_per_edit), "per passage")
    each = [wording.duration(seconds / effort.edits) for seconds in (effort.write_seconds, effort.try_seconds)]
    return Cell(wording.duration(effort.seconds_per_edit), f"write {each[0]}, try {each[1]}")


def difference_table(title: str, found: Sequence[Difference]) -> Table:
    """Paired differences beside the published ones."""
    return Table(
        title,
        ("difference", "ours, points", "published, points", "ours, nats per token", "questions"),
        tuple(
            (
                Cell(difference.label),
                gain_cell(difference.ours.accuracy, wording.points),
                published_points(difference.published),
                gain_cell(difference.ours.logprob, wording.signed),
                Cell(f"{difference.ours.accuracy.n_questions:,}"),
            )
            for difference in found
        ),
    )


def result(found: Sequence[Difference], rows: Sequence[Row]) -> str:
    """What training by reinforcement added, in one sentence."""
    by_stage = {row.stage: row for row in rows}
    for difference in found:
        before, after = by_stage[difference.before], by_stage[difference.after]
        if (before.key, after.key) == ("synthetic", "seal"):
            break
    else:
        return "No trained policy to compare with: training kept no self-edit."
    gain = difference.ours.accuracy
    if before.ours is None or after.ours is None or gain.value is None:
        return "What training by reinforcement adds could not be measured."
    ends = f", 95 % interval {wording.between(gain.low, gain.high, wording.points)}" if gain.low is not None else ""
    theirs = f"; published {wording.points(difference.published / 100)} points" if difference.published else ""
    course = f"{wording.percent(before.ours.accuracy.value)} % to {wording.percent(after.ours.accuracy.value)} %"
    return (
        f"What self-edits teach, before and after training by reinforcement: {course} right"
        f" ({wording.points(gain.value)} points{ends}: {wording.verdict(gain)}{theirs})."
    )


def basis(parts: Sequence[Part], intervals: Sequence[Interval] = ()) -> str:
    """Model, device, grader, and how many passages."""
    tested = next((part for part in parts if part.kind == "single"), parts[0])
    facts = [f"Ours: {tested.config['model']} on {tested.facts.get('device', 'an unknown device')}"]
    if intervals:
        most = max(intervals, key=lambda one: one.n_questions)
        passages = wording.count(most.n_contexts, "held-out passage")
        facts.append(f"{passages} with {wording.count(most.n_questions, 'question')}")
    return ", ".join([*facts, f"grader {tested.config['grader']}"]) + "."


def hardware(part: Part) -> str:
    """What a part ran on, from its facts."""
    named = [part.facts.get(name) for name in ("device", "dtype")]
    torch = part.facts.get("torch")
    return ", ".join(str(name) for name in [*named, f"torch {torch}" if torch else None] if name)


def runs(parts: Iterable[Part]) -> list[dict[str, object]]:
    """Which runs the numbers come from."""
    return [{"name": part.name, "kind": part.kind, "config": part.config, "facts": part.facts} for part in parts]


def _ranged(interval: Interval | None, form: wording.Form) -> Cell:
    if interval is None:
        return Cell(wording.NOTHING)
    return Cell(form(interval.value), _between(interval.low, interval.high, form))


def _between(low: float | None, high: float | None, form: wording.Form) -> str:
    return "" if low is None else wording.between(low, high, form)
