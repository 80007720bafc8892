"""A process that has imported everything, and forks one child for each command that it is sent.

A command on fakes takes a tenth of a second that way, and each starts from the same memory. Started by `runner.Runner`,
with the shim preloaded; one JSON request a line on standard input, one JSON answer a line on standard output.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.faults import shim

_SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9pt" height="9pt" id="a"></svg>\n'
_PARSED: dict[tuple[str, ...], Any] = {}
"""Command lines that were read before a fork."""
_WARM_UP = (
    "train --recipe embedded --rounds 1 --contexts 1 --edits 1 --heldout 1 --min-gain -99 --bank 2 "
    "--sampling.max-new-tokens 8 --run r --json"
)


def main() -> None:
    """Answers until standard input ends."""
    engine = sys.argv[1]
    os.environ.setdefault("MPLBACKEND", "agg")
    _import(engine)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        told = _run(json.loads(line))
        print(json.dumps(told), file=answers, flush=True)


def _import(engine: str) -> None:
    """All that commands import, on the way through one."""
    from selfedit.cli import main as command_line
    from selfedit.cli import open_run
    from selfedit.continual import experiment
    from selfedit.engine.lora import peft_format  # noqa: F401 (loads torch and peft, which copying a version needs)
    from tests.support.commands import start_fake, use_library_engine

    open_run.code_version = lambda: "campaign"
    if engine == "fake":
        open_run.start_engine = start_fake  # type: ignore[assignment]
        use_library_engine(setattr)
    else:
        experiment.FEWEST_KNOWN = 0  # random weights know nothing
    home, out = os.getcwd(), os.dup(1)
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        words = _WARM_UP.split() + (["--model", engine] if engine != "fake" else [])
        if code := command_line.main(words):
            sys.exit(code)
        os.chdir(home)
    os.dup2(out, 1)
    gc.collect()
    gc.freeze()


def _run(request: dict[str, Any]) -> dict[str, Any]:
    """One command in a child; killed when its time is over. What it says goes through pipes: no limit concerns them."""
    _parse(request["words"])
    start = time.monotonic()
    pipes = {name: _pipe() for name in ("stdout", "stderr")}
    child = os.fork()
    if not child:
        try:
            _become(request, pipes["stdout"][1], pipes["stderr"][1])
        except SystemExit:
            raise
        except BaseException:  # noqa: BLE001 (what came out of `main` or of the harness is told, and no second server goes on)
            traceback.print_exc()
            os._exit(99)
    for _, end in pipes.values():
        os.close(end)
    handle = os.pidfd_open(child)
    limit = request["kill_after"] or request["limit"]
    is_over = not select.select([handle], [], [], limit)[0]
    if is_over:
        os.kill(child, signal.SIGKILL)
    os.close(handle)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    said = {}
    for name, (end, _) in pipes.items():
        with os.fdopen(end, "rb") as pipe:
            said[name] = pipe.read().decode(errors="replace")
    seconds = time.monotonic() - start
    return {"code": code, "hung": is_over and not request["kill_after"], "seconds": seconds, **said}


def _parse(words: Sequence[str]) -> None:
    """Read a command line before the fork, once for all children that are given it: a sixth of a command's time."""
    from selfedit.cli import main as command_line
    from selfedit.errors import SelfeditError

    if tuple(words) not in _PARSED:
        with contextlib.suppress(SelfeditError, SystemExit):  # the child says it
            _PARSED[tuple(words)] = command_line.parse(words)


def _draw_stand_ins() -> None:
    """Figures go through the same writes, and are not drawn: half of a command's time."""
    from selfedit.disk import replace_file
    from selfedit.report.document import html
    from selfedit.report.figures import puzzles

    def write_figure(figure: Any, folder: Path) -> bytes:
        replace_file(folder / f"{figure.name}.svg", _SVG)
        replace_file(folder / f"{figure.name}.png", b"PNG")
        return _SVG

    html.write_figure = puzzles.write_figure = write_figure


def _pipe() -> tuple[int, int]:
    """One that holds all that a command says, so that nobody need read while it runs."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 1 << 20)
    return read, write


def _become(request: dict[str, Any], out: int, err: int) -> None:
    """This process is the command from here on; where that matters it ends as a whole interpreter does."""
    from selfedit.cli import main as command_line

    folder = Path(request["folder"])
    os.chdir(folder)
    os.environ |= request["env"]
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    if request["stdout"] == "full":
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    elif request["stdout"] == "closed":
        os.close(1)
        sys.stdout = None  # as in an interpreter that is started without one
    if request["figures"] != "drawn":
        _draw_stand_ins()
    if known := _PARSED.get(tuple(request["words"])):
        command_line.parse = lambda words: known
    if request["most_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["most_bytes"],) * 2)
    durable = Path(request["durable"]) if request["durable"] else None
    shim.arm(shim.Fault(**request["fault"]), folder, Path(request["shared"]), durable, request["traced"])
    words = request["words"]
    sys.argv = ["selfedit", *words]
    code = command_line.main(words)
    if request["ends_whole"]:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
