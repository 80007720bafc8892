"""L4. Our rows matched with the published ones: methods by setting, paired differences, and the gaps with their reason.

A published row stands whether or not we have measured it; what we measured and the paper did not follows after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from selfedit.records import Outcome
from selfedit.report import published, wording
from selfedit.report.intervals import Measured, measure, paired_difference
from selfedit.report.parts import Effort, Part, effort, merged
from selfedit.report.published import PublishedRow, Setting

EXTERNAL = ("eval-edits", "eval-writer")
"""How the stages of other writers' self-edits begin."""
PAIRS = (
    ("synthetic", "seal"),
    ("passage", "seal"),
    ("synthetic", "seal-edits"),
    ("synthetic", "external"),
    ("passage", "synthetic"),
    ("base", "passage"),
)
"""(before, after) of the differences that the paper turns on: first, what training by reinforcement adds."""


@dataclass(frozen=True, slots=True)
class Row:
    """One method in one setting."""

    key: str
    """The published row that it is matched with, or `seal-edits`; empty for another method of ours."""
    label: str
    """In plain words."""
    stage: str
    """Where in our run; empty where we have not measured it."""
    ours: Measured | None
    """Our accuracy and gold log-probability."""
    published: float | None
    """Published accuracy, %."""
    effort: Effort | None
    """What ours took."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One method against another, on the same questions."""

    label: str
    """In plain words."""
    before: str
    """Our stage subtracted."""
    after: str
    """Our stage that it is subtracted from."""
    ours: Measured
    """After minus before."""
    published: float | None
    """The same of the published numbers, points."""


def compare(parts: Sequence[Part], setting: Setting) -> list[Row]:
    """The published rows with ours, then ours alone; none where no part has this setting."""
    outcomes = heldout(parts, setting)
    if not outcomes:
        return []
    efforts = {
        stage: effort(part, stage) for part in reversed(parts) if part.kind == setting for stage in part.outcomes
    }
    matches = {row.key: _matching(row.key, outcomes) for row in published.TABLE2}
    rows = [
        row
        for line in published.TABLE2
        for row in _rows(line, line.accuracy(setting), matches[line.key], outcomes, efforts)
    ]
    matched = {row.stage for row in rows}
    others = sorted((stage for stage in outcomes if stage not in matched), key=wording.stage_order)
    newest = f"eval-seal-edits-{newest_version(outcomes)}"
    return rows + [
        Row(
            "seal-edits" if stage == newest else "",
            wording.stage_label(stage),
            stage,
            measure(outcomes[stage]),
            None,
            efforts[stage],
        )
        for stage in others
    ]


def heldout(parts: Iterable[Part], setting: Setting) -> dict[str, Sequence[Outcome]]:
    """Our held-out outcomes of one setting, by stage, without those of other prompts' runs."""
    plain = [part for part in parts if part.name in (setting, f"{setting}-external")]
    return {stage: found for stage, found in merged(plain, setting).items() if stage.startswith("eval-")}


def differences(rows: Sequence[Row], outcomes: Mapping[str, Sequence[Outcome]]) -> list[Difference]:
    """The pairs that we have measured."""
    return [
        Difference(
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


def newest_version(stages: Iterable[str]) -> int:
    """The last policy that was tested; 0 where none was."""
    return max((wording.stage_number(s) or 0 for s in stages if wording.stage_family(s) == "eval-synthetic"), default=0)


def external_name(stage: str) -> str:
    """The file or model that another writer's self-edits come from."""
    return wording.stage_family(stage).partition(":")[2]


def _matching(key: str, stages: Iterable[str]) -> list[str]:
    """Our stages that are this published row: one, or for `external` one for each writer."""
    stages = list(stages)
    if key == "external":
        return sorted(stage for stage in stages if stage.startswith(EXTERNAL))
    version = newest_version(stages)
    named = {
        "base": "eval-base",
        "passage": "eval-passage",
        "synthetic": "eval-synthetic-0",
        "entigraph": "eval-synthetic:entigraph-0",
        "seal": f"eval-synthetic-{version}" if version else "",
    }
    return [named[key]] if named[key] in stages else []


def _rows(
    line: PublishedRow,
    accuracy: float | None,
    stages: Sequence[str],
    outcomes: Mapping[str, Sequence[Outcome]],
    efforts: Mapping[str, Effort],
) -> list[Row]:
    if line.key == "external":
        return _external_rows(line, accuracy, stages, outcomes, efforts)
    if not stages:
        return [Row(line.key, line.label, "", None, accuracy, None)] if accuracy is not None else []
    [stage] = stages
    label = line.label
    if line.key == "seal":
        label = f"+ self-edits, SEAL after {wording.count(newest_version(outcomes), 'round')}"
    return [Row(line.key, label, stage, measure(outcomes[stage]), accuracy, efforts[stage])]


def _external_rows(
    line: PublishedRow,
    accuracy: float | None,
    stages: Sequence[str],
    outcomes: Mapping[str, Sequence[Outcome]],
    efforts: Mapping[str, Effort],
) -> list[Row]:
    """The published number stands beside the writer that it is about; without that one, in a row of its own."""
    rows = [
        Row(
            line.key,
            f"+ self-edits of {external_name(stage)}",
            stage,
            measure(outcomes[stage]),
            accuracy if "gpt" in external_name(stage).lower() else None,
            efforts[stage],
        )
        for stage in stages
    ]
    if any(row.published is not None for row in rows):
        return rows
    return [Row(line.key, line.label, "", None, accuracy, None), *rows]
