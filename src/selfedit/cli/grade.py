"""L5. `selfedit grade`: verdicts on a file of answers, or anew on those of a run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from selfedit.cli.output import JsonCommand, Output, say
from selfedit.config import judge_settings
from selfedit.endpoints import EndpointSettings
from selfedit.endpoints.settings import base_url
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.grading import JudgeGrader, grade_answers, grade_file, load_grader
from selfedit.loop import regrade
from selfedit.loop.settings import VERDICT_REWARDS
from selfedit.records import REGRADING, Usage, to_json
from selfedit.store import Ledger
from selfedit.store.run_folder import amend_run, read_run
from selfedit.tasks import find_task


@dataclass(frozen=True, kw_only=True)
class Grade(JsonCommand):
    """Grade a file of answers, and say how far given verdicts agree; or grade the answers of a run again."""

    file: tyro.conf.Positional[Path]
    """JSONL: question, gold, answer, and perhaps correct (true or false). Or a run folder: its answers get new
    verdicts; by the judge that it had, only those that an outage left without."""
    grader: str = "contains"
    """Who says whether an answer is correct: contains, exact, f1, calibrated, or judge, a model behind an endpoint; for
    the answers of a run on puzzles attempts."""
    judge: str = ""
    """URL of the judge's OpenAI-compatible endpoint, e.g. `http://localhost:8000/v1`. The key, where one is needed, is
    read from SELFEDIT_API_KEY or OPENAI_API_KEY."""
    judge_model: str = ""
    """The judge's name at that endpoint."""
    judge_prices: tuple[float, float] | None = None
    """What a million tokens cost there, read and written."""

    def run(self, out: Output) -> None:
        """Grades, and shows what came of it."""
        judge = judge_settings(self.grader, self.judge, self.judge_model, self.judge_prices)
        if self.file.is_dir():
            regrade_run(self.file, self.grader, judge, out)
            return
        grader = load_grader(self.grader, judge)
        found = {"grader": self.grader, **to_json(grade_file(self.file, grader))}
        if isinstance(grader, JudgeGrader):
            found |= {f"judge_{field}": value for field, value in to_json(grader.endpoint.usage).items()}
        out.rows(str(self.file), found)


def regrade_run(path: Path, name: str, judge: EndpointSettings | None, out: Output) -> None:
    """Grades a run's answers again, and rebuilds its report; by the judge that it had, only what has no verdict.
    A grading without any verdict leaves verdicts and report as they are, and what it took is noted all the same."""
    config = read_run(path)["config"]
    if config.get("reward") in VERDICT_REWARDS:
        told = f"{path}: its verdicts chose self-edits (reward {config['reward']})"
        raise SelfeditError(
            f"{told}; the command that made it asks for missing verdicts again, and another grader needs another run"
        )
    task = find_task(str(config["task"]))
    if name not in task.graders:
        known = ", ".join(task.graders)
        raise SettingError(Field("grader"), f" {name}: does not fit the task {task.name}; it has {known}")
    grader = load_grader(name, judge)
    settings = {"grader": name, "judge": judge.url if judge else "", "judge_model": judge.model if judge else ""}
    before = {**config, "judge": base_url(str(config.get("judge", "")))}
    is_same = judge is not None and all(before.get(field, "") == value for field, value in settings.items())
    settings = settings if not is_same else {}
    with amend_run(path, settings) as run, Ledger(run.ledger) as ledger:
        try:
            found = regrade(ledger, partial(grade_answers, grader), only_ungraded=is_same, number=run.grading)
        finally:
            used = grader.endpoint.take_usage() if isinstance(grader, JudgeGrader) else Usage()
            if isinstance(grader, JudgeGrader) and (used.prompt_tokens or used.unmetered or used.cached):
                ledger.add_usage(REGRADING, "judge", grader.endpoint.model, used)
    told = f"{found.answers} answers graded by {name}, {found.changed} verdicts changed, {found.ungraded} ungraded"
    say(f"{path}: {told}")
    out.report(path)
