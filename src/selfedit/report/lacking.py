"""L4. What a run was told to do and has not done yet; nothing that it was not told is ever called missing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfedit.config import ALIASES
from selfedit.records import Outcome
from selfedit.report import wording
from selfedit.report.gains import of_kinds
from selfedit.report.tables import heldout_outcomes, scored_by_stage
from selfedit.store.ledger import Ledger


def unfinished(ledger: Ledger, config: Mapping[str, Any], n_policies: int = 0) -> list[str]:
    """What this run still lacks, in words; empty for a finished one. `n_policies`: trained policies that an evaluation
    was given; their number is not among its settings."""
    outcomes = heldout_outcomes(ledger)
    lacking = _rounds_lacking(ledger, config) + [
        f"{wording.stage_label(stage)}: not yet asked"
        for stage in _heldout_due(ledger, config, n_policies, outcomes)
        if stage not in outcomes
    ]
    reached = {stage: _contexts_reached(ledger, stage, group) for stage, group in outcomes.items()}
    most = max(reached.values(), default=0)
    lacking += [f"{wording.stage_label(stage)}: {n} of {most} passages" for stage, n in reached.items() if n < most]
    return lacking


def _rounds_lacking(ledger: Ledger, config: Mapping[str, Any]) -> list[str]:
    scored = scored_by_stage(ledger)
    studied = {key for policy in ledger.policies() for key in ledger.trained_on(policy.version)}
    lacking = []
    for number in range(1, int(config.get("rounds", 0)) + 1):
        items = scored.get(f"round-{number}", [])
        if not items:
            lacking.append(f"round {number}: no rewards yet")
        elif any(item.is_kept and item.edit_key not in studied for item in items):
            lacking.append(f"round {number}: the policy has not been updated yet")
    return lacking


def _heldout_due(ledger: Ledger, config: Mapping[str, Any], n_policies: int, present: Collection[str]) -> list[str]:
    """Held-out stages that the settings ask for."""
    if "methods" in config:
        names = [name.strip() for name in str(config["methods"]).split(",") if name.strip()]
        parts = [ALIASES.get(name, name).partition(":") for name in names]
        due = [stage for kind, _, prompt in parts for stage in _due(kind, prompt, config, n_policies, present)]
        return list(dict.fromkeys(due))
    if "rounds" not in config or not config.get("heldout", -1):
        return []
    newest = max((policy.version for policy in ledger.policies()), default=0)
    return ["eval-base", *dict.fromkeys(["eval-synthetic-0", f"eval-synthetic-{newest}"])]


def _due(kind: str, prompt: str, config: Mapping[str, Any], n_policies: int, present: Collection[str]) -> list[str]:
    """The stages that one entry of `--methods` means."""
    if kind == "edits":
        paths = [part.strip() for part in str(config.get("edits", "")).split(",") if part.strip()]
        return [f"eval-edits:{Path(path).name.removesuffix('.jsonl')}-0" for path in paths]
    if kind == "writer":
        name = str(config.get("writer_model", "")).replace("/", "_") or Path(str(config.get("writer", ""))).name
        return of_kinds(present, ("eval-writer",)) or [f"eval-writer:{name}-0"]
    suffix = f":{prompt}" if prompt else ""
    versions = range(1, n_policies + 1)
    if found := _STAGES.get(kind):
        return found(suffix, versions)
    return []


_Stages = Callable[[str, Sequence[int]], list[str]]
"""(prompt behind its colon, versions of trained policies) → the stages of a method."""
_STAGES: dict[str, _Stages] = {
    "base": lambda suffix, versions: ["eval-base", *(f"eval-base-{version}" for version in versions)],
    "in-context": lambda suffix, versions: ["eval-in-context"],
    "passage": lambda suffix, versions: ["eval-passage"],
    "sentences": lambda suffix, versions: ["eval-sentences"],
    "synthetic": lambda suffix, versions: [f"eval-synthetic{suffix}-0"],
    "distil": lambda suffix, versions: [f"eval-distil{suffix}-0"],
    "seal": lambda suffix, versions: [f"eval-synthetic{suffix}-{version}" for version in versions],
    "seal-edits": lambda suffix, versions: [f"eval-seal-edits{suffix}-{version}" for version in versions],
}


def _contexts_reached(ledger: Ledger, stage: str, outcomes: Sequence[Outcome]) -> int:
    """Contexts that this stage is done with; an invalid self-edit is done with, though it has no trial."""
    invalid = {edit.context_id for edit in ledger.edits(stage) if edit.invalid}
    return len(invalid | {outcome.context_id for outcome in outcomes})
