"""Which chunk a question is about, by its words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from selfedit.learn.routing import Router
from selfedit.records import Context

CONTEXTS = [
    Context("bridge", "The bridge of Orlemont", "Vera Holt built it in 1911, and Tom Brandt widened it for trams.", ()),
    Context("ferry", "The ferry of Sennport", "Captain Ida Lunt steers the Albatross across the sound.", ()),
]


def home(question: str) -> str:
    found = Router(CONTEXTS).match(question)
    return found[0].context.id if found else ""


def test_a_question_goes_to_the_chunk_that_shares_two_telling_words() -> None:
    assert home("Who built the bridge of Orlemont?") == "bridge"
    assert home("Which captain steers the Albatross?") == "ferry"


def test_words_are_compared_by_their_stems() -> None:
    assert home("Who was steering the ferries?") == "ferry"


def test_a_question_about_something_else_goes_nowhere() -> None:
    assert home("Who wrote the opera Carmen?") == ""
    assert home("Who?") == "" and home("") == ""


def test_a_single_word_is_enough_where_it_is_all_that_is_asked() -> None:
    assert home("Sennport?") == "ferry"
    assert home("Was Sennport ever besieged by the Swedish army?") == ""


def test_what_a_context_has_by_chance_in_a_large_library_is_not_enough() -> None:
    fillers = [
        Context(f"filler-{n}", f"Notes {n}", f"Page {n} of the diary tells how ship {n} was built by hand.", ())
        for n in range(400)
    ]
    small, large = Router(CONTEXTS), Router([*CONTEXTS, *fillers])
    question = "Who designed and built the marble theatre?"
    assert large.nearest(question) and not large.match(question)
    told = "Who built the bridge of Orlemont?"
    assert small.match(told)[0].context.id == large.match(told)[0].context.id == "bridge"
    assert large.match(told)[0].fit.size == 402


def test_belonging_grows_with_what_is_in_common() -> None:
    [some] = Router(CONTEXTS).nearest("Which captain of which navy steers?")
    [more] = Router(CONTEXTS).nearest("Which captain steers the Albatross?")
    assert some.fit.share < more.fit.share <= 1.0
    assert some.fit.belonging < more.fit.belonging < 1.0


def test_the_best_come_first_and_no_more_than_are_wanted() -> None:
    both = "Did Tom Brandt widen the bridge or the ferry of Captain Lunt?"
    found = Router(CONTEXTS).match(both, 2)
    assert [match.context.id for match in found] == ["bridge", "ferry"]
    assert len(Router(CONTEXTS).match(both, 1)) == 1


def test_without_any_context_nothing_is_found() -> None:
    assert Router([]).match("Who built the bridge?") == []


def test_jax_where_it_is_installed_is_not_imported(tmp_path: Path) -> None:
    """It takes most of a GPU's memory as soon as bm25s tries it."""
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("raise SystemExit('jax was imported')\n")
    (tmp_path / "jax" / "lax.py").write_text("")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from selfedit.learn.routing import Router\n"
        "from selfedit.records import Context\n"
        "assert Router([Context('a', 'Quick fox', 'A quick brown fox.', ())]).match('quick fox')\n"
        "assert 'jax' not in sys.modules\n"
        "try:\n    import jax\nexcept SystemExit:\n    print('still there')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "still there"), done.stderr
