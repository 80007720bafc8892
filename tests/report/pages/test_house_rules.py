"""What the page of house rules tells, on fakes: every demand with what was found, and whether it is reached."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from selfedit.grading import grade_answers, load_grader
from selfedit.learn.house_rules import HouseRules, HouseRulesConfig, lives_of
from selfedit.loop import Runtime
from selfedit.records import Policy, Probe, Prompt, Query
from selfedit.report import read_run_data
from selfedit.report.pages.house_rules import page
from selfedit.report.stats.intervals import Interval
from selfedit.report.tables.house_rules import Bound, HouseRulesTables, Requirement
from selfedit.store import Ledger
from selfedit.store.run_folder import open_run
from selfedit.tasks import load_task
from selfedit.tasks.episodes.task import EpisodesSettings
from selfedit.testing import FakeEngine, SilentProgress

CONFIG = HouseRulesConfig(
    task_args=EpisodesSettings(rules=12, untaught=3, changed=2),
    worlds=2,
    seeds=1,
    rests=2,
    quick_every=0,
    renderings=1,
    of_conditions=1,
    form_rehearsed=1,
    form_examples=2,
    rehearsed=1,
    arms="none,text:64,bm25:64,weights,other",
)
PROBE = Probe(
    questions=(Query("@q", "what does everybody know?", "this", Prompt("?"), 4),),
    texts=(Query("@t", "everybody writes so", "a text", Prompt("title"), 0),),
    openings=(Prompt("opening", raw=True),),
)


def make_run(path: Path, lift: Callable[[Policy], float]) -> Path:
    engine = FakeEngine(home=path)
    engine.lift = lift
    with (
        open_run(path, "house-rules", CONFIG.identity(), {"device": "cpu"}) as folder,
        Ledger(folder.ledger) as ledger,
    ):
        runtime = Runtime(
            task=load_task(CONFIG),
            writer=engine,
            learner=engine,
            grade=partial(grade_answers, load_grader("line")),
            ledger=ledger,
            progress=SilentProgress(),
        )
        HouseRules(CONFIG, runtime, lambda text: len(text.split()), lives_of(CONFIG), PROBE).run()
    return path


@pytest.mark.parametrize(
    ("value", "low", "bound", "must_be_clear", "is_reached"),
    [
        (0.4, 0.1, "at least", True, True),
        (0.4, -0.1, "at least", True, False),
        (0.39, 0.1, "at least", True, False),
        (-0.04, None, "at least", False, False),
        (-0.5, None, "within", False, False),
        (-0.3, None, "within", False, True),
        (-0.5, None, "at most", False, True),
        (None, None, "at least", False, None),
    ],
)
def test_a_demand_is_reached_by_its_value_and_where_so_fixed_by_an_interval_off_zero(
    value: float | None, low: float | None, bound: Bound, must_be_clear: bool, is_reached: bool | None
) -> None:
    wanted = 0.4 if bound == "at least" else 0.3
    found = Interval(value, low, None if low is None else 0.9, 12, 24)
    assert Requirement("x", found, bound, wanted, must_be_clear).is_reached is is_reached


def test_every_demand_stands_on_the_page_and_general_text_is_what_versions_lost(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", lambda policy: -3.0 if "life" in policy.adapter else 0.0)
    tables = HouseRulesTables(read_run_data(run))
    demands = {one.what: one for one in tables.demands}
    assert list(demands) == [
        "weights less none, all rules",
        "weights less text:64, conditions and habits",
        "weights less bm25:64, conditions and habits",
        "the adapter of another world less none",
        "after rest 2 less after rest 1, rules of the first",
        "rules that changed: the newest, by weights",
        "never taught: right by weights",
        "first third of rules less last third",
        "general text lost after the last rest, nats",
    ]
    lost = demands["general text lost after the last rest, nats"]
    before, _, after = (row.text.value for row in tables.general)
    assert before is not None and after is not None
    assert lost.found.value == pytest.approx(before - after) and before - after > 1 and lost.is_reached is False
    assert demands["rules that changed: the newest, by weights"].found.n_contexts == 4
    assert demands["weights less none, all rules"].found.n_questions == 48
    assert [row.name for row in tables.general] == ["untouched", "form", "weights"]
    kept = tables.rests[0].kept
    assert kept.n_contexts == tables.rests[1].kept.n_contexts > 0
    document = page(read_run_data(run))
    assert json.dumps(document.data["demands"]) and "missed" in " ".join(document.sentences)
