"""`selfedit report --trusted`: corrected numbers beside the grader's, or one line that says why not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from selfedit.cli.main import main
from tests.support.commands import use_engine

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "reports.md"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An evaluation on fake engines, in `runs/mine`."""
    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch)
    assert main(["eval", "--methods", "base,passage", "--contexts", "8", "--run", "runs/mine"]) == 0
    return Path("runs/mine")


def test_what_the_guide_draws_can_be_judged_and_corrects_every_row(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [drawing] = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    exec(drawing.replace("k=100", "k=10"), {})
    to_judge = [json.loads(line) for line in Path("to-judge.jsonl").read_text().splitlines()]
    assert len({one["question_id"] for one in to_judge}) == 10
    judged = [{**one, "correct": True} for one in to_judge]
    Path("v.jsonl").write_text("\n".join(map(json.dumps, judged)))
    capsys.readouterr()
    assert main(["report", str(run), "--trusted", "v.jsonl", "--json"]) == 0
    corrected = json.loads(capsys.readouterr().out)["corrected"]
    assert (corrected["n_matched"], corrected["n_strange"]) == (len(judged), 0)
    assert [row["corrected"]["n_trusted"] for row in corrected["rows"]] == [10, 10]
    assert main(["report", str(run), "--trusted", "v.jsonl"]) == 0
    assert "Accuracy, by the grader and corrected" in capsys.readouterr().out
    assert "Corrected by trusted verdicts" in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "absent.jsonl"),
        (
            '{"question_id": "q", "answer": "x", "correct": true}',
            "none of 1 trusted verdicts is on an answer of this run",
        ),
        ('{"question_id": "q", "answer": "x", "correct": 1}', "v.jsonl:1: 'correct' is"),
    ],
)
def test_verdicts_that_cannot_be_used_are_refused_in_one_line_and_the_page_stays(
    content: str | None, told: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (run / "report.html").read_bytes()
    if content:
        Path("v.jsonl").write_text(content)
    capsys.readouterr()
    assert main(["report", str(run), "--trusted", "v.jsonl" if content else "absent.jsonl"]) == 2
    said = capsys.readouterr()
    assert told in said.err and said.err.strip().count("\n") == 0 and said.out == ""
    assert (run / "report.html").read_bytes() == page
