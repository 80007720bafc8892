"""L5. `selfedit adapters`: the versions that a run has kept, where each came from, and whole copies of them for PEFT.

Nothing that was accepted is ever overwritten, so that going back is a matter of naming an older version.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selfedit.records import Policy, SelfeditError, to_json
from selfedit.store import Ledger
from selfedit.store.folder import read_run


@dataclass(frozen=True, slots=True)
class Kept:
    """One version."""

    name: str
    """For `--restore`: `policy-2`, or `ROW/SEQUENCE/STEP` of sequences."""
    parent: str
    """The version that it was made from; empty for the model that the run began with."""
    learnt: str
    """What was learnt: the context, or how many self-edits."""
    edits: tuple[str, ...]
    """Keys of the self-edits that made it."""
    accuracy: float | None
    """Just after: on the context that was learnt, 0 to 1; None where that was not asked."""
    factor: float
    """How much of the update was kept."""
    adapter: str
    """Its folder within the run; empty where the update was rejected first of all."""
    digest: str
    """SHA-256 of its weights."""


def adapters(run: Path, restore: str, to: str, as_json: bool) -> None:
    """Lists the versions of a run, or copies one out.

    Raises:
        SelfeditError: there is no such run or version, its adapter is gone or damaged, or the copy has no place.
    """
    found = kept_versions(run)
    if bool(restore) != bool(to):
        raise SelfeditError("--restore NAME and --to FOLDER go together")
    if restore:
        _restore(run, found, restore, Path(to))
        print(to)
    elif as_json:
        print(json.dumps(to_json(found), indent=2))
    else:
        _print(run, found)


def kept_versions(run: Path) -> list[Kept]:
    """Every version of a run, in the order in which it was made."""
    read_run(run)
    if not (run / "ledger.db").is_file():
        raise SelfeditError(f"{run}: has no ledger, so nothing was kept in it")
    with Ledger(run / "ledger.db") as ledger:
        trained = [
            _trained(policy, tuple(ledger.trained_on(policy.version))) for policy in ledger.policies() if policy.version
        ]
        versions, outcomes = ledger.versions(), ledger.outcomes()
    names = {(v.row, v.chain, v.policy.digest): f"{v.row}/{v.chain}/{v.step}" for v in reversed(versions)}
    right = {(o.stage, o.context_id): o.accuracy for o in outcomes if o.method == "tested"}
    return trained + [
        Kept(
            name=f"{version.row}/{version.chain}/{version.step}",
            parent=names.get((version.row, version.chain, version.parent.digest), ""),
            learnt=version.context_id,
            edits=(version.edit_key,),
            accuracy=right.get((f"{version.row}/{version.chain}/{version.step}", version.context_id)),
            factor=version.factor,
            adapter=version.policy.adapter,
            digest=version.policy.digest,
        )
        for version in versions
    ]


def _trained(policy: Policy, edits: Sequence[str]) -> Kept:
    parent = f"policy-{policy.parent}" if policy.parent else ""
    learnt = f"{len(edits)} self-edits"
    return Kept(f"policy-{policy.version}", parent, learnt, tuple(edits), None, 1.0, policy.adapter, policy.digest)


def _restore(run: Path, found: Sequence[Kept], name: str, to: Path) -> None:
    version = next((one for one in found if one.name == name), None)
    if version is None:
        known = ", ".join(one.name for one in found[:4]) or "none"
        raise SelfeditError(f"--restore {name}: {run} has no such version; it has {known}{', …' * (len(found) > 4)}")
    from selfedit.engine.adapters import WEIGHTS, save_whole, sha256_of

    source = run / version.adapter
    if not version.adapter or not (source / WEIGHTS).is_file():
        raise SelfeditError(f"--restore {name}: it has no adapter ({source}); it is the model that the run began with")
    if sha256_of(source) != version.digest:
        raise SelfeditError(f"--restore {name}: {source} is not what was recorded")
    if to.exists():
        raise SelfeditError(f"--to {to}: is there already; name a new folder")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        save_whole(source, to)
    except OSError as error:
        raise SelfeditError(f"--to {to}: cannot be written ({error.strerror})") from error


def _print(run: Path, found: Sequence[Kept]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Versions of {run}", title_justify="left")
    for head in ("version", "made from", "learnt", "accuracy just after", "kept", "adapter"):
        table.add_column(head, overflow="fold")
    for one in found:
        accuracy = "–" if one.accuracy is None else f"{100 * one.accuracy:.0f} %"
        table.add_row(one.name, one.parent or "start", one.learnt, accuracy, f"{one.factor:g}", one.adapter or "–")
    Console().print(table)
