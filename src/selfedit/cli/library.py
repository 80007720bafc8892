"""L5. `selfedit library`: what a library knows, its versions, and how to go back."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import tyro

from selfedit.cli.ask import Ask
from selfedit.cli.consolidate import Consolidate
from selfedit.cli.output import LIBRARY, JsonCommand, Output, show
from selfedit.cli.progress import show_progress
from selfedit.errors import SelfeditError
from selfedit.learn import Session, load_with, settings_of
from selfedit.learn.figures import as_answered, one_adapter_data
from selfedit.records import Lesson, LibraryVersion
from selfedit.store.library import LIVE, LibraryFolder
from selfedit.terminal import escape_controls

_SHORT = 12
"""Digits of a digest that are shown."""


@dataclass(frozen=True, kw_only=True)
class List(JsonCommand):
    """The versions of a library, oldest first, and the documents of the live one."""

    library: Path = LIBRARY
    """Folder of the library."""

    def run(self, out: Output) -> None:
        """Lists."""
        with LibraryFolder(self.library) as library, library.reading():
            versions, aliases, lessons = library.versions(), library.aliases(), library.lessons()
            struck = library.struck()
        called = {v.number: sorted(name for name, number in aliases.items() if number == v.number) for v in versions}
        if out.is_json:
            told = [version_data(version, lessons, called[version.number]) for version in versions]
            out.data({"versions": told, "struck": struck})
            return
        rows = [
            (str(v.number), ", ".join(called[v.number]), str(len(v.documents)), str(len(v.adapters)), made(v), v.note)
            for v in versions
        ]
        print_table(
            f"{self.library}: versions", ("version", "aliases", "documents", "chunks", "made (UTC)", "by"), rows
        )
        if struck:
            show(f"struck, since they knew what was forgotten: {', '.join(map(str, struck))}")
        if live := next((version for version in versions if LIVE in called[version.number]), None):
            print_documents(live, lessons)


@dataclass(frozen=True, kw_only=True)
class Show(JsonCommand):
    """A version: every document with what was learnt of it, question by question with `--questions`."""

    version: Annotated[str, tyro.conf.Positional] = LIVE
    """`live`, a number, an alias, or the beginning of a digest."""
    library: Path = LIBRARY
    """Folder of the library."""
    questions: bool = False
    """Every question that decided nothing, with its answers before and after."""

    def run(self, out: Output) -> None:
        """Shows it."""
        with LibraryFolder(self.library) as library, library.reading():
            version, lessons, aliases = library.resolve(self.version), library.lessons(), library.aliases()
        names = sorted(name for name, number in aliases.items() if number == version.number)
        if out.is_json:
            out.data(version_data(version, lessons, names) | {"lessons": lessons_data(version, lessons)})
            return
        out.rows(f"version {version.number}", {**version_data(version, lessons, names, is_short=True)})
        print_documents(version, lessons)
        if self.questions:
            for lesson in held(version, as_answered(version, lessons)):
                show(f"\n{lesson.context.source or lesson.document} ({lesson.status})")
                for before, after in zip(lesson.report.before, lesson.report.after, strict=True):
                    mark = "right" if after.verdict == "correct" else "wrong"
                    for line in (after.question, f"  gold: {after.gold}", f"  before: {before.text}"):
                        show(f"  {line}")
                    show(f"    after: {after.text} ({mark})")


@dataclass(frozen=True, kw_only=True)
class Diff(JsonCommand):
    """What one version knows and another does not."""

    one: Annotated[str, tyro.conf.Positional]
    """A version, as for `show`."""
    other: Annotated[str, tyro.conf.Positional]
    """A version, as for `show`."""
    library: Path = LIBRARY
    """Folder of the library."""

    def run(self, out: Output) -> None:
        """Compares."""
        with LibraryFolder(self.library) as library, library.reading():
            one, other, lessons = library.resolve(self.one), library.resolve(self.other), library.lessons()
        before, after = dict(one.adapters), dict(other.adapters)

        def told(ids: Iterable[str]) -> list[str]:
            return sorted(lessons[context_id].context.source or context_id for context_id in ids)

        found = {
            "no_longer_known": told(set(before) - set(after)),
            "newly_known": told(set(after) - set(before)),
            "learnt_again": told(key for key in set(before) & set(after) if before[key].digest != after[key].digest),
            "the_same": sum(before.get(key) == after[key] for key in after),
        }
        if out.is_json:
            out.data(found)
            return
        shown = {name: ", ".join(value) if isinstance(value, list) else value for name, value in found.items()}
        out.rows(f"version {one.number} → {other.number}", shown)


@dataclass(frozen=True, kw_only=True)
class Promote(JsonCommand):
    """Let an alias, mostly `live`, stand for a version; requests that run keep theirs."""

    version: Annotated[str, tyro.conf.Positional]
    """A version, as for `show`."""
    alias: str = LIVE
    """The alias: letters, digits, dots, dashes and underscores, from a letter on."""
    library: Path = LIBRARY
    """Folder of the library."""

    def run(self, out: Output) -> None:
        """Moves the alias."""
        with LibraryFolder(self.library) as library:
            version = library.promote(self.version, self.alias)
        out.rows(str(self.library), {self.alias: version.number})


@dataclass(frozen=True, kw_only=True)
class Rollback(JsonCommand):
    """Make the version live that was live before."""

    library: Path = LIBRARY
    """Folder of the library."""

    def run(self, out: Output) -> None:
        """Goes back."""
        with LibraryFolder(self.library) as library:
            version = library.roll_back()
        out.rows(str(self.library), {LIVE: version.number})


@dataclass(frozen=True, kw_only=True)
class Verify(JsonCommand):
    """Ask the proof again: every question that decided nothing, by the version as it is on the disk. Adapters are
    checked against their hashes."""

    version: Annotated[str, tyro.conf.Positional] = LIVE
    """A version, as for `show`."""
    library: Path = LIBRARY
    """Folder of the library."""

    def run(self, out: Output) -> None:
        """Asks, and fails where answers are others than were recorded."""
        with show_progress(sys.stderr) as progress, LibraryFolder(self.library) as library:
            version = library.resolve(self.version)
            settings = settings_of(self.library)
            found = Session(self.library, settings, load_with(settings), progress).verify(library, version)
        out.rows(f"version {version.number}", found)
        if found["other_answers"]:
            told = f"{found['other_answers']} of {found['questions']} answers are others than were recorded"
            raise SelfeditError(f"{self.library}: {told} (another machine or library versions?)")


@dataclass(frozen=True, kw_only=True)
class Why(Ask):
    """Which document an answer comes from: chunks that share the question's words, confirmed by how much less likely
    the answer is without the chunk's adapter."""

    why: Annotated[bool, tyro.conf.Suppress] = True


