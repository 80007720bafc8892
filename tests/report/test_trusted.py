"""Trusted verdicts are matched with a run's answers letter by letter, and correct the rows that they cover."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError
from selfedit.records import Stage
from selfedit.report import build_report, summary
from selfedit.report.trusted import match, read_trusted
from tests.support.made_up_runs import RunBuilder

Line = dict[str, object]


def _write(path: Path, lines: list[Line]) -> Path:
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def _verdicts(run: RunBuilder, n_contexts: int, stages: set[str] | None = None) -> list[Line]:
    """What the grader said, but that every fifth question of the sample is right whatever was answered."""
    return [
        {
            "question_id": answer.question_id,
            "answer": answer.text,
            "correct": answer.verdict == "correct" or answer.question_id.endswith("q4"),
        }
        for stage, outcomes in run.data().heldout.items()
        if stages is None or stage.name in stages
        for outcome in outcomes[:n_contexts]
        for answer in outcome.answers
    ]


def test_corrected_rows_stand_beside_those_of_the_grader(finished: RunBuilder, tmp_path: Path) -> None:
    path = _write(tmp_path / "v.jsonl", _verdicts(finished, 8))
    told = summary(finished.folder, path)
    by_stage = {row["stage"]: row for row in told["corrected"]["rows"]}
    methods = {row["stage"]: row for row in told["methods"]}
    assert by_stage.keys() == methods.keys()
    for stage, row in by_stage.items():
        assert row["by_grader"]["value"] == methods[stage]["accuracy"]
        assert row["corrected"]["n_trusted"] == 40
        assert row["corrected"]["low"] <= row["corrected"]["value"] <= row["corrected"]["high"]
    base = by_stage["eval-base"]
    assert base["corrected"]["value"] == pytest.approx(base["by_grader"]["value"] + 0.2)
    assert len(told["corrected"]["differences"]) == len(told["gains"])
    page = build_report(finished.folder, tmp_path / "page", path).read_text()
    assert "Corrected by trusted verdicts" in page and "40" in page
    assert "corrected" not in summary(finished.folder)


def test_a_row_with_a_sampled_answer_that_was_not_judged_is_not_corrected_and_says_so(
    finished: RunBuilder, tmp_path: Path
) -> None:
    names = {"eval-base", "eval-in-context"}
    told = summary(finished.folder, _write(tmp_path / "v.jsonl", _verdicts(finished, 8, names)))
    rows = {row["stage"]: row for row in told["corrected"]["rows"]}
    assert {stage for stage, row in rows.items() if row["corrected"]} >= names
    # most of what a row in between says was said by one of the two, but these verdicts are no random sample of it
    line = next(one for one in _verdicts(finished, 8, {"eval-base"}))
    part = [one for one in _verdicts(finished, 8, names) if one != line]
    lacking = summary(finished.folder, _write(tmp_path / "p.jsonl", part))["corrected"]
    assert any(row["corrected"] is None and row["lacking"] == 1 for row in lacking["rows"])


def test_verdicts_on_other_answers_are_counted_and_a_file_of_them_alone_is_refused(
    finished: RunBuilder, tmp_path: Path
) -> None:
    strange: list[Line] = [{"question_id": "heldout-0-q0", "answer": "gold 0 ", "correct": True}]
    told = summary(finished.folder, _write(tmp_path / "v.jsonl", _verdicts(finished, 8) + strange))
    assert told["corrected"]["n_strange"] == 1
    with pytest.raises(SelfeditError, match="none of 1 trusted verdicts is on an answer of this run"):
        summary(finished.folder, _write(tmp_path / "s.jsonl", strange))


def test_a_file_that_covers_no_row_is_refused(finished: RunBuilder) -> None:
    base = finished.data().heldout[Stage.of("base")]
    first, second = base[0].answers[:2]
    one = {(first.question_id, first.text): False}
    assert list(match(one, {Stage.of("base"): base}).judged) == [Stage.of("base")]
    with pytest.raises(SelfeditError, match="no row of this run has a trusted verdict on all its answers to the 2"):
        match({**one, (second.question_id, "another answer"): True}, {Stage.of("base"): base})


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"answer": "x", "correct": True}, "v.jsonl:2: missing or empty 'question_id'"),
        ({"question_id": "q", "correct": True}, "v.jsonl:2: no 'answer'"),
        ({"question_id": "q", "answer": "x"}, "v.jsonl:2: 'correct' is None; give true or false"),
        ({"question_id": "q", "answer": "x", "correct": "maybe"}, "v.jsonl:2: 'correct' is 'maybe'"),
        ({"question_id": "p", "answer": "", "correct": False}, "v.jsonl:2: the same answer to p is called both"),
    ],
)
def test_a_line_that_is_no_verdict_is_refused_with_its_place(tmp_path: Path, line: Line, told: str) -> None:
    path = _write(tmp_path / "v.jsonl", [{"question_id": "p", "answer": "", "correct": True}, line])
    with pytest.raises(SelfeditError) as caught:
        read_trusted(path)
    assert told in str(caught.value) and "\n" not in str(caught.value)
