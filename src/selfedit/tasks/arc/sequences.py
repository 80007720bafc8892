"""L2. A puzzle as what a model reads: training sequences and queries, in both formats of grids.

`cells`: the whole demonstration list as one sequence, a token a cell. `arrays`: a conversation, grids as numpy prints
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from selfedit import seeds
from selfedit.records import Example, LossOn, Prompt, Query, Question
from selfedit.tasks.arc.attempts import JUDGING_VIEWS, Asked
from selfedit.tasks.arc.contexts import pair_of
from selfedit.tasks.arc.directives import ALL_TOKENS, Directives, ExtendedTraining
from selfedit.tasks.arc.examples import CAP, published_examples, published_queries, whole_lists
from selfedit.tasks.arc.grids import MAX_SIDE, Grid, Pair, Puzzle, array_text, rows_text
from selfedit.tasks.arc.transforms import Colours, View, views

_CONTEXT_CELLS = 3800
"""Most cells of one sequence: as numpy prints them, some two tokens each."""
_ANSWER = "\n="
_SYSTEM = (
    "Find the rule that turns each input grid into its output grid, and give the output of the last input in the same"
    " form, at once and without words.\nGrids are written as arrays of numbers. Examples:\n"
)


def asked_as_cells(question: Question, demos: Sequence[Pair], n_views: int) -> list[Asked]:
    """A test input in `n_views` views; the gold answer is scored in those that judge."""
    puzzle = Puzzle(tuple(demos), pair_of(question))
    chosen = views(n_views, len(demos), seeds.derive("views", question.id))
    asked = [_one_view(question, view.apply(puzzle), view) for view in chosen]
    rest = [replace(one, query=replace(one.query, gold="")) for one in asked[JUDGING_VIEWS:]]
    return [*asked[:JUDGING_VIEWS], *rest]


def _one_view(question: Question, puzzle: Puzzle, view: View) -> Asked:
    query = Query(
        question_id=f"{question.id}@{view.label}",
        question=question.question,
        gold=rows_text(puzzle.query.output),
        prompt=_prompt_of_cells(puzzle.demos, puzzle.query.input),
        max_new_tokens=_room(puzzle, rows_text),
        is_one_line=False,
    )
    return Asked(question.id, view, query)


def asked_as_arrays(question: Question, demos: Sequence[Pair]) -> list[Asked]:
    """A test input in the published ways."""
    asked = []
    for number, one in enumerate(published_queries(demos, pair_of(question))):
        view = View(one.symmetry)
        query = Query(
            question_id=f"{question.id}@{view.label}.{number}",
            question=question.question,
            gold=_array(one.puzzle.query.output) if question.answer else "",
            prompt=_prompt_of_arrays(one.puzzle.demos, one.puzzle.query.input),
            max_new_tokens=2 * _room(one.puzzle, array_text),
            is_one_line=False,
        )
        asked.append(Asked(question.id, view, query))
    return asked


def _prompt_of_cells(demos: Sequence[Pair], asked: Grid) -> Prompt:
    history = tuple((rows_text(pair.input) + _ANSWER, rows_text(pair.output)) for pair in demos)
    return Prompt(rows_text(asked) + _ANSWER, raw=True, history=history, char_tokens=True)


def _prompt_of_arrays(demos: Sequence[Pair], asked: Grid) -> Prompt:
    shown = "".join(f"{array_text(pair.input)} -> {_array(pair.output)}\n" for pair in demos)
    return Prompt(f"{array_text(asked)} ->", system=_SYSTEM + shown)


def _array(grid: Grid) -> str:
    return array_text(grid) + "#"


def examples_of_cells(
    puzzle_id: str, demos: tuple[Pair, ...], directives: Directives, colours: Colours
) -> tuple[Example, ...]:
    """The whole list of demonstrations as one sequence, in as many views as the directives say."""
    seed = seeds.derive("lists", puzzle_id)
    lists = whole_lists(demos, directives.families(), _n_examples(directives), seed, colours)
    loss_on: LossOn = "all" if directives.training.strategy == ALL_TOKENS else "later replies"
    return tuple(example_of_cells(pairs, loss_on) for pairs in lists)


def example_of_cells(pairs: Sequence[Pair], loss_on: LossOn) -> Example:
    """All but the last are shown, the last is asked."""
    return Example(rows_text(pairs[-1].output), _prompt_of_cells(pairs[:-1], pairs[-1].input), loss_on=loss_on)


def examples_of_arrays(
    puzzle_id: str, demos: tuple[Pair, ...], directives: Directives, colours: Colours
) -> tuple[Example, ...]:
    """The published sub-tasks as conversations; those too long for a model are left out."""
    puzzles = published_examples(demos, directives.families(), cap=_n_examples(directives), colours=colours)
    loss_on: LossOn = "all" if directives.training.strategy == ALL_TOKENS else "completion"
    return tuple(
        Example(_array(puzzle.query.output), _prompt_of_arrays(puzzle.demos, puzzle.query.input), loss_on=loss_on)
        for puzzle in puzzles
        if _cells(puzzle) <= _CONTEXT_CELLS
    )


def _n_examples(directives: Directives) -> int:
    """At most so many examples."""
    training = directives.training
    return training.views if isinstance(training, ExtendedTraining) else CAP


def _room(puzzle: Puzzle, write: Callable[[Grid], str]) -> int:
    """Most characters of an answer: twice the largest output shown, and the test input."""
    shown = max((len(write(pair.output)) for pair in puzzle.demos), default=0)
    return min(2 * shown + len(write(puzzle.query.input)) + 1, (MAX_SIDE + 1) * MAX_SIDE)


def _cells(puzzle: Puzzle) -> int:
    return sum(len(grid) * len(grid[0]) for pair in (*puzzle.demos, puzzle.query) for grid in (pair.input, pair.output))
