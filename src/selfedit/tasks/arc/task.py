"""L2. Few-shot puzzles: the self-edit chooses how the model trains on a puzzle's own demonstrations (SEAL §3.2, §4.1).

A study is the demonstrations, augmented as the directives say, with the directives' learning rate, epochs and loss; the
test input is asked in several views, and what the views answer is put together to two attempts.

Two formats of grids:

- `arrays`, as published: grids as numpy prints them, a conversation of system, user and assistant, leave-one-out
  contexts.
- `cells`, ours: a token for each cell, the whole demonstration list as one sequence with loss on its outputs, views by
  symmetry, colours and order.

How answers become attempts (`voting`) and how colours are exchanged are settings of their own. Ours are judgement by
the adapted model and uniform permutations; the recipe `arc-paper` takes what was published.

Departures from the paper:

1. Padding is never in the loss; in the released code it is, in both strategies.
2. The sequence ends with the assistant's last token; the released code's goes on with an empty assistant's turn.
3. Sub-tasks too long for the model are told by their cells, not by their tokens.
4. In the format `cells` a single demonstration's output carries loss, since otherwise nothing would.
5. More steps than the published bound make an invalid self-edit; in the released code an untrained adapter is tested.
6. An answer that is not known, as in a competition, is ungraded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from pydantic import model_validator

from selfedit import seeds
from selfedit.config import RunConfig, TaskSettings, at_least
from selfedit.errors import Field, InvalidEdit, SettingError
from selfedit.records import Context, Example, LossOn, Prompt, Query, Question, TrainingConfig, TrialSpec
from selfedit.tasks.arc.attempts import JUDGING_VIEWS, Asked, Votes
from selfedit.tasks.arc.contexts import context_of, demos_of, pair_of
from selfedit.tasks.arc.directives import (
    ALL_TOKENS,
    Directives,
    ExtendedTraining,
    Kind,
    ask_for_directives,
    read_directives,
)
from selfedit.tasks.arc.examples import CAP, STEP_CAP, published_examples, published_queries, steps_of, whole_lists
from selfedit.tasks.arc.grids import MAX_SIDE, Format, Grid, Pair, Puzzle, array_text, rows_text
from selfedit.tasks.arc.puzzles import load_puzzles
from selfedit.tasks.arc.transforms import Colours, View, views
from selfedit.tasks.arc.voting import Vote
from selfedit.tasks.plugin import TaskPlugin

MAX_LEFT_OUT = 2
"""Demonstrations that are left out in turn where the answer is unknown."""
_CONTEXT_CELLS = 3800
"""Most cells of one sequence: as numpy prints them, some two tokens each."""
HELDOUT_SHARE = 0.4
"""Share of the puzzles, from the end, that is held out where no second source is given."""
NONE = "none"
"""The source that has no puzzles."""
_ANSWER = "\n="
ORACLES: dict[Kind, str] = {
    "published": (
        '{"data_generation": {"use_basic_augmentations": true, "use_size_augmentations": true,'
        ' "use_chain_augmentations": true, "use_repeat_augmentations": true}, "training":'
        ' {"strategy": "train_using_output_tokens", "learning_rate": 0.0001, "num_train_epochs": 2}}'
    ),
    "extended": (
        '{"data_generation": {"use_basic_augmentations": false, "use_size_augmentations": false,'
        ' "use_chain_augmentations": false, "use_repeat_augmentations": false}, "training":'
        ' {"strategy": "train_using_output_tokens", "learning_rate": 0.002, "num_train_epochs": 1, "rank": 32,'
        ' "views": 256}}'
    ),
}
"""Directives that are known to work: those that the paper chose its puzzles by, and the best we know for cells."""
_SYSTEM = (
    "Find the rule that turns each input grid into its output grid, and give the output of the last input in the same"
    " form, at once and without words.\nGrids are written as arrays of numbers. Examples:\n"
)


@dataclass(frozen=True, slots=True)
class ArcTask:
    """Learning puzzles; implements `protocols.Task`, `InContext` and `LeaveOneOut`."""

    train: tuple[Context, ...]
    """Puzzles that train the policy."""
    heldout: tuple[Context, ...]
    """Puzzles that never do."""
    kind: Kind
    """Which directives there are."""
    format: Format
    """How grids are written."""
    inner: TrainingConfig
    """How an adapter is trained where the directives do not say."""
    oracle: Directives
    """The directives of a study without a self-edit."""
    n_views: int = 16
    """Views of a test input, for `cells`."""
    is_constrained: bool = True
    """Directives are written under their grammar, so that none is invalid."""
    vote: Vote = "judged"
    """How answers become attempts."""
    colours: Colours = "uniform"
    """How colours are exchanged in what is trained on."""

    def contexts(self, split: str) -> Sequence[Context]:
        """Puzzles of `train` or `heldout`, in order."""
        return {"train": self.train, "heldout": self.heldout}[split]

    def prompt(self, context: Context) -> Prompt:
        """How the policy is asked for directives: with the demonstrations in sight, not the test input."""
        return ask_for_directives(self.kind, demos_of(context), self.is_constrained)

    def compile(self, context: Context, edit: str | None) -> TrialSpec:
        """The demonstrations under the directives `edit`; under the task's own for None. Raises InvalidEdit."""
        directives = self.oracle if edit is None else read_directives(self.kind, edit)
        demos = demos_of(context)
        make = _examples_of_arrays if self.format == "arrays" else _examples_of_cells
        examples = make(context.id, demos, directives, self.colours)
        steps = steps_of(len(examples), directives.training.num_train_epochs)
        if self.kind == "published" and steps > STEP_CAP:
            raise InvalidEdit(f"{steps} steps are more than {STEP_CAP}")
        asked = self._asked(context, demos)
        return TrialSpec(
            examples,
            tuple(one.query for one in asked),
            replace(self.inner, **_chosen(directives, self.inner)),
            Votes(self.format, self.vote, asked),
        )

    def in_context(self, context: Context) -> TrialSpec:
        """The same questions: the demonstrations are always in sight."""
        asked = self._asked(context, demos_of(context))
        return TrialSpec((), tuple(one.query for one in asked), followup=Votes(self.format, self.vote, asked))

    def leave_one_out(self, context: Context) -> list[Context]:
        """The puzzle with one demonstration less, which is asked instead of the test input; the last ones in turn."""
        return leave_one_out(context)

    def _asked(self, context: Context, demos: Sequence[Pair]) -> tuple[Asked, ...]:
        make = _asked_as_arrays if self.format == "arrays" else self._asked_as_cells
        return tuple(one for question in context.questions for one in make(question, demos))

    def _asked_as_cells(self, question: Question, demos: Sequence[Pair]) -> list[Asked]:
        puzzle = Puzzle(tuple(demos), pair_of(question))
        chosen = views(self.n_views, len(demos), seeds.derive("views", question.id))
        asked = [_asked_as_cells(question, view.apply(puzzle), view) for view in chosen]
        rest = [replace(one, query=replace(one.query, gold="")) for one in asked[JUDGING_VIEWS:]]
        return [*asked[:JUDGING_VIEWS], *rest]


