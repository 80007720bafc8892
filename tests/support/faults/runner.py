"""Commands with a fault, one after another, each in a fresh fork of a warm process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.support.faults import shim
from tests.support.faults.shim import Fault

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Job:
    """A command, where it runs, and what happens to it."""

    words: Sequence[str]
    folder: Path
    fault: Fault = field(default_factory=Fault)
    durable: Path | None = None
    """Where to keep what a power cut would leave; None: not kept."""
    kill_after: float = 0.0
    """Seconds; 0: not killed."""
    most_bytes: int = 0
    """No file may grow beyond this; 0: any size."""
    stdout: Literal["kept", "full", "closed"] = "kept"
    figures: Literal["drawn", "stand-ins"] = "stand-ins"
    """Stand-ins go through the same writes, without a second of drawing."""
    limit: float = 120.0
    """Seconds after which it counts as hung."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    """Exit code; minus the signal that killed it."""
    is_hung: bool
    seconds: float
    out: str
    err: str
    passed: shim.Passed


class Runner:
    """Sends jobs to a warm process.

    Args:
        folder: for the shim and what processes share; outside of where jobs run.
        engine: `fake`, or the folder of a model.
        env: of the commands, besides this process's.
    """

    def __init__(self, folder: Path, engine: str = "fake", env: dict[str, str] | None = None) -> None:
        self.folder, self.engine, self.env = folder, engine, env or {}
        folder.mkdir(parents=True, exist_ok=True)
        self.shim = shim.build(folder)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            assert self._process.stdin and self._process.stdout
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()

    def run(self, job: Job) -> Ended:
        """The command, until it has ended, died, or hung."""
        shared = self.folder / "shared"
        shared.unlink(missing_ok=True)
        with shared.open("wb") as file:
            file.truncate(1 << 20)
        if job.durable and (kept := job.durable / "shared").exists():
            shared = kept
        elif job.durable:
            shared.rename(kept)
            shared = kept
        request = {
            "words": list(job.words),
            "folder": str(job.folder),
            "env": self.env,
            "stdout": job.stdout,
            "figures": job.figures,
            "most_bytes": job.most_bytes,
            "fault": asdict(job.fault),
            "shared": str(shared),
            "durable": str(job.durable) if job.durable else "",
            "kill_after": job.kill_after,
            "limit": job.limit,
            "ends_whole": job.stdout != "kept" or job.fault.counts_stdout,
            "traced": bool(os.environ.get("SELFEDIT_CAMPAIGN_TRACE")),
        }
        answer = self._ask(request)
        told = (answer[name] for name in ("code", "hung", "seconds", "stdout", "stderr"))
        return Ended(*told, shim.read_passed(shared))

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        process = self._process or self._start()
        assert process.stdin and process.stdout
        print(json.dumps(request), file=process.stdin, flush=True)
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the warm process died: {(self.folder / 'warm-stderr').read_text()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> subprocess.Popen[str]:
        env = {
            **os.environ,
            **self.env,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            "OMP_NUM_THREADS": "1",
            "TQDM_DISABLE": "1",
            **({"LD_PRELOAD": str(self.shim)} if self.shim else {}),
        }
        with (self.folder / "warm-stderr").open("w") as told:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.faults.warm", self.engine],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
                text=True,
                env=env,
                cwd=self.folder,
            )
        return self._process
