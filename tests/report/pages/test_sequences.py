"""What a run of sequences shows, computed by hand on fakes that forget."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from selfedit.continual import ContinualConfig, plan_sequences, run_sequences
from selfedit.records import START, Probe, Prompt, Query, Stage
from selfedit.report import build_report, print_summary, read_run_data, summary
from selfedit.report.pages.sequences import _mean, _results, _so_far
from selfedit.store import Ledger
from selfedit.store.run_folder import open_run
from selfedit.testing import FakeTask, ForgetfulEngine, make_runtime

PROBE = Probe(
    questions=tuple(Query(f"@q{i}", "what does everybody know?", "this", Prompt("?"), 4) for i in range(5)),
    texts=(Query("@t", "everybody writes so", "a text", Prompt("title"), 0),),
    openings=(Prompt("opening", raw=True),),
)


def make_run(path: Path, strategy: str = "none,replay,route", memory: int = 4, ask_every: int = 1) -> Path:
    shared = {"sequences": 2, "contexts": 4, "writer": "untouched"}
    config = ContinualConfig.model_validate({**shared, "strategy": strategy, "ask_every": ask_every})
    engine = ForgetfulEngine(memory, home=path)
    engine.harm = lambda folder, factor: 0.1 if "/none/" in folder else 0.0
    facts = {"device": "cpu", "dtype": "float32"}
    with open_run(path, "continual", config.identity(), facts) as run, Ledger(run.ledger) as ledger:
        runtime = replace(make_runtime(ledger, engine), task=FakeTask(n_heldout=8))
        run_sequences(plan_sequences(config, runtime.task, PROBE), runtime)
    return path


def test_the_matrix_what_was_learnt_and_what_is_left_are_those_of_the_fake(tmp_path: Path) -> None:
    """It remembers four examples, two of each context: without a strategy the last two contexts of four."""
    told = summary(make_run(tmp_path / "run"))
    rows = {row["name"]: row for row in told["rows"]}
    assert list(rows) == ["none", "replay", "route", "route (oracle)"]
    none = rows["none"]
    assert (none["learnt"]["value"], none["final"]["value"], none["base"]["value"]) == (1.0, 0.5, 0.0)
    assert (none["kept"]["value"], none["gained"]["value"]) == (-0.5, 0.5)
    assert none["transfer"]["value"] == pytest.approx(-2 / 3)
    assert none["versus"]["value"] is None
    assert rows["route (oracle)"]["final"]["value"] == 1.0
    assert rows["route (oracle)"]["versus"]["value"] == 0.5
    assert told["matrices"]["none"][1:] == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    assert none["perplexity"]["value"] == pytest.approx(2.718281828**0.4 - 1)
    assert none["known"]["value"] == 0.0
    assert none["accepted"] == "8 whole"
    assert told["published"]["final"] == 0.247


def test_the_page_has_a_heatmap_for_each_row_and_curves(tmp_path: Path) -> None:
    page = build_report(make_run(tmp_path / "run", "none,replay+kl"))
    text = page.read_text()
    assert text.count("<figure>") == 4
    names = {path.name for path in (tmp_path / "run/figures").glob("*.png")}
    assert names == {"kept.png", "learnt.png", "matrix-none.png", "matrix-replay-and-kl.png"}
    assert json.loads((tmp_path / "run/report.json").read_text())["rows"]


def test_what_was_not_asked_is_missing_in_the_matrix_and_in_the_curve_and_changes_neither_end(tmp_path: Path) -> None:
    told = summary(make_run(tmp_path / "run", "none", ask_every=3))
    assert told["matrices"]["none"][1:3] == [[1, None, None, None], [None, 1, None, None]]
    row = told["rows"][0]
    assert (row["learnt"]["value"], row["final"]["value"]) == (1.0, 0.5)
    matrix = _mean(_results(read_run_data(tmp_path / "run"), "none"))
    assert _so_far(matrix) == [1.0, None, pytest.approx(2 / 3), 0.5]


def test_a_run_that_was_stopped_says_how_far_it_is(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "none")
    with Ledger(run / "ledger.db") as ledger:
        ledger._connection.execute("DELETE FROM outcomes WHERE stage = 'none/1/4'")
        ledger._connection.commit()
    console = Console(width=100, record=True)
    print_summary(run, console)
    assert "1 of 2 sequences are at their end" in console.export_text()
    assert summary(run)["rows"][0]["final"]["n"] == 1


def test_ungraded_answers_are_counted_and_in_no_share(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "none")
    with Ledger(run / "ledger.db") as ledger:
        [known] = [o for o in ledger.outcomes(Stage.sequence("none", 0, 4)) if o.method == "known"]
        lost = (replace(known.answers[0], verdict="ungraded"), *known.answers[1:])
        ledger.add_outcomes([replace(known, answers=lost)])
    told = summary(run)
    assert told["rows"][0]["known"]["value"] == 0.0
    assert any("Ungraded, and in no share: 1 of" in sentence for sentence in told["sentences"])


def test_a_run_whose_every_answer_is_ungraded_has_a_page_without_curves(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "none")
    with Ledger(run / "ledger.db") as ledger:
        tested = [o for o in ledger.outcomes() if o.method == "tested" and o.stage != START]
        lost = [replace(o, answers=tuple(replace(a, verdict="ungraded") for a in o.answers)) for o in tested]
        ledger.add_outcomes(lost)
    assert "Ungraded, and in no share" in build_report(run).read_text()
    assert not (run / "figures/learnt.png").exists()


def test_rows_stand_as_they_were_asked_for_whatever_their_numbers(tmp_path: Path) -> None:
    told = summary(make_run(tmp_path / "run", "kl+replay:budget=2,none"))
    assert [row["name"] for row in told["rows"]] == ["replay:budget=2+kl", "none"]
    assert told["rows"][0]["does"].count(";") == 1


def test_shares_are_cut_at_0_and_100_percent_and_the_table_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "none")
    with Ledger(run / "ledger.db") as ledger:
        last = [o for o in ledger.outcomes(Stage.sequence("none", 0, 4)) if o.method == "tested"]
        lost = [replace(o, answers=tuple(replace(a, verdict="incorrect") for a in o.answers)) for o in last]
        ledger.add_outcomes(lost)
    [row] = summary(run)["rows"]
    assert (row["final"]["value"], row["final"]["low"], row["final"]["high"]) == (0.25, 0.0, 1.0)
    assert row["gained"]["low"] < -1
    assert "cut at 0 and 100" in " ".join(build_report(run).read_text().replace("&nbsp;", " ").split())


def test_rows_that_have_not_begun_are_missing_too(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "none")
    record = json.loads((run / "config.json").read_text())
    record["config"]["strategy"] = "none, replay:budget=2,kl"
    (run / "config.json").write_text(json.dumps(record))
    sentences = summary(run)["sentences"]
    for row in ("replay:budget=2", "kl"):
        assert f"{row}: 0 of 2 sequences are at their end; the same command resumes." in sentences


def test_what_nobody_could_grade_is_no_change_of_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "none")
    with Ledger(run / "ledger.db") as ledger:
        known = [o for o in ledger.outcomes() if o.method == "known" and o.stage != START]
        ledger.add_outcomes(
            [replace(o, answers=tuple(replace(a, verdict="ungraded") for a in o.answers)) for o in known]
        )
    [row] = summary(run)["rows"]
    assert row["known"]["value"] is None and row["perplexity"]["value"] is not None
