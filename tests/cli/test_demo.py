"""`selfedit demo` on fake engines and a clock that tests turn: its size, its folder, and that it ends in time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from selfedit.cli import demo
from selfedit.cli.demo import TimedProgress, TimeUpError, measure
from selfedit.cli.main import main
from selfedit.cli.number_type import NumberType
from selfedit.protocols import Done
from selfedit.recipes import RECIPES
from selfedit.recipes.demo import Pace
from selfedit.records import Trial, TrialResult
from selfedit.store import read_ledger
from selfedit.tasks import load_task
from selfedit.testing import FakeEngine
from tests.support.commands import on, use_engine

Capture = pytest.CaptureFixture[str]
SLOW = Pace(train=0.04, write=0.05, ask=6.0)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, a fake engine, and a machine that is found slow."""
    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch)
    monkeypatch.setattr(demo, "measure", lambda *given: SLOW)
    return tmp_path


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(demo.time, "monotonic", lambda: self.now)


def refused(words: list[str], capsys: Capture) -> str:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def config(run: str) -> dict[str, object]:
    held = json.loads((Path(run) / "config.json").read_text())["config"]
    assert isinstance(held, dict)
    return held


def test_it_says_its_size_before_it_begins_and_its_time_at_the_end(capsys: Capture) -> None:
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    held = config("runs/demo-10-minutes")
    assert "this machine trains on 25 tokens a second, writes 20, and answers a passage's questions in 6.0 s" in err
    assert f"So that it ends within 10 minutes: {held['contexts']} training passage" in err
    tokens = int(str(held["inner"]["budget"]).removeprefix("tokens:"))  # type: ignore[index]
    assert tokens < 2000
    assert f"{held['heldout']} held-out passages, {tokens:,} tokens a study; estimated: " in err
    assert err.index("So that it ends") < err.index("eval-base: trials") < err.index("demo: took ")
    assert "as many as this machine allowed; on so few, intervals are wide, and --minutes 30 takes more" in err
    assert "runs/demo-10-minutes/report.html" in out


def test_the_same_command_resumes_in_the_size_that_it_began_with(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["demo", "--minutes", "20"]) == 0
    first = config("runs/demo-20-minutes")
    monkeypatch.setattr(demo, "measure", lambda *given: pytest.fail("measured again"))
    assert main(["demo", "--minutes", "20"]) == 0
    assert config("runs/demo-20-minutes") == first
    assert "goes on in the size that it began with" in capsys.readouterr().err


def test_a_fast_machine_takes_more_passages(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "measure", lambda *given: Pace(1 / 237, 1 / 165, 0.6))
    assert main(["demo", "--run", "fast"]) == 0
    held = config("fast")
    assert isinstance(held["heldout"], int) and held["heldout"] >= 6
    assert held["inner"]["budget"] == "tokens:2000"  # type: ignore[index]


def test_the_learner_of_the_package_studies_unless_the_untouched_model_is_to(capsys: Capture) -> None:
    assert main(["demo"]) == 0
    assert config("runs/demo-10-minutes")["learner"] == "shipped"
    assert main(["demo", "--learner", "untouched"]) == 0
    assert config("runs/demo-10-minutes-untouched")["learner"] == "untouched"
    capsys.readouterr()
    assert "learner" in refused(["demo", "--learner", "untouched", "--run", "runs/demo-10-minutes"], capsys)


