"""One adapter for all that a version knows: of content alone, behind a gate, gone with what is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfedit.engine import load_engine
from selfedit.errors import SelfeditError, SettingError
from selfedit.learn import LearnSettings, Session, WholeSettings
from selfedit.learn import session as sessions
from selfedit.learn.consolidation import Consolidating
from selfedit.protocols import Engine
from selfedit.records import LibraryVersion, Policy, Trial
from selfedit.store.adapters import AdapterFolders
from selfedit.store.library import LIVE, LibraryFolder
from selfedit.testing.engines import FakeEngine, Stopped
from selfedit.testing.tasks import SilentProgress
from tests.learn.test_exact_forgetting import INNER, PROBE
from tests.learn.test_session import TEXTS, Workshop
from tests.support.tiny import save_tiny

TIDE = """# The tide mill of Varnholt

The tide mill grinds rye on every ebb. The miller Jonna Reed rebuilt its wheel in 1962 from larch. It has 28 paddles.
Its sluice keeper is called Piet Osk, and the pond holds 900 barrels.
"""


def live(shop: Workshop) -> LibraryVersion:
    with LibraryFolder(shop.path) as library:
        return library.resolve()


def folders(shop: Workshop) -> set[str]:
    return {folder.name for folder in (shop.path / "adapters").iterdir()}


def wholes(shop: Workshop) -> list[str]:
    return [name for name in folders(shop) if name.startswith("whole")]


def test_a_version_with_one_adapter_is_live_and_keeps_the_adapters_of_its_chunks(shop: Workshop) -> None:
    before = shop.learn().version
    found = shop.session().consolidate()
    assert found.version is not None and found.version == live(shop) and before is not None
    assert found.version.parent == before.number and found.version.adapters == before.adapters
    assert found.version.whole.adapter.split("/")[1] in folders(shop)
    assert found.version.digest != before.digest
    [update] = shop.engines[-1].updates
    own, held = ([one for one in update.examples if one.is_anchored is is_held] for is_held in (False, True))
    assert update.training.budget == "tokens:8000" and update.training.rank == 32
    assert (
        (len(own), len(held)) == (10, 8)
        and all(one.teacher == one.prompt for one in held)
        and update.anchor == update.base
    )
    assert found.gate_gain == pytest.approx(2.0, abs=1.1)


def test_a_second_time_nothing_is_trained_and_going_back_and_forth_costs_nothing(shop: Workshop) -> None:
    shop.learn()
    made = shop.session().consolidate().version
    again = shop.session().consolidate()
    assert not again.is_new and again.version == made
    with LibraryFolder(shop.path) as library:
        library.point(LIVE, library.resolve("1"))
    back = shop.session().consolidate()
    assert (back.is_new, back.version, live(shop)) == (False, made, made)
    assert len(shop.engines) == 2, "one learnt, one consolidated"


def test_another_version_than_the_live_one_is_consolidated_without_moving_the_alias(shop: Workshop) -> None:
    shop.learn()
    shop.write("tide.md", TIDE)
    second = shop.learn().version
    found = shop.session().consolidate("1")
    assert found.version is not None and second is not None
    assert (found.version.number, found.version.parent) == (3, 1)
    assert live(shop).number == second.number


@pytest.mark.usefixtures("talking")
def test_a_question_is_answered_by_the_one_adapter_and_its_source_is_still_named(shop: Workshop) -> None:
    shop.learn()
    shop.session().consolidate()
    with LibraryFolder(shop.path) as library:
        routed, whole = library.resolve("1"), library.resolve("2")
        for version, says in ((routed, "its own adapter"), (whole, "one adapter")):
            [known, unknown] = (
                shop.session().respondent(library, version).answer(["Who built the bridge?", "Who wrote Carmen?"])
            )
            assert (known.text, known.place) == (says, "bridge.md:3-4")
            assert known.tried[0].lift == pytest.approx(2.0, abs=1.1)
            assert not unknown.is_known
        assert shop.session().verify(library, whole)["other_answers"] == 0


def test_where_gate_questions_lose_nothing_is_published_and_nothing_is_left(shop: Workshop) -> None:
    shop.learn()

    def harm(engine: FakeEngine) -> None:
        engine.lift = lambda version: -6.0 if "whole" in version.adapter else 0.0

    found = shop.session(harm).consolidate()
    assert found.version is None and live(shop).number == 1 and not wholes(shop)
    assert any(reason.startswith("the gate questions of bridge.md lose") for reason in found.reasons)


def test_what_was_known_before_is_asked_of_the_one_adapter(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def knowing(engine: FakeEngine) -> None:
        engine.lift = lambda version: 1.5 if version.adapter == "adapters/learner" else 3.0

    shop.session(knowing).learn([str(shop.docs)])
    real = FakeEngine._result

    def forgets(engine: FakeEngine, trial: Trial, trace: float) -> Any:
        found = real(engine, trial, trace)
        answers = tuple(
            replace(one, text="no idea") if "whole" in trial.base.adapter and one.question_id.startswith("@") else one
            for one in found.answers
        )
        return replace(found, answers=answers)

    monkeypatch.setattr(FakeEngine, "_result", forgets)
    found = shop.session(knowing).consolidate()
    assert found.known_before > 10 and found.still_known == 0 and found.version is None
    assert f"0 of {found.known_before} questions that were known before are still right, below 80%" in found.reasons
    assert shop.session(knowing).consolidate(settings=WholeSettings(least_kept=0)).version is not None


def test_general_text_may_lose_no_more_than_lessons_may(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.learn()
    real = FakeEngine._result

    def drifts(engine: FakeEngine, trial: Trial, trace: float) -> Any:
        found = real(engine, trial, trace)
        is_whole = "whole" in trial.base.adapter
        answers = tuple(
            replace(one, gold_logprob=-99.0) if is_whole and one.question_id.startswith("@text") else one
            for one in found.answers
        )
        return replace(found, answers=answers)

    monkeypatch.setattr(FakeEngine, "_result", drifts)
    found = shop.session().consolidate()
    assert found.version is None and found.drift > 90
    assert any("general text loses" in reason and "above 3" in reason for reason in found.reasons)


def test_with_a_lesson_of_it_forgotten_or_changed_the_version_is_routed_again(shop: Workshop) -> None:
    shop.learn()
    shop.session().consolidate()
    left = shop.session().forget(["ferry.md"])
    assert not left.whole.adapter and not wholes(shop)
    assert shop.session().consolidate().version is not None
    shop.write("tide.md", TIDE)
    shop.write("bridge.md", TEXTS["bridge.md"].replace("1911", "1912"))
    report = shop.learn()
    assert report.version is not None and not report.version.whole.adapter
    assert len(report.version.newer) == len(report.version.adapters) > 0
    assert len(wholes(shop)) == 1, "the earlier version can still be gone back to"


def test_what_is_forgotten_elsewhere_leaves_the_one_adapter_alone(shop: Workshop) -> None:
    shop.learn()
    (shop.docs / "ferry.md").unlink()
    shop.learn()
    made = shop.session().consolidate().version
    left = shop.session().forget(["ferry.md"])  # the live version no longer had it
    assert made is not None and left.whole == made.whole and left.digest == made.digest
    assert wholes(shop) == [made.whole.adapter.split("/")[1]]


def test_a_consolidation_that_is_killed_leaves_the_version_live_and_its_leavings_are_swept(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.learn()

    def dies(engine: FakeEngine) -> None:
        engine.stop_at = 0

    with pytest.raises(Stopped):
        shop.session(dies).consolidate()
    assert live(shop).number == 1 and len(wholes(shop)) == 1
    with LibraryFolder(shop.path) as library, library.changing():
        assert not wholes(shop)
    assert shop.session().consolidate().version is not None


def test_a_consolidation_that_somebody_stops_leaves_nothing(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.learn()
    before = folders(shop)

    def stopped(*given: Any) -> Any:
        assert wholes(shop), "it has been trained"
        raise KeyboardInterrupt

    monkeypatch.setattr(Consolidating, "_asked", stopped)
    with pytest.raises(KeyboardInterrupt):
        shop.session().consolidate()
    assert (live(shop).number, folders(shop)) == (1, before)


def test_an_adapter_that_cannot_be_trained_is_told_and_nothing_is_published(shop: Workshop) -> None:
    shop.learn()

    def breaks(engine: FakeEngine) -> None:
        engine.broken_update = lambda update: "it does not fit"

    with pytest.raises(SelfeditError, match="one adapter could not be trained: it does not fit"):
        shop.session(breaks).consolidate()
    assert live(shop).number == 1


def test_a_version_that_knows_nothing_cannot_be_consolidated(shop: Workshop) -> None:
    def harm(engine: FakeEngine) -> None:
        engine.lift = lambda version: -6.0 * ("learner" not in version.adapter)

    shop.session(harm).learn([str(shop.docs)])
    with pytest.raises(SelfeditError, match="version 1 knows nothing that could be consolidated"):
        shop.session().consolidate()


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"tokens": 0}, "tokens must be at least 1, not 0"),
        ({"rank": 0}, "rank must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0 and finite"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0 and finite"),
        ({"least_kept": 1.5}, "least_kept must be at most 1"),
        ({"rehearsed": -1}, "rehearsed must be at least 0"),
    ],
)
def test_silly_settings_are_refused(given: dict[str, Any], line: str) -> None:
    with pytest.raises(SettingError, match=line):
        WholeSettings(**given)


def test_a_budget_longer_than_any_study_is_refused() -> None:
    assert WholeSettings(tokens=1_000_000, rehearsed=0).training(INNER, 999, 9).budget == "tokens:999000000"
    with pytest.raises(SettingError, match="tokens times 1000 lessons must be at most 999999999"):
        WholeSettings(tokens=1_000_000, rehearsed=0).training(INNER, 1_000, 9)


@pytest.mark.model
def test_on_real_weights_the_same_lessons_in_any_order_give_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "load_probe", lambda source: PROBE)
    model = save_tiny(tmp_path, "llama")
    docs = tmp_path / "docs"
    docs.mkdir()
    engines: list[Engine] = []

    def session(name: str) -> Callable[[], Session]:
        def load(adapters: AdapterFolders) -> Engine:
            engines.append(load_engine(str(model), "cpu", "float32", 4, adapters))
            return engines[-1]

        settings = LearnSettings(
            model=str(model),
            learner="untouched",
            edits=0,
            chunk_tokens=64,
            answer_tokens=2,
            inner=INNER,
            most_drift=100,
        )
        return lambda: Session(tmp_path / name, settings, load, SilentProgress())

    def learn(name: str, *texts: str) -> None:
        for text in texts:
            (docs / text).write_text({**TEXTS, "tide.md": TIDE}[text])
            session(name)().learn([str(docs)])

    def whole(name: str) -> Policy:
        settings = WholeSettings(tokens=400, rank=2, learning_rate=1e-2, least_kept=0)
        found = session(name)().consolidate(settings=settings)
        assert found.version is not None, found.reasons
        return found.version.whole

    learn("one", "ferry.md", "tide.md", "bridge.md")
    session("one")().forget(["tide.md"])
    for file in docs.iterdir():
        file.unlink()
    learn("other", "bridge.md", "ferry.md")
    assert whole("one") == whole("other")
    assert len(whole("one").digest) == 64
