"""L3. A library is brought to what its folders hold now: the whole of `learn`, without a command line.

find → (nothing to do: done) → load the model → lessons → documents judged → a version, probed and made live
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from selfedit.config import EMBEDDED_MODEL, FIXED_LEARNER, SHIPPED_LEARNER
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.grading import grade_answers, load_grader
from selfedit.learn.answering import Respondent, known_contexts, known_lessons
from selfedit.learn.asking import Asker
from selfedit.learn.consolidation import Consolidating, Consolidation, WholeSettings, still_whole
from selfedit.learn.gate import judge_documents, probe_version
from selfedit.learn.material import Found, Material, check_given, find_documents, material
from selfedit.learn.pipeline import Learning
from selfedit.learn.routing import Router
from selfedit.learn.settings import LearnSettings
from selfedit.protocols import Engine, Progress
from selfedit.records import (
    UNTOUCHED,
    Answer,
    GradedAnswer,
    Lesson,
    LibraryDocument,
    LibraryVersion,
    Policy,
    Query,
)
from selfedit.store.adapters import AdapterFolders, adapter_in, is_adapter
from selfedit.store.episodes import is_agent_library
from selfedit.store.library import LIVE, LibraryFolder, check_free, check_weights, create_library, is_library
from selfedit.tasks.documents.question_files import AskedChunk, read_question_file
from selfedit.tasks.documents.task import token_counter
from selfedit.tasks.documents.tests import TestKind, ask_about
from selfedit.tasks.probe import BUNDLED, load_probe

GRADER = "contains"
LoadEngine = Callable[[AdapterFolders], Engine]


@dataclass(frozen=True, slots=True)
class LearningReport:
    """What came of it."""

    version: LibraryVersion | None
    """The live one now; None where nothing is known."""
    new: tuple[str, ...] = ()
    """Documents that were not there before."""
    changed: tuple[str, ...] = ()
    """Those that are other than before."""
    gone: tuple[str, ...] = ()
    """Those that are no longer there."""
    lessons: tuple[Lesson, ...] = ()
    """Those of this time."""
    left: int = 0
    """Chunks for which there was no time."""
    seconds: float = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.new or self.changed or self.gone or self.lessons or self.left)


@dataclass(frozen=True)
class Session:
    """A library, and how it is learnt into."""

    path: Path
    """The library's folder; made when absent."""
    settings: LearnSettings
    load: LoadEngine
    """Gives the model, when it is needed."""
    progress: Progress
    trusted: frozenset[str] = frozenset()
    """Names of documents that may hold orders to a model."""
    engines: list[Engine] = field(default_factory=list)
    """The model, once it has been loaded."""

    def learn(
        self, places: Sequence[str], questions: Path | None = None, seconds: float = float("inf"), note: str = ""
    ) -> LearningReport:
        """Brings the library to what the places hold now; without places, to what those hold that it knows.

        Args:
            questions: file of `selfedit questions`; chunks that it does not hold are asked about as settings say.
            seconds: time after which no further group is begun.

        Raises:
            SelfeditError: it cannot be done; what was finished is kept.
        """
        started = time.monotonic()
        found: Found | None = None
        if not is_library(self.path):
            check_free(self.path)
            found = self.first_look(places)
            begun = self.settings.kept()
            create_library(self.path, self.engine().facts, self.learner(), begun)
        with LibraryFolder(self.path) as library, library.changing():
            self.check(library)
            if found is None or library.numbers():  # another process may have learnt since the first look
                found = self.find(library, places)
            learning = self.learning(library)
            known = [lesson.context.text for lesson in library.lessons().values()]
            materials = self.materials(found, questions, known, self.settings.tests)
            waiting = unpublished(library, found.documents)
            if not learning.due(materials) and not (found.new or found.changed or found.gone or waiting):
                shutil.rmtree(library.work, ignore_errors=True)  # of a process that was killed when all was done
                return LearningReport(live_version(library), seconds=time.monotonic() - started)
            lessons = learning.learn(materials, started + seconds) if materials else []
            left = len(learning.due(materials))
            due = [one.name for one in found.documents if one.name in found.chunks or one in waiting]
            judge_documents(library, found.documents, due)
            version = self.publish(learning, found.documents, note)
            held = library.lessons()
            shutil.rmtree(library.work, ignore_errors=True)
        told = found.new, found.changed, found.gone, tuple(held[one.context_id] for one in lessons)
        return LearningReport(version, *told, left, time.monotonic() - started)

    def look(self, places: Sequence[str], questions: Path | None) -> tuple[Found, list[Material]]:
        """What lies there, and what of it is to be learnt, without learning it. In the place of questions that the
        model would write stand cloze ones."""
        if not is_library(self.path):
            check_free(self.path)
            found = self.first_look(places)
            return found, self.materials(found, questions, (), "cloze")
        with LibraryFolder(self.path) as library:
            self.check(library)
            found = self.find(library, places)
            known = [lesson.context.text for lesson in library.lessons().values()]
            return found, self.learning(library).due(self.materials(found, questions, known, "cloze"))

    def first_look(self, places: Sequence[str]) -> Found:
        """What lies there, where there is no library yet.

        Raises:
            SettingError: no places are named, or nothing there can be learnt.
        """
        if not places:
            raise SettingError(f"{self.path}: is no library yet; name documents to learn")
        return find_documents(places, (), self.settings.chunk_tokens, self.counter, self.progress, self.path)

    def with_settings(self, settings: LearnSettings) -> Session:
        """The same with other settings, and with the model that is loaded."""
        return replace(self, settings=settings)

    def find(self, library: LibraryFolder, places: Sequence[str]) -> Found:
        """What lies there, beside what the library knows.

        Raises:
            SettingError: see `find_documents`; or no places are named, and the library knows none.
        """
        live = live_version(library)
        known = live.documents if live else ()
        lessons, learning = library.lessons(), self.learning(library)

        def is_settled(document: LibraryDocument) -> bool:
            return all(learning.is_settled(lessons.get(one.context_id), document.name) for one in document.chunks)

        if not (places := places or _roots(known)):
            raise SettingError(f"{self.path}: knows no documents; name some to learn")
        chunk_tokens = self.settings.chunk_tokens
        return find_documents(places, known, chunk_tokens, self.counter, self.progress, self.path, is_settled)

    def materials(self, found: Found, questions: Path | None, known: Sequence[str], tests: TestKind) -> list[Material]:
        """The chunks of documents that are new or have changed, with their questions. `known`: texts that a file of
        questions may be about as well."""
        chunks = [(name, chunk) for name, own in found.chunks.items() for chunk in own]
        given: Mapping[str, AskedChunk] = {}
        if questions is not None:
            given = {one.text: one for one in read_question_file(questions)}
            check_given(given, [chunk for _, chunk in chunks], known, questions)
        unasked = [chunk for _, chunk in chunks if chunk.text not in given]
        settings = self.settings
        made = ask_about(unasked, tests, settings.model, self.engine, settings.seed, self.progress)
        return material(chunks, lambda chunk: made[chunk.id], given)

    def forget(self, names: Sequence[str]) -> LibraryVersion:
        """Documents are known no more, and nothing of them is kept; the version without them is live. That goes for
        what a learning that was stopped has begun with as well. What a forgetting has begun that was killed is ended.

        Raises:
            SelfeditError: none is named, or the library knows no such document, and never has.
        """
        self._refuse_agent()
        with LibraryFolder(self.path) as library:
            begun = library.being_forgotten()
            with library.changing():
                versions, known = library.versions(), library.names()
                live = live_version(library)
                shown = ", ".join(sorted(known)[:4]) or "none"
                if not names:
                    raise SelfeditError(f"name the documents to forget; {self.path} knows {shown}")
                for name in names:
                    if name not in known | begun:
                        told = f"{self.path} knows no such document, or has forgotten it; it knows {shown}"
                        raise SelfeditError(f"{name}: {told}")
                if live and not known & set(names):
                    return live
                return self._forget(library, versions, live, names)

    def _forget(
        self,
        library: LibraryFolder,
        versions: Sequence[LibraryVersion],
        live: LibraryVersion | None,
        names: Sequence[str],
    ) -> LibraryVersion:
        every = [document for version in versions for document in version.documents]
        gone = [document for document in every if document.name in names]
        rest = [document for document in every if document.name not in names]
        shared = {chunk.context_id for document in rest for chunk in document.chunks}
        ids = {chunk.context_id for document in gone for chunk in document.chunks}
        lessons = library.lessons().values()
        ids |= {one.context_id for one in lessons if one.document in names}
        shutil.rmtree(library.work, ignore_errors=True)
        left = [document for document in (live.documents if live else ()) if document.name not in names]
        version = still_whole(compose(library, left, "forget"), live)
        probe = probe_version(self.learning(library), version, live, lambda: self.respondent(library, version))
        elsewhere = _elsewhere(lessons, names, rest)
        return library.forget(ids - shared, set(names), replace(version, probe=probe), elsewhere)

    def verify(self, library: LibraryFolder, version: LibraryVersion) -> dict[str, int]:
        """How many of a version's questions are answered as they were when it was made."""
        asker = Asker(self.engine(), library.learner, self.settings.inner, self.settings.answer_tokens)
        asked = [one for one in known_lessons(library, version) if one.report.after]
        queries = [asker.again(one.context, one.report.after) for one in asked]
        policies, recorded = version.policies, dict(version.whole_report)
        said = asker.ask([(policies[one.context_id], own) for one, own in zip(asked, queries, strict=True)])
        same = [
            now.text == then.text
            for one, answers in zip(asked, said, strict=True)
            for now, then in zip(answers, recorded.get(one.context_id, one.report.after), strict=True)
        ]
        right = [
            a.verdict == "correct" for own, answers in zip(queries, said, strict=True) for a in self.grade(own, answers)
        ]
        return {"questions": len(same), "right": sum(right), "other_answers": len(same) - sum(same)}

    def publish(self, learning: Learning, documents: Sequence[LibraryDocument], note: str) -> LibraryVersion:
        """A version of what is known of these documents, probed."""
        library = learning.library
        live = live_version(library)
        version = still_whole(compose(library, documents, note), live)
        if live and live.digest == version.digest:
            return live
        probe = probe_version(learning, version, live, lambda: self.respondent(library, version))
        return library.publish(replace(version, probe=probe))

    def respondent(self, library: LibraryFolder, version: LibraryVersion) -> Respondent:
        """Who answers from a version."""
        contexts = known_contexts(library, version)
        asker = Asker(self.engine(), library.learner, self.settings.inner, self.settings.answer_tokens)
        return Respondent(asker, Router(contexts), version.policies, version.whole)

    def consolidate(self, reference: str = LIVE, settings: WholeSettings | None = None) -> Consolidation:
        """One adapter for all that a version knows; published as a version where the gate holds, and live where the
        version is. See consolidation.py.

        Raises:
            SelfeditError: there is no such version, it knows nothing, or its adapter cannot be trained.
        """
        with LibraryFolder(self.path) as library, library.changing():
            return self.consolidating(library, library.resolve(reference), settings).run()

    def consolidating(
        self, library: LibraryFolder, version: LibraryVersion, settings: WholeSettings | None = None
    ) -> Consolidating:
        """What consolidating a version takes.

        Raises:
            SelfeditError: it knows nothing.
        """
        self._refuse_agent()
        if not version.adapters:
            raise SelfeditError(f"{self.path}: version {version.number} knows nothing that could be consolidated")

        def respond(version: LibraryVersion) -> Respondent:
            return self.respondent(library, version)

        return Consolidating(self.learning(library), version, settings or WholeSettings(), respond)

    def learning(self, library: LibraryFolder) -> Learning:
        """What lessons need."""
        return Learning(
            library, self.engine, self.settings, load_probe(BUNDLED), self.grade, self.progress, self.trusted
        )

    def grade(self, queries: Sequence[Query], answers: Sequence[Answer]) -> Sequence[GradedAnswer]:
        """Verdicts by rule."""
        return grade_answers(load_grader(GRADER, None), queries, answers)

    def check(self, library: LibraryFolder) -> None:
        """Refuses an agent's library, and one of another model or learner."""
        self._refuse_agent()
        if library.settings["model"] != self.settings.model:
            told = f" {self.settings.model}: {self.path} is for {library.settings['model']}; name another library"
            raise SettingError(Field("model"), told)
        if self.settings.learner and self.learner().digest != library.learner.digest:
            told = f" {self.settings.learner}: {self.path} was begun with another; name another library"
            raise SettingError(Field("learner"), told)

    def _refuse_agent(self) -> None:
        if is_agent_library(self.path):
            raise SelfeditError(f"{self.path}: is an agent's library, which learns from what it is told; name another")

    def engine(self) -> Engine:
        """The model, loaded once.

        Raises:
            SelfeditError: it is another one than the library is for.
        """
        if not self.engines:
            self.progress.stage(f"loading {self.settings.model}", 0)
            self.engines.append(self.load(AdapterFolders(self.path)))
        [engine] = self.engines
        check_weights(self.path, engine.facts["weights_sha256"], "name another library")
        return engine

    def learner(self) -> Policy:
        """What adapters lie on, as settings say."""
        name = self.settings.learner
        name = name or (SHIPPED_LEARNER if self.settings.model == EMBEDDED_MODEL else FIXED_LEARNER)
        if name == FIXED_LEARNER:
            return UNTOUCHED
        if not is_adapter(name):
            told = f" {name}: no adapter lies there; choose from {SHIPPED_LEARNER}, {FIXED_LEARNER}, or a folder"
            raise SettingError(Field("learner"), told)
        return adapter_in(name)

    def counter(self) -> Callable[[str], int]:
        """Counts the model's tokens."""
        return token_counter(self.settings.model)


