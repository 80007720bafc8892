"""L5. What a training run on these very data would take here: contexts, questions, minutes and disk.

The data are read as the run would read them, and a few seconds of real work on them say what a token trained on, a
token written and a context's questions take on this machine (`cli.demo.measure`); the rest is arithmetic.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfedit.cli import open_run
from selfedit.cli.demo import measure
from selfedit.cli.estimates import share_of_workers, study_length
from selfedit.config import PLACEMENT, RunConfig
from selfedit.loop import TrainConfig, plan_training, trained_rows
from selfedit.protocols import Task
from selfedit.recipes.demo import HeldoutRows, Pace, estimate_seconds
from selfedit.records import Policy
from selfedit.sizing import Shape
from selfedit.store import AdapterFolders
from selfedit.tasks import find_task, load_task, with_own_settings

_WEIGHT_BYTES = 4
"""Of a policy's adapter."""
_STUDY_BYTES, _ANSWER_BYTES, _PAGE_BYTES = 3_000, 1_000, 700_000
"""What a study and an answer take in the ledger, and the report with its figures: 104 self-edits with 25 passages took
1.0 and 0.4 MB."""


def examine_data(config: TrainConfig, shape: Shape) -> dict[str, Any]:
    """What lies in the data, and what the run would take on this machine.

    Raises:
        SelfeditError: the data cannot be used, are fewer than the run asks for, or the model cannot be loaded.
    """
    task, count = load_task(config), find_task(config.task).count
    more = count(with_own_settings(config).task_args, config) if count else {}
    found = {**more, **count_data(task)}
    with tempfile.TemporaryDirectory() as folder:
        here = config.model_copy(update={name: RunConfig.model_fields[name].default for name in PLACEMENT})
        engine = open_run.start_engine(here, AdapterFolders(Path(folder)))
        pace = measure(engine, task, config.inner, config.sampling)
    return {**found, **estimate_run(config, task, pace, shape, engine.bank_size)}


def count_data(task: Task) -> dict[str, Any]:
    """How much there is of everything."""
    splits = {name: task.contexts(name) for name in ("train", "heldout")}
    contexts = [context for split in splits.values() for context in split]
    return {
        "contexts_to_train_on": len(splits["train"]),
        "contexts_held_out": len(splits["heldout"]),
        "questions": sum(len(context.questions) for context in contexts),
        "words": sum(len(context.text.split()) for context in contexts),
    }


def estimate_run(config: TrainConfig, task: Task, pace: Pace, shape: Shape, bank: int) -> dict[str, Any]:
    """What all rounds of a run take, with its held-out tests and its page. `bank`: the engine's."""
    plan = plan_training(config, task)
    rows = HeldoutRows.of([*plan.heldout.rows, *trained_rows(Policy(1))])
    n_heldout = len(plan.heldout.contexts)
    _, tokens = study_length(config)
    whole = config.model_copy(
        update={
            "contexts": config.rounds * config.contexts,
            "heldout": n_heldout,
            "inner": replace(config.inner, budget=f"tokens:{round(tokens)}"),
        }
    )
    studies = whole.contexts * config.edits * config.seeds + rows.studied * n_heldout * config.heldout_seeds
    asked = studies + whole.contexts + (rows.asked - rows.studied) * n_heldout
    contexts = [*task.contexts("train"), *plan.heldout.contexts]
    answers = asked * sum(len(context.questions) for context in contexts) / max(1, len(contexts))
    weights = shape.adapter_weights(config.outer.rank, config.outer.target_modules, config.outer.top_layers)
    disk = config.rounds * weights * _WEIGHT_BYTES + studies * _STUDY_BYTES + answers * _ANSWER_BYTES + _PAGE_BYTES
    share = share_of_workers(config, bank)
    return {
        "studies_of_this_run": studies,
        "minutes_of_this_run": round(estimate_seconds(whole, pace, rows) * share / 60, 1),
        "disk_mb_of_this_run": round(disk / 1e6, 1),
        "seconds_of": {
            "a token trained on": round(pace.train, 4),
            "a token written": round(pace.write, 4),
            "a context's questions": round(pace.ask, 4),
        },
    }
