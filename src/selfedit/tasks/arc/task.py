"""L2. Few-shot puzzles: the self-edit chooses how the model trains on a puzzle's own demonstrations (SEAL §3.2, §4.1).

A study is the demonstrations, augmented as the directives say, with the directives' learning rate, epochs and loss; the
test input is asked in several views, and what the views answer is put together to two attempts.

Two formats of grids:

- `arrays`, as published: grids as numpy prints them, a conversation of system, user and assistant, leave-one-out
  contexts, and a vote.
- `cells`, ours: a token for each cell, the whole demonstration list as one sequence with loss on its outputs, views by
  symmetry, colours and order, and candidates ranked by what the adapted model thinks of them in eight views.

Departures from the paper:

1. Padding is never in the loss; in the released code it is, in both strategies.
2. The sequence ends with the assistant's last token; the released code's goes on with an empty assistant's turn.
3. Sub-tasks too long for the model are told by their cells, not by their tokens.
4. In the format `cells` a single demonstration's output carries loss, since otherwise nothing would.
5. More steps than the published bound make an invalid self-edit; in the released code an untrained adapter is tested.
6. An answer that is not known, as in a competition, is ungraded.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal, TypeVar, get_args

from selfedit import seeds
from selfedit.config import RunConfig
from selfedit.records import (
    Answer,
    Ask,
    Context,
    Example,
    InvalidEdit,
    Learnt,
    LoraSettings,
    Prompt,
    Question,
    SelfeditError,
    Study,
)
from selfedit.tasks.arc.directives import (
    ALL_TOKENS,
    Directives,
    ExtendedTraining,
    Kind,
    ask_for_directives,
    read_directives,
)
from selfedit.tasks.arc.examples import CAP, STEP_CAP, published_examples, published_queries, steps_of, whole_lists
from selfedit.tasks.arc.grids import MAX_SIDE, Grid, Pair, Puzzle, array_text, read_array, read_rows, rows_text
from selfedit.tasks.arc.puzzles import context_of, demos_of, load_puzzles, pair_of
from selfedit.tasks.arc.transforms import View, read_view, views
from selfedit.tasks.arc.voting import rank, vote

Format = Literal["arrays", "cells"]
"""How grids are written, and with that how they are learnt and asked."""

MAX_CANDIDATES = 4
"""Answers that are put before the model again: those that most views gave."""
JUDGING_VIEWS = 8
"""Views in which they are, and in which the gold answer is scored: the first ones, every symmetry once."""
ATTEMPTS = 2
"""Grids that are handed in; where views gave no more, there is nothing to judge."""
MAX_REHEARSALS = 2
"""Demonstrations that are held out in turn where the answer is unknown."""
_CONTEXT_CELLS = 3800
"""Most cells of one sequence: as numpy prints them, some two tokens each."""
HELDOUT_SHARE = 0.4
"""Share of the puzzles, from the end, that is held out where no second source is given."""
NONE = "none"
"""The source that has no puzzles."""
T = TypeVar("T")
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
    """Learning puzzles; implements `selfedit.seams.KnowledgeTask` and `selfedit.seams.Deliberation`."""

    train: tuple[Context, ...]
    """Puzzles that train the policy."""
    heldout: tuple[Context, ...]
    """Puzzles that never do."""
    kind: Kind
    """Which directives there are."""
    format: Format
    """How grids are written."""
    inner: LoraSettings
    """How an adapter is trained where the directives do not say."""
    oracle: Directives
    """The directives of a study without a self-edit."""
    n_views: int = 16
    """Views of a test input, for `cells`."""
    is_constrained: bool = True
    """Directives are written under their grammar, so that none is invalid."""

    def contexts(self, split: str) -> Sequence[Context]:
        """Puzzles of `train` or `heldout`, in order."""
        return {"train": self.train, "heldout": self.heldout}[split]

    def prompt(self, context: Context) -> Prompt:
        """How the policy is asked for directives: with the demonstrations in sight, not the test input."""
        return ask_for_directives(self.kind, demos_of(context), self.is_constrained)

    def follow_ups(self, context: Context, reply: str, seed: int) -> tuple[Prompt, ...]:
        """None: directives are written in one step."""
        return ()

    def variant(self, prompt: str = "", is_distilled: bool = False) -> ArcTask:
        """There is none but this one."""
        if prompt or is_distilled:
            raise SelfeditError(f"--methods: puzzles have neither other prompts ({prompt or 'none'}) nor distillation")
        return self

    def study(self, context: Context, edit: str | None) -> Study:
        """The demonstrations under the directives `edit`; under the task's own for None. Raises InvalidEdit."""
        directives = self.oracle if edit is None else read_directives(self.kind, edit)
        demos = demos_of(context)
        make = _examples_of_arrays if self.format == "arrays" else _examples_of_cells
        examples = make(context.id, demos, directives)
        steps = steps_of(len(examples), directives.training.num_train_epochs)
        if self.kind == "published" and steps > STEP_CAP:
            raise InvalidEdit(f"{steps} steps are more than {STEP_CAP}")
        return Study(examples, self._asks(context, demos), replace(self.inner, **_chosen(directives, self.inner)))

    def in_context_asks(self, context: Context) -> Sequence[Ask]:
        """The same questions: the demonstrations are always in sight."""
        return self._asks(context, demos_of(context))

    def rehearsals(self, context: Context) -> list[Context]:
        """The puzzle with one demonstration less, which is asked instead of the test input; the last ones in turn."""
        demos = demos_of(context)
        held_out = range(len(demos))[-MAX_REHEARSALS:] if len(demos) > 1 else ()
        return [
            context_of(f"{context.id}~{i + 1}", demos[:i] + demos[i + 1 :], [demos[i]], context.title) for i in held_out
        ]

    def ask_further(self, study: Study, answers: Sequence[Answer]) -> list[Ask]:
        """Every candidate in the views that judge; nothing where votes decide, or all can be handed in."""
        if self.format == "arrays":
            return []
        return [
            replace(ask, gold=rows_text(_view_of(ask).turn(grid)), max_new_tokens=0)
            for asks, grids in self._candidates(study, answers)
            for grid in grids
            for ask in asks[:JUDGING_VIEWS]
            if len(grids) > ATTEMPTS
        ]

    def conclude(self, study: Study, answers: Sequence[Answer], later: Sequence[Answer]) -> list[tuple[Ask, Answer]]:
        """Two attempts for each test input, as JSON; the log-probability is the mean over views."""
        logprobs = iter([answer.gold_logprob for answer in later])
        concluded = []
        for (asks, grids), said in zip(self._candidates(study, answers), _by_question(study, answers), strict=True):
            is_judged = self.format == "cells" and len(grids) > ATTEMPTS
            attempts = _ranked(asks[:JUDGING_VIEWS], grids, logprobs) if is_judged else grids
            [question_id, *_] = asks[0].question_id.split("@")
            text = json.dumps(attempts[:ATTEMPTS], separators=(",", ":"))
            scored = [answer.gold_logprob for ask, answer in zip(asks, said, strict=True) if ask.gold]
            mean = fmean(scored) if scored else 0.0
            gold = _whole_answer(asks[0], self.format)
            concluded.append((replace(asks[0], question_id=question_id, gold=gold), Answer(question_id, text, mean)))
        return concluded

    def _candidates(self, study: Study, answers: Sequence[Answer]) -> list[tuple[list[Ask], list[Grid]]]:
        """(asks, what they were answered) for each test input: voted on, or those that most views gave."""
        found = []
        asks_Q = _by_question(study, study.asks)
        for asks, said in zip(asks_Q, _by_question(study, answers), strict=True):
            read = read_array if self.format == "arrays" else read_rows
            grids = [(ask, read(answer.text)) for ask, answer in zip(asks, said, strict=True)]
            if self.format == "arrays":
                best = vote([(_view_of(ask).symmetry, grid and _view_of(ask).undo(grid)) for ask, grid in grids])
            else:
                best = _most_frequent([_view_of(ask).undo(grid) for ask, grid in grids if grid])[:MAX_CANDIDATES]
            found.append((asks, best))
        return found

    def _asks(self, context: Context, demos: Sequence[Pair]) -> tuple[Ask, ...]:
        make = _asks_of_arrays if self.format == "arrays" else self._asks_of_cells
        return tuple(ask for question in context.questions for ask in make(question, demos))

    def _asks_of_cells(self, question: Question, demos: Sequence[Pair]) -> list[Ask]:
        puzzle = Puzzle(tuple(demos), pair_of(question))
        chosen = views(self.n_views, len(demos), seeds.derive("views", question.id))
        asks = [_ask_of_cells(question, view.apply(puzzle), view) for view in chosen]
        return [*asks[:JUDGING_VIEWS], *(replace(ask, gold="") for ask in asks[JUDGING_VIEWS:])]


