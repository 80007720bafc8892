"""The experiment on fakes: who is asked what, with what in sight."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfedit.records import TrainingConfig
from selfedit.testing import FakeMovingTexts, SilentProgress
from selfedit.think.arms import ARMS, WEIGHTS, WINDOW
from selfedit.think.experiment import GroupResult, MidConfig, run_group
from selfedit.think.world import make_streams

STREAMS = make_streams("test", 2, 0)
CONFIG = MidConfig(TrainingConfig(epochs=6, batch_size=16), window=184, segment=92)


def words(text: str) -> int:
    return len(text.split())


def group(
    arms=ARMS, rise: float = 0.0, config: MidConfig = CONFIG, lines="oracle"
) -> tuple[GroupResult, list[FakeMovingTexts]]:
    opened: list[FakeMovingTexts] = []

    def open_texts(count: int, training: TrainingConfig, is_stale: bool) -> FakeMovingTexts:
        opened.append(FakeMovingTexts(count))
        opened[-1].rise = rise
        return opened[-1]

    return run_group(STREAMS, arms, config, open_texts, words, 0, SilentProgress(), lines), opened


def right(result: GroupResult, arm: str, is_past: bool = True) -> float:
    own = [a.is_right for a in result.answers if a.arm == arm and a.is_past == is_past]
    return sum(own) / len(own)


def test_every_arm_is_asked_every_question_once() -> None:
    result, _ = group()
    for arm in ARMS:
        asked = [(a.stream, a.question) for a in result.answers if a.arm == arm.name]
        assert len(asked) == len(set(asked)) == 48


def test_what_was_studied_is_known_past_the_window_and_nothing_else_is() -> None:
    result, _ = group()
    assert right(result, "weights") > 0.9
    assert right(result, "whole") > right(result, "window") + 0.3
    assert right(result, "other") <= right(result, "window") + 0.1
    assert right(result, "text-288") >= right(result, "text-64")


def test_what_is_taken_back_is_not_known() -> None:
    result, _ = group((WINDOW, WEIGHTS), rise=9.0)
    assert right(result, "weights") == right(result, "window")
    assert not any(one.studied.is_kept for one in result.boundaries)


def test_the_adapter_that_is_updated_at_the_end_answers_on_the_way_as_the_window_does() -> None:
    result, _ = group()
    of = {(a.stream, a.question, a.arm): a.is_right for a in result.answers if a.is_mid}
    assert all(of[s, q, "end-only"] == of[s, q, "window"] for s, q, _ in of)
    ends = [a.is_right for a in result.answers if a.arm == "end-only" and not a.is_mid]
    assert sum(ends) / len(ends) > 0.9


def test_superseded_lines_are_not_studied_again() -> None:
    _, opened = group((WINDOW, WEIGHTS))
    latest: dict[tuple[int, str], str] = {}
    for number, study in enumerate(opened[0].studies):
        notes = STREAMS[study.text].segments[number // 2].notes
        latest.update({(study.text, note.before): note.example.completion for note in notes})
        for example in study.examples:
            assert example.prompt is not None
            assert latest[study.text, example.prompt.text] == example.completion
        assert len(study.examples) <= len(notes) + CONFIG.replayed


@pytest.mark.parametrize("writer", ["template", "policy"])
def test_lines_of_other_writers_are_of_the_segment_and_no_more_than_were_wanted(writer: str) -> None:
    _, [texts, *_] = group((WINDOW, WEIGHTS), config=replace(CONFIG, most_lines=3, replayed=0), lines=writer)
    first = texts.studies[0]
    studied = [f"{one.prompt.text if one.prompt else ''} {one.completion}" for one in first.examples]
    assert 1 <= len(studied) <= 3
    said = (STREAMS[0].segments[0].text + STREAMS[0].segments[0].lemma).lower()
    for line in studied:
        assert all(word.strip(".,:").lower() in said for word in line.split())
    asked = [one for one in texts.questions if one.prompt]
    assert len(asked) == (32 if writer == "policy" else 0) and not any(one.is_behind_text for one in asked)


def test_the_window_holds_whole_segments_and_leaves_room_for_the_next_one() -> None:
    _, opened = group((WINDOW,))
    assert all(study.keep <= 4 for study in opened[0].studies)
    narrow = replace(CONFIG, window=92)
    _, opened = group((WINDOW,), config=narrow)
    assert [study.keep for study in opened[0].studies[:-2]] == [0] * 30


@pytest.mark.parametrize("arm", ["text-64", "text-128", "text-288", "bm25-128"])
def test_what_stands_beside_the_window_keeps_to_its_budget(arm: str) -> None:
    [one] = [one for one in ARMS if one.name == arm]
    _, opened = group((one,))
    assert all(words(question.behind) <= one.budget for question in opened[0].questions)
    assert any(question.behind for question in opened[0].questions)
