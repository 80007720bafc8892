"""L5. `selfedit versions`: the versions that a run has kept, where each came from, and whole copies of them for PEFT.

Nothing that was accepted is ever overwritten, so that going back is a matter of naming an older version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from selfedit.cli.output import JsonCommand, Output, show
from selfedit.continual.experiment import TESTED
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.records import Policy, Stage, to_json
from selfedit.store import read_ledger
from selfedit.store.run_folder import read_run
from selfedit.terminal import escape_controls


@dataclass(frozen=True, slots=True)
class KeptVersion:
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


@dataclass(frozen=True, kw_only=True)
class Versions(JsonCommand):
    """The versions that a run has kept, each with what it came from; or one of them, copied out for PEFT."""

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """A run folder."""
    restore: str = ""
    """Name of the version to copy, as the list shows it."""
    to: str = ""
    """Folder for the copy; it must not exist yet."""

    def run(self, out: Output) -> None:
        """Lists the versions, or copies one out.

        Raises:
            SelfeditError: there is no such run or version, its adapter is gone or damaged, or the copy has no place.
        """
        found = kept_versions(self.folder)
        if bool(self.restore) != bool(self.to):
            raise SettingError(Field("restore"), " NAME and ", Field("to"), " FOLDER go together")
        if self.restore:
            _restore(self.folder, found, self.restore, Path(self.to))
            if out.is_json:
                out.data({"restored": self.restore, "to": self.to})
            else:
                show(self.to)
        elif out.is_json:
            out.data(to_json(found))
        else:
            _print(self.folder, found)


def kept_versions(run: Path) -> list[KeptVersion]:
    """Every version of a run, in the order in which it was made."""
    read_run(run)
    if not (run / "ledger.db").is_file():
        raise SelfeditError(f"{run}: has no ledger, so nothing was kept in it")
    with read_ledger(run / "ledger.db") as ledger:
        trained = [
            _trained(policy, tuple(ledger.trained_on(policy.version))) for policy in ledger.policies() if policy.version
        ]
        versions, outcomes = ledger.versions(), ledger.outcomes()
    names = {(v.row, v.chain, v.policy.digest): f"{v.row}/{v.chain}/{v.step}" for v in reversed(versions)}
    right = {(o.stage, o.context_id): o.accuracy for o in outcomes if o.method == TESTED}
    return trained + [
        KeptVersion(
            name=f"{version.row}/{version.chain}/{version.step}",
            parent=names.get((version.row, version.chain, version.parent.digest), ""),
            learnt=version.context_id,
            edits=(version.edit_key,),
            accuracy=right.get((Stage.sequence(version.row, version.chain, version.step), version.context_id)),
            factor=version.factor,
            adapter=version.policy.adapter,
            digest=version.policy.digest,
        )
        for version in versions
    ]


def _trained(policy: Policy, edits: Sequence[str]) -> KeptVersion:
    parent = f"policy-{policy.parent}" if policy.parent else ""
    learnt = f"{len(edits)} self-edits"
    return KeptVersion(
        f"policy-{policy.version}", parent, learnt, tuple(edits), None, 1.0, policy.adapter, policy.digest
    )


def _restore(run: Path, found: Sequence[KeptVersion], name: str, to: Path) -> None:
    version = next((one for one in found if one.name == name), None)
    if version is None:
        known = ", ".join(one.name for one in found[:4]) or "none"
        raise SettingError(
            Field("restore"), f" {name}: {run} has no such version; it has {known}{', …' * (len(found) > 4)}"
        )
    from selfedit.engine.lora.peft_format import WEIGHTS, save_whole, sha256_of

    source = run / version.adapter
    if not version.adapter or not (source / WEIGHTS).is_file():
        raise SettingError(
            Field("restore"), f" {name}: it has no adapter ({source}); it is the model that the run began with"
        )
    if sha256_of(source) != version.digest:
        raise SettingError(Field("restore"), f" {name}: {source} is not what was recorded")
    if to.exists():
        raise SettingError(Field("to"), f" {to}: is there already; name a new folder")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        save_whole(source, to)
    except OSError as error:
        raise SettingError(Field("to"), f" {to}: cannot be written ({error.strerror})") from error


def _print(run: Path, found: Sequence[KeptVersion]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(escape_controls(f"Versions of {run}")), title_justify="left")
    for head in ("version", "made from", "learnt", "accuracy just after", "kept", "adapter"):
        table.add_column(head, overflow="fold")
    for one in found:
        accuracy = "–" if one.accuracy is None else f"{100 * one.accuracy:.0f} %"
        cells = one.name, one.parent or "start", one.learnt, accuracy, f"{one.factor:g}", one.adapter or "–"
        table.add_row(*(Text(escape_controls(cell)) for cell in cells))
    Console().print(table)
