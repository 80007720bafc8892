"""What has been studied is said first, and read when questions are answered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from selfedit.cli.main import main
from selfedit.errors import SettingError
from selfedit.loop import EvalConfig
from selfedit.records import Answer, Context, Prompt, Question
from selfedit.tasks import PassagesTask
from selfedit.tasks.passages.task import PassagesSettings, passages_of

CONTEXT = Context(
    "c1", "Oskaveld", "Nine huts.", (Question("c1#1", "How {many}?", "nine"), Question("c1#2", "Of?", "huts"))
)


def task(recite: int = 48) -> PassagesTask:
    return PassagesTask([CONTEXT], [], "implications", answer_tokens=16, recite=recite)


def test_the_recital_is_asked_behind_the_title_as_texts_are_studied() -> None:
    spec, plain = task().compile(CONTEXT, "1. It is."), task(0).compile(CONTEXT, "1. It is.")
    assert spec.examples == plain.examples and spec.examples[0].completion.startswith("Oskaveld\n")
    recital = spec.queries[-1]
    assert recital.prompt == Prompt("Oskaveld\n", raw=True)
    assert (recital.max_new_tokens, recital.is_one_line) == (48, False)


def test_nothing_is_said_to_the_questions_before_the_recital() -> None:
    spec, plain = task().compile(CONTEXT, None), task(0).compile(CONTEXT, None)
    assert spec.queries[:-1] == tuple(replace(query, max_new_tokens=0) for query in plain.queries)


def test_questions_are_answered_with_what_was_said_in_sight_as_with_the_passage_itself() -> None:
    spec = task().compile(CONTEXT, None)
    assert spec.followup is not None
    said = [Answer(query.question_id, "", 0.0) for query in spec.queries[:-1]] + [
        Answer("recital", " Nine huts.\n", 0.0)
    ]
    asked = spec.followup.queries(said)
    assert tuple(asked) == task(0).in_context(CONTEXT).queries
    answers = [Answer(query.question_id, "nine", -1.0) for query in asked]
    assert spec.followup.aggregate(said, answers) == list(zip(asked, answers, strict=True))


def test_a_question_with_braces_is_put_as_it_stands() -> None:
    spec = task().compile(CONTEXT, None)
    assert spec.followup is not None
    [first, _] = spec.followup.queries([Answer("recital", "{x}", 0.0)])
    assert "Oskaveld\n{x}\n\n" in first.prompt.text and "How {many}?" in first.prompt.text


def test_other_prompts_recite_too_and_what_is_studied_does_not_change() -> None:
    other = task().variant("rewrite")
    assert other.compile(CONTEXT, None) == task().compile(CONTEXT, None)
    assert other.exam(CONTEXT, "short") == task(0).exam(CONTEXT, "short")


def test_a_recital_is_part_of_a_runs_settings_only_where_there_is_one() -> None:
    assert "recite" not in PassagesSettings().model_dump()
    assert PassagesSettings(recite=48).model_dump()["recite"] == 48
    found = passages_of(PassagesSettings(data="invented", recite=48), EvalConfig())
    assert found.compile(found.contexts("heldout")[0], None).followup is not None
    for bound in (-1, 1_025):
        with pytest.raises(SettingError, match="recite"):
            PassagesSettings(recite=bound)


def test_where_every_weight_is_trained_nobody_is_left_to_read_a_recital() -> None:
    inner = replace(EvalConfig().inner, method="full")
    with pytest.raises(SettingError, match=r"inner\.method full: a recital is read"):
        passages_of(PassagesSettings(data="invented", recite=48), EvalConfig(inner=inner))


def test_one_adapter_for_all_passages_recites_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["eval", "--recite", "48", "--setting", "cpt", "--methods", "passage", "--run", "run"]) == 2
    assert "--setting cpt: the passages' questions are asked in two steps" in capsys.readouterr().err
    assert not Path("run").exists()


def test_sequences_are_not_asked_in_two_steps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["continual", "--recite", "48", "--sequences", "1", "--contexts", "2"]) == 2
    assert "--recite: questions of a sequence" in capsys.readouterr().err
