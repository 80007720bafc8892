"""L4. A library and its versions as plain values: what the page shows, and whoever else asks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from selfedit.learn.figures import as_answered, asked_data, one_adapter_data
from selfedit.records import Lesson, LibraryDocument, LibraryVersion, ProbeResult
from selfedit.serve.inbox import inbox_names, inbox_root
from selfedit.store.library import LIVE, LibraryFolder
from selfedit.tasks.probe import BUNDLED, load_probe


def library_data(library: LibraryFolder) -> dict[str, Any]:
    """The library, its versions oldest first, and what lies in its inbox and is not known."""
    versions, aliases = library.versions(), library.aliases()
    live = next((one for one in versions if one.number == aliases.get(LIVE)), None)
    known = {one.name for one in live.documents} if live else set()
    return {
        "name": library.name,
        "live": aliases.get(LIVE),
        "aliases": aliases,
        "struck": library.struck(),
        "versions": [_version_data(one, aliases) for one in versions],
        "dropped": [name for name in inbox_names(library.folder) if name not in known],
    }


def version_data(library: LibraryFolder, version: LibraryVersion) -> dict[str, Any]:
    """A version in full: every document with its chunks, their questions as this version answers them, and the
    self-edits that were studied."""
    lessons = as_answered(version, library.lessons())
    known = dict(version.adapters)
    kept = [lessons[one] for one in known if one in lessons]
    return {
        **_version_data(version, library.aliases()),
        **asked_data(kept),
        "documents": [_document_data(library.folder, one, version, lessons) for one in version.documents],
        "probe": _probe_data(version.probe) if version.probe else None,
    }


def _version_data(version: LibraryVersion, aliases: Mapping[str, int]) -> dict[str, Any]:
    return {
        "number": version.number,
        "parent": version.parent or None,
        "digest": version.digest,
        "created": version.created,
        "note": version.note,
        "aliases": sorted(name for name, number in aliases.items() if number == version.number),
        "documents": len(version.documents),
        "known": len(version.adapters),
        "is_consolidated": bool(version.whole.adapter),
        **one_adapter_data(version),
    }


def _document_data(
    folder: Path, document: LibraryDocument, version: LibraryVersion, lessons: Mapping[str, Lesson]
) -> dict[str, Any]:
    known = dict(version.adapters)
    kept = [lessons[one.context_id] for one in document.chunks if one.context_id in known and one.context_id in lessons]
    return {
        "name": document.name,
        "sha256": document.sha256,
        "is_dropped": document.root == inbox_root(folder),
        "known": len(kept),
        **asked_data(kept),
        "chunks": [
            _chunk_data(one.context_id, one.place, lessons.get(one.context_id), one.context_id in known)
            for one in document.chunks
        ],
    }


def _chunk_data(context_id: str, place: str, lesson: Lesson | None, is_known: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"context_id": context_id, "place": place, "is_known": is_known}
    if lesson is None:
        nothing: dict[str, Any] = {"reason": "not learnt yet", "writer": "", "edit": "", "drift": None, "questions": []}
        return {**told, "status": "pending", **nothing}
    return {
        **told,
        "status": lesson.status,
        "reason": lesson.reason,
        "writer": lesson.writer,
        "edit": lesson.edit,
        "drift": lesson.drift,
        "questions": [
            {
                "question": after.question,
                "gold": after.gold,
                "before": before.text,
                "after": after.text,
                "right_before": before.verdict == "correct",
                "right_after": after.verdict == "correct",
            }
            for before, after in zip(lesson.report.before, lesson.report.after, strict=True)
        ],
    }


def _probe_data(probe: ProbeResult) -> dict[str, Any]:
    lost = [one for one in probe.right_before if one not in probe.right_after]
    return {
        "asked": probe.asked,
        "known_before": len(probe.right_before),
        "still_known": len(probe.still_right),
        "lost": [{"id": one, "question": _common_questions().get(one, one)} for one in lost],
        "astray": [{"id": one, "question": _common_questions().get(one, one)} for one in probe.astray],
    }


@cache
def _common_questions() -> Mapping[str, str]:
    """Id → question of the bundled probe."""
    return {one.question_id: one.question for one in load_probe(BUNDLED).questions}
