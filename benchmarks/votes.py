"""Which vote solves more puzzles with the same answers: the published one, the one by majorities, or the judged one.

    python benchmarks/votes.py [--json]
    python benchmarks/votes.py record FILE WORDS...
    python benchmarks/votes.py count FILE RUN [--json]

The first makes answers up: a grid in which each view has got some cells wrong, each by chance and on its own.
`record` runs the command `selfedit WORDS...` and writes to FILE, a line a test input and trial, what every view
answered; the same words on the same file go on. `count` sets all votes against each other on those answers, for each
method of the run RUN that gave them, and every other vote against the run's own, paired by puzzle.
"""

from __future__ import annotations

import json
import random
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from telling import rounded

from selfedit.cli.main import main as selfedit
from selfedit.records import Answer, GradedAnswer, Outcome, Query
from selfedit.report.run_data import read_run_data
from selfedit.report.stats.intervals import solved, solved_difference
from selfedit.tasks.arc.attempts import ATTEMPTS, Votes
from selfedit.tasks.arc.grids import COLOURS, Grid, grid_of
from selfedit.tasks.arc.voting import RULES

N_MADE_UP = 1000
"""Made-up puzzles of each kind."""
SYMMETRIES = ("transpose", "flipud", "fliplr", "rot90", "rot180")
PLAIN_VIEWS = {2: 2, 3: 5, 4: 11}
"""Demonstrations → views of their test input without a symmetry, as published."""
SIDES = (3, 5, 10)
WRONG_CELLS = (1, 2, 3)
"""Cells of an answer that are drawn anew, on average."""

Said = list[tuple[str, Grid | None]]
Joined = tuple[str, str, float]
"""Test input, attempts and log-probability: what a recorded answer and an outcome have in common."""


@dataclass(frozen=True, slots=True)
class MadeUp:
    """One kind of made-up puzzle."""

    demonstrations: int
    side: int
    wrong_cells: int
    n: int
    solved: Mapping[str, int]
    """By each vote."""


def main(words: Sequence[str]) -> None:
    is_json = "--json" in words
    match [word for word in words if word != "--json"]:
        case []:
            rows = [made_up(n, side, wrong) for n in PLAIN_VIEWS for side in SIDES for wrong in WRONG_CELLS]
            print(json.dumps([asdict(row) for row in rows], indent=1) if is_json else table_of_made_up(rows))
        case ["count", file, run]:
            found = count(Path(file), Path(run))
            print(json.dumps(rounded(found), indent=1) if is_json else table(found))
        case ["record", file, *_]:
            sys.exit(record(Path(file), words[2:]))
        case _:
            sys.exit(__doc__)


def made_up(n_demos: int, side: int, wrong_cells: int) -> MadeUp:
    draws = random.Random(0)
    found: dict[str, int] = dict.fromkeys(RULES, 0)
    for _ in range(N_MADE_UP):
        right = tuple(tuple(draws.randrange(COLOURS) for _ in range(side)) for _ in range(side))
        names = ["identity"] * PLAIN_VIEWS[n_demos] + list(SYMMETRIES)
        said = [(name, with_errors(right, wrong_cells, draws)) for name in names]
        for vote, rule in RULES.items():
            found[vote] += right in rule(said)
    return MadeUp(n_demos, side, wrong_cells, N_MADE_UP, found)


def with_errors(grid: Grid, n_mean: int, draws: random.Random) -> Grid:
    """Each cell is drawn anew with the same chance, so that `n_mean` are on average."""
    chance = n_mean / (len(grid) * len(grid[0]))
    return tuple(tuple(draws.randrange(COLOURS) if draws.random() < chance else cell for cell in row) for row in grid)


