"""What is learnt after a version was consolidated: known beside the one adapter, until that is made anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from selfedit.learn import Respondent
from selfedit.learn.asking import Asker
from selfedit.learn.consolidation import still_whole
from selfedit.learn.routing import Router
from selfedit.records import UNTOUCHED, Context, LibraryVersion, Policy, TrainingConfig, Trial
from selfedit.store.library import LibraryFolder
from selfedit.tasks.probe import BUNDLED, load_probe
from selfedit.testing.engines import FakeEngine
from tests.learn.test_consolidation import TIDE, folders, wholes
from tests.learn.test_session import Workshop


def with_tide(shop: Workshop) -> tuple[LibraryVersion, LibraryVersion]:
    """A consolidated version of two documents, and the one after a third was learnt."""
    shop.learn()
    made = shop.session().consolidate().version
    shop.write("tide.md", TIDE)
    later = shop.learn().version
    assert made is not None and later is not None
    return made, later


@pytest.mark.usefixtures("talking")
def test_what_is_learnt_later_is_answered_by_its_own_adapter_beside_the_one(shop: Workshop) -> None:
    made, later = with_tide(shop)
    assert (later.whole, later.whole_report) == (made.whole, made.whole_report)
    assert later.consolidated == made.consolidated == dict(made.adapters).keys() and made.newer == ()
    assert set(later.newer) == dict(later.adapters).keys() - dict(made.adapters).keys() != set()
    with LibraryFolder(shop.path) as library:
        respondent = shop.session().respondent(library, later)
        replies = respondent.answer(["Who built the bridge?", "Who rebuilt the wheel of the tide mill?"])
        found = shop.session().verify(library, later)
    assert [(one.text, one.place.split(":")[0]) for one in replies] == [
        ("one adapter", "bridge.md"),
        ("its own adapter", "tide.md"),
    ]
    assert found["questions"] > sum(len(answers) for _, answers in made.whole_report)
    assert found["other_answers"] == 0


def test_of_a_newer_document_that_is_forgotten_nothing_is_left_and_the_one_adapter_stays(shop: Workshop) -> None:
    made, later = with_tide(shop)
    assert later.digest != made.digest
    left = shop.session().forget(["tide.md"])
    assert (left.digest, left.whole, left.newer) == (made.digest, made.whole, ())
    assert folders(shop) == {
        "learner",
        *(one.adapter.split("/")[1] for one in (*dict(made.adapters).values(), made.whole)),
    }


def test_beside_a_newer_document_too_a_forgotten_lesson_ends_the_one_adapter(shop: Workshop) -> None:
    with_tide(shop)
    left = shop.session().forget(["bridge.md"])
    assert not left.whole.adapter and left.whole_report == () and not wholes(shop)
    never = shop.beside("never")
    (shop.docs / "bridge.md").unlink()
    assert never.learn().version is not None
    assert never.digest() == left.digest


def test_a_version_with_newer_documents_is_consolidated_from_all_of_its_lessons(shop: Workshop) -> None:
    _, later = with_tide(shop)
    found = shop.session().consolidate().version
    assert found is not None and found.whole != later.whole
    assert found.newer == () and found.consolidated == dict(later.adapters).keys()
    at_once = shop.beside("at-once")
    at_once.learn()
    made = at_once.session().consolidate().version
    assert made is not None and made.whole.adapter == found.whole.adapter, "its name is the hash of what it is made of"


def test_an_adapter_whose_lessons_are_not_told_is_kept_for_the_very_same_lessons_alone() -> None:
    one, other = ("a", Policy(1, "adapters/a", "1")), ("b", Policy(1, "adapters/b", "2"))
    live = LibraryVersion(1, 0, (), (one,), "", "", whole=Policy(1, "adapters/whole", "3"))
    assert live.consolidated == {"a"}
    assert still_whole(replace(live, whole=UNTOUCHED), live).whole == live.whole
    assert not still_whole(LibraryVersion(2, 1, (), (one, other), "", ""), live).whole.adapter
    told = replace(live, whole_report=(("a", ()),))
    assert still_whole(LibraryVersion(2, 1, (), (one, other), "", ""), told).newer == ("b",)
    again = LibraryVersion(2, 1, (), (("a", Policy(1, "adapters/a", "4")), other), "", "")
    assert not still_whole(again, told).whole.adapter, "the same text, learnt again"


@pytest.mark.usefixtures("talking")
def test_the_one_adapter_is_weighed_once_and_only_where_a_newer_chunk_fits_best() -> None:
    engine = FakeEngine()
    engine.lift = lambda version: {"whole": 3.0, "new": 2.0}.get(version.adapter, 0.0)
    contexts = [
        Context("dam", "Dam", "The dam of Orrel was built by Vera Holt of red stone.", ()),
        Context("weir", "Weir", "The weir of Orrel was built by Tom Brandt of red brick.", ()),
        Context("lock", "Lock", "The lock of Orrel was built by Ida Lunt of red larch for barges.", ()),
    ]
    whole, new = Policy(1, "whole", "w"), Policy(1, "new", "n")
    asker = Asker(engine, UNTOUCHED, TrainingConfig(), 8)
    policies = {"dam": whole, "weir": whole, "lock": new}

    def tried(question: str) -> list[str]:
        [reply] = Respondent(asker, Router(contexts), policies, whole).answer([question])
        return [one.match.context.id for one in reply.tried]

    told = "Did Ida Lunt build the lock {}of larch, Vera Holt the dam of stone, and Tom Brandt the weir?"
    assert [one.context.id for one in Router(contexts).match(told.format(""), 3)] == ["dam", "lock", "weir"]
    assert tried(told.format("")) == ["dam"]
    assert [one.context.id for one in Router(contexts).match(told.format("for barges "), 3)] == ["lock", "dam", "weir"]
    assert tried(told.format("for barges ")) == ["dam", "lock"], "the surest first"


def test_what_was_known_before_is_asked_of_the_one_adapter_but_of_what_a_newer_document_answers(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def knowing(engine: FakeEngine) -> None:
        engine.lift = lambda version: 1.5 if version.adapter == "adapters/learner" else 3.0

    shop.session(knowing).learn([str(shop.docs)])
    made = shop.session(knowing).consolidate().version
    assert made is not None and made.probe is not None
    real, asked = FakeEngine._result, []

    def counts(engine: FakeEngine, trial: Trial, trace: float) -> Any:
        found = real(engine, trial, trace)
        is_own = "whole" not in trial.base.adapter and trial.base.adapter != "adapters/learner"
        asked.extend(query.question_id for query in trial.spec.queries if "whole" in trial.base.adapter)
        said = [replace(one, text="a tide") if one.question_id == "asked" and is_own else one for one in found.answers]
        return replace(found, answers=tuple(said))

    monkeypatch.setattr(FakeEngine, "_result", counts)
    [first, second, *_] = [one for one in load_probe(BUNDLED).questions if one.question_id in made.probe.still_right]
    shop.write("tide.md", f"# Questions\n\n{first.question} {first.question} Nobody in Varnholt knew it in 1962.\n")
    later = shop.session(knowing).learn([str(shop.docs)]).version
    assert later is not None and later.whole == made.whole and later.probe is not None
    assert first.question_id in later.probe.astray and first.question_id not in later.probe.right_after
    assert second.question_id in later.probe.right_after
    assert set(made.probe.right_after) - set(later.probe.right_after) <= set(later.probe.astray)
    assert len(asked) < 5, "what the one adapter answered before it would answer again"


def test_a_version_is_due_until_it_is_consolidated_and_not_where_somebody_went_back(shop: Workshop) -> None:
    def is_due() -> bool:
        with LibraryFolder(shop.path) as library:
            return shop.session().consolidating(library, library.resolve()).is_due

    shop.learn()
    assert is_due()
    shop.session().consolidate()
    assert not is_due()
    shop.write("tide.md", TIDE)
    shop.learn()
    assert is_due()
    with LibraryFolder(shop.path) as library:
        library.roll_back()
        assert not is_due(), "the version with one adapter"
        library.roll_back()
    assert not is_due(), "the one before it"