def leave_one_out(context: Context) -> list[Context]:
    """As in `ArcTask`. A part's name is no puzzle's: it lives in the ledger's split and stages `loo` alone, where it is
    another one for every puzzle and place. A puzzle elsewhere may be called the same."""
    demos = demos_of(context)
    left_out = range(len(demos))[-MAX_LEFT_OUT:] if len(demos) > 1 else ()
    return [
        context_of(f"{context.id}~{i + 1}", demos[:i] + demos[i + 1 :], [demos[i]], context.title) for i in left_out
    ]


def _asked_as_cells(question: Question, puzzle: Puzzle, view: View) -> Asked:
    query = Query(
        question_id=f"{question.id}@{view.label}",
        question=question.question,
        gold=rows_text(puzzle.query.output),
        prompt=_prompt_of_cells(puzzle.demos, puzzle.query.input),
        max_new_tokens=_room(puzzle, rows_text),
        is_one_line=False,
    )
    return Asked(question.id, view, query)


def _asked_as_arrays(question: Question, demos: Sequence[Pair]) -> list[Asked]:
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


def _examples_of_cells(
    puzzle_id: str, demos: tuple[Pair, ...], directives: Directives, colours: Colours
) -> tuple[Example, ...]:
    seed = seeds.derive("lists", puzzle_id)
    lists = whole_lists(demos, directives.families(), _n_examples(directives), seed, colours)
    loss_on: LossOn = "all" if directives.training.strategy == ALL_TOKENS else "later replies"
    return tuple(
        Example(rows_text(pairs[-1].output), _prompt_of_cells(pairs[:-1], pairs[-1].input), loss_on=loss_on)
        for pairs in lists
    )


def _examples_of_arrays(
    puzzle_id: str, demos: tuple[Pair, ...], directives: Directives, colours: Colours
) -> tuple[Example, ...]:
    puzzles = published_examples(demos, directives.families(), cap=_n_examples(directives), colours=colours)
    loss_on: LossOn = "all" if directives.training.strategy == ALL_TOKENS else "completion"
    return tuple(
        Example(_array(puzzle.query.output), _prompt_of_arrays(puzzle.demos, puzzle.query.input), loss_on=loss_on)
        for puzzle in puzzles
        if _cells(puzzle) <= _CONTEXT_CELLS
    )


def _chosen(directives: Directives, inner: TrainingConfig) -> dict[str, Any]:
    """What the directives say of training; the scale alpha / rank stays."""
    training = directives.training
    values: dict[str, Any] = {"learning_rate": training.learning_rate, "epochs": training.num_train_epochs}
    if isinstance(training, ExtendedTraining):
        values |= {"rank": training.rank, "alpha": inner.alpha / inner.rank * training.rank}
    return values


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