def record(path: Path, words: Sequence[str]) -> int:
    """Runs the command with an ear on every vote."""
    aggregate = Votes.aggregate

    def listening(
        self: Votes, answers: Sequence[Answer], followup_answers: Sequence[Answer]
    ) -> list[tuple[Query, Answer]]:
        found = aggregate(self, answers, followup_answers)
        said = self.said(answers)
        with path.open("a") as file:
            for (_, answer), seen in zip(found, said, strict=True):
                line = {"question": answer.question_id, "attempts": answer.text, "logprob": answer.gold_logprob}
                file.write(json.dumps({**line, "said": seen}) + "\n")
        return found

    Votes.aggregate = listening  # type: ignore[method-assign]
    return selfedit(list(words))


def count(file: Path, run: Path) -> dict[str, Any]:
    """Success under each vote, by stage."""
    data = read_run_data(run)
    said = read_recorded(file)
    own = str(data.config["task_args"]["vote"])
    found = []
    for stage, outcomes in data.outcomes.items():
        others = [vote for vote in RULES if vote != own]
        by_vote = {own: outcomes} | {vote: recounted(outcomes, said, vote) for vote in others}
        rows = {vote: asdict(solved(one)) for vote, one in by_vote.items()}
        trials = sum(outcome.status == "done" for outcome in outcomes)
        against = {vote: asdict(solved_difference(by_vote[own], one)) for vote, one in by_vote.items() if vote != own}
        found.append({"stage": str(stage), "trials": trials, "solved": rows, f"against_{own}": against})
    return {"run": run.name, "vote": own, "stages": found, "config": data.config, "facts": data.facts}


def read_recorded(file: Path) -> dict[Joined, Said]:
    found: dict[Joined, Said] = {}
    for line in file.read_text().splitlines():
        one = json.loads(line)
        said = [(name, grid_of(grid)) for name, grid in one["said"]]
        found[one["question"], one["attempts"], one["logprob"]] = said
    return found


def recounted(outcomes: Sequence[Outcome], said: Mapping[Joined, Said], vote: str) -> list[Outcome]:
    """The same outcomes, their attempts chosen by another vote."""
    rule = next(rule for name, rule in RULES.items() if name == vote)

    def anew(answer: GradedAnswer) -> GradedAnswer:
        key = (answer.question_id, answer.text, answer.gold_logprob)
        if key not in said:
            sys.exit(f"{answer.question_id}: not recorded; run all of it under `record`")
        attempts = rule(said[key])[:ATTEMPTS]
        is_right = grid_of(json.loads(answer.gold)) in attempts
        return replace(answer, text=json.dumps(attempts), verdict="correct" if is_right else "incorrect")

    return [replace(one, answers=tuple(map(anew, one.answers))) for one in outcomes]


def table_of_made_up(rows: Sequence[MadeUp]) -> str:
    lines = [f"| demonstrations | side | wrong cells | {' | '.join(RULES)} |", "|---|---|---|" + "---|" * len(RULES)]
    sums: dict[str, int] = defaultdict(int)
    for row in rows:
        counts = " | ".join(str(row.solved[vote]) for vote in RULES)
        lines.append(f"| {row.demonstrations} | {row.side} | {row.wrong_cells} | {counts} |")
        for vote, number in row.solved.items():
            sums[vote] += number
    total = sum(row.n for row in rows)
    return "\n".join([*lines, f"| all {total} | | | {' | '.join(str(sums[vote]) for vote in RULES)} |"])


def table(found: Mapping[str, Any]) -> str:
    votes = [found["vote"], *(vote for vote in RULES if vote != found["vote"])]
    lines = [f"| | {' | '.join(votes)} | trials |", "|---|" + "---|" * (len(votes) + 1)]
    for row in found["stages"]:
        shares = " | ".join(told(row["solved"][vote]) for vote in votes)
        lines.append(f"| {row['stage']} | {shares} | {row['trials']} |")
    return "\n".join(lines)


def told(share: Mapping[str, float | None]) -> str:
    value, low, high = (share[name] for name in ("value", "low", "high"))
    if value is None:
        return "–"
    return f"{100 * value:.1f}" + (
        f" ({100 * low:.1f} to {100 * high:.1f})" if low is not None and high is not None else ""
    )


if __name__ == "__main__":
    main(sys.argv[1:])
