"""L4. What the page asks for, as JSON: the library and its versions, a question, and jobs that learn and forget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from selfedit.errors import SelfeditError
from selfedit.learn.figures import reply_data
from selfedit.learn.session import live_version
from selfedit.serve.errors import ApiError
from selfedit.serve.inbox import MOST_DOCUMENTS, drop, dropped_document, inbox_root, roots_of
from selfedit.serve.jobs import Jobs, QueueFull, ServedJob
from selfedit.serve.library_data import library_data, version_data
from selfedit.serve.service import Service
from selfedit.serve.streams import EventStream, Gone, while_there
from selfedit.store.library import LIVE

router = APIRouter(prefix="/v1")
_LONGEST_QUESTION = 4_000
"""Characters."""
_LONGEST_NAME = 400
"""Characters of whatever names something; which names fit is decided where they are used."""
_LOOK_EVERY = 0.2
"""Seconds between two looks at a job that somebody follows."""
_BEAT_EVERY = 15.0
"""Seconds after which a job that has not changed is told again, so that the stream is seen to be alive."""
_MOST_FOLLOWED = 32
"""Streams at a time."""

Name = Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromoteBody(_Body):
    """Which version an alias is to stand for."""

    version: Name | int
    alias: Name = LIVE


class AskBody(_Body):
    """A question, and who is asked."""

    question: Annotated[str, Field(max_length=_LONGEST_QUESTION)]
    version: Name | int = LIVE


class DocumentBody(_Body):
    """A document with its content in one of two ways."""

    name: Annotated[str, Field(max_length=_LONGEST_NAME)]
    text: str | None = None
    content_base64: str | None = None


class LearnBody(_Body):
    """Documents that are dropped; none: what the library's folders hold is learnt again."""

    documents: Annotated[list[DocumentBody], Field(max_length=MOST_DOCUMENTS)] = []


class ForgetBody(_Body):
    """Names of documents."""

    documents: Annotated[list[Name], Field(min_length=1, max_length=MOST_DOCUMENTS)]


@router.get("/library")
def show_library(request: Request) -> dict[str, Any]:
    """The library and all its versions."""
    with _service(request).open() as library, library.reading():
        return library_data(library)


@router.get("/library/versions/{reference}")
def show_version(request: Request, reference: str) -> dict[str, Any]:
    """A version in full."""
    with _service(request).open() as library, library.reading():
        try:
            version = library.resolve(reference)
        except SelfeditError as error:
            raise ApiError(404, str(error), "no_such_version") from None
        return version_data(library, version)


@router.post("/library/promote")
def promote(request: Request, body: PromoteBody) -> dict[str, int]:
    """An alias stands for a version from now on."""
    with _service(request).open() as library:
        return {body.alias: library.promote(str(body.version), body.alias).number}


@router.post("/library/rollback")
def roll_back(request: Request) -> dict[str, int]:
    """The version is live again that the live one was made from."""
    with _service(request).open() as library:
        return {LIVE: library.roll_back().number}


@router.post("/library/ask", response_model=None)
async def ask(request: Request, body: AskBody) -> dict[str, Any] | Response:
    """An answer with its source, or that this has not been learnt. Who goes before it is begun costs the model
    nothing."""
    if not body.question.strip():
        raise ApiError(400, "the question is empty", param="question")
    service = _service(request)
    try:
        version, reply = await while_there(request, service.ask(body.question, str(body.version)))
    except Gone:
        return Response(status_code=499)
    return {**reply_data(reply), "version": f"{service.name}@{version.number}"}


@router.post("/learn", status_code=202)
def learn(request: Request, body: LearnBody | None = None) -> dict[str, str]:
    """Dropped documents are kept in the inbox and learnt; without any, whatever has changed where documents are from.

    Of a document that was forgotten, the file may still lie in its folder. Dropping another one must not bring it back,
    so that this looks at the inbox alone.
    """
    service, jobs = _service(request), _jobs(request)
    if service.is_agent:
        raise ApiError(409, "this library is an agent's, which learns from POST /v1/feedback", "is_agent")
    documents = [dropped_document(one.name, one.text, one.content_base64) for one in (body or LearnBody()).documents]
    with service.open() as library:
        live = live_version(library)
    if documents:
        _refuse_if_full(jobs)
        drop(service.path, documents, live)
    places = [inbox_root(service.path)] if documents else roots_of(service.path, live)
    if not places:
        raise ApiError(400, "there are no documents to learn yet; give some", "no_documents")
    note = "learn inbox" if documents else "learn"  # no names: a note outlives what is forgotten
    return _submitted(request, "learn", {"places": places, "note": note})


@router.post("/forget", status_code=202)
def forget(request: Request, body: ForgetBody) -> dict[str, str]:
    """Documents are forgotten for good; those in the inbox are deleted there as well."""
    return _submitted(request, "forget", {"documents": body.documents})


@router.get("/jobs")
def show_jobs(request: Request) -> dict[str, Any]:
    """All jobs that are remembered, newest first."""
    return {"jobs": [one.as_data() for one in _jobs(request).all()]}


@router.get("/jobs/{job_id}")
def show_job(request: Request, job_id: str) -> dict[str, Any]:
    """A job as far as it is."""
    return _job(request, job_id).as_data()


@router.get("/jobs/{job_id}/events")
async def follow_job(request: Request, job_id: str) -> Response:
    """A job as server-sent events: as it is, and again when it has changed and now and then, until it is over."""
    job = _job(request, job_id)
    state = request.app.state
    if getattr(state, "followed", 0) >= _MOST_FOLLOWED:
        raise ApiError(429, "too many follow jobs already; ask for the job itself", "too_many_streams")
    return EventStream(_events(state, job), {"Cache-Control": "no-store"}, has_done=False)


async def _events(state: Any, job: ServedJob) -> AsyncGenerator[dict[str, Any]]:
    jobs: Jobs = state.jobs
    state.followed = getattr(state, "followed", 0) + 1
    try:
        now: ServedJob | None = job
        said, said_at = None, 0.0
        while now is not None:
            if now != said or time.monotonic() - said_at > _BEAT_EVERY:
                yield now.as_data()
                said, said_at = now, time.monotonic()
            if now.is_over:
                return
            await asyncio.sleep(_LOOK_EVERY)
            now = jobs.find(job.id)
    finally:
        state.followed -= 1


def _submitted(request: Request, kind: Any, more: dict[str, Any]) -> dict[str, str]:
    service = _service(request)
    told = {"library": str(service.path.absolute()), "settings": service.settings.kept(), **more}
    try:
        return {"id": _jobs(request).submit(kind, told).id}
    except QueueFull as error:
        raise _full(error) from None


def _refuse_if_full(jobs: Jobs) -> None:
    try:
        jobs.check_room()
    except QueueFull as error:
        raise _full(error) from None


def _full(error: QueueFull) -> ApiError:
    return ApiError(429, str(error), "queue_full", headers={"Retry-After": "30"})


def _job(request: Request, job_id: str) -> ServedJob:
    job = _jobs(request).find(job_id)
    if job is None:
        raise ApiError(404, "no such job", "no_such_job")
    return job


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs
