"""L4. Our rows matched with the published ones: methods by setting, paired differences, and the gaps with their reason.

A published row stands whether or not we have measured it; what we measured and the paper did not follows after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from selfedit.records import Outcome, Stage
from selfedit.report import format as fmt
from selfedit.report import published
from selfedit.report.blocks import Cell, Table
from selfedit.report.published import PublishedRow, Setting
from selfedit.report.run_data import PartKind, RunData
from selfedit.report.stats.intervals import Interval, Measured, measure, paired_difference
from selfedit.report.tables.results import BASE, SEAL, of_families
from selfedit.report.tables.stages import Effort, effort_of

PAIRS = (
    ("synthetic", "seal"),
    ("passage", "seal"),
    ("synthetic", "seal-edits"),
    ("synthetic", "external"),
    ("passage", "synthetic"),
    ("base", "passage"),
)
"""(before, after) of the differences that the paper turns on: first, what training by reinforcement adds."""
UNSEEN = (
    "Every gain here is measured on held-out passages and on trials that chose no self-edit; the rewards that chose"
    " some are shown apart, since the best of several looks better than it is."
)
INTERVALS = f"Intervals are 95 %, {fmt.resampled('passage')}. Differences are paired on the same questions."
Ours = Mapping[Stage, tuple[Measured, Effort]]
"""What we have measured in one setting: stage → its numbers, and what it took."""


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """Something that we measure, beside the published number."""

    label: str
    ours: Measured | None
    """None where we have not measured it."""
    published: float | None
    """Published accuracy, %."""
    effort: Effort | None
    """What ours took; None where we have not measured it."""

    @property
    def accuracy(self) -> Interval | None:
        """Ours."""
        return self.ours.accuracy if self.ours else None

    @property
    def logprob(self) -> Interval | None:
        """Ours, of the gold answers."""
        return self.ours.logprob if self.ours else None


@dataclass(frozen=True, slots=True)
class MatchedRow(ComparedRow):
    """One method in one setting."""

    key: str
    """The published row that it is matched with, or `seal-edits`; empty for another method of ours."""
    stage: Stage | None
    """Where in our run; None where we have not measured it."""


@dataclass(frozen=True, slots=True)
class MatchedDifference:
    """One method against another, on the same questions, beside the published difference."""

    label: str
    before: Stage
    """Our stage subtracted."""
    after: Stage
    """Our stage that it is subtracted from."""
    ours: Measured
    """After minus before."""
    published: float | None
    """The same of the published numbers, points."""


def part_of(runs: Sequence[RunData], kind: PartKind) -> RunData:
    """The run that measures `kind`; of held-out runs the one with the policy's own self-edits, not other writers'."""
    found = [run for run in runs if run.part == kind]
    return next((run for run in found if not is_external(run)), found[0])


def is_external(run: RunData) -> bool:
    """Whether a held-out run is about other writers' self-edits alone."""
    return bool(of_families(run.outcomes, "external")) and not of_families(run.outcomes, *SEAL)


def compare(runs: Sequence[RunData], setting: Setting) -> list[MatchedRow]:
    """The published rows with ours, then ours alone; none where no run has this setting."""
    outcomes = heldout(runs, setting)
    if not outcomes:
        return []
    tested = [run for run in reversed(runs) if run.part == setting]
    efforts = {stage: effort_of(run, stage) for run in tested for stage in run.heldout}
    ours = {stage: (measure(found), efforts[stage]) for stage, found in outcomes.items()}
    rows = [row for line in published.TABLE2 for row in _rows(line, line.accuracy(setting), ours)]
    matched = {row.stage for row in rows}
    others = sorted((stage for stage in outcomes if stage not in matched), key=fmt.stage_order)
    newest = Stage.of("seal-edits", newest_version(outcomes))
    return rows + [
        _row("seal-edits" if stage == newest else "", fmt.stage_label(stage), stage, None, ours) for stage in others
    ]


def heldout(runs: Iterable[RunData], setting: Setting) -> dict[Stage, Sequence[Outcome]]:
    """Our held-out outcomes of one setting, by stage; a stage that several runs have is the first one's."""
    found: dict[Stage, Sequence[Outcome]] = {}
    for run in runs:
        if run.part == setting:
            found = {**run.heldout, **found}
    return found


def _row(key: str, label: str, stage: Stage | None, theirs: float | None, ours: Ours) -> MatchedRow:
    """The row of one stage; without a stage, of the published number alone."""
    measured, effort = ours[stage] if stage else (None, None)
    return MatchedRow(label, measured, theirs, effort, key, stage)


def _rows(line: PublishedRow, theirs: float | None, ours: Ours) -> list[MatchedRow]:
    """A published row with ours; none where neither has a number."""
    if line.key == "external":
        return _external_rows(line, theirs, ours)
    newest = newest_version(ours)
    stage = {
        "base": BASE,
        "passage": Stage.of("passage"),
        "synthetic": Stage.of("synthetic", 0),
        "entigraph": Stage.of("synthetic", 0, "entigraph"),
        "seal": Stage.of("synthetic", newest) if newest else None,
    }[line.key]
    if stage not in ours:
        return [_row(line.key, line.label, None, theirs, ours)] if theirs is not None else []
    label = f"+ self-edits, SEAL after {fmt.count(newest, 'round')}" if line.key == "seal" else line.label
    return [_row(line.key, label, stage, theirs, ours)]