def _ask_of_cells(question: Question, puzzle: Puzzle, view: View) -> Ask:
    return Ask(
        question_id=f"{question.id}@{view.label}",
        question=question.question,
        gold=rows_text(puzzle.query.output),
        prompt=_prompt_of_cells(puzzle.demos, puzzle.query.input),
        max_new_tokens=_room(puzzle, rows_text),
        is_one_line=False,
    )


def _asks_of_arrays(question: Question, demos: Sequence[Pair]) -> list[Ask]:
    asks = []
    for number, query in enumerate(published_queries(demos, pair_of(question))):
        view = View(query.symmetry)
        asks.append(
            Ask(
                question_id=f"{question.id}@{view.label}.{number}",
                question=question.question,
                gold=_array(query.puzzle.query.output) if question.answer else "",
                prompt=_prompt_of_arrays(query.puzzle.demos, query.puzzle.query.input),
                max_new_tokens=2 * _room(query.puzzle, array_text),
                is_one_line=False,
            )
        )
    return asks


def _prompt_of_cells(demos: Sequence[Pair], asked: Grid) -> Prompt:
    before = tuple((rows_text(pair.input) + _ANSWER, rows_text(pair.output)) for pair in demos)
    return Prompt(rows_text(asked) + _ANSWER, plain=True, before=before, is_spelled=True)


