"""A process that has imported everything, and forks one child for each command that it is sent.

A command on fakes takes a tenth of a second that way, and each starts from the same memory. Started by `runner.Runner`,
with the shim preloaded; one JSON request a line on standard input, one JSON answer a line on standard output.
"""

from __future__ import annotations

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
from pathlib import Path
from typing import Any

from tests.support.faults import shim

_SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9pt" height="9pt" id="a"></svg>\n'
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
    from selfedit.engine.lora import peft_format  # noqa: F401 (loads torch and peft, which copying a version needs)
    from tests.support.commands import start_fake

    open_run.code_version = lambda: "campaign"
    if engine == "fake":
        open_run.start_engine = start_fake  # type: ignore[assignment]
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
    """One command in a child; killed when its time is over."""
    start = time.monotonic()
    child = os.fork()
    if not child:
        try:
            _become(request)
        except SystemExit:
            raise
        except BaseException:  # what came out of `main` or of the harness is told, and no second server goes on
            traceback.print_exc()
            os._exit(99)
    handle = os.pidfd_open(child)
    limit = request["kill_after"] or request["limit"]
    is_over = not select.select([handle], [], [], limit)[0]
    if is_over:
        os.kill(child, signal.SIGKILL)
    os.close(handle)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "hung": is_over and not request["kill_after"], "seconds": time.monotonic() - start}


def _become(request: dict[str, Any]) -> None:
    """This process is the command from here on; where that matters it ends as a whole interpreter does."""
    from selfedit.cli.main import main as command

    folder = Path(request["folder"])
    os.chdir(folder)
    os.environ |= request["env"]
    _redirect(0, "/dev/null", os.O_RDONLY)
    _redirect(1, request["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    _redirect(2, request["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    if request["figures"] != "drawn":
        from selfedit.report.document import html

        html._render = lambda figure, form: _SVG if form == "svg" else b"PNG"  # type: ignore[assignment]
    if request["most_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["most_bytes"],) * 2)
    durable = Path(request["durable"]) if request["durable"] else None
    shim.arm(shim.Fault(**request["fault"]), folder, Path(request["shared"]), durable, request["traced"])
    words = request["words"]
    sys.argv = ["selfedit", *words]
    code = command(words)
    if request["ends_whole"]:
        sys.exit(code)
    sys.stdout.flush()
    os._exit(code)


def _redirect(handle: int, path: str, flags: int) -> None:
    """Standard stream `handle` is `path`; without one it is closed."""
    if not path:
        os.close(handle)
        return
    opened = os.open(path, flags, 0o666)
    os.dup2(opened, handle)
    os.close(opened)


if __name__ == "__main__":
    main()