def load_with(settings: LearnSettings) -> LoadEngine:
    """What loads the model that settings name."""

    def load(adapters: AdapterFolders) -> Engine:
        if settings.executor == "ray":
            return _on_workers(settings, adapters)
        from selfedit.engine import load_engine

        how = settings.device, settings.dtype, settings.bank
        engine: Engine = load_engine(settings.model, *how, adapters, settings.write_dtype)
        return engine

    return load


def _on_workers(settings: LearnSettings, adapters: AdapterFolders) -> Engine:
    from selfedit.executors.building import LoadModel
    from selfedit.executors.ray_pool import start_pools

    build = LoadModel(settings.model, settings.device, settings.dtype, settings.bank, settings.write_dtype)
    return start_pools({"": build}, adapters, settings.ray_address, settings.workers, settings.device)[""]


def settings_of(
    path: Path, device: str = "auto", dtype: str = "auto", begun: LearnSettings | None = None
) -> LearnSettings:
    """How a library's questions are put; for `begun`, how it is learnt into: with its model, where none is named. Where
    nobody names a number type it is the one that the library was made in: its adapters lie on those very weights. Where
    nothing is learnt, nothing is drawn in 8 bits, so that any device will do.

    Raises:
        SelfeditError: there is no library, or it cannot be read.
    """
    with LibraryFolder(path) as library:
        held, made_in = library.settings, library.facts.get("dtype", dtype)
    try:
        kept = LearnSettings.model_validate(held)
    except ValidationError as error:
        raise SelfeditError(f"{path}: its settings cannot be read ({error.error_count()} wrong fields)") from error
    wanted = dtype if begun is None else begun.dtype
    if wanted == "auto":
        wanted = made_in
    if begun is None:
        return kept.model_copy(update={"device": device, "dtype": wanted, "write_dtype": "same"})
    model = kept.model if begun.model == EMBEDDED_MODEL else begun.model
    return begun.model_copy(update={"model": model, "dtype": wanted})


