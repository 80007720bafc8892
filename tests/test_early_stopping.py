"""The script that counts what stopping trials early would save: exact ways keep what trying all keeps."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import early_stopping

    return early_stopping


def drawn(script: Any, rng: random.Random, least: float, step: float) -> list[Any]:
    """Candidates of one context, on a grid so that there are ties."""

    def gain() -> float:
        return step * rng.randint(-2, 4)

    return [script.Candidate((gain(), gain(), gain()), 4 * step, least) for _ in range(rng.randint(1, 5))]


@pytest.mark.parametrize("least", [-0.5, -math.inf])
def test_exact_stopping_keeps_what_trying_all_keeps_whatever_the_order(script: Any, least: float) -> None:
    rng = random.Random(3)
    skipped = 0
    for _ in range(300):
        field = drawn(script, rng, least, 0.25)
        whole = script.in_full(field, 0.0)
        for name, play in script.plays(0.1).items():
            found = play(field, 0.0)
            if name.startswith("exact"):
                assert found.kept == whole.kept, name
            assert sum(found.waves) <= sum(whole.waves)
            skipped += name.startswith("exact") and sum(found.waves) < sum(whole.waves)
    assert skipped


def test_a_self_edit_that_full_marks_could_not_save_is_tried_no_further(script: Any) -> None:
    ahead = script.Candidate((1.0, 1.0, 1.0), 1.0, 0.0)
    behind = script.Candidate((0.0, 0.0, 0.0), 1.0, 0.0)
    assert script.one_by_one([ahead, behind], 0.0).waves == (1,) * 3, "it can be no better than equal, and comes second"
    assert script.in_heats([ahead, behind], 0.0, lambda *given: False).waves == (2, 2, 1)


def test_plausible_stopping_drops_who_is_far_behind_for_the_noise_there_is(script: Any) -> None:
    field = [script.Candidate((gain,) * 3, 9.0, -9.0) for gain in (1.0, 0.9, 0.1)]
    ways = script.plays(0.2)
    assert ways["plausible, z = 2"](field, 0.0) == script.Played((3, 2, 2), 0)
    assert ways["all"](field, 0.0) == script.Played((9,), 0)
    assert ways["racing"](field, 0.0) == script.Played((3, 4), 0)


def test_smaller_groups_are_dearer_a_trial(script: Any) -> None:
    shared = script.share_of_a_group()
    assert shared[1] == 1 and shared[8] < shared[4] < 1
    assert script.seconds([(8,)]) == pytest.approx(8 * shared[8])
    assert script.seconds([(4, 2), (4, 2)]) == pytest.approx(8 * shared[8] + 4 * shared[4])