def use_fast(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    """A machine that suits this number type."""
    monkeypatch.setattr(demo, "choose_number_type", lambda: NumberType(dtype, f"{dtype} is faster here"))


@pytest.mark.parametrize("words", [["demo"], ["demo", "--quick"]])
def test_the_number_type_is_what_the_machine_is_faster_in_told_and_written_down(
    words: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fast(monkeypatch, "bfloat16")
    assert main([*words, "--run", "r"]) == 0
    assert "demo: it computes in bfloat16: bfloat16 is faster here" in capsys.readouterr().err
    assert config("r")["dtype"] == "bfloat16"
    assert json.loads(Path("r/config.json").read_text())["facts"]["chosen"] == "bfloat16: bfloat16 is faster here"
    assert "bfloat16 is faster here" in Path("r/report.html").read_text()


@pytest.mark.parametrize("words", [["demo"], ["demo", "--quick"]])
def test_a_run_goes_on_in_the_numbers_that_it_began_in_whatever_suits_the_machine(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fast(monkeypatch, "bfloat16")
    assert main(words) == 0
    [run] = Path("runs").iterdir()
    first = (run / "config.json").read_text()
    monkeypatch.setattr(demo, "choose_number_type", lambda: pytest.fail("measured again"))
    assert main(words) == 0
    assert [run] == list(Path("runs").iterdir()) and (run / "config.json").read_text() == first


def test_a_demo_of_before_goes_on_in_what_auto_stood_for(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fast(monkeypatch, "auto")
    assert main(["demo", "--run", "old"]) == 0
    use_fast(monkeypatch, "bfloat16")
    assert main(["demo", "--run", "old"]) == 0
    assert config("old")["dtype"] == "auto"


def test_a_number_type_that_is_named_is_not_measured_and_is_another_run(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "choose_number_type", lambda: pytest.fail("measured"))
    assert main(["demo", "--dtype", "bfloat16"]) == 0
    assert config("runs/demo-10-minutes-bfloat16")["dtype"] == "bfloat16"
    capsys.readouterr()
    said = refused(["demo", "--dtype", "float32", "--run", "runs/demo-10-minutes-bfloat16"], capsys)
    assert 'holds another run (dtype "bfloat16" → "float32")' in said


@pytest.mark.parametrize("minutes", ["0", "-3", "nan", "inf", "1001", "0.5"])
def test_a_time_that_is_none_is_refused_by_its_flag(minutes: str, capsys: Capture) -> None:
    said = refused(["demo", "--minutes", minutes], capsys)
    assert said.startswith("selfedit: --minutes must be at ") and not Path("runs").exists()


def test_a_demo_of_fixed_size_takes_no_time(capsys: Capture) -> None:
    said = refused(["demo", "--quick", "--minutes", "5"], capsys)
    assert "--quick has a fixed size: leave out --minutes or this" in said


def test_the_quick_demo_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "measure", lambda *given: pytest.fail("measured"))
    assert main(["demo", "--quick", "--run", "q"]) == 0
    held = config("q")
    assert held["recipe"] == "demo-quick" and held["heldout"] == 4


@pytest.mark.parametrize("words", [["--recipe", "embedded"], ["--recipe", "demo", "--reward", "accuracy"]])
def test_a_folder_of_another_run_is_refused(words: list[str], capsys: Capture) -> None:
    small = ["--contexts", "2", "--edits", "2", "--heldout", "1", "--rounds", "1", "--seeds", "1"]
    assert main(["train", *words, *small, "--run", "other"]) == 0
    capsys.readouterr()
    said = refused(["demo", "--run", "other"], capsys) if "embedded" in words else ""
    if said:
        assert "--run other: holds no demo that has a size; choose another folder" in said
    else:
        assert main(["demo", "--run", "other"]) == 2
        assert "--run other: holds another run (reward" in capsys.readouterr().err


def test_a_folder_that_is_not_empty_is_refused_before_anything_is_measured(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine").mkdir()
    Path("mine/notes").write_text("")
    monkeypatch.setattr(demo, "measure", lambda *given: pytest.fail("measured"))
    assert "--run mine: is not empty and holds no run" in refused(["demo", "--run", "mine"], capsys)


def test_where_the_estimate_was_wrong_it_ends_in_time_says_so_and_goes_on(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)

    class Slower(FakeEngine):
        def run_trials(self, groups: Iterable[Sequence[Trial]]) -> Iterator[Done[TrialResult]]:
            for done in super().run_trials(groups):
                clock.now += 100
                yield done

    use_engine(monkeypatch, lambda config, adapters: on(Slower, adapters))
    words = ["demo", "--run", "r"]
    begun = clock.now
    assert main(words) == 0
    assert clock.now - begun < 600, "its time"
    err = capsys.readouterr().err
    assert "what was not begun is left out, as the page says" in err
    assert "the same command goes on: selfedit demo --run r" in err
    assert "This run is not finished" in Path("r/report.html").read_text()
    for _ in range(3):
        assert main(words) == 0
    assert "what was not begun" not in capsys.readouterr().err.splitlines()[-1]
    assert "This run is not finished" not in Path("r/report.html").read_text()
    use_engine(monkeypatch)
    assert main(["demo", "--run", "whole"]) == 0
    with read_ledger(Path("r/ledger.db")) as stopped, read_ledger(Path("whole/ledger.db")) as whole:
        assert stopped.fingerprint() == whole.fingerprint()


def test_a_time_in_which_nothing_ends_is_told_in_one_line(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "measure", lambda *given: Pace(4.0, 5.0, 600.0))
    assert main(["demo", "--minutes", "1"]) == 2
    err = capsys.readouterr().err
    assert "This is the smallest demo" in err and "ends after 1 minute all the same" in err
    assert "--minutes 1: too short for this machine, nothing was finished in it" in err.splitlines()[-1]


class Watched:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def stage(self, name: str, total: int) -> None:
        self.told.append(name)

    def advance(self, done: int = 1, note: str = "", is_recalled: bool = False) -> None:
        self.told.append(f"+{done}")


def test_no_piece_begins_that_would_end_too_late_and_none_is_missed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, shown = Clock(monkeypatch), Watched()
    progress = TimedProgress(shown, end=clock.now + 100, first=10)
    progress.stage("trials", 3)
    for _ in range(2):
        clock.now += 30
        progress.advance()
    clock.now += 35  # late, yet the last one is back
    progress.advance()
    progress.stage("a note", 0)
    assert shown.told == ["trials", "+1", "+1", "+1", "a note"]
    with pytest.raises(TimeUpError):
        progress.stage("more", 1)


def test_what_the_ledger_holds_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    progress = TimedProgress(Watched(), end=clock.now + 100)
    progress.stage("trials", 4)
    clock.now += 60  # reading
    progress.advance(2, is_recalled=True)
    clock.now += 20
    progress.advance()


def test_measuring_trains_writes_and_asks_a_little_and_more_only_where_that_is_quick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, settings = Clock(monkeypatch), RECIPES["demo"]

    class Timed(FakeEngine):
        seconds = 10.0

        def run_trials(self, groups: Iterable[Sequence[Trial]]) -> Iterator[Done[TrialResult]]:
            for done in super().run_trials(groups):
                clock.now += self.seconds * len(done.results)
                yield done

    engine = Timed()
    pace = measure(engine, load_task(settings), settings.inner, settings.sampling)
    slow = len(engine.trials_run)
    assert pace.ask == pytest.approx(10.0) and pace.train > 0
    engine = Timed()
    engine.seconds = 0.1
    assert measure(engine, load_task(settings), settings.inner, settings.sampling).ask == pytest.approx(0.1)
    assert len(engine.trials_run) > slow
