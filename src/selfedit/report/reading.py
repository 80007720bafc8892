"""L4. A run folder, read once: everything that the page, the summary and the figures tell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfedit.records import Policy, Scored, SelfeditError, StageUsage
from selfedit.report import tables, wording
from selfedit.report.costs import CostRow, cost_rows
from selfedit.report.evolution import Evolution, evolutions
from selfedit.report.examples import Example, examples
from selfedit.report.gains import GainRow, gain_rows
from selfedit.report.headline import headline
from selfedit.report.lacking import unfinished
from selfedit.store import folder
from selfedit.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Reading:
    """What a run has to tell so far."""

    name: str
    """The run folder's name."""
    command: str
    """What repeats the run."""
    config: dict[str, Any]
    """The resolved configuration."""
    facts: dict[str, Any]
    """Code version, hashes, device: what the run found out about itself."""
    fingerprint: str
    """Hash of the ledger's content."""
    headline: list[str]
    """The result in plain words."""
    methods: list[tables.MethodRow]
    """Held-out results."""
    gains: list[GainRow]
    """Held-out differences."""
    rounds: list[tables.RoundRow]
    """Training."""
    problems: list[tables.Problem]
    """What stands outside the numbers."""
    unfinished: list[str]
    """What the run still lacks."""
    examples: list[Example]
    """Self-edits and answers."""
    evolutions: list[Evolution]
    """Self-edits of several policies about the same context."""
    scored: dict[str, list[Scored]]
    """Every reward, by round."""
    titles: dict[str, str]
    """Context id → title."""
    policies: list[Policy]
    """Versions of the model that writes."""
    trained_on: dict[int, int]
    """Policy version → number of self-edits that trained it."""
    counts: dict[str, int]
    """Records in the ledger."""
    timings: dict[str, float]
    """Stage → seconds."""
    costs: list[CostRow]
    """What a self-edit costs, by stage."""
    usages: list[StageUsage]
    """What endpoints were used for."""

    @property
    def setting(self) -> str:
        """`cpt` where an evaluation studied all passages at once, else `single`."""
        return str(self.config.get("setting") or "single")


def read_run(run: Path) -> Reading:
    """Reads `run`; SelfeditError when there is nothing to tell yet."""
    path = run / "ledger.db"
    if not path.is_file():
        raise SelfeditError(f"{run}: no ledger.db here; not a run folder, or a run that has not begun")
    written = folder.read_run(run)
    config, facts = written["config"], written["facts"]
    if resumed_with := written.get("resumed_with"):
        facts["resumed_with"] = resumed_with
    with Ledger(path) as ledger:
        if not ledger.outcomes():
            raise SelfeditError(f"{run}: the ledger holds no outcomes yet, so there is nothing to report")
        methods, gains, rounds = tables.method_table(ledger), gain_rows(ledger), tables.round_table(ledger)
        policies, shown = ledger.policies(), examples(ledger)
        n_policies = len([digest for digest in str(facts.get("policy", "")).split(",") if digest])
        return Reading(
            name=run.resolve().name,
            command=_command(config, facts),
            config=config,
            facts=facts,
            fingerprint=str(ledger.fingerprint()),
            headline=headline(methods, gains, rounds, *(str(config.get(name, "")) for name in ("setting", "learner"))),
            methods=methods,
            gains=gains,
            rounds=rounds,
            problems=tables.problems(ledger),
            unfinished=unfinished(ledger, config, n_policies),
            examples=shown,
            evolutions=evolutions(shown),
            scored=tables.scored_by_stage(ledger),
            titles={context.id: context.title for context in ledger.contexts()},
            policies=policies,
            trained_on={policy.version: len(ledger.trained_on(policy.version)) for policy in policies},
            counts=dict(ledger.counts()),
            timings=dict(sorted(ledger.timings().items(), key=lambda item: wording.run_order(item[0]))),
            costs=cost_rows(ledger),
            usages=sorted(ledger.usages(), key=lambda one: wording.run_order(one.stage)),
        )


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `inner.rank` → `32`."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return flat


def _command(config: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """The command as the run noted it; else every setting as a flag."""
    if facts.get("command"):
        return str(facts["command"])
    words = ["selfedit", "train" if "rounds" in config else "eval"]
    for name, value in flatten(config).items():
        flag = "--" + name.replace("_", "-")
        if value not in ("null", ""):
            words += [flag, value]
    return shlex.join(words)