def _prompt_of_arrays(demos: Sequence[Pair], asked: Grid) -> Prompt:
    shown = "".join(f"{array_text(pair.input)} -> {_array(pair.output)}\n" for pair in demos)
    return Prompt(f"{array_text(asked)} ->", system=_SYSTEM + shown)


def _array(grid: Grid) -> str:
    return array_text(grid) + "#"


def _examples_of_cells(puzzle_id: str, demos: tuple[Pair, ...], directives: Directives) -> tuple[Example, ...]:
    lists = whole_lists(demos, directives.families(), _n_examples(directives), seeds.derive("lists", puzzle_id))
    learnt: Learnt = "all" if directives.training.strategy == ALL_TOKENS else "later replies"
    return tuple(
        Example(rows_text(pairs[-1].output), _prompt_of_cells(pairs[:-1], pairs[-1].input), learnt=learnt)
        for pairs in lists
    )


def _examples_of_arrays(puzzle_id: str, demos: tuple[Pair, ...], directives: Directives) -> tuple[Example, ...]:
    puzzles = published_examples(demos, directives.families(), cap=_n_examples(directives))
    learnt: Learnt = "all" if directives.training.strategy == ALL_TOKENS else "completion"
    return tuple(
        Example(_array(puzzle.query.output), _prompt_of_arrays(puzzle.demos, puzzle.query.input), learnt=learnt)
        for puzzle in puzzles
        if _cells(puzzle) <= _CONTEXT_CELLS
    )


def _chosen(directives: Directives, inner: LoraSettings) -> dict[str, Any]:
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


def _by_question(study: Study, items: Sequence[T]) -> list[list[T]]:
    """What belongs to each test input, in order."""
    found: dict[str, list[T]] = {}
    for ask, item in zip(study.asks, items, strict=True):
        found.setdefault(ask.question_id.partition("@")[0], []).append(item)
    return list(found.values())


def _view_of(ask: Ask) -> View:
    return read_view(ask.question_id.partition("@")[2])


def _most_frequent(grids: Sequence[Grid]) -> list[Grid]:
    """Each once, those that occur most often first; of equals, the first."""
    return [grid for grid, _ in Counter(grids).most_common()]


def _ranked(asks: Sequence[Ask], grids: Sequence[Grid], logprobs: Iterator[float]) -> list[Grid]:
    """By the sum over views of the whole answer's log-probability, the end token counted."""
    means = {grid: [next(logprobs) for _ in asks] for grid in grids}
    return rank({grid: [mean * (len(rows_text(grid)) + 1) for mean in means[grid]] for grid in grids})


def _whole_answer(ask: Ask, format: Format) -> str:
    """The output that the puzzle wants, as JSON; empty where it is unknown."""
    grid = read_array(ask.gold) if format == "arrays" else read_rows(ask.gold)
    return json.dumps(_view_of(ask).undo(grid), separators=(",", ":")) if grid else ""


def load_arc(config: RunConfig) -> ArcTask:
    """The puzzles and directives that `config` names.

    Raises:
        SelfeditError: there are none such; a source that cannot be used.
    """
    kinds: tuple[Kind, ...] = get_args(Kind)
    formats: tuple[Format, ...] = get_args(Format)
    kind = next((kind for kind in kinds if kind == config.prompt), None)
    if kind is None:
        raise SelfeditError(f"--prompt {config.prompt}: puzzles have {' or '.join(kinds)}")
    style = next((style for style in formats if style == config.ask_style), None)
    if style is None:
        raise SelfeditError(f"--ask-style {config.ask_style}: puzzles are written as {' or '.join(formats)}")
    train, heldout = _split(config)
    oracle = check_directives("--oracle", kind, config.oracle or ORACLES[kind])
    return ArcTask(train, heldout, kind, style, config.inner, oracle, config.views, config.constrained)


def _split(config: RunConfig) -> tuple[tuple[Context, ...], tuple[Context, ...]]:
    """(puzzles that train, held-out ones); without a second source the last 40 % are held out, at least one."""
    train = tuple(load_puzzles(config.data)) if config.data != NONE else ()
    if config.heldout_data:
        heldout = tuple(load_puzzles(config.heldout_data))
        known = {context.id for context in train}
        if shared := [context.id for context in heldout if context.id in known]:
            raise SelfeditError(f"--heldout-data: {shared[0]} is among the puzzles that train; leave it out of one")
        return train, heldout
    cut = len(train) - (max(1, round(HELDOUT_SHARE * len(train))) if len(train) > 1 else 0)
    return train[:cut], train[cut:]


def check_directives(flag: str, kind: str, text: str) -> Directives:
    """Directives that a user gives.

    Raises:
        SelfeditError: they are none of this kind; in one line that names the flag.
    """
    kinds: tuple[Kind, ...] = get_args(Kind)
    try:
        return read_directives(next(one for one in kinds if one == kind), text)
    except InvalidEdit as reason:
        raise SelfeditError(f"{flag}: {reason}") from None
