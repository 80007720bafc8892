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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from pydantic import model_validator

from selfedit import seeds
from selfedit.config import RunConfig, TaskSettings, at_least
from selfedit.errors import Field, InvalidEdit, SettingError
from selfedit.records import Beliefs, Context, Prompt, Tally, TrainingConfig, TrialSpec
from selfedit.tasks.arc.attempts import Asked, Votes
from selfedit.tasks.arc.contexts import context_of, demos_of
from selfedit.tasks.arc.directives import Directives, ExtendedTraining, Kind, ask_for_directives, read_directives
from selfedit.tasks.arc.examples import STEP_CAP, asked_last, steps_of
from selfedit.tasks.arc.grids import Format, Pair
from selfedit.tasks.arc.puzzles import load_puzzles
from selfedit.tasks.arc.rethinking import EXTRA_VIEWS, PROBE_SHARE, believe, others_than, to_study
from selfedit.tasks.arc.sequences import (
    asked_as_arrays,
    asked_as_cells,
    example_of_cells,
    examples_of_arrays,
    examples_of_cells,
)
from selfedit.tasks.arc.transforms import Colours
from selfedit.tasks.arc.voting import Vote
from selfedit.tasks.plugin import TaskPlugin

MAX_LEFT_OUT = 2
"""Demonstrations that are left out in turn where the answer is unknown."""
MOST_ROUNDS = 10
"""Of thinking again."""
HELDOUT_SHARE = 0.4
"""Share of the puzzles, from the end, that is held out where no second source is given."""
NONE = "none"
"""The source that has no puzzles."""
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


@dataclass(frozen=True, slots=True)
class ArcTask:
    """Learning puzzles; implements `protocols.Task`, `InContext` and `ThinksAgain`."""

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
    rethink: int = 1
    """Rounds of thinking again, for the methods that do."""

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
        make = examples_of_arrays if self.format == "arrays" else examples_of_cells
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

    @property
    def cannot_rethink(self) -> str:
        """Why there is no agreement to go by."""
        if self.format != "cells":
            return "grids are written as arrays, and only as cells are they asked in views enough"
        return "" if self.n_views > 1 else "a single view has nothing to agree with"

    def probe(self, part: Context, edit: str | None) -> TrialSpec:
        """A study of the puzzle without one demonstration, on the first part of its training sequences."""
        spec = self.compile(part, edit)
        return replace(spec, examples=spec.examples[: max(1, round(PROBE_SHARE * len(spec.examples)))])

    def study_again(
        self,
        context: Context,
        edit: str | None,
        seen: Sequence[Sequence[Tally]],
        held_out: Sequence[tuple[Context, Tally]],
        is_other: bool,
    ) -> tuple[Beliefs, TrialSpec | None]:
        """The study of before, and beside it each trusted answer and each demonstration that was not understood, in
        `EXTRA_VIEWS` views behind all other demonstrations; None where there is neither."""
        beliefs = believe(seen[-1], held_out, is_other)
        demos = demos_of(context)
        trusted, wrong = to_study(context, [part for part, _ in held_out], beliefs)
        seed = seeds.derive("rethink", context.id, len(seen))
        lists = [
            pairs
            for place, pair in enumerate([*trusted, *wrong])
            for pairs in asked_last(
                others_than(demos, pair), pair, EXTRA_VIEWS, seeds.derive(seed, place), self.colours
            )
        ]
        if not lists:
            return beliefs, None
        spec = self.compile(context, edit)
        followup = spec.followup
        assert isinstance(followup, Votes)
        said = tuple(tally for tallies in seen for tally in tallies)
        examples = tuple(example_of_cells(pairs, "completion") for pairs in lists)
        return beliefs, replace(spec, examples=spec.examples + examples, followup=replace(followup, earlier=said))

    def study_longer(self, context: Context, edit: str | None, steps: int, times: int) -> TrialSpec:
        """The study of before with so many steps, asked in `times` as many views."""
        spec = replace(self, n_views=times * self.n_views).compile(context, edit)
        return replace(spec, training=replace(spec.training or self.inner, budget=f"steps:{steps}"))

    def _asked(self, context: Context, demos: Sequence[Pair]) -> tuple[Asked, ...]:
        if self.format == "arrays":
            return tuple(one for question in context.questions for one in asked_as_arrays(question, demos))
        return tuple(one for question in context.questions for one in asked_as_cells(question, demos, self.n_views))


def leave_one_out(context: Context) -> list[Context]:
    """As in `ArcTask`. A part's name is no puzzle's: it lives in the ledger's split and stages `loo` alone, where it is
    another one for every puzzle and place. A puzzle elsewhere may be called the same."""
    demos = demos_of(context)
    left_out = range(len(demos))[-MAX_LEFT_OUT:] if len(demos) > 1 else ()
    return [
        context_of(f"{context.id}~{i + 1}", demos[:i] + demos[i + 1 :], [demos[i]], context.title) for i in left_out
    ]


def _chosen(directives: Directives, inner: TrainingConfig) -> dict[str, Any]:
    """What the directives say of training; the scale alpha / rank stays."""
    training = directives.training
    values: dict[str, Any] = {"learning_rate": training.learning_rate, "epochs": training.num_train_epochs}
    if isinstance(training, ExtendedTraining):
        values |= {"rank": training.rank, "alpha": inner.alpha / inner.rank * training.rank}
    return values


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
    rethink: int = 1
    """Rounds of the methods that think again (rethink, rethink-edits, rethink-wrong, longer); others do none. Cells
    only."""

    @model_validator(mode="after")
    def _check_views(self) -> ArcSettings:
        at_least(1, "views", self.views)
        at_least(1, "rethink", self.rethink, MOST_ROUNDS)
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
    return ArcTask(
        train,
        heldout,
        kind,
        style,
        run.inner,
        oracle,
        settings.views,
        settings.constrained,
        vote,
        colours,
        settings.rethink,
    )


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
    methods=(
        "base",
        "in-context",
        "synthetic",
        "seal",
        "seal-edits",
        "oracle",
        "loo",
        "edits",
        "writer",
        "rethink",
        "rethink-edits",
        "rethink-wrong",
        "longer",
    ),
    baselines=("base", "oracle", "synthetic"),
    recipe_for=lambda model: "arc",
    eval_methods="base,synthetic,oracle",
    graders=("attempts",),
    is_joint=False,
    report="puzzles",
)
"""Few-shot puzzles."""
