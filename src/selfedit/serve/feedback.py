"""L4. A served agent: completions become episodes, and what clients say of them is learnt beside the server.

    POST /v1/chat/completions → {"id": "chatcmpl-…", …}
    POST /v1/feedback {"id": "chatcmpl-…", "action": …, "said": …, "score": …} → {"line": "learnt: …", "version": …}
    POST /v1/rest → a job

What cannot be is refused at once: an id of nothing, one that was told about before, feedback that contradicts itself.
The rest is done in a process of its own, one at a time, while the server goes on answering; the swap is the next
request's, which finds the version that is live by then.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from selfedit.errors import SelfeditError
from selfedit.learn.agent.lessons import ALIVE, check
from selfedit.records import UNTOUCHED, Episode, LibraryVersion, Prompt, to_json
from selfedit.records import Feedback as Told
from selfedit.serve.errors import ApiError
from selfedit.serve.jobs import Jobs, QueueFull, ServedJob
from selfedit.serve.knowledge import Choice
from selfedit.serve.service import Service
from selfedit.store.episodes import EpisodeLog
from selfedit.store.library import LIVE

router = APIRouter()
_LONGEST = 20_000
"""Characters of an action, or of what was said."""
_LOOK_EVERY = 0.1
"""Seconds between two looks at the job that is waited for."""


class FeedbackBody(BaseModel):
    """POST /v1/feedback."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: Annotated[str, Field(min_length=1, max_length=200)]
    """Of the completion."""
    action: Annotated[str, Field(max_length=_LONGEST)] = ""
    """What the reply should have been."""
    said: Annotated[str, Field(max_length=_LONGEST)] = ""
    """Why, as a rule in a sentence."""
    score: Annotated[float, Field(ge=0, le=1)] | None = None
    """How good the reply was."""
    author: Literal["user", "tool"] = "user"
    """Who says it."""
    replaces: Annotated[str, Field(max_length=200)] = ""
    """The lesson in whose place this one is to stand."""
    wait: bool = True
    """Whether to reply when it is learnt, or at once with the job's id."""

    def as_feedback(self) -> Told:
        """As an agent is told it."""
        kind: Literal["correction", "score", "result"] = "correction" if self.action or self.said else "score"
        if self.author == "tool":
            kind = "result"
        return Told(kind, self.action.strip(), self.said.strip(), self.score, self.author, None, self.replaces)


@router.post("/v1/feedback")
async def feedback(request: Request, body: FeedbackBody) -> JSONResponse:
    """What is said of a completion; what became of it, or the job that finds out."""
    service = _agent(request)
    await asyncio.to_thread(_refuse, service, body)
    jobs: Jobs = request.app.state.jobs
    before = jobs.find(service.told.pop(body.id, ""))
    if before is not None and not before.is_over:
        service.told[body.id] = before.id
        raise ApiError(409, f"{body.id}: feedback on it is being learnt just now", "feedback_used", "id")
    job = _submitted(request, "feedback", {"feedback": to_json(body.as_feedback()), "episode": body.id})
    service.told[body.id] = job.id
    if not body.wait:
        return JSONResponse({"job": job.id}, 202)
    while not job.is_over:
        await asyncio.sleep(_LOOK_EVERY)
        job = jobs.find(job.id) or job
    service.told.pop(body.id, None)
    if job.result is None:
        raise ApiError(500, job.error or "the job was lost", "not_learnt")
    return JSONResponse({"id": body.id, **job.result})


@router.post("/v1/rest", status_code=202)
def rest(request: Request) -> dict[str, str]:
    """One adapter for all lessons is made anew."""
    _agent(request)
    return {"job": _submitted(request, "rest", {}).id}


def choose_as_agent(
    service: Service, reference: str, prompts: list[Prompt]
) -> tuple[list[Choice], LibraryVersion | None]:
    """Who answers, and by which version: its one adapter; the model itself before anything was learnt.

    Raises:
        SelfeditError: there is no such version.
    """
    with service.open() as library:
        name, _, wanted = reference.rpartition("@")
        if wanted == LIVE and name == library.name and LIVE not in library.aliases():
            return [Choice(UNTOUCHED, prompt) for prompt in prompts], None
        version = library.resolve(reference)
    return [Choice(version.whole, prompt, is_known=bool(version.whole.adapter)) for prompt in prompts], version


def note_completion(
    service: Service, completion_id: str, request: str, reply: str, version: LibraryVersion | None
) -> None:
    """Keeps a completion, so that it can be told about."""
    if not request.strip() or not reply.strip():
        return
    with EpisodeLog(service.path) as log:
        log.add(Episode(completion_id, 0, request, reply.strip(), version.number if version else 0))


def _refuse(service: Service, body: FeedbackBody) -> None:
    """Refuses what would be refused later.

    Raises:
        ApiError: the id is of nothing, or was told about; it replaces no lesson that holds; or it contradicts itself.
    """
    with EpisodeLog(service.path) as log:
        found = log.find(body.id)
        if found is None:
            raise ApiError(404, f"{body.id}: no completion of this id can be told about", "no_such_completion", "id")
        if log.is_told(body.id):
            raise ApiError(409, f"{body.id}: feedback on it was given already", "feedback_used", "id")
    if body.replaces:
        with service.open() as library:
            held = [one for one in library.lessons().values() if one.status in ALIVE]
        if not any(body.replaces in (one.document, one.context_id) for one in held):
            told = f"{body.replaces}: no lesson that holds is called so"
            raise ApiError(400, told, "no_such_lesson", "replaces")
    try:
        check(body.as_feedback(), found)
    except SelfeditError as error:
        raise ApiError(400, str(error), "contradiction") from None


def _submitted(request: Request, kind: Literal["feedback", "rest"], more: dict[str, Any]) -> ServedJob:
    service = _agent(request)
    settings = service.settings.kept()
    jobs: Jobs = request.app.state.jobs
    try:
        return jobs.submit(kind, {"library": str(service.path.absolute()), "settings": settings, **more})
    except QueueFull as error:
        raise ApiError(429, str(error), "queue_full", headers={"Retry-After": "30"}) from None


def _agent(request: Request) -> Service:
    service: Service = request.app.state.service
    if not service.is_agent:
        told = "this library learns from documents; serve an agent's (selfedit serve --agent) for feedback"
        raise ApiError(409, told, "no_agent")
    return service