def live_version(library: LibraryFolder) -> LibraryVersion | None:
    """What the library knows now; None where it knows nothing yet."""
    with library.reading():
        return library.resolve(LIVE) if LIVE in library.aliases() else None


def known_places(path: Path) -> list[str]:
    """Where the documents of a library lie.

    Raises:
        SelfeditError: there is no library.
    """
    with LibraryFolder(path) as library:
        live = live_version(library)
    return _roots(live.documents if live else ())


def _roots(documents: Collection[LibraryDocument]) -> list[str]:
    return list(dict.fromkeys(document.root for document in documents))


def _elsewhere(
    lessons: Collection[Lesson], names: Collection[str], documents: Collection[LibraryDocument]
) -> list[Lesson]:
    """Lessons of documents of these names that one of the other documents has too, as lessons of that."""
    places = {chunk.context_id: (one.name, chunk.place) for one in documents for chunk in one.chunks}
    found = []
    for lesson in lessons:
        if lesson.document in names and (at := places.get(lesson.context_id)):
            name, place = at
            found.append(replace(lesson, document=name, context=replace(lesson.context, source=place)))
    return found


def unpublished(library: LibraryFolder, documents: Collection[LibraryDocument]) -> list[LibraryDocument]:
    """Documents with a lesson that is kept and that the live version has not: a process was killed between the two."""
    live, lessons = live_version(library), library.lessons()
    known = dict(live.adapters) if live else {}
    kept = {one for one, lesson in lessons.items() if lesson.status == "kept" and known.get(one) != lesson.adapter}
    return [document for document in documents if any(chunk.context_id in kept for chunk in document.chunks)]


def compose(library: LibraryFolder, documents: Collection[LibraryDocument], note: str) -> LibraryVersion:
    """A version of all that is kept of these documents; not stored."""
    lessons = library.lessons()
    ids = sorted({chunk.context_id for document in documents for chunk in document.chunks})
    kept = [(one, lessons[one].adapter) for one in ids if one in lessons and lessons[one].status == "kept"]
    return LibraryVersion(0, 0, tuple(documents), tuple(kept), library.learner.digest, note)