def _external_rows(line: PublishedRow, theirs: float | None, ours: Ours) -> list[MatchedRow]:
    """A row for each writer. The published number stands beside the one that it is about; without that one, in a row of
    its own."""
    stages = sorted(of_families(ours, "external"), key=lambda stage: stage.name)
    published_of = {stage: theirs if "gpt-4.1" in stage.variant.lower() else None for stage in stages}
    rows = [_row(line.key, f"+ self-edits of {stage.variant}", stage, published_of[stage], ours) for stage in stages]
    if any(row.published is not None for row in rows):
        return rows
    return [_row(line.key, line.label, None, theirs, ours), *rows]


def differences(rows: Sequence[MatchedRow], outcomes: Mapping[Stage, Sequence[Outcome]]) -> list[MatchedDifference]:
    """The pairs that we have measured."""
    return [
        MatchedDifference(
            f"{second.label}, against: {first.label}",
            first.stage,
            second.stage,
            paired_difference(outcomes[first.stage], outcomes[second.stage]),
            None if first.published is None or second.published is None else second.published - first.published,
        )
        for before, after in PAIRS
        for first in rows
        for second in rows
        if (first.key, second.key) == (before, after) and first.stage and second.stage
    ]


def newest_version(stages: Iterable[Stage]) -> int:
    """The last policy that was tested, asked as the run asks; 0 where none was."""
    return max(
        (s.version or 0 for s in stages if s.kind == "eval" and (s.method, s.variant) == ("synthetic", "")), default=0
    )


def writer(version: int) -> str:
    """Who wrote, by updates of the policy."""
    return f"policy after round {version}" if version else "untrained policy"


def effort_cell(effort: Effort | None) -> Cell:
    """Seconds per self-edit, of which writing."""
    if effort is None or effort.seconds_per_edit is None:
        return Cell(fmt.NOTHING)
    if not effort.edits:
        return Cell(fmt.duration(effort.seconds_per_edit), "per passage")
    each = [fmt.duration(seconds / effort.edits) for seconds in (effort.write_seconds, effort.try_seconds)]
    return Cell(fmt.duration(effort.seconds_per_edit), f"write {each[0]}, try {each[1]}")


def matched_table(title: str, found: Sequence[MatchedDifference], noun: str) -> Table:
    """Paired differences beside the published ones."""
    return fmt.table_of(
        title,
        found,
        {
            "difference": lambda one: one.label,
            "ours, points": lambda one: fmt.difference_cell(one.ours.accuracy, fmt.points, noun),
            "published, points": lambda one: fmt.published_points(one.published),
            "ours, nats per token": lambda one: fmt.difference_cell(one.ours.logprob, fmt.signed, noun),
            "questions": lambda one: f"{one.ours.accuracy.n_questions:,}",
        },
    )


def result(found: Sequence[MatchedDifference], rows: Sequence[MatchedRow], noun: str) -> str:
    """What training by reinforcement added, in one sentence."""
    by_stage = {row.stage: row for row in rows if row.stage}
    for difference in found:
        before, after = by_stage[difference.before], by_stage[difference.after]
        if (before.key, after.key) == ("synthetic", "seal"):
            break
    else:
        return "No trained policy to compare with: training kept no self-edit."
    gain = difference.ours.accuracy
    if before.ours is None or after.ours is None or gain.value is None:
        return "What training by reinforcement adds could not be measured."
    ends = f", 95 % interval {fmt.between(gain.low, gain.high, fmt.points)}" if gain.low is not None else ""
    theirs = f"; published {fmt.points(difference.published / 100)} points" if difference.published else ""
    from_to = f"{fmt.percent(before.ours.accuracy.value)} % to {fmt.percent(after.ours.accuracy.value)} %"
    return (
        f"What self-edits teach, before and after training by reinforcement: {from_to} right"
        f" ({fmt.points(gain.value)} points{ends}: {fmt.verdict(gain, noun)}{theirs})."
    )


def basis(runs: Sequence[RunData], intervals: Sequence[Interval] = ()) -> str:
    """Model, device, grader, and how many contexts."""
    tested = next((run for run in runs if run.part == "single"), runs[0])
    facts = [f"Ours: {tested.config['model']} on {tested.facts.get('device', 'an unknown device')}"]
    if intervals:
        most = max(intervals, key=lambda one: one.n_questions)
        contexts = fmt.count(most.n_contexts, f"held-out {tested.noun}")
        facts.append(f"{contexts} with {fmt.count(most.n_questions, 'question')}")
    return ", ".join([*facts, f"grader {tested.config['grader']}"]) + "."