class ArcSettings(TaskSettings):
    """What the task of puzzles is told."""

    data: str = NONE
    """Puzzles that train: ids, files, folders, `arcagi-training`, `arcagi-evaluation:24` (the 24 smallest), joined by
    commas; `none`: no puzzles."""
    heldout_data: str = ""
    """The same for puzzles that never train the policy. Empty: the held-out part of the data."""
    prompt: str = "extended"
    """Which directives there are: published or extended."""
    ask_style: str = "cells"
    """How grids are written: arrays, as published, or cells, a token for each."""
    views: int = 16
    """Cells: views of a test input that are asked; the first eight judge what they say."""
    oracle: str = ""
    """Directives, as JSON, of the method oracle. Empty: the published ones, or the best known for cells."""
    constrained: bool = True
    """Directives are written under their JSON grammar, so that none is invalid."""
    vote: str = "judged"
    """How the views' answers become two attempts. judged: those that the adapted model finds likeliest in all views
    (cells only). published: as in the released code. majorities: grids of the most frequent rows or columns go before
    what was said once."""
    colours: str = "uniform"
    """How colours are exchanged in what is trained on. uniform: all ten, any with any. published: black stays, and
    colours that do not occur come first."""

    @model_validator(mode="after")
    def _check_views(self) -> ArcSettings:
        at_least(1, "views", self.views)
        return self


def load_arc(settings: TaskSettings, run: RunConfig) -> ArcTask:
    """The puzzles and directives that the settings name.

    Raises:
        SelfeditError: there are none such; a source that cannot be used.
    """
    assert isinstance(settings, ArcSettings)
    kinds: tuple[Kind, ...] = get_args(Kind)
    formats: tuple[Format, ...] = get_args(Format)
    kind = next((kind for kind in kinds if kind == settings.prompt), None)
    if kind is None:
        raise SettingError(Field("prompt"), f" {settings.prompt}: puzzles have {' or '.join(kinds)}")
    style = next((style for style in formats if style == settings.ask_style), None)
    if style is None:
        raise SettingError(Field("ask_style"), f" {settings.ask_style}: puzzles are written as {' or '.join(formats)}")
    vote, colours = _rules(settings, style)
    train, heldout = _split(settings)
    oracle = check_directives("oracle", kind, settings.oracle or ORACLES[kind])
    return ArcTask(train, heldout, kind, style, run.inner, oracle, settings.views, settings.constrained, vote, colours)


def _rules(settings: ArcSettings, style: Format) -> tuple[Vote, Colours]:
    votes: tuple[Vote, ...] = get_args(Vote)
    rules: tuple[Colours, ...] = get_args(Colours)
    vote = next((vote for vote in votes if vote == settings.vote), None)
    if vote is None:
        raise SettingError(Field("vote"), f" {settings.vote}: unknown; choose from {', '.join(votes)}")
    if (vote, style) == ("judged", "arrays"):
        mend = " arrays is judged by no model: take ", Field("vote"), " published or majorities"
        raise SettingError(Field("ask_style"), *mend)
    colours = next((rule for rule in rules if rule == settings.colours), None)
    if colours is None:
        raise SettingError(Field("colours"), f" {settings.colours}: unknown; choose from {', '.join(rules)}")
    return vote, colours


def _split(settings: ArcSettings) -> tuple[tuple[Context, ...], tuple[Context, ...]]:
    """(puzzles that train, held-out ones); without a second source the last 40 % are held out, at least one."""
    train = tuple(load_puzzles(settings.data)) if settings.data != NONE else ()
    if settings.heldout_data:
        heldout = tuple(load_puzzles(settings.heldout_data))
        known = {context.id for context in train}
        if shared := [context.id for context in heldout if context.id in known]:
            raise SettingError(
                Field("heldout_data"), f": {shared[0]} is among the puzzles that train; leave it out of one"
            )
        return train, heldout
    cut = len(train) - (max(1, round(HELDOUT_SHARE * len(train))) if len(train) > 1 else 0)
    return train[:cut], train[cut:]


def check_directives(field: str, kind: str, text: str) -> Directives:
    """Directives that a user gives.

    Raises:
        SelfeditError: they are none of this kind; in one line that names the field.
    """
    kinds: tuple[Kind, ...] = get_args(Kind)
    try:
        return read_directives(next(one for one in kinds if one == kind), text)
    except InvalidEdit as reason:
        raise SettingError(Field(field), f": {reason}") from None


ARC = TaskPlugin(
    "arc",
    noun="puzzle",
    settings=ArcSettings,
    load=load_arc,
    methods=("base", "in-context", "synthetic", "seal", "seal-edits", "oracle", "loo", "edits", "writer"),
    baselines=("base", "oracle", "synthetic"),
    recipe_for=lambda model: "arc",
    eval_methods="base,synthetic,oracle",
    graders=("attempts",),
    is_joint=False,
    report="puzzles",
)
"""Few-shot puzzles."""
