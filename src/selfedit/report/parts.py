"""L4. The runs that a reproduction rests on, read once: outcomes, self-edits and times by stage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from selfedit.records import Context, Edit, Outcome, Scored
from selfedit.report import wording
from selfedit.report.published import Setting
from selfedit.report.tables import scored_by_stage
from selfedit.store.folder import read_run
from selfedit.store.ledger import Ledger
from selfedit.versions import Version

PartKind = Literal["train", "single", "cpt-lora", "cpt-full", "reward", "arc", "sequences"]
Staged = TypeVar("Staged", Edit, Outcome)


@dataclass(frozen=True, slots=True)
class Part:
    """One of the runs."""

    name: str
    """Its folder's name."""
    kind: PartKind
    """What it measures."""
    config: Mapping[str, Any]
    """Its settings."""
    facts: Mapping[str, Any]
    """What it found out about itself."""
    outcomes: Mapping[str, Sequence[Outcome]]
    """By stage."""
    edits: Mapping[str, Sequence[Edit]]
    """By stage."""
    scored: Mapping[str, Sequence[Scored]]
    """By round."""
    contexts: Sequence[Context]
    """In the run's order."""
    timings: Mapping[str, float]
    """`stage/piece` → seconds."""
    versions: int
    """Trained policies."""
    judge_calls: Mapping[str, int]
    """Requests sent to a judge, by stage."""
    kept: Sequence[Version] = ()
    """What sequences of updates have become, step by step."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What one stage took."""

    stage: str
    """Where in the run."""
    edits: int
    """Self-edits written."""
    trials: int
    """Different trials, the askings of an untouched policy among them."""
    tokens_written: int
    """By whoever wrote the self-edits."""
    tokens_trained: int
    """Over all epochs."""
    write_seconds: float
    """Wall time of writing."""
    try_seconds: float
    """Wall time of training adapters, answering and grading."""
    update_seconds: float
    """Wall time of the policy's update."""
    answers: int
    """Answers graded."""
    judge_calls: int
    """Requests that a judge got; replies that were kept from before are not among them. 0 with an offline grader."""
    seconds_per_edit: float | None
    """Writing and trying one self-edit under all its seeds; of a passage where there are no self-edits."""

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.write_seconds + self.try_seconds + self.update_seconds


def read_part(path: Path, kind: PartKind) -> Part:
    """Reads the run in `path`."""
    written = read_run(path)
    with Ledger(path / "ledger.db") as ledger:
        return Part(
            name=path.name,
            kind=kind,
            config=written["config"],
            facts=written["facts"],
            outcomes=_by_stage(ledger.outcomes()),
            edits=_by_stage(ledger.edits()),
            scored=scored_by_stage(ledger),
            contexts=ledger.contexts(),
            timings=ledger.timings(),
            versions=sum(policy.version > 0 for policy in ledger.policies()),
            judge_calls={used.stage: used.usage.sent for used in ledger.usages() if used.role == "judge"},
            kept=ledger.versions(),
        )


def effort(part: Part, stage: str) -> Effort:
    """What one stage of a part took."""
    edits, outcomes = part.edits.get(stage, ()), part.outcomes.get(stage, ())
    tried = [outcome for outcome in outcomes if outcome.answers or outcome.tokens]
    answers = [answer for outcome in outcomes for answer in outcome.answers]
    write, test, update = (part.timings.get(f"{stage}/{piece}", 0.0) for piece in ("write", "trials", "update"))
    studied = len(edits) or len({outcome.context_id for outcome in tried})
    return Effort(
        stage=stage,
        edits=len(edits),
        trials=len({outcome.key for outcome in tried}),
        tokens_written=sum(edit.tokens for edit in edits),
        tokens_trained=sum(outcome.tokens for outcome in tried),
        write_seconds=write,
        try_seconds=test,
        update_seconds=update,
        answers=len(answers),
        judge_calls=part.judge_calls.get(stage, 0),
        seconds_per_edit=(write + test) / studied if studied else None,
    )


def stages_of(part: Part) -> list[str]:
    """Every stage of a part, as they happened."""
    return sorted({*part.outcomes, *part.edits}, key=lambda stage: wording.run_order(stage))


def merged(parts: Iterable[Part], kind: Setting) -> dict[str, Sequence[Outcome]]:
    """Outcomes of all parts of one setting, by stage; a stage that several have is the first one's."""
    found: dict[str, Sequence[Outcome]] = {}
    for part in parts:
        if part.kind == kind:
            found = {**part.outcomes, **found}
    return found


def _by_stage(records: Iterable[Staged]) -> dict[str, list[Staged]]:
    groups: dict[str, list[Staged]] = defaultdict(list)
    for record in records:
        groups[record.stage].append(record)
    return dict(groups)
