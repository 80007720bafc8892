"""Jobs run in processes of their own, one at a time, and whatever ends them is told in one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from selfedit.serve.jobs import Jobs, QueueFull, ServedJob

SAYS = (
    "import json, sys; asked = json.loads(sys.stdin.readline());"
    "print('noise of a library'); print('[1, 2]');"
    "print(json.dumps({'stage': 'reading', 'done': 1, 'total': 2, 'note': 'a.md', 'seconds_left': 3.0}));"
    "print(json.dumps({'warning': 'left out 1 empty file'}));"
    "print(json.dumps({'result': asked}))"
)
AT_IT = """import os, sys, time; sys.stdin.readline(); print('{"stage": "at it", "total": 9}', flush=True);"""
SLEEPS = AT_IT + "time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPS
WATCHES = AT_IT + "from pathlib import Path; sys.stdin.read(); Path(sys.argv[1]).write_text('ended')"


@pytest.fixture
def make() -> Iterator[Callable[..., Jobs]]:
    made: list[Jobs] = []

    def jobs(code: str, *words: str, **more: float) -> Jobs:
        made.append(Jobs((sys.executable, "-c", code, *words), most_waiting=2, **more))  # type: ignore[arg-type]
        return made[-1]

    yield jobs
    for one in made:
        one.close()


def until(jobs: Jobs, job: ServedJob, fits: Callable[[ServedJob], bool]) -> ServedJob:
    for _ in range(1_000):
        now = jobs.find(job.id)
        assert now is not None
        if fits(now):
            return now
        time.sleep(0.02)
    raise AssertionError(f"it never came to that: {now}")


def over(jobs: Jobs, job: ServedJob) -> ServedJob:
    return until(jobs, job, lambda now: now.is_over)


def test_a_job_says_how_far_it_is_what_was_left_out_and_what_came_of_it(make: Callable[..., Jobs]) -> None:
    jobs = make(SAYS)
    job = over(jobs, jobs.submit("learn", {"places": ["here"]}))
    assert (job.status, job.stage, job.done, job.total, job.note) == ("done", "reading", 1, 2, "a.md")
    assert job.warnings == ("left out 1 empty file",) and job.error is None
    assert job.result == {"kind": "learn", "places": ["here"]}
    assert jobs.all() == [job]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os; os.kill(os.getpid(), 9)", "the learn process was ended by SIGKILL (killed, or out of memory?)"),
        ("raise SystemExit(3)", "the learn process ended with code 3 and no result"),
        ('print(\'{"error": "docs: no such folder"}\'); raise SystemExit(2)', "docs: no such folder"),
        ("print('{\"result\": {}}'); raise SystemExit(1)", "ended with code 1"),
        ("pass", "ended with code 0 and no result"),
    ],
)
def test_a_child_that_fails_is_told_in_one_line(make: Callable[..., Jobs], code: str, told: str) -> None:
    jobs = make(code)
    job = over(jobs, jobs.submit("learn", {}))
    assert job.status == "failed" and job.result is None
    assert job.error is not None and told in job.error and "\n" not in job.error


def test_a_command_that_is_not_there_fails_its_job_and_not_the_next(tmp_path: Path) -> None:
    jobs = Jobs((str(tmp_path / "nothing"),))
    first, second = jobs.submit("learn", {}), jobs.submit("forget", {})
    for job in (first, second):
        told = over(jobs, job).error
        assert told is not None and "could not be run" in told
    jobs.close()


def test_jobs_wait_for_one_another_and_too_many_are_refused(make: Callable[..., Jobs]) -> None:
    jobs = make(SLEEPS)
    first = jobs.submit("learn", {})
    until(jobs, first, lambda now: now.stage == "at it")
    others = [jobs.submit("learn", {}) for _ in range(2)]
    with pytest.raises(QueueFull, match="2 jobs wait already"):
        jobs.submit("learn", {})
    found = [jobs.find(one.id) for one in others]
    assert [one.status for one in found if one] == ["queued", "queued"]
    jobs.close()
    assert {one.status for one in jobs.all()} == {"failed"}
    assert all("the server was stopped" in (one.error or "") for one in jobs.all())


def test_closing_ends_a_child_that_will_not_listen(make: Callable[..., Jobs]) -> None:
    jobs = make(STUBBORN, grace=0.3)
    job = jobs.submit("learn", {})
    until(jobs, job, lambda now: now.stage == "at it")
    started = time.monotonic()
    jobs.close()
    assert time.monotonic() - started < 5
    assert over(jobs, job).status == "failed"


def test_a_childs_input_ends_with_the_server_even_where_that_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = (
        "import sys, time; from selfedit.serve.jobs import Jobs\n"
        f"jobs = Jobs((sys.executable, '-c', {WATCHES!r}, {str(mark)!r}))\n"
        "job = jobs.submit('learn', {})\n"
        "while jobs.find(job.id).stage != 'at it': time.sleep(0.02)\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, **_path()})
    assert server.stdout is not None and server.stdout.readline() == b"ready\n"
    server.send_signal(signal.SIGKILL)
    server.wait()
    server.stdout.close()
    for _ in range(500):
        if mark.exists():
            break
        time.sleep(0.02)
    assert mark.read_text() == "ended"


def _path() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
