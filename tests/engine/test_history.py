"""What a group comes to does not depend on what the engine has done before: so it can be resumed, and done anywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from selfedit.engine import load_engine
from selfedit.records import (
    UNTOUCHED,
    Example,
    Generation,
    Prompt,
    Query,
    SamplingParams,
    TrainingConfig,
    Trial,
    TrialResult,
    TrialSpec,
)
from tests.support.tiny import save_tiny

pytestmark = pytest.mark.model
TRAINING = TrainingConfig(rank=2, alpha=4.0, top_layers=0.5, epochs=2, learning_rate=1e-2)


def trial(name: str, text: str, seed: int) -> Trial:
    asked = (
        Query("q", "?", "noon", Prompt(f"{text} When?")),
        Query("r", "?", "boats", Prompt(f"{text} What crosses?")),
    )
    return Trial(name, TrialSpec((Example(text), Example(f"{text} at noon")), asked), TRAINING, seed)


def test_texts_that_an_earlier_group_had_too_pass_anew(tmp_path: Path) -> None:
    save_tiny(tmp_path / "tiny", "llama", chat=True)
    engine = load_engine(str(tmp_path / "tiny"), "cpu", "bfloat16", 4)
    long = "seven red boats cross the river " * 3
    first = [trial("a", long, 1), trial("b", "a town on the coast", 2)]
    second = [trial("c", long, 3), trial("d", "the lazy dog sold candles " * 4, 4)]

    def done(group: list[Trial]) -> tuple[list[TrialResult], set[object]]:
        [found] = engine.run_trials([group])
        return [replace(result, seconds=0.0) for result in found.results], set(engine.trunk.hidden)

    alone, kept = done(second)
    done(first)
    assert kept and done(second) == (alone, kept), "nothing of the group before is left"


def test_beginnings_of_prompts_that_an_earlier_group_had_too_pass_anew(tmp_path: Path) -> None:
    save_tiny(tmp_path / "tiny", "llama", chat=True)
    engine = load_engine(str(tmp_path / "tiny"), "cpu", "bfloat16", 4)
    start = "seven red boats cross the river at noon and the lazy dog sold candles to a town on the coast " * 2
    sampling = SamplingParams(max_new_tokens=4)

    def group(*ends: str) -> list[Generation]:
        return [Generation(UNTOUCHED, Prompt(start + end), sampling, seed) for seed, end in enumerate(ends)]

    passed: list[int] = []
    engine.model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: passed.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    groups = [group("once", "twice"), group("once", "twice")]
    first, second = engine.generate(groups)
    half = len(passed) // 2
    assert first.results == second.results
    assert passed[:half] == passed[half:], "the second group does all that the first one did"
