"""L4. A run folder, read once: what all pages, tables and figures of it are made from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from selfedit.records import (
    Context,
    LineCheck,
    Outcome,
    Policy,
    Preview,
    Rethought,
    ScoredEdit,
    SelfEdit,
    Stage,
    StageUsage,
    Tallied,
    Timing,
    Version,
    WarmUp,
)
from selfedit.report.format import run_order, stage_order
from selfedit.store import run_folder
from selfedit.store.ledger import read_ledger
from selfedit.store.run_folder import RunKind
from selfedit.tasks import all_tasks

PartKind = Literal["train", "single", "cpt-lora", "cpt-full", "reward", "puzzles", "sequences", "house-rules", "stream"]
"""What a run measures in a reproduction: training; held-out contexts one by one; all together with LoRA, with all
weights; the noise of the reward; held-out puzzles; sequences of updates; agents that are told rules; streams of
documents."""
T = TypeVar("T")
_PAGES: Mapping[str, Literal["sequences", "house-rules", "stream"]] = {
    "continual": "sequences",
    "house-rules": "house-rules",
    "stream": "stream",
}
"""Kinds of runs that have a page of their own, whatever their task."""


@dataclass(frozen=True, slots=True)
class RunData:
    """Everything that one run has to tell so far."""

    name: str
    """The run folder's name."""
    kind: RunKind
    part: PartKind | None
    """What it measures in a reproduction; None for a run by itself."""
    page: Literal["contexts", "puzzles", "sequences", "house-rules", "stream"]
    """Which page tells it."""
    noun: str
    """What its task calls a context, e.g. `passage`."""
    config: Mapping[str, Any]
    facts: Mapping[str, Any]
    """What it found out about itself: code, hashes, device."""
    command: str
    """What repeats it."""
    contexts: Sequence[Context]
    """In the run's order, held-out ones first."""
    edits: Mapping[Stage, Sequence[SelfEdit]]
    outcomes: Mapping[Stage, Sequence[Outcome]]
    scored: Mapping[Stage, Sequence[ScoredEdit]]
    """What self-edits earned, by round."""
    checks: Mapping[Stage, Sequence[LineCheck]]
    """What was found of self-edits' lines, where the run checked them."""
    previews: Mapping[Stage, Sequence[Preview]]
    """What a few steps on self-edits let hope for, where the run chose by it."""
    tallies: Mapping[Stage, Sequence[Tallied]]
    """What the views of each trial's questions answered, where the run went by their agreement."""
    rethoughts: Mapping[Stage, Sequence[Rethought]]
    """What was made of that, where the run thought again."""
    timings: Sequence[Timing]
    """Wall times, as they happened."""
    usages: Sequence[StageUsage]
    """What endpoints were used for, as it happened."""
    policies: Sequence[Policy]
    """Versions of the model that writes, oldest first."""
    trained_on: Mapping[int, Sequence[str]]
    """Policy version → keys of the self-edits that trained it."""
    versions: Sequence[Version]
    """What sequences of updates have become, step by step."""
    warm_up: WarmUp | None
    """What its learner was made into before anything was studied."""
    counts: Mapping[str, int]
    """Records in the ledger, by table."""
    fingerprint: str
    """Hash of the ledger's content."""
    n_heldout: int
    """Contexts that are to be tested."""

    @property
    def heldout(self) -> dict[Stage, Sequence[Outcome]]:
        """Outcomes by held-out stage, in reading order."""
        stages = sorted((stage for stage in self.outcomes if stage.kind == "eval"), key=stage_order)
        return {stage: self.outcomes[stage] for stage in stages}

    @property
    def rounds(self) -> list[Stage]:
        """Rounds that have begun, in order."""
        found = {stage for stage in [*self.edits, *self.outcomes, *self.scored] if stage.kind == "round"}
        return sorted(found, key=lambda stage: stage.version or 0)

    @property
    def task_args(self) -> Mapping[str, Any]:
        """Settings of the task's own."""
        return dict(self.config.get("task_args", {}))

    @property
    def hardware(self) -> str:
        """What it ran on, from its facts."""
        torch = self.facts.get("torch")
        named = [*(self.facts.get(name) for name in ("device", "dtype")), f"torch {torch}" if torch else None]
        return ", ".join(str(name) for name in named if name)

    def seconds(self, stage: Stage, part: str) -> float | None:
        """Wall time of a part of a stage; None where it was not timed."""
        return next((one.seconds for one in self.timings if (one.stage, one.part) == (stage, part)), None)


def read_run_data(path: Path, part: PartKind | None = None) -> RunData:
    """Reads the run in `path`.

    Raises:
        SelfeditError: there is no run, or one that cannot be read.
    """
    held = run_folder.read_run(path)
    kind, config, facts = held["kind"], held["config"], dict(held["facts"])
    if resumed_with := held.get("resumed_with"):
        facts["resumed_with"] = resumed_with
    plugin = all_tasks().get(str(config.get("task")))
    with read_ledger(path / "ledger.db") as ledger:
        policies = ledger.policies()
        return RunData(
            name=path.resolve().name,
            kind=kind,
            part=part,
            page=_PAGES.get(kind) or (plugin.report if plugin else "contexts"),
            noun=plugin.noun if plugin else "context",
            config=config,
            facts=facts,
            command=str(facts.get("command", "")),
            contexts=[*ledger.contexts("heldout"), *ledger.contexts("train")],
            edits=_by_stage((edit.stage, edit) for edit in ledger.edits()),
            outcomes=_by_stage((outcome.stage, outcome) for outcome in ledger.outcomes()),
            scored=_by_stage(ledger.scored()),
            checks=_by_stage(ledger.checks()),
            previews=_by_stage(ledger.previews()),
            tallies=_by_stage(ledger.tallies()),
            rethoughts=_by_stage(ledger.rethoughts()),
            timings=sorted(ledger.timings(), key=lambda one: run_order(one.stage, one.part)),
            usages=sorted(ledger.usages(), key=lambda one: run_order(one.stage)),
            policies=policies,
            trained_on={policy.version: ledger.trained_on(policy.version) for policy in policies},
            versions=ledger.versions(),
            warm_up=ledger.warm_up(),
            counts=ledger.counts(),
            fingerprint=ledger.fingerprint(),
            n_heldout=len(ledger.contexts("heldout")),
        )


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `inner.rank` → `32`; words without quotation marks."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return flat


def _by_stage(records: Iterable[tuple[Stage, T]]) -> dict[Stage, list[T]]:
    groups: dict[Stage, list[T]] = {}
    for stage, record in records:
        groups.setdefault(stage, []).append(record)
    return groups


def identify(runs: Iterable[RunData]) -> list[dict[str, object]]:
    """Which runs numbers come from, JSON-ready."""
    return [{"name": run.name, "kind": run.part or run.page, "config": run.config, "facts": run.facts} for run in runs]