@dataclass(frozen=True, kw_only=True)
class LibraryCommand(JsonCommand):
    """What a library knows, its versions, and how to go back."""

    do: Annotated[
        Annotated[List, tyro.conf.subcommand("list")]
        | Annotated[Show, tyro.conf.subcommand("show")]
        | Annotated[Diff, tyro.conf.subcommand("diff")]
        | Annotated[Promote, tyro.conf.subcommand("promote")]
        | Annotated[Rollback, tyro.conf.subcommand("rollback")]
        | Annotated[Verify, tyro.conf.subcommand("verify")]
        | Annotated[Why, tyro.conf.subcommand("why")]
        | Annotated[Consolidate, tyro.conf.subcommand("consolidate")],
        tyro.conf.arg(name=""),
    ]

    def run(self, out: Output) -> None:
        """Does it."""
        self.do.run(Output(out.words, self.json or self.do.json))


def held(version: LibraryVersion, lessons: dict[str, Lesson]) -> list[Lesson]:
    """The lessons of a version's chunks, in the order of its documents."""
    ids = [chunk.context_id for document in version.documents for chunk in document.chunks]
    return [lessons[one] for one in dict.fromkeys(ids) if one in lessons]


def version_data(
    version: LibraryVersion, lessons: dict[str, Lesson], names: Sequence[str], is_short: bool = False
) -> dict[str, Any]:
    """A version as plain values."""
    ids = {chunk.context_id for document in version.documents for chunk in document.chunks}
    known = dict(version.adapters).keys()
    kept = [one for one in held(version, as_answered(version, lessons)) if one.context_id in known]
    probe = version.probe
    by_one = [answer for _, answers in version.whole_report for answer in answers]
    one = {
        **one_adapter_data(version),
        "questions_to_one_adapter": len(by_one),
        "right_with_one_adapter": sum(a.verdict == "correct" for a in by_one),
    }
    told = {
        "version": version.number,
        "aliases": list(names),
        "digest": version.digest,
        "parent": version.parent or None,
        "made": version.created,
        "by": version.note,
        "documents": len(version.documents),
        "chunks_known": len(version.adapters),
        "chunks_not_known": len(ids - known),
        "questions": sum(len(one.report.after) for one in kept),
        "right_before": sum(a.verdict == "correct" for one in kept for a in one.report.before),
        "right_after": sum(a.verdict == "correct" for one in kept for a in one.report.after),
        "one_adapter": bool(version.whole.adapter),
        **(one if version.whole.adapter else {}),
        "known_before": len(probe.right_before) if probe else None,
        "still_known": len(probe.still_right) if probe else None,
    }
    return told | ({"aliases": ", ".join(names), "digest": version.digest[:_SHORT]} if is_short else {})


