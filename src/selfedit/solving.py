"""L5. `selfedit solve`: adapts the model to each puzzle and writes two attempts at its answer.

It is an evaluation on these puzzles alone, in a run folder like any other, so that it resumes; what it adds is the
answer as JSON, as a picture, and as a file that can be submitted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfedit.commands import run_evaluation
from selfedit.config import EvalConfig, RunConfig
from selfedit.recipes import find_recipe
from selfedit.records import Context, Outcome, SelfeditError, to_json
from selfedit.report.puzzles import draw_puzzle
from selfedit.store import Ledger
from selfedit.tasks.arc.grids import Grid, grid_of
from selfedit.tasks.arc.puzzles import write_submission
from selfedit.tasks.arc.task import NONE, check_directives

_NO_ATTEMPT: Grid = ((0,),)
"""What stands in a submission where nothing came out: it wants two grids for every test input."""


@dataclass(frozen=True, slots=True)
class Solution:
    """What came out for one puzzle."""

    task: str
    """Its id."""
    solved: bool | None
    """Every test input's output is among its two attempts; None where the outputs are unknown."""
    attempts: tuple[tuple[Grid, ...], ...]
    """For each test input at most two grids, the better first."""
    seconds: float
    """Of training and answering, self-edits that were not chosen and their rehearsals included."""
    directives: str
    """The self-edit that was used; empty for given ones."""
    failure: str
    """Why there is no attempt; empty where there is."""
    picture: str
    """Path of the picture."""


def solve(config: EvalConfig, words: Sequence[str], submission: str, as_json: bool) -> None:
    """Makes or resumes the run, writes pictures and the submission, and shows what came out."""
    path = run_evaluation(config, config.run_path("solve"), words)
    with Ledger(path / "ledger.db") as ledger:
        contexts, outcomes = ledger.contexts("heldout"), ledger.outcomes()
        texts = {edit.key: edit.text for edit in ledger.edits()}
    [kind] = [name.kind for name in config.method_names()]
    solutions = [_solution(path, context, outcomes, texts, kind) for context in contexts]
    if submission:
        _submit(Path(submission), solutions)
    if as_json:
        found = [to_json(solution) for solution in solutions]
        print(json.dumps(found[0] if len(found) == 1 else found, indent=2))
    else:
        for solution in solutions:
            _print(solution)


def solve_config(puzzle: str, edits: int, directives: str, given: dict[str, Any]) -> EvalConfig:
    """The evaluation that solves `puzzle`. `directives`: JSON, instead of self-edits; `given`: further settings.

    Raises:
        SelfeditError: no self-edits, or both self-edits and directives.
    """
    if edits < 1:
        raise SelfeditError(f"--edits {edits}: give at least 1")
    if directives and (edits > 1 or given.get("policy")):
        raise SelfeditError("--directives: leave out --edits and --policy, nothing is written")
    is_trained = bool(given.get("policy"))
    method = "oracle" if directives else "label-free" if edits > 1 else "seal" if is_trained else "synthetic"
    recipe = find_recipe(str(given.pop("recipe", "")), "", "arc")
    if recipe.task != "arc":
        raise SelfeditError(f"--recipe {recipe.recipe}: is not for puzzles; take arc or arc-paper")
    if directives:
        check_directives("--directives", recipe.prompt, directives)
    shared = {name: value for name, value in dict(recipe).items() if name in RunConfig.model_fields}
    own = {"data": NONE, "heldout_data": puzzle, "methods": method, "n_edits": edits, "oracle": directives}
    return EvalConfig.model_validate(shared | own | {name: value for name, value in given.items() if value != ""})


def _solution(path: Path, context: Context, outcomes: Sequence[Outcome], texts: dict[str, str], kind: str) -> Solution:
    mine = [one for one in outcomes if one.context_id.partition("~")[0] == context.id]
    method = "synthetic" if kind == "seal" else kind
    final = [one for one in mine if one.method == method][-1]
    verdicts = [answer.verdict for answer in final.answers]
    is_known = bool(verdicts) and "ungraded" not in verdicts
    attempts = tuple(_grids(answer.text) for answer in final.answers)
    return Solution(
        task=context.id,
        solved=all(verdict == "right" for verdict in verdicts) if is_known else None,
        attempts=attempts,
        seconds=round(sum(one.seconds for one in mine if one.method != "label-free"), 3),
        directives=texts.get(final.edit_key, ""),
        failure=final.failure,
        picture=str(draw_puzzle(context, attempts, path / "puzzles" / context.id)),
    )


def _grids(text: str) -> tuple[Grid, ...]:
    return tuple(grid for grid in map(grid_of, json.loads(text)) if grid)


def _submit(path: Path, solutions: Sequence[Solution]) -> None:
    lacking = [solution.task for solution in solutions if not all(solution.attempts) or not solution.attempts]
    attempts = {solution.task: [_two(grids) for grids in solution.attempts or ((),)] for solution in solutions}
    write_submission(path, attempts)
    told = f"submission: {path}"
    if lacking:
        told += f"; {len(lacking)} without an attempt, such as {lacking[0]}, stand there as [[0]]"
    print(told, file=sys.stderr)


def _two(grids: tuple[Grid, ...]) -> tuple[Grid, Grid]:
    first = grids[0] if grids else _NO_ATTEMPT
    return first, grids[1] if len(grids) > 1 else first


def _print(solution: Solution) -> None:
    known = {True: "solved", False: "not solved", None: "answer unknown"}[solution.solved]
    print(f"{solution.task}: {solution.failure or known}, {solution.seconds:.0f} s")
    if solution.directives:
        print(f"  directives: {solution.directives}")
    for number, grids in enumerate(solution.attempts, 1):
        for place, grid in enumerate(grids, 1):
            print(f"  test input {number}, attempt {place}:")
            print("\n".join("    " + " ".join(map(str, row)) for row in grid))
    print(f"  picture: {solution.picture}")
