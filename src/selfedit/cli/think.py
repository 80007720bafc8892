"""L5. `selfedit think`: a text that is longer than what is in sight, learnt on the way, and asked about at its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from selfedit.cli.output import JsonCommand, Output, say, show
from selfedit.cli.past_window import load_moving
from selfedit.disk import replace_file
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.protocols import MovesOn
from selfedit.records import UNTOUCHED, MidStudy, to_json
from selfedit.store.adapters import adapter_in, is_adapter
from selfedit.think.lines import Notebook, template_notes
from selfedit.think.session import Boundary, PastAnswer, ReadingSession
from selfedit.think.settings import ThinkSettings

_SHOWN = 100
"""Letters of a line that are shown."""


@dataclass(frozen=True, kw_only=True)
class Think(JsonCommand):
    """Read a text that is longer than what is in sight: behind each segment the model writes down what must be kept,
    learns it, checks that it got no worse, drops what is past the window, and goes on."""

    file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """A text file; `-`: standard input."""
    ask: tuple[str, ...] = ()
    """Questions to be answered at the end."""
    write: int = 0
    """Tokens that the model goes on to write behind the text, in segments that are learnt like those that were read."""
    lines_to: str = ""
    """File for the lines that hold at the end, one a line; `selfedit learn` takes it like any document."""
    settings: Annotated[ThinkSettings, tyro.conf.arg(name="")] = field(default_factory=ThinkSettings)

    def run(self, out: Output) -> None:
        """Reads, tells what is done at each boundary, and answers."""
        settings = self.settings
        text = _text(self.file)
        if self.write < 0:
            raise SettingError(Field("write"), f" {self.write}: must be at least 0")
        if any(not question.strip() for question in self.ask):
            raise SettingError(Field("ask"), ": a question is empty")
        if settings.learner and not is_adapter(settings.learner):
            told = f" {settings.learner}: is neither `shipped` nor the folder of an adapter"
            raise SettingError(Field("learner"), told)
        if self.lines_to and not Path(self.lines_to).absolute().parent.is_dir():
            raise SettingError(Field("lines_to"), f" {self.lines_to}: its folder is missing; make that first")
        engine = load_moving(settings.model, settings.device, settings.dtype, Path())
        base = adapter_in(settings.learner) if settings.learner else UNTOUCHED
        session = ReadingSession(engine, settings, base)
        _estimate(session, engine, text, self.write)
        try:
            done, written = self._read(session, text, out.is_json)
            answers = [session.answer(question) for question in self.ask]
        except KeyboardInterrupt:
            raise KeyboardInterrupt("stopped; nothing of what was read is kept") from None
        if self.lines_to:
            lines = "".join(f"{note.text}\n" for note in session.notebook.notes)
            replace_file(Path(self.lines_to), lines.encode())
        _show(out, done, written, answers, session.notebook)

    def _read(self, session: ReadingSession, text: str, is_json: bool) -> tuple[list[Boundary], list[str]]:
        """(what was done at each boundary, what the model wrote)."""
        done = [_told(one, is_json) for one in session.read(text)]
        written = []
        for said, boundary in session.write(self.write):
            written.append(said)
            if not is_json:
                show(said.strip())
            done.append(_told(boundary, is_json))
        return done, written


def _text(name: str) -> str:
    """Raises SelfeditError: there is no such text, or nothing stands in it."""
    shown = "standard input" if name == "-" else name
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except IsADirectoryError:
        raise SelfeditError(f"{shown}: is a folder; give a text file, or - for standard input") from None
    except OSError as error:
        raise SelfeditError(f"{shown}: cannot be read ({error.strerror})") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise SelfeditError(f"{shown}:{line}: is no UTF-8 text; convert it first") from None
    if "\0" in text:
        raise SelfeditError(f"{shown}: is no text (it holds a zero byte)")
    if not text.strip():
        raise SelfeditError(f"{shown}: is empty; there is nothing to read")
    return text


def _estimate(session: ReadingSession, engine: MovesOn, text: str, write: int) -> None:
    """Says what it takes, from one update that is thrown away."""
    segments = session.segments(text)
    settings = session.settings
    texts = engine.moving(1, settings.inner, seed=settings.seed)
    texts.read([(0, segments[0])])
    notes = template_notes(segments[0], settings.most_lines)
    if not notes:
        return
    started = time.monotonic()
    [done] = texts.study([MidStudy(0, tuple(note.example for note in notes), 0, 1)], settings.tolerance)
    if session.pace:
        session.pace.note(done, session.tokens_of(notes), settings.inner.epochs)
    each = (time.monotonic() - started) * (1 + settings.replayed / (2 * len(notes)))
    n = len(segments) + -(-write // settings.update_every)
    say(f"think: {n} segments of at most {settings.update_every} tokens, about {n * each:.0f} s on this machine")


def _told(one: Boundary, is_json: bool) -> Boundary:
    if is_json:
        return one
    studied = one.studied
    parts = [f"segment {one.number}", f"{one.tokens} tokens", f"{len(one.lines)} lines"]
    if one.replayed:
        parts.append(f"{one.replayed} again")
    if studied.line_losses:
        parts.append(f"their loss {studied.line_losses[0]:.2f} → {studied.line_losses[-1]:.2f}")
        parts.append(f"the window's {studied.loss_before:.2f} → {studied.loss_after:.2f}")
    verdict = studied.failure or ("kept" if studied.is_kept else "taken back" if studied.steps else "nothing to learn")
    parts += [verdict, one.cut, f"{one.dropped} dropped" if one.dropped else "", f"{studied.seconds:.1f} s"]
    show(" · ".join(part for part in parts if part))
    for line in one.lines:
        show(f"    {line if len(line) <= _SHOWN else line[: _SHOWN - 1] + '…'}")
    return one


def _show(
    out: Output,
    done: Sequence[Boundary],
    written: Sequence[str],
    answers: Sequence[PastAnswer],
    book: Notebook,
) -> None:
    if out.is_json:
        data: dict[str, Any] = {"boundaries": [to_json(one) for one in done], "written": "".join(written).strip()}
        data["answers"] = [to_json(one) for one in answers]
        data["lines"] = [note.text for note in book.notes]
        out.data(data)
        return
    kept = sum(one.studied.is_kept for one in done)
    show(f"{len(done)} segments, {kept} updates kept, {len(book)} lines hold")
    for answer in answers:
        show(f"\n{answer.question}\n  {answer.text or '–'}\n  the window alone: {answer.without or '–'}")
