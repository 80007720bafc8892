"""L4. Which held-out stages are set against which, and what lies between them.

1. SEAL at its last update comes first: against the same before any update, then against self-edits that others have
   written, as in the paper's Figure 4. Each prompt, and learning by the untouched model, is a SEAL of its own.
2. Every kind of study is set against the untouched base and against the passage alone, the two things that need no
   writing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from selfedit.records import Outcome
from selfedit.report import wording
from selfedit.report.intervals import Interval, paired_difference
from selfedit.report.tables import heldout_outcomes
from selfedit.store.ledger import Ledger

SEAL = ("eval-synthetic", "eval-seal-edits")
"""Kinds of stages where a policy of this run writes; their number says how often it was trained."""
EXTERNAL = ("eval-edits", "eval-writer")
"""Kinds of stages whose self-edits somebody else wrote."""
STUDIES = (*SEAL, *EXTERNAL, "eval-distil", "eval-sentences")
"""Kinds of stages where self-edits are studied."""


@dataclass(frozen=True, slots=True)
class GainRow:
    """One method against another, on the questions that both have answered."""

    label: str
    """`after` against `before`, in plain words."""
    before: str
    """Stage subtracted."""
    after: str
    """Stage it is subtracted from."""
    accuracy: Interval
    """Difference in the share of right answers."""
    logprob: Interval
    """Difference in gold log-probability per token, nats."""


def gain_rows(ledger: Ledger) -> list[GainRow]:
    """The differences that the ledger's held-out stages allow, in the order told above; each pair once."""
    outcomes = heldout_outcomes(ledger)
    return [_gain_row(before, after, outcomes[before], outcomes[after]) for before, after in pairs(outcomes)]


def pairs(stages: Collection[str]) -> list[tuple[str, str]]:
    """(before, after) of every difference worth telling among `stages`."""
    newest = newest_stages(stages)
    rivals = of_kinds(stages, (*EXTERNAL, "eval-sentences"))
    found: list[tuple[str, str]] = []
    for stage in newest:
        found += [(untrained(stage), stage), *((rival, stage) for rival in rivals)]
        found += _from_nothing(stage)
    for stage in stages:
        found += _from_nothing(stage)
    return [(before, after) for before, after in dict.fromkeys(found) if before in stages and before != after]


def _from_nothing(stage: str) -> list[tuple[str, str]]:
    passage = [("eval-passage", stage)] if wording.stage_kind(stage) in STUDIES else []
    return [("eval-base", stage), *passage]


def final_stage(stages: Iterable[str]) -> str | None:
    """Where SEAL stands at last: the self-edits of the last policy that was tested, asked for as the run asks where
    there is a choice; learnt by the untouched model only where no policy was asked to learn."""
    return next(iter(newest_stages(stages)), None)


def newest_stages(stages: Iterable[str]) -> list[str]:
    """Of each way of writing and learning, the stage of the last trained policy."""
    newest: dict[str, str] = {}
    for stage in sorted(of_kinds(stages, SEAL), key=wording.stage_order):
        if wording.stage_number(stage):
            newest[wording.stage_family(stage)] = stage
    return list(newest.values())


def untrained(stage: str) -> str:
    """The stage before any update that a SEAL stage goes back to."""
    variant = wording.stage_variant(stage)
    return f"eval-synthetic:{variant}-0" if variant else "eval-synthetic-0"


def told_stage(stages: Collection[str]) -> str | None:
    """The stage whose answers are shown beside the base's: the last policy's, or without one, the first that studied
    anything or had the passage in sight."""
    if final := final_stage(stages):
        return final
    ordered = sorted(stages, key=wording.stage_order)
    kinds = ("eval-synthetic", *EXTERNAL, "eval-distil", "eval-sentences", "eval-passage", "eval-in-context")
    return next((stage for kind in kinds for stage in of_kinds(ordered, (kind,))), None)


def of_kinds(stages: Iterable[str], kinds: Collection[str]) -> list[str]:
    """The stages of some kinds, in order."""
    return [stage for stage in stages if wording.stage_kind(stage) in kinds]


def _gain_row(before: str, after: str, first: Sequence[Outcome], second: Sequence[Outcome]) -> GainRow:
    difference = paired_difference(first, second)
    label = f"{wording.stage_label(after)}, against: {wording.stage_label(before)}"
    return GainRow(label, before, after, difference.accuracy, difference.logprob)
