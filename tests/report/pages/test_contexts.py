from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from rich.console import Console

import selfedit.report
from selfedit.errors import SelfeditError
from selfedit.records import CheckedLine, Context, LineCheck, Question, Stage, Usage
from selfedit.report import build_report, print_summary, summary

if TYPE_CHECKING:
    from tests.support.made_up_runs import RunBuilder

FIGURES = ("answers", "methods", "learning-curve", "rewards", "reward-distribution", "self-edits", "cost")
HOSTILE = "<script>alert('x')</script> & \"quotes\" $\\frac{ \x00\x1b[31m [bold] 漢字"
VOID = {"meta", "br", "img", "link", "hr", "input"}


class Outline(HTMLParser):
    """Opened tags, their attributes, and whether everything opened is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _page(run: RunBuilder) -> str:
    return build_report(run.folder).read_text(encoding="utf-8")


def _read(finished: RunBuilder) -> str:
    return (finished.folder / "report.html").read_text(encoding="utf-8")


def _printed(run: RunBuilder, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    print_summary(run.folder, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _make_hostile(run: RunBuilder) -> None:
    """A run in which every text that a model or a file can set is an attack."""
    run.begin(task_args={"prompt": HOSTILE})
    questions = tuple(Question(f"h{i}", HOSTILE, HOSTILE) for i in range(5))
    run.heldout = [Context(f"{HOSTILE}{i}", HOSTILE, HOSTILE, questions) for i in range(2)]
    run.train = run.heldout
    run.asked("eval-base", "base", 1, -3).asked("eval-synthetic-0", "synthetic", 2, -3).trained()
    with run.ledger() as ledger:
        ledger.put_contexts("heldout", run.heldout)
        ledger.put_contexts("train", [])
        ledger.add_edits([replace(edit, text=HOSTILE, invalid=edit.invalid and HOSTILE) for edit in ledger.edits()])
        ledger.add_outcomes(
            [
                replace(
                    outcome,
                    answers=tuple(replace(answer, text=HOSTILE) for answer in outcome.answers),
                    failure=outcome.failure and HOSTILE,
                )
                for outcome in ledger.outcomes()
            ]
        )


def test_the_page_is_well_formed_and_asks_nothing_of_the_network(finished: RunBuilder) -> None:
    text = _read(finished)
    outline = Outline(text)
    assert outline.open == []
    assert "script" not in outline.tags
    assert "link" not in outline.tags
    targets = [value for name, value in outline.attributes if name.split(":")[-1] in ("src", "href")]
    assert all(target.startswith("#") for target in targets)
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_no_id_occurs_twice_though_several_figures_share_the_page(finished: RunBuilder) -> None:
    ids = [value for name, value in Outline(_read(finished)).attributes if name == "id"]
    assert ids
    assert len(ids) == len(set(ids))


def test_text_of_model_and_data_is_escaped_everywhere(run: RunBuilder) -> None:
    _make_hostile(run)
    text = _page(run)
    outline = Outline(text)
    assert "<script" not in text
    assert "script" not in outline.tags
    assert "&lt;script&gt;" in text


def test_printed_text_is_neither_markup_nor_a_terminal_command(run: RunBuilder) -> None:
    _make_hostile(run)
    printed = _printed(run)
    assert "[bold]" in printed
    assert "\x1b" not in printed
    assert "\x00" not in printed


def test_each_figure_exists_as_svg_and_png(finished: RunBuilder) -> None:
    for name in FIGURES:
        ElementTree.fromstring((finished.folder / "figures" / f"{name}.svg").read_bytes())
        assert (finished.folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_ledger_gives_the_same_bytes(run: RunBuilder) -> None:
    def files() -> dict[str, bytes]:
        build_report(run.folder)
        return {
            path.name: path.read_bytes() for path in run.folder.rglob("*") if path.suffix in (".svg", ".png", ".html")
        }

    run.finished()
    first = files()
    assert len(first) == 2 * len(FIGURES) + 1
    assert files() == first


def test_nothing_half_written_stays_behind(finished: RunBuilder) -> None:
    assert not list(finished.folder.rglob(".*"))


def test_a_partial_run_is_reported_and_said_to_be_partial(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5, contexts=1)
    text = _page(run)
    assert "This run is not finished." in text
    assert "round 1: no rewards yet" in text
    assert "Not finished" in _printed(run)


def test_a_round_alone_is_reported_without_a_result(run: RunBuilder) -> None:
    text = _page(run.begin().trained())
    assert "No result yet" in text
    assert "Rounds of training" in text
    drawn = sorted(path.stem for path in (run.folder / "figures").glob("*.svg"))
    assert drawn == ["cost", "reward-distribution", "rewards"]


def test_many_contexts_and_rounds_still_draw(run: RunBuilder) -> None:
    text = _page(run.begin(n_train=60, rounds=2).trained(1).trained(2))
    assert "60 contexts, best first" in text


def test_equal_rewards_of_one_context_stay_apart_in_the_figure(run: RunBuilder) -> None:
    run.begin().trained()
    with run.ledger() as ledger:
        ledger.add_scored(
            Stage.round(1), [replace(item, reward=0.4) for _, item in ledger.scored() if item.reward is not None]
        )
    assert "Reward of every self-edit" in _page(run)


def test_a_finished_run_carries_no_warning_but_for_what_went_wrong(finished: RunBuilder) -> None:
    text = _read(finished)
    assert "This run is not finished." not in text
    assert "1 of 32 self-edits invalid (round-1): repeats itself" in text
    assert "1 of 39 trials failed (round-1): loss is not finite" in text


def test_ungraded_answers_are_told_loudly(run: RunBuilder) -> None:
    run.begin(n_heldout=2, rounds=0).asked("eval-base", "base", 2, -3)
    with run.ledger() as ledger:
        outcome = ledger.outcomes()[0]
        ledger.add_outcomes([replace(outcome, answers=tuple(replace(a, verdict="ungraded") for a in outcome.answers))])
    assert "5 of 10 answers ungraded (eval-base)" in _page(run)
    assert summary(run.folder)["methods"][0]["ungraded"] == 5


def test_the_in_sample_best_is_named_as_such(finished: RunBuilder) -> None:
    text = _read(finished)
    assert "best of a context (in-sample)" in text
    assert "winner’s curse" in text


def test_the_page_carries_settings_hashes_and_the_command(finished: RunBuilder) -> None:
    text = _read(finished)
    assert all(f">{name}</td>" in text for name in ("model", "rounds", "edits", "reward", "inner.rank"))
    assert "This repeats it" not in text, "the run noted no command"
    assert "b179c9523d0e6a0f" in text
    with finished.ledger() as ledger:
        assert ledger.fingerprint() in text


def test_a_noted_command_is_shown_as_noted(run: RunBuilder) -> None:
    run.finished()
    run.write_record({}, {"command": "selfedit demo --run 'my run'"}, "train")
    assert summary(run.folder)["run"]["command"] == "selfedit demo --run 'my run'"


def test_the_summary_is_json_in_full_precision(finished: RunBuilder) -> None:
    told = json.loads(json.dumps(summary(finished.folder), allow_nan=False))
    assert set(told) == {
        "run", "headline", "methods", "gains", "rounds", "problems", "policies", "counts", "timings",
        "costs", "usages", "by_f1", "words_per_answer", "words_per_gold_answer"
    }  # fmt: skip
    assert told["run"]["is_finished"] is True
    assert told["gains"][0]["accuracy"]["n_contexts"] == 12
    assert told["rounds"][0]["best_reward_in_sample"] > told["rounds"][0]["mean_reward"]


@pytest.mark.parametrize(("width", "last"), [(60, "answer *$"), (72, "answer *$"), (80, "token *$"), (140, "trial *$")])
def test_the_printed_summary_has_n_intervals_and_two_self_edits(finished: RunBuilder, width: int, last: str) -> None:
    printed = _printed(finished, width)
    assert "One policy update by reinforcement learning" in printed
    assert "accuracy, %" in printed
    assert " to " in printed
    assert re.search(rf"^  method .* {last}", printed, re.MULTILINE), "a column is whole, or left out"
    assert printed.count("The Valley of Place 0 · Round 1") == 2


def test_what_the_fitted_grader_graded_is_shown_by_contains_too(run: RunBuilder) -> None:
    run.begin(grader="calibrated").asked("eval-base", "base", 1.0, -5.0).asked("eval-passage", "passage", 3.0, -4.0)
    with run.ledger() as ledger:
        lot = [outcome for outcome in ledger.outcomes() if outcome.stage == Stage.of("passage")]
        answers = [tuple(replace(one, verdict="correct") for one in outcome.answers) for outcome in lot]
        ledger.add_outcomes([replace(one, answers=said) for one, said in zip(lot, answers, strict=True)])
    told = summary(run.folder)
    [base, passage] = told["methods"]
    [plain_base, plain_passage] = [row["accuracy"] for row in told["by_contains"]["methods"]]
    assert plain_base["value"] == base["accuracy"] and plain_passage["value"] < passage["accuracy"] == 1.0
    assert plain_passage["low"] < plain_passage["value"] < plain_passage["high"]
    [gain] = told["by_contains"]["gains"]
    assert gain["accuracy"]["value"] == pytest.approx(plain_passage["value"] - plain_base["value"])
    page = _page(run)
    assert "by contains, %" in page and "by contains, points" in page
    run.write_config({"grader": "contains"})
    assert "by contains" not in _page(run)
    assert "by_contains" not in summary(run.folder)


def test_overlap_and_length_tell_a_recited_text_from_an_answer(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 3.0, -5.0).asked("eval-passage", "passage", 3.0, -4.0)
    with run.ledger() as ledger:
        lot = [outcome for outcome in ledger.outcomes() if outcome.stage == Stage.of("passage")]
        recited = " ".join(["and so on"] * 10)
        answers = [
            tuple(replace(one, text=f"{one.text} {recited}", f1=0.1) for one in outcome.answers) for outcome in lot
        ]
        ledger.add_outcomes([replace(one, answers=said) for one, said in zip(lot, answers, strict=True)])
    told = summary(run.folder)
    [base, passage] = told["methods"]
    assert min(base["accuracy"], passage["accuracy"]) > 0.5
    [plain, long] = [row["accuracy"]["value"] for row in told["by_f1"]["methods"]]
    assert long == pytest.approx(0.1) and plain > long
    [gain] = told["by_f1"]["gains"]
    assert gain["accuracy"]["value"] == pytest.approx(long - plain)
    assert told["words_per_answer"]["eval-passage"] > 30 > told["words_per_answer"]["eval-base"]
    page = _page(run)
    assert "by F1, %" in page and "recite what was studied (Trained on the passage)" in page
    run.write_config({"grader": "f1"})
    assert "recite what was studied" not in _page(run)


def test_a_long_answer_to_a_question_that_wants_one_is_no_recitation(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 3.0, -5.0)
    with run.ledger() as ledger:
        said, gold = "one after the other " * 10, "each in its turn " * 5
        lot = [
            replace(outcome, answers=tuple(replace(one, text=said, gold=gold) for one in outcome.answers))
            for outcome in ledger.outcomes()
        ]
        ledger.add_outcomes(lot)
    assert summary(run.folder)["words_per_answer"]["eval-base"] == 40
    assert "recite what was studied" not in _page(run)


def test_a_folder_without_a_ledger_is_refused_in_one_line_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(SelfeditError, match=r"no run here \(config\.json is missing\)") as caught:
        build_report(tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_outcomes_is_refused(run: RunBuilder) -> None:
    run.begin()
    for report in (build_report, summary):
        with pytest.raises(SelfeditError, match="no outcomes yet"):
            report(run.folder)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_damaged_config_is_refused_by_name(run: RunBuilder, content: str | None) -> None:
    path = run.finished().folder / "config.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(SelfeditError, match=r"config\.json"):
        build_report(run.folder)


def test_versions_of_the_policy_stand_side_by_side_with_the_first_contexts_open(compared: RunBuilder) -> None:
    text = _read(compared)
    assert "The same passage, version by version" in text
    assert text.count('<div class="columns">') == 12
    block = text[text.index("The same passage, version by version") : text.index("other self-edits")]
    assert block.count('<details class="context" open>') == 3
    assert "after RL update 2" in block


def test_an_evaluation_of_all_passages_at_once_says_so_on_the_page_and_on_the_terminal(together: RunBuilder) -> None:
    text = _read(together)
    assert "All 12 passages were studied at once" in text
    assert "not tried on its own" in text
    assert "no reward" not in text
    assert "studied at once" in " ".join(_printed(together).split())


def test_an_evaluation_of_single_passages_says_nothing_of_the_kind(compared: RunBuilder) -> None:
    assert "studied at once" not in _read(compared)


def test_many_differences_are_folded_and_the_reader_is_warned_of_chance(compared: RunBuilder) -> None:
    text = _read(compared)
    assert "further differences</summary>" in text
    assert "would be called clear by chance alone" in " ".join(text.split())
    assert "more differences, on the page" in _printed(compared)


def test_a_run_without_endpoints_has_no_word_of_them(finished: RunBuilder) -> None:
    assert "<h3>Endpoints</h3>" not in _read(finished)
    assert "Cost per self-edit" in _read(finished)


def test_what_endpoints_were_used_for_is_told_with_its_cost(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5).asked("eval-synthetic-0", "synthetic", 1, -4)
    run.asked("eval-writer:big-writer-0", "writer", 2, -3)
    with run.ledger() as ledger:
        ledger.add_usage(Stage.of("synthetic", 0), "judge", "big <judge>", Usage(60, 3, 2, 0, 9000, 120, 0.36))
        ledger.add_usage(
            Stage.of("writer", 0, "big-writer"), "writer", "big-writer", Usage(12, 0, 0, 1, 4000, 2000, None)
        )
    text = _page(run)
    table = text[text.index("<h3>Endpoints</h3>") :]
    assert "judge: big &lt;judge&gt;" in table
    assert "<td>0.36</td><td>0.03</td>" in table
    assert "<td>2,000</td><td>–</td><td>–</td>" in table
    assert "in all" in table
    assert summary(run.folder)["usages"][0]["usage"]["cost"] == 0.36


def test_a_run_that_studied_all_lines_has_no_word_of_checked_ones(finished: RunBuilder) -> None:
    assert "Checked lines" not in _read(finished)


def test_dropped_lines_are_told_by_stage_with_the_reason(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5).asked("eval-synthetic-0", "synthetic", 1, -4)
    kept, false = CheckedLine("<true>", -1.0, -2.0, "kept"), CheckedLine("<false>", -2.0, -2.1, "unsupported")
    known = CheckedLine("<known>", -0.1, -0.2, "known")
    checks = [
        LineCheck("a", "heldout-0", (kept, false, known, kept)),
        LineCheck("b", "heldout-1", (false, known)),
        LineCheck("c", "heldout-2", failure="longer than the model's context"),
    ]
    with run.ledger() as ledger:
        ledger.add_checks(Stage.of("synthetic", 0), checks)
    text = _page(run)
    table = text[text.index("Checked lines</h2>") :]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", table[: table.index("</table>")])
    assert [re.sub("<[^>]*>", "", cell) for cell in cells][-8:][1:] == ["3", "6", "2", "2", "2", "1", "1"]
    assert "the passage is studied alone" in " ".join(table.split())
    assert "Checked lines" in _printed(run, 140) and "unsupported" in _printed(run, 140)
    [row] = summary(run.folder)["lines"]
    assert (row["edits"], row["lines"], row["kept"]) == (3, 6, 2)
    assert (row["unsupported"], row["known"], row["emptied"], row["failed"]) == (2, 2, 1, 1)


def test_a_hostile_name_of_a_file_or_a_model_stays_text(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 1, -3)
    run.asked(Stage.of("edits", 0, HOSTILE), "edits", 2, -3).asked("eval-synthetic-1", "synthetic", 2, -3)
    outline = Outline(_page(run))
    assert outline.open == []
    assert "script" not in outline.tags
    assert "\x1b" not in _printed(run)


def test_a_run_of_a_method_that_is_not_installed_has_its_page(run: RunBuilder) -> None:
    run.begin(methods="base,toy").asked("eval-base", "base", 1, -3).asked("eval-toy-0", "toy", 2, -3)
    assert "toy-0" in _page(run)


def test_a_context_is_called_what_its_task_calls_it_and_a_context_where_the_task_is_not_installed(
    run: RunBuilder,
) -> None:
    text = _page(run.begin(methods="base", task="riddles").asked("eval-base", "base", 1, -3))
    assert "on held-out contexts" in text
    assert "on held-out passages" not in text


PARTS = {"pages/answered.py", "figures/answers.py", "tables/rulers.py", "pages/account.py"}
"""Parts of a page that a number of its other tables does not pass through: the matrix of answers, the same results by
other rulers, what is missing and what it cost."""


def test_a_page_enters_at_most_twelve_files_of_the_report_beside_parts_of_its_own(run: RunBuilder) -> None:
    """A reader who follows a number from the ledger to the page has so many files to open."""
    run.finished()
    report = f"{Path(selfedit.report.__file__).parent}/"
    entered: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(report):
            entered.add(frame.f_code.co_filename.removeprefix(report))

    sys.setprofile(note)
    try:
        build_report(run.folder)
    finally:
        sys.setprofile(None)
    assert entered >= PARTS
    assert len(entered - PARTS) <= 12, sorted(entered)
