"""L5. `selfedit reproduce past-window`: streams that are longer than what is in sight, learnt on the way."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from selfedit.cli.output import Output, say, show_document
from selfedit.cli.progress import show_progress
from selfedit.config import EMBEDDED_MODEL, SHIPPED_LEARNER
from selfedit.errors import Field, SettingError
from selfedit.loop.runtime import Runtime
from selfedit.protocols import MovesOn
from selfedit.recipes.past_window import TITLE, past_window_plan
from selfedit.recipes.reproduce import ReproduceConfig
from selfedit.recipes.scales import check_scale
from selfedit.records import UNTOUCHED, MidStudy, Policy
from selfedit.store.adapters import AdapterFolders, adapter_in
from selfedit.store.run_folder import code_version
from selfedit.think.past_window import PastWindowPlan, run_past_window
from selfedit.think.units import UnitFolder, held_units
from selfedit.think.world import SEGMENTS, make_streams

NAME = "past-window"
_UNUSED = ("data", "heldout_data", "edits", "writer", "grader", "judge", "prompts", "executor", "cut_for")
_ASKING = 1.6
"""What an experiment takes for each second of training: reading, checking and asking in every arm."""


def run_past_window_page(config: ReproduceConfig, out: Output) -> None:
    """Runs or resumes the experiment, and writes and shows its page.

    Raises:
        SettingError: a setting that it has no use for, or a folder that holds another experiment.
    """
    check_scale(config.scale, NAME)
    for field in _UNUSED:
        if getattr(config, field) != ReproduceConfig.model_fields[field].default:
            raise SettingError(Field(field), f": {NAME} takes none; leave it out")
    model = config.model or EMBEDDED_MODEL
    plan = past_window_plan(config.scale, model == EMBEDDED_MODEL, config.seed)
    root = config.run_path()
    path = root / NAME
    identity = {"name": NAME, "plan": plan.identity(), "model": model, "dtype": config.dtype, "device": config.device}
    with held_units(path, identity) as units, show_progress(sys.stderr) as progress:
        engine = load_moving(model, config.device, config.dtype, path)
        _estimate(plan, units, engine)
        runtime = Runtime(None, engine, engine, None, None, progress)  # type: ignore[arg-type]  # no task, no ledger
        results = run_past_window(plan, units, engine, _base_of, runtime)
    facts = {**engine.facts, "code": code_version(), "command": out.command, **identity}
    from selfedit.report.paper.past_window import past_window_page

    show_document(root, past_window_page(TITLE, results, facts), out)


def load_moving(model: str, device: str, dtype: str, home: Path) -> Any:
    """The engine that reads."""
    from selfedit.engine import load_engine

    return load_engine(model, device, dtype, adapters=AdapterFolders(home))


def _base_of(start: str) -> Policy:
    return adapter_in(SHIPPED_LEARNER) if start == SHIPPED_LEARNER else UNTOUCHED


def _estimate(plan: PastWindowPlan, units: UnitFolder, engine: MovesOn) -> None:
    """Says what it takes, from one update of the middle of a stream that is thrown away."""
    wanted = [name for start in plan.starts for name in plan.units_of(start)]
    left = [name for name in wanted if units.recall(name) is None]
    if not left:
        return
    segments = make_streams("estimate", 1, plan.seed)[0].segments[: SEGMENTS // 2]
    texts = engine.moving(1, plan.config.training)
    texts.read([(0, segments[0].text)])
    examples = tuple(note.example for segment in segments for note in segment.notes)
    started = time.monotonic()
    [done] = texts.study([MidStudy(0, examples, 0, 1)], plan.config.tolerance)
    pace = (time.monotonic() - started) / max(1, done.tokens)
    minutes = plan.tokens * len(left) / len(wanted) * pace * _ASKING / 60
    say(f"reproduce {NAME}: {len(left)} of {len(wanted)} units to do, about {minutes:.0f} minutes on this machine")
