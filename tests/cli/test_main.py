"""The command line from outside: one line and exit code 2 for what a user can mend, and nothing half-written."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

import selfedit
from selfedit.cli import evaluate, grade
from selfedit.cli.main import main
from selfedit.cli.open_run import load_writer, start_learner
from selfedit.config import RunConfig
from selfedit.errors import SelfeditError, SettingError
from selfedit.loop import EvalConfig
from selfedit.protocols import Done
from selfedit.records import Stage, Trial, TrialResult
from selfedit.store import AdapterFolders, Ledger, run_folder
from selfedit.testing import FakeEngine
from tests.support.commands import on, use_engine
from tests.support.endpoint_server import EndpointServer, refusal

SMALL = ["--rounds", "1", "--contexts", "2", "--edits", "2", "--seeds", "1", "--heldout", "1"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and a fake engine instead of a model."""
    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch)
    return tmp_path


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[EndpointServer]:
    """An endpoint that says yes, with a cache of its own."""
    monkeypatch.setenv("SELFEDIT_API_KEY", "")
    monkeypatch.setenv("SELFEDIT_CACHE", str(tmp_path / "cache"))
    with EndpointServer() as server:
        yield server


def test_previews_are_told_on_the_page_and_as_data(here: Path, capsys: Capture) -> None:
    words = ["--rounds", "1", "--contexts", "2", "--edits", "5", "--preview", "3", "--seeds", "1", "--heldout", "1"]
    assert main(["train", *words, "--run", "r", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)["previews"]
    assert (row["previews"], row["tried"], row["failed"]) == (10, 6, 0)
    assert row["rank_correlation"]["n_contexts"] == 2
    text = (here / "r" / "report.html").read_text()
    assert "Only the 3 most promising of each passage were tried in full" in text


def judged(server: EndpointServer) -> list[str]:
    return ["--grader", "judge", "--judge", server.url, "--judge-model", "m"]


def passages(path: Path, n: int = 6) -> Path:
    rows = [
        {
            "title": f"Place {i}",
            "context": f"Place {i} lies high.",
            "questions": [{"question": f"Where is {i}?", "answer": f"up {i}"}],
        }
        for i in range(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(words: Sequence[str], capsys: Capture) -> str:
    """The one line on standard error of a command that must end with exit code 2 and leave every file as it was."""
    before = files(Path.cwd())
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("selfedit: ") and err.count("\n") == 1, err
    assert files(Path.cwd()) == before
    return err


def fingerprint(run: str) -> str:
    with Ledger(Path(run) / "ledger.db") as ledger:
        return ledger.fingerprint()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--data", "absent.jsonl"], "absent.jsonl: no such file"),
        (["train", "--heldout-data", "absent.jsonl"], "absent.jsonl: no such file"),
        (["train", "--prompt", "absent"], "'absent'; known: implications"),
        (["train", "--recipe", "absent"], "--recipe absent: unknown; choose from paper"),
        (["train", "--grader", "absent"], "--grader absent is not for it; choose from contains"),
        (["train", "--grader", "judge"], "--grader judge needs an endpoint"),
        (["train", "--judge", "http://localhost/v1"], "--judge is given, but --grader is contains"),
        (["train", "--grader", "judge", "--judge", "x", "--judge-model", "m"], "--judge x: not an http(s) URL"),
        (["train", "--ask-style", "absent"], "--ask-style absent: unknown; choose from plain"),
        (["train", "--config", "absent.yaml"], "--config absent.yaml: cannot be read"),
        (["train", "--rounds", "0"], "--rounds must be at least 1"),
        (["train", "--contexts", "1000"], "--contexts 1000: invented has 64"),
        (["train", "--heldout", "1000"], "--heldout 1000: invented has 64"),
        (["train", "--inner.learning-rate", "0"], "--inner.learning-rate must be above 0"),
        (["train", "--task", "arc", "--lines", "checked"], "--lines checked: self-edits of --task arc have no lines"),
        (["eval", "--task", "arc", "--lines", "checked"], "--lines checked: self-edits of --task arc have no lines"),
        (["train", "--lines", "some"], "--lines"),
        (["continual", "--lines", "checked"], "misplaced options: lines"),
        (["eval", "--methods", "base,absent"], "--methods absent: unknown; choose from base"),
        (["eval", "--contexts", "1000"], "1000 held-out contexts asked for, 64 there"),
        (["eval", "--policy", "absent"], "absent: no run here"),
        (["report", "absent"], "absent: no run here"),
        (["eval", "--methods", "oracle"], "--methods oracle: not for --task passages; choose from base"),
        (["train", "--task", "arc", "--grader", "exact"], "--task arc: --grader exact is not for it"),
        (["train", "--task", "arc", "--prompt", "rewrite"], "--prompt rewrite: puzzles have published or extended"),
        (["train", "--task", "arc", "--data", "absent.json"], "absent.json: there is no such file"),
        (["train", "--task", "arc", "--views", "0"], "--views must be at least 1"),
        (["eval", "--task", "arc", "--methods", "passage"], "--methods passage: not for --task arc; choose from base"),
        (["eval", "--methods", "rethink"], "--methods rethink: not for --task passages"),
        (
            ["eval", "--task", "arc", "--methods", "rethink", "--ask-style", "arrays", "--vote", "published"],
            "--methods rethink: grids are written as arrays",
        ),
        (
            ["eval", "--task", "arc", "--methods", "longer", "--views", "1"],
            "--methods longer: a single view has",
        ),
        (["eval", "--task", "arc", "--rethink", "0"], "--rethink must be at least 1, not 0"),
        (["continual", "--task", "arc"], "--task arc: puzzles are learnt one by one, not in sequences"),
        (["eval", "--task", "arc", "--setting", "cpt"], "--setting cpt: puzzles are learnt one by one"),
        (["doctor", "--task", "arc"], "--task arc: estimates are for passages"),
        (["grade", "absent.jsonl"], "absent.jsonl: no such file"),
        (["grade", "absent.jsonl", "--grader", "judge"], "--grader judge needs an endpoint"),
        (["grade", "absent.jsonl", "--judge-model", "m"], "--judge-model is given, but --grader is contains"),
        (["grade", "absent.jsonl", "--grader", "absent"], "'absent'; known: attempts, calibrated"),
    ],
)
def test_bad_input_is_told_in_one_line(words: list[str], said: str, capsys: Capture) -> None:
    assert said in refused(words, capsys)


def test_a_malformed_line_is_told_by_file_and_line(capsys: Capture) -> None:
    path = passages(Path("data.jsonl"))
    path.write_text(path.read_text() + "{not json\n")
    assert "data.jsonl:7: not JSON" in refused(["train", "--data", "data.jsonl"], capsys)
    path.write_text('{"question": "q", "gold": "g", "answer": "a"}\n{"question": "q"}\n')
    assert "data.jsonl:2: missing 'answer'" in refused(["grade", "data.jsonl"], capsys)


def test_a_malformed_file_of_settings_is_told_by_file_and_line(capsys: Capture) -> None:
    Path("c.yaml").write_text("rounds: 2\ninner: {epochs: [\n")
    assert "--config c.yaml:3: neither JSON nor YAML" in refused(["train", "--config", "c.yaml"], capsys)
    Path("c.yaml").write_text("rounds: 2\ninner: {epoch: 1}\n")
    assert "c.yaml: --inner.epoch: no such setting" in refused(["train", "--config", "c.yaml"], capsys)
    Path("c.yaml").write_text("just words")
    assert "holds no settings" in refused(["train", "--config", "c.yaml"], capsys)


def test_an_unknown_model_is_told_before_a_folder_is_made(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(config: RunConfig, adapters: AdapterFolders) -> FakeEngine:
        raise SelfeditError(f"--model {config.model}: cannot be loaded")

    use_engine(monkeypatch, refuse)
    assert "--model no/such" in refused(["train", "--recipe", "embedded", "--model", "no/such", "--run", "r"], capsys)


def test_a_folder_that_cannot_be_written_is_refused_before_the_model_is_loaded(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_engine(monkeypatch, lambda config, adapters: pytest.fail("loaded"))
    Path("file").write_text("")
    assert "--run file/run: cannot be written" in refused(["train", "--run", "file/run"], capsys)
    assert "--run file: is a file" in refused(["train", "--run", "file"], capsys)


def test_a_folder_of_another_run_is_refused(capsys: Capture) -> None:
    assert main(["train", *SMALL, "--run", "r"]) == 0
    capsys.readouterr()
    said = refused(["train", *SMALL, "--run", "r", "--inner.epochs", "3", "--seed", "5"], capsys)
    assert "--run r: holds another run" in said and "inner.epochs 6 → 3" in said and "seed 0 → 5" in said
    assert "eval" not in said and "--run r" in refused(["eval", "--run", "r"], capsys)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Expected one of {demo, train, eval"),
        (["absent"], "absent: no such command; choose from demo, train, eval"),
        (["train", "--absent", "1"], "Unrecognized options: --absent, 1; see selfedit train --help"),
        (["train", "--rounds", "many"], "Error parsing --rounds: "),
        (["train", "--oracle", "{}"], "Unrecognized options: --oracle, {}"),
        (["eval", "--setting", "both"], "invalid choice 'both' for argument '--setting'"),
        (["report"], "Missing from selfedit report: RUN"),
        (["demo", "1"], "Unrecognized options: 1"),
    ],
)
def test_words_that_name_no_command_or_flag_are_told_in_one_line(words: list[str], told: str, capsys: Capture) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith(f"selfedit: {told}") and ("; see selfedit " in err or "choose from" in err)


def test_debug_shows_where(capsys: Capture) -> None:
    assert main(["train", "--data", "absent.jsonl", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--debug"]])
def test_what_a_terminal_would_obey_in_a_refusal_is_shown(more: list[str], capsys: Capture) -> None:
    assert main(["report", "runs/\x1b[2J\x1b]0;mine\x07\udce9", *more]) == 2
    told = capsys.readouterr().err
    assert "runs/\\x1b[2J\\x1b]0;mine\\x07\\udce9: no run here" in told
    assert not set(told) & set("\x1b\x07\udce9")


def test_a_fault_of_ours_is_one_line_and_exit_code_1(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(config: RunConfig, adapters: AdapterFolders) -> FakeEngine:
        raise ZeroDivisionError("of ours")

    use_engine(monkeypatch, fail)
    assert main(["train", *SMALL]) == 1
    assert capsys.readouterr().err == "selfedit: internal error: ZeroDivisionError: of ours (--debug shows where)\n"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("std::bad_alloc")])
def test_running_out_of_memory_is_one_line_that_says_what_to_do(
    error: Exception, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: RunConfig, adapters: AdapterFolders) -> FakeEngine:
        raise error

    use_engine(monkeypatch, fail)
    assert main(["train", *SMALL]) == 2
    told = "selfedit: out of memory; free memory, or take a smaller model or --bank\n"
    assert capsys.readouterr().err == told


@pytest.mark.model
def test_a_fault_of_another_model_is_told_of_the_flag_that_names_it(tmp_path: Path) -> None:
    for field, load in (("writer", load_writer), ("learner", partial(start_learner, writer=None, adapters=None))):
        with pytest.raises(SettingError) as caught:
            load(EvalConfig(**{field: str(tmp_path)}, methods="base,writer" if field == "writer" else "base"))
        assert caught.value.with_flags().startswith(f"--{field} {tmp_path}: the folder has no config.json; ")


def test_train_leaves_a_run_with_its_report_and_resumes(capsys: Capture) -> None:
    words = ["train", "--data", str(passages(Path("data.jsonl"))), *SMALL, "--run", "r"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "r/report.html" in out and "round-1: trials" in err
    record = json.loads(Path("r/config.json").read_text())
    assert record["facts"]["weights_sha256"] == "0" and record["facts"]["data"] and record["facts"]["code"]
    assert shlex.split(record["facts"]["command"]) == ["selfedit", *words]
    first = fingerprint("r")
    assert main([*words, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["methods"] and "report: r/report.html" in err
    assert fingerprint("r") == first


def test_checked_lines_are_on_the_page_and_another_way_of_studying_is_another_run(capsys: Capture) -> None:
    words = ["eval", "--methods", "base,synthetic", "--contexts", "2", "--run", "e", "--json"]
    assert main([*words, "--lines", "checked"]) == 0
    [row] = json.loads(capsys.readouterr().out)["lines"]
    assert row["stage"] == "eval-synthetic-0" and row["edits"] == 2
    assert row["lines"] == row["kept"] + row["unsupported"] + row["known"] > 0
    assert "Checked lines" in Path("e/report.html").read_text()
    assert "lines" in refused(words, capsys)


def press_ctrl_c() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("stop", [press_ctrl_c, lambda: signal.raise_signal(signal.SIGTERM)], ids=["ctrl-c", "sigterm"])
def test_a_stopped_run_tells_how_to_resume_and_resumes(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, stop: Callable[[], None]
) -> None:
    class Interrupted(FakeEngine):
        def run_trials(self, groups: Iterable[Sequence[Trial]]) -> Iterator[Done[TrialResult]]:
            for done in super().run_trials(groups):
                if len(self.trials_run) > 2:
                    stop()
                yield done

    words = ["train", *SMALL]
    assert main([*words, "--run", "whole"]) == 0
    use_engine(monkeypatch, lambda config, adapters: on(Interrupted, adapters))
    assert main([*words, "--run", "cut off"]) == 130
    command = capsys.readouterr().err.splitlines()[-1].removeprefix("selfedit: resume with: ")
    assert shlex.split(command) == ["selfedit", *words, "--run", "cut off"]
    use_engine(monkeypatch)
    assert main(shlex.split(command)[1:]) == 0
    assert fingerprint("cut off") == fingerprint("whole")


def test_the_demo_runs_and_its_command_resumes_without_naming_a_folder(capsys: Capture) -> None:
    for _ in range(2):
        assert main(["demo", "--quick"]) == 0
    [run] = Path("runs").iterdir()
    assert run.name.startswith("demo-quick-") and (run / "report.html").is_file()


@pytest.mark.parametrize("prompt", ["entigraph", "active-reading"])
def test_train_refuses_two_steps_and_eval_takes_them(capsys: Capture, prompt: str) -> None:
    said = refused(["train", *SMALL, "--prompt", prompt], capsys)
    assert f"--prompt {prompt} is written in two steps, which is for eval alone; choose from implications," in said
    assert prompt not in said.split(";")[1] and "chain-of-thought, none" in said
    assert main(["eval", "--methods", "synthetic", "--contexts", "2", "--prompt", prompt, "--run", "e"]) == 0
    with Ledger(Path("e/ledger.db")) as ledger:
        assert [edit.invalid for edit in ledger.edits()] == ["", ""]


def test_eval_prints_json_alone_and_takes_a_trained_policy(capsys: Capture) -> None:
    assert main(["train", *SMALL, "--run", "trained", "--min-gain", "-9"]) == 0
    capsys.readouterr()
    words = ["eval", "--methods", "base,passage,synthetic,seal", "--contexts", "2", "--policy", "trained", "--run", "e"]
    assert main([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["methods"]
    stages = {"eval-base", "eval-passage", "eval-synthetic-0", "eval-base-1", "eval-synthetic-1"}
    assert {row["stage"] for row in rows} == stages
    assert json.loads(Path("e/config.json").read_text())["facts"]["policy"]


def test_eval_refuses_a_policy_that_is_none_or_was_trained_on_what_is_held_out(capsys: Capture) -> None:
    data = passages(Path("data.jsonl"))
    assert main(["train", "--data", str(data), *SMALL, "--run", "trained", "--min-gain", "-9"]) == 0
    assert main(["train", *SMALL, "--run", "untrained", "--min-gain", "99"]) == 0
    capsys.readouterr()
    assert "has trained no policy" in refused(["eval", "--policy", "untrained"], capsys)
    said = refused(["eval", "--heldout-data", str(data), "--policy", "trained"], capsys)
    assert "was trained on 2 of these held-out contexts" in said


def test_grade_agrees_with_given_verdicts(capsys: Capture) -> None:
    rows = [("Paris", "In Paris", True), ("Rome", "Paris", False), ("Oslo", "oslo.", False)]
    lines = [json.dumps({"question": "?", "gold": g, "answer": a, "correct": c}) for g, a, c in rows]
    Path("answers.jsonl").write_text("\n".join(lines))
    assert main(["grade", "answers.jsonl", "--grader", "contains", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["grader"], found["n"], found["correct"], found["agreement"]) == ("contains", 3, 2, 2 / 3)
    assert main(["grade", "answers.jsonl"]) == 0
    assert "agreement" in capsys.readouterr().out


def test_a_model_behind_an_endpoint_writes_self_edits_once_and_its_use_is_noted(
    capsys: Capture, judge: EndpointServer
) -> None:
    judge.answers = lambda seen: f"1. A fact, told as number {seen.number}.\n2. Another fact."
    words = ["eval", "--methods", "base,writer", "--contexts", "2", "--n-edits", "2", "--run", "e"]
    words += ["--writer", judge.url, "--writer-model", "a/big-one", "--writer-prices", "1", "10"]
    for _ in range(2):
        assert main(words) == 0
    assert len(judge.seen) == 4
    with Ledger(Path("e/ledger.db")) as ledger:
        edits, [used] = ledger.edits(Stage.parse("eval-writer:a_big-one-0")), ledger.usages()
    assert {edit.writer for edit in edits} == {"a_big-one"} and len(edits) == 4 and "A fact" in edits[0].text
    assert (used.role, used.model, used.usage.sent) == ("writer", "a/big-one", 4)
    assert used.usage.cost == pytest.approx(4 * (10 * 1 + 2 * 10) / 1e6)


def test_a_writer_that_is_out_of_reach_ends_the_run_with_one_line_and_can_be_resumed(
    capsys: Capture, judge: EndpointServer
) -> None:
    judge.answers = lambda seen: refusal(401, "no such key")
    words = ["eval", "--methods", "writer", "--contexts", "1", "--run", "e"]
    words += ["--writer", judge.url, "--writer-model", "m"]
    assert main(words) == 2
    assert "1 of 1 self-edits could not be written: HTTP 401" in capsys.readouterr().err.splitlines()[-1]
    judge.answers = lambda seen: "1. A fact."
    assert main(words) == 0


def test_another_model_of_this_machine_can_write(monkeypatch: pytest.MonkeyPatch) -> None:
    other = FakeEngine()
    other.write_text = lambda prompt, seed: "written by the other"
    monkeypatch.setattr(evaluate, "load_writer", lambda config: other)
    assert main(["eval", "--methods", "writer", "--contexts", "1", "--writer", "models/other", "--run", "e"]) == 0
    with Ledger(Path("e/ledger.db")) as ledger:
        assert [edit.text for edit in ledger.edits(Stage.parse("eval-writer:other-0"))] == ["written by the other"]


def test_continued_pretraining_on_the_command_line_is_one_trial(capsys: Capture) -> None:
    assert main(["eval", "--methods", "passage", "--setting", "cpt", "--contexts", "3", "--run", "e", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)["methods"]
    assert row["n_contexts"] == 3
    with Ledger(Path("e/ledger.db")) as ledger:
        assert len({outcome.key for outcome in ledger.outcomes(Stage.of("passage"))}) == 1


def test_a_judge_grades_a_file_and_tells_what_it_took(capsys: Capture, judge: EndpointServer) -> None:
    rows = [("heron", "heron", True), ("crow", "heron", False)]
    lines = [json.dumps({"question": "?", "gold": g, "answer": a, "correct": c}) for g, a, c in rows]
    Path("answers.jsonl").write_text("\n".join(lines))
    words = ["grade", "answers.jsonl", *judged(judge), "--judge-prices", "1", "2"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["grader"], found["correct"], found["ungraded"], found["agreement"]) == ("judge", 2, 0, 0.5)
    assert (found["judge_sent"], found["judge_cached"], found["judge_cost"]) == (2, 0, pytest.approx(28e-6))
    assert main(words) == 0
    assert "judge cached" in capsys.readouterr().out and len(judge.seen) == 2


def test_an_outage_of_the_judge_is_said_on_standard_error(judge: EndpointServer) -> None:
    judge.answers = lambda seen: refusal(401, "no such key")
    Path("answers.jsonl").write_text(json.dumps({"question": "?", "gold": "a", "answer": "b"}))
    command = [sys.executable, "-m", "selfedit", "grade", "answers.jsonl", *judged(judge), "--json"]
    env = {**os.environ, "PYTHONPATH": str(Path(selfedit.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert json.loads(done.stdout)["ungraded"] == 1 and json.loads(done.stdout)["accuracy"] is None
    assert done.stderr == "selfedit: judge: 1 of 1 answers ungraded: HTTP 401: no such key; check the key\n"


def test_a_run_with_a_judge_notes_what_it_took_and_resumes_without_asking_again(
    capsys: Capture, judge: EndpointServer
) -> None:
    words = ["train", *SMALL, *judged(judge), "--run", "r"]
    assert main(words) == 0
    first, n_asked = fingerprint("r"), len(judge.seen)
    with Ledger(Path("r/ledger.db")) as ledger:
        usages = ledger.usages()
        assert {answer.verdict for outcome in ledger.outcomes() for answer in outcome.answers} == {"correct"}
    assert {(used.role, used.model) for used in usages} == {("judge", "m")}
    assert "round-1" in {used.stage.name for used in usages} and sum(used.usage.sent for used in usages) == n_asked
    assert main(words) == 0
    assert (fingerprint("r"), len(judge.seen)) == (first, n_asked)
    held = json.loads(Path("r/config.json").read_text())["config"]
    assert (held["judge"], held["judge_model"]) == (judge.url, "m")
    capsys.readouterr()
    assert 'judge_model "m" → "n"' in refused([*words, "--judge-model", "n"], capsys)


def test_a_key_never_reaches_a_run(judge: EndpointServer, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("SELFEDIT_API_KEY", "sk-secret-0123456789")
    judge.answers = lambda seen: f"yes, {seen.headers['authorization']}"
    assert main(["train", *SMALL, *judged(judge), "--run", "r"]) == 0
    out, err = capsys.readouterr()
    assert judge.seen and "sk-secret" not in out + err
    assert not [path for path, held in files(Path.cwd()).items() if b"sk-secret" in held]


def test_grade_gives_a_run_new_verdicts_and_its_record_says_by_whom(capsys: Capture) -> None:
    assert main(["eval", "--methods", "base,passage", "--contexts", "2", "--run", "e"]) == 0
    capsys.readouterr()
    assert main(["grade", "e", "--grader", "f1", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["run"]["config"]["grader"] == "f1" and "answers graded by f1" in captured.err
    assert json.loads(Path("e/config.json").read_text())["config"]["grader"] == "f1"


@pytest.mark.parametrize(("stopped_at", "grader"), [("verdicts", "contains"), ("record", "f1")])
def test_a_grading_that_is_stopped_names_the_grader_whose_verdicts_are_there(
    stopped_at: str, grader: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    words = ["eval", "--methods", "base,passage", "--contexts", "2", "--run", "e"]
    assert main(words) == 0

    def stop(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if stopped_at == "verdicts":
            patch.setattr(grade, "regrade", stop)
        else:
            patch.setattr(run_folder, "_replace_record", only_first(run_folder._replace_record))
        assert main(["grade", "e", "--grader", "f1"]) == 130
    capsys.readouterr()
    assert main(["report", "e", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"]["config"]["grader"] == grader
    assert main([*words, "--grader", grader]) == 0
    assert main(["grade", "e", "--grader", "exact"]) == 0
    assert json.loads(Path("e/config.json").read_text())["config"]["grader"] == "exact"


def only_first(replace: Callable[..., None]) -> Callable[..., None]:
    """Does it once, and is stopped the next time."""
    done: list[bool] = []

    def replace_or_stop(*given: object) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(True)
        replace(*given)

    return replace_or_stop


def test_grade_refuses_a_grader_that_does_not_fit_the_runs_task(capsys: Capture) -> None:
    puzzles = ["--task", "arc", "--data", "none", "--heldout-data", "a85d4709"]
    assert main(["eval", *puzzles, "--methods", "base", "--run", "p"]) == 0
    capsys.readouterr()
    assert "--grader contains: does not fit the task arc; it has attempts" in refused(["grade", "p"], capsys)
    assert json.loads(Path("p/config.json").read_text())["config"]["grader"] == "attempts"


def test_grade_leaves_the_probes_texts_alone(capsys: Capture) -> None:
    assert main(["continual", "--sequences", "1", "--contexts", "1", "--strategy", "none", "--run", "c"]) == 0
    assert main(["grade", "c", "--grader", "f1"]) == 0
    with Ledger(Path("c/ledger.db")) as ledger:
        answers = {o.method: {a.verdict for a in o.answers} for o in ledger.outcomes()}
    assert answers["fluent"] == {"ungraded"} and "ungraded" not in answers["known"]


def test_grade_refuses_a_run_whose_verdicts_chose_self_edits(capsys: Capture) -> None:
    assert main(["train", *SMALL, "--reward", "accuracy", "--run", "t"]) == 0
    capsys.readouterr()
    assert "its verdicts chose self-edits" in refused(["grade", "t", "--grader", "f1"], capsys)


def test_help_needs_no_torch() -> None:
    program = (
        "import sys; from selfedit.cli.main import main\n"
        "try: main(['train', '--help'])\n"
        "finally: print('torch' in sys.modules)"
    )
    source = str(Path(selfedit.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": source}
    )
    assert "--inner.learning-rate" in done.stdout and done.stdout.endswith("False\n")
