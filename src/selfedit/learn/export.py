"""L3. What a version has learnt, for other programs: which adapter that is, and the question that it must answer.

An export is one adapter, since that is what others load at a time: the one that a version was consolidated into, or
that of a single chunk. `each` writes one folder a chunk, for servers that choose an adapter per request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from selfedit.config import EMBEDDED_MODEL
from selfedit.disk import new_folder
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.learn.asking import queries_of
from selfedit.learn.card import card, modelfile
from selfedit.learn.settings import LearnSettings
from selfedit.protocols import Progress
from selfedit.records import (
    Context,
    Exported,
    ExportFormat,
    Lesson,
    LibraryDocument,
    LibraryVersion,
    Policy,
    Prompt,
    Query,
    Question,
)
from selfedit.store.adapters import AdapterFolders
from selfedit.store.library import LibraryFolder

if TYPE_CHECKING:
    from selfedit.engine.export.exporter import Exporter

OpenExporter = Callable[[], "Exporter"]
MANIFEST = "manifest.json"
_SHORT = 8
"""Digits of a digest in a name."""


@dataclass(frozen=True, slots=True)
class ExportChoice:
    """One adapter of a version."""

    name: str
    """What it is called; no other version and no other chunk has this name."""
    policy: Policy
    lessons: tuple[Lesson, ...]
    """What it knows."""
    documents: tuple[LibraryDocument, ...]
    """Where that is from."""
    place: str = ""
    """Of the chunk: `handbook.md:12-30`; empty where it knows all of the version."""


def choose(
    library: LibraryFolder, version: LibraryVersion, document: str = "", chunk: str = "", each: bool = False
) -> list[ExportChoice]:
    """The adapter to be exported; with `each`, those of all chunks that are named.

    Args:
        document: name of a document; its chunks.
        chunk: place or id of a chunk, as `library show` and `ask` name them.

    Raises:
        SelfeditError: there is none such, or there are several and `each` is not said.
    """
    chunks = _chunks(library, version)
    own = _kept(library, version)
    if not (chunks or (version.whole.adapter and own)):
        raise SelfeditError(f"{library.folder}: version {version.number} knows nothing that could be exported")
    if version.whole.adapter and own and not (document or chunk or each):
        if version.newer:
            raise _lacking(library, version)
        return [ExportChoice(_name(library, version, version.digest), version.whole, own, version.documents)]
    if document and document not in {one.name for one in version.documents}:
        known = ", ".join(one.name for one in version.documents[:4]) or "none"
        raise SettingError(Field("document"), f" {document}: version {version.number} has no such; it has {known}")
    found = [one for one in chunks if not document or document in {held.name for held in one.documents}]
    if chunk:
        found = [one for one in found if chunk == one.place or (len(chunk) > 5 and _is_called(one, chunk))]
    if not found:
        told = f" {chunk or document}: version {version.number} knows no such chunk"
        known = ", ".join(one.place for one in chunks[:4]) or "none"
        raise SettingError(Field("chunk" if chunk else "document"), f"{told}; it knows {known}")
    if len(found) > 1 and chunk and not each:
        ids = ", ".join(one.lessons[0].context_id for one in found[:4])
        raise SettingError(Field("chunk"), f" {chunk}: {len(found)} chunks are called so; name one by its id: {ids}")
    if len(found) > 1 and not each:
        told = f"{library.folder}: version {version.number} has {len(found)} adapters"
        where = f" on {document}" if document else ""
        mend = "make them one with `selfedit library consolidate`, name one with "
        raise SettingError(
            f"{told}{where}; {mend}", Field("document"), " or ", Field("chunk"), ", or take ", Field("each")
        )
    return found


def known_question(choice: ExportChoice, answer_tokens: int) -> Query:
    """A question that the adapter answers right and that was answered wrong before it; where there is none, one that it
    answers right, then any; where no question was asked, how a chunk goes on behind its title."""

    def worth(pair: tuple[str, str]) -> int:
        return (pair[1] == "correct") * 2 + (pair[0] != "correct")

    asked = [
        (worth((before.verdict, after.verdict)), lesson.context, after)
        for lesson in choice.lessons
        for tested in (lesson.report, lesson.gate)
        for before, after in zip(tested.before, tested.after, strict=True)
        if after.gold
    ]
    if not asked:
        context = choice.lessons[0].context
        gold = " ".join(context.text.split()[:12])
        return Query("text", gold, gold, Prompt(f"{context.title}\n", raw=True), answer_tokens)
    _, context, best = max(asked, key=lambda one: one[0])
    [query] = queries_of(context, [Question(best.question_id, best.question, best.gold)], answer_tokens)
    return query


@dataclass(frozen=True)
class Export:
    """A library's version, to be exported."""

    library: LibraryFolder
    version: LibraryVersion
    settings: LearnSettings
    load: OpenExporter
    """Gives the base model, when it is needed."""
    progress: Progress
    base: str = ""
    """What the base model is called where it is served; empty: its name on the hub, or its folder's."""
    base_gguf: Path | None = None
    """The base model as GGUF."""

    def write(
        self, form: ExportFormat, choices: Sequence[ExportChoice], to: Path, each: bool = False
    ) -> list[Exported]:
        """Writes to a folder that is absent or empty, which appears whole or not at all.

        Args:
            each: one folder for each choice, named by it, with a manifest, in place of one alone.

        Raises:
            SelfeditError: it cannot be written, or what was written is at fault.
        """
        self.check_place(to)
        exporter, written = self.load(), []
        self.progress.stage("writing and asking", len(choices))
        try:
            with new_folder(to) as staged:
                for choice in choices:
                    folder = staged / choice.name if each else staged
                    folder.mkdir(exist_ok=True)
                    written.append(self._one(exporter, form, choice, folder))
                    self.progress.advance()
                if each:
                    self._describe(staged, choices)
        except OSError as error:
            raise SelfeditError(f"{to}: cannot be written ({error.strerror or error}); name another folder") from None
        return written

    @property
    def base_name(self) -> str:
        """What the base model is called in the export; never a path of this machine."""
        if self.base:
            return self.base
        if self.settings.model == EMBEDDED_MODEL:
            from selfedit.engine.model.loading import EMBEDDED_HUB

            return EMBEDDED_HUB
        path = Path(self.settings.model).expanduser()
        return path.absolute().name if path.is_dir() else self.settings.model

    def _one(self, exporter: Exporter, form: ExportFormat, choice: ExportChoice, folder: Path) -> Exported:
        from selfedit.engine.export.exporter import ExportOrder

        store, learner = AdapterFolders(self.library.folder), self.library.learner
        asked = known_question(choice, self.settings.answer_tokens)
        order = ExportOrder(
            form,
            store.find(choice.policy),
            store.find(learner) if learner.adapter else None,
            asked,
            choice.name,
            self.base_name,
            self.base_gguf,
        )
        written = exporter.write(order, folder)
        if form == "gguf":
            (folder / "Modelfile").write_text(modelfile(_template(choice)), encoding="utf-8")
        told = card(self.version, choice, written, self.base_name, self.settings.model, asked.prompt)
        (folder / "README.md").write_text(told, encoding="utf-8")
        return written

    def _describe(self, folder: Path, choices: Sequence[ExportChoice]) -> None:
        """The manifest of several adapters: which chunk's lies in which folder."""
        held = {
            "version": self.version.number,
            "digest": self.version.digest,
            "base_model": self.base_name,
            "chunks": [
                {"place": one.place, "folder": one.name, "context_id": one.lessons[0].context_id} for one in choices
            ],
        }
        (folder / MANIFEST).write_text(json.dumps(held, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def check_place(self, to: Path) -> None:
        """Refuses a place that something lies in, or that the library's own files lie around."""
        if to.exists() and (not to.is_dir() or any(to.iterdir())):
            raise SettingError(Field("to"), f" {to}: is there, and not an empty folder; name another")
        if to.resolve().is_relative_to(self.library.folder.resolve()):
            raise SettingError(Field("to"), f" {to}: lies in the library; name a folder outside of it")


def _chunks(library: LibraryFolder, version: LibraryVersion) -> list[ExportChoice]:
    """The adapters of all chunks, in the order of documents."""
    lessons, known = library.lessons(), dict(version.adapters)
    found: dict[str, ExportChoice] = {}
    for document in version.documents:
        for chunk in document.chunks:
            if chunk.context_id in known and chunk.context_id in lessons and chunk.context_id not in found:
                policy, lesson = known[chunk.context_id], lessons[chunk.context_id]
                name = _name(library, version, policy.digest)
                found[chunk.context_id] = ExportChoice(name, policy, (lesson,), (document,), chunk.place)
    return list(found.values())


def _lacking(library: LibraryFolder, version: LibraryVersion) -> SettingError:
    """That the one adapter does not know all of the version."""
    newer = set(version.newer)
    names = [one.name for one in version.documents if any(chunk.context_id in newer for chunk in one.chunks)]
    shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
    documents = f"{len(names)} newer document{'s' * (len(names) > 1)} ({shown})"
    told = f"{library.folder}: the one adapter of version {version.number} does not know {documents}; "
    mend = "make it anew with `selfedit library consolidate`, name one chunk with "
    return SettingError(f"{told}{mend}", Field("document"), " or ", Field("chunk"), ", or take ", Field("each"))


def _kept(library: LibraryFolder, version: LibraryVersion) -> tuple[Lesson, ...]:
    """What a version knows, in the order of its documents."""
    lessons = library.lessons()
    ids = dict.fromkeys(chunk.context_id for document in version.documents for chunk in document.chunks)
    return tuple(lessons[one] for one in ids if one in lessons and lessons[one].status == "kept")


def _is_called(choice: ExportChoice, chunk: str) -> bool:
    return choice.lessons[0].context_id.startswith(chunk)


def _name(library: LibraryFolder, version: LibraryVersion, digest: str) -> str:
    """`notes-7-1f3c9a20`: vLLM and Ollama keep by name what they loaded, so that another adapter has another name."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", library.name.lower()).strip("-.") or "library"
    return f"{plain}-{version.number}-{digest[:_SHORT]}"


def _template(choice: ExportChoice) -> str:
    """How questions are put, as Ollama's templates say it. The topic is that of the chunk, or comes as system text."""
    title, question = re.sub(r"\{(?=\{)", "{ ", choice.lessons[0].context.title), "{{ .Prompt }}"
    context = Context("template", title if choice.place else "{{ .System }}", "-", ())
    [query] = queries_of(context, [Question("template", question, "-")], 1)
    return query.prompt.text