def lessons_data(version: LibraryVersion, lessons: dict[str, Lesson]) -> list[dict[str, Any]]:
    """Every chunk of a version as plain values."""
    return [
        {
            "document": one.document,
            "id": one.context_id,
            "source": one.context.source,
            "status": one.status,
            "reason": one.reason,
            "written_by": one.writer,
            "self_edit": one.edit,
            "gate_gain": one.gate.gain,
            "drift": one.drift,
            "questions": [
                {
                    "question": a.question,
                    "gold": a.gold,
                    "before": b.text,
                    "after": a.text,
                    "right": a.verdict == "correct",
                }
                for b, a in zip(one.report.before, one.report.after, strict=True)
            ],
        }
        for one in held(version, as_answered(version, lessons))
    ]


def print_documents(version: LibraryVersion, lessons: dict[str, Lesson]) -> None:
    """Each document with how much of it is known."""
    known, rows = dict(version.adapters), []
    lessons = as_answered(version, lessons)
    for document in version.documents:
        own = [lessons[chunk.context_id] for chunk in document.chunks if chunk.context_id in lessons]
        asked = [one.report for one in own if one.context_id in known]
        right = [sum(a.verdict == "correct" for one in asked for a in part(one)) for part in (_before, _after)]
        n = sum(len(one.after) for one in asked)
        why = "; ".join(dict.fromkeys(one.reason for one in own if one.reason))
        kept = sum(one.context_id in known for one in own)
        rows.append((document.name, f"{kept} of {len(document.chunks)}", f"{right[0]} → {right[1]} of {n}", why))
    print_table("documents", ("document", "chunks known", "right before → after", "not known because"), rows)


def made(version: LibraryVersion) -> str:
    """When a version was made, to the minute."""
    return datetime.fromisoformat(version.created).strftime("%Y-%m-%d %H:%M")


def _before(tested: Any) -> Any:
    return tested.before


def _after(tested: Any) -> Any:
    return tested.after


def print_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """On standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(escape_controls(title)), title_justify="left")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(escape_controls(cell)) for cell in row))
    Console().print(table)
