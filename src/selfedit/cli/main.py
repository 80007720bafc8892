"""L5. The command line: each command is a frozen record in a file of its own, its flags are the record's fields.

What a user can mend is told in one line on standard error with exit code 2. Standard output carries results alone; with
`--json`, JSON alone.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from itertools import dropwhile, takewhile
from types import FrameType
from typing import Annotated, Any

import tyro
from pydantic import ValidationError

from selfedit.cli.ask import Ask
from selfedit.cli.continual import Continual
from selfedit.cli.demo import Demo
from selfedit.cli.doctor import Doctor
from selfedit.cli.evaluate import Eval
from selfedit.cli.export import ExportCommand
from selfedit.cli.forget import Forget
from selfedit.cli.grade import Grade
from selfedit.cli.learn import Learn
from selfedit.cli.library import LibraryCommand
from selfedit.cli.options import explain, with_settings
from selfedit.cli.output import Command, Output, say
from selfedit.cli.questions import Questions
from selfedit.cli.report import Report
from selfedit.cli.reproduce import Reproduce
from selfedit.cli.serve import Serve
from selfedit.cli.setup import SetUp
from selfedit.cli.solve import Solve
from selfedit.cli.status import Status
from selfedit.cli.stream import StreamCommand
from selfedit.cli.think import Think
from selfedit.cli.train import Train
from selfedit.cli.versions import Versions
from selfedit.config import RunConfig
from selfedit.continual import ContinualConfig
from selfedit.disk import told
from selfedit.errors import SelfeditError, SettingError
from selfedit.learn.stream import StreamConfig
from selfedit.loop import EvalConfig, TrainConfig
from selfedit.shortage import is_out_of_memory

COMMANDS: dict[str, type[Command]] = {
    "demo": Demo,
    "train": Train,
    "eval": Eval,
    "continual": Continual,
    "stream": StreamCommand,
    "learn": Learn,
    "ask": Ask,
    "library": LibraryCommand,
    "forget": Forget,
    "export": ExportCommand,
    "serve": Serve,
    "think": Think,
    "questions": Questions,
    "versions": Versions,
    "reproduce": Reproduce,
    "solve": Solve,
    "status": Status,
    "report": Report,
    "grade": Grade,
    "doctor": Doctor,
    "setup": SetUp,
}
"""Every command, by the word that calls it."""
SETTINGS: dict[type[Command], type[RunConfig]] = {
    Train: TrainConfig,
    Eval: EvalConfig,
    Continual: ContinualConfig,
    StreamCommand: StreamConfig,
    Doctor: TrainConfig,
}
"""Commands that take a run's settings."""
_UNREAD = 128 + signal.SIGPIPE
_RESUMABLE = ("demo", "learn", "train", "eval", "continual", "stream", "reproduce", "solve")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 2 for what the user can mend, 1 for a fault here, 130 if stopped, 141
    if whoever read its results has stopped reading, as `head` does."""
    words = tuple(sys.argv[1:] if argv is None else argv)
    try:
        with _terminated_like_interrupted():
            _prepare_streams()
            command = parse(words)
            command.run(Output(words, getattr(command, "json", False)))
            sys.stdout.flush()
        return 0
    except SettingError as error:
        return _refuse(words, error.with_flags(), 2)
    except SelfeditError as error:
        return _refuse(words, str(error), 2)
    except ValidationError as error:
        return _refuse(words, explain(error), 2)
    except KeyboardInterrupt as stop:
        _say(str(stop) or "stopped; what was finished is kept")
        if words and words[0] in _RESUMABLE:
            _say(f"resume with: {shlex.join(['selfedit', *words])}")
        return 130
    except SystemExit as ended:
        if ended.code != 1:
            raise
        return _UNREAD  # rich tells it so; --help ends with 0
    except BrokenPipeError:
        _drop_output()
        return _UNREAD
    except OSError as error:
        _drop_output()
        return _refuse(words, told(error), 2)
    except Exception as error:  # noqa: BLE001 (a fault here is told in one line too; --debug shows the rest)
        if is_out_of_memory(error):
            return _refuse(words, "out of memory; free memory, or take a smaller model or --bank", 2)
        return _refuse(words, f"internal error: {type(error).__name__}: {error} (--debug shows where)", 1)


def parse(words: Sequence[str]) -> Command:
    """The command that `words` name. Help is printed, and ends the program.

    Raises:
        SelfeditError: they name no command, or one of its flags is wrong.
    """
    kinds: Any = None
    for name, kind in COMMANDS.items():
        one = Annotated[kind, tyro.conf.subcommand(name)]  # type: ignore[valid-type]  # made at run time
        if list(words[:1]) == [name] and kind in SETTINGS:
            default: Any = with_settings(kind, SETTINGS[kind], kind.default_words(words[1:]))  # type: ignore[attr-defined, arg-type]
            one = Annotated[type(default), tyro.conf.subcommand(name, default=default)]  # type: ignore[misc]
        kinds = one if kinds is None else kinds | one
    told = io.StringIO()
    try:
        with redirect_stderr(told):
            command = tyro.cli(
                kinds,
                prog="selfedit",
                description="Language models that write their own training data and learn from it.",
                args=list(words),
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as ended:
        if not ended.code:
            raise
        raise SelfeditError(_complaint(told.getvalue(), words)) from None
    assert isinstance(command, Command)
    return command


def _complaint(told: str, words: Sequence[str]) -> str:
    """What tyro says below its title, before it repeats a flag's help."""
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        return f"{words[0]}: no such command; choose from {', '.join(COMMANDS)}"
    plain = re.sub(r"\x1b\[[\d;]*m", "", told)
    lines = [line.strip(" │╭╮╰╯").strip("-─ ") for line in plain.strip().splitlines()[1:]]
    body = " ".join(takewhile(bool, dropwhile(lambda line: not line, lines)))
    help_of = " ".join(["selfedit", *(word for word in words[:1] if word in COMMANDS), "--help"])
    return f"{body.rstrip('.')}; see {help_of}"


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Within, SIGTERM (a cluster's time limit, a service being stopped) ends the command as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _LossyFile(io.FileIO):
    """A file that loses what it cannot take: what goes to standard error is no result, and no reason to stop."""

    def write(self, data: Any) -> int:
        """Never fails."""
        with suppress(OSError):
            return super().write(data) or len(data)
        return len(data)


def _prepare_streams() -> None:
    """Closed streams are no place for the next file that is opened, what a stream cannot spell is escaped, and a
    standard error without room or reader stops nothing.

    Raises:
        SelfeditError: standard output is closed.
    """
    for number in (0, 2):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
    if sys.stderr is sys.__stderr__:  # and not a caller's own
        lossy, encoding = io.BufferedWriter(_LossyFile(2, "w", closefd=False)), getattr(sys.stderr, "encoding", "utf-8")
        sys.stderr = io.TextIOWrapper(lossy, encoding, "backslashreplace", line_buffering=True)
    if sys.stdout is None:
        raise SelfeditError("standard output is closed; send it to a file, or to /dev/null")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """What is left of standard output goes nowhere, so that the interpreter does not try once more as it ends."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse(words: Sequence[str], message: str, code: int) -> int:
    if "--debug" in words:
        say(traceback.format_exc())
    _say(" ".join(message.split()))
    return code


def _say(line: str) -> None:
    say(f"selfedit: {line}")
