"""What a page shows of answers before and now: counts that add up, examples that nobody picked."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from selfedit.records import Stage, Verdict
from selfedit.report import build_report
from selfedit.report.blocks import Figure, Paragraph, Table
from selfedit.report.pages.answered import EXAMPLES, MOST_QUESTIONS, answered
from selfedit.report.tables.edits import examples
from tests.support.made_up_runs import make_answers, make_outcome

if TYPE_CHECKING:
    from tests.support.made_up_runs import RunBuilder

BASE, NOW = Stage.of("base"), Stage.of("synthetic", 0)


def _told(run: RunBuilder) -> tuple[str, str, Table] | None:
    """(the sentence, the figure's words, the examples); None where there is nothing."""
    data = run.data()
    blocks = answered(data, examples(data))
    if not blocks:
        return None
    [sentence] = [block.text for block in blocks if isinstance(block, Paragraph)]
    [figure] = [block for block in blocks if isinstance(block, Figure)]
    [table] = [block for block in blocks if isinstance(block, Table)]
    build_report(run.folder)
    svg = (run.folder / "figures" / f"{figure.name}.svg").read_text()
    return sentence, " | ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg)) + figure.caption, table


def _answer(run: RunBuilder, stage: Stage, method: str, *by_seed: list[Verdict]) -> None:
    """The only context's questions, with these verdicts on the answers of each seed."""
    [context] = run.heldout
    with run.ledger() as ledger:
        for seed, verdicts in enumerate(by_seed):
            graded = zip(make_answers(context, 0, -3), verdicts, strict=True)
            answers = tuple(replace(one, verdict=verdict) for one, verdict in graded)
            outcome = make_outcome(stage, method, context, 0, -3)
            ledger.add_outcomes([replace(outcome, key=f"{stage}{seed}", seed_index=seed, answers=answers)])


def test_what_was_known_learnt_not_learnt_and_lost_adds_up_to_all_questions(run: RunBuilder) -> None:
    run.begin(n_heldout=1, n_train=0)
    _answer(run, BASE, "base", ["correct", "correct", "incorrect", "incorrect", "ungraded"])
    _answer(run, NOW, "synthetic", ["correct", "incorrect", "correct", "incorrect", "correct"])
    told = _told(run)
    assert told is not None
    sentence, words, _ = told
    assert "Of 5 questions about 1 held-out passage, 2 were answered correctly before any study" in sentence
    assert "now 2 are: 1 learnt, 1 lost, 1 without a verdict before or now." in sentence
    for part in ("1 | lost", "1 | known before", "1 | learnt", "1 | not learnt", "no verdict", "2 of 4", "3 of 5"):
        assert part in words


def test_of_several_answers_more_than_half_of_those_with_a_verdict_must_be_correct(run: RunBuilder) -> None:
    run.begin(n_heldout=1, n_train=0).asked(BASE, "base", 0, -3)
    _answer(
        run,
        NOW,
        "synthetic",
        ["correct", "correct", "incorrect", "ungraded", "ungraded"],
        ["correct", "incorrect", "incorrect", "correct", "ungraded"],
        ["incorrect", "ungraded", "correct", "ungraded", "ungraded"],
    )
    told = _told(run)
    assert told is not None
    # Two of three, and the only verdict there is; one of two and one of three are not more than half.
    assert "2 of 4" in told[1] and "more than half" in told[1]


def test_examples_are_the_first_questions_in_the_runs_order_right_or_wrong(finished: RunBuilder) -> None:
    told = _told(finished)
    assert told is not None
    table = told[2]
    assert [row[0].range for row in table.rows] == [f"The Valley of Place {i}" for i in range(EXAMPLES)]
    assert [row[0].text for row in table.rows] == [f"What is fact 0 about place {i}?" for i in range(EXAMPLES)]
    assert {cell.tone for row in table.rows for cell in row[2:]} == {"incorrect", "correct"}
    assert "whatever came of it: nothing is picked" in table.note
    assert "Now: Trained on self-edits, after RL update 1" in table.note


def test_the_picture_stands_before_the_tables_and_leaves_those_as_they_were(finished: RunBuilder) -> None:
    page = (finished.folder / "report.html").read_text()
    assert page.index("What it can answer now") < page.index("Before and after, on held-out passages")
    assert 'class="correct"' in page[: page.index("Before and after, on held-out passages")]


def test_too_many_questions_are_cut_after_a_whole_passage_and_the_caption_says_so(run: RunBuilder) -> None:
    run.begin(n_heldout=90, n_train=0).asked(BASE, "base", 1, -3).asked(NOW, "synthetic", 2, -3)
    told = _told(run)
    assert told is not None
    assert told[0].startswith(f"Of {MOST_QUESTIONS} questions about 80 held-out passages")
    assert "each of the first 400 of 450 questions" in told[1]


def test_without_the_untouched_model_or_without_a_later_row_there_is_nothing(run: RunBuilder) -> None:
    run.begin(n_heldout=2).asked(BASE, "base", 1, -3)
    assert _told(run) is None
    assert "What it can answer now" not in build_report(run.folder).read_text()


def test_rows_without_the_untouched_model_show_nothing(run: RunBuilder) -> None:
    run.begin(n_heldout=2).asked(NOW, "synthetic", 1, -3).asked("eval-passage", "passage", 1, -3)
    assert _told(run) is None


def test_a_row_that_lacks_a_passage_has_no_verdict_there(run: RunBuilder) -> None:
    run.begin(n_heldout=3, n_train=0).asked(BASE, "base", 1, -3).asked("eval-passage", "passage", 1, -3, contexts=2)
    run.asked(NOW, "synthetic", 2, -3)
    told = _told(run)
    assert told is not None and "no verdict" in told[1] and " of 10" in told[1] and " of 15" in told[1]
