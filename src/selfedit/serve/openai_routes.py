"""L4. What OpenAI's clients ask for: models, chat, completions; and whether the server is well."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from selfedit import seeds
from selfedit.errors import SelfeditError
from selfedit.records import UNTOUCHED, LibraryVersion, LiveRequest, Prompt, Refused
from selfedit.serve.cutting import Cutter
from selfedit.serve.errors import ApiError
from selfedit.serve.feedback import choose_as_agent, note_completion
from selfedit.serve.knowledge import Choice, Knowledge
from selfedit.serve.model_thread import Begun, Busy, Event, Lost, Said, Ticket
from selfedit.serve.replies import ReplyShape, Text, usage_of
from selfedit.serve.schema import Body, ChatBody, CompletionBody, ignored, read_body
from selfedit.serve.service import Service
from selfedit.serve.streams import EventStream, Gone, while_there
from selfedit.store.library import LIVE

router = APIRouter()
_LENGTH = 512
"""Most tokens of a text where the client names no bound."""
_CODES = {"too_long": "context_length_exceeded", "unfit": "invalid_prompt", "schema": "invalid_schema"}


@router.get("/healthz")
async def healthz(request: Request) -> dict[str, str]:
    """Whether the server answers, and its model writes; open to everybody."""
    if not _service(request).model.is_alive:
        raise ApiError(503, "the model has stopped; the server's log says why", "fault")
    return {"status": "ok"}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """For Prometheus."""
    return Response(_service(request).metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/v1/models")
async def list_models(request: Request) -> dict[str, Any]:
    """The base, every alias, every version."""
    return {"object": "list", "data": await asyncio.to_thread(_models, _service(request))}


@router.get("/v1/models/{model:path}")
async def show_model(request: Request, model: str) -> dict[str, Any]:
    """One of them."""
    every = await asyncio.to_thread(_models, _service(request))
    found: dict[str, Any] | None = next((one for one in every if one["id"] == model), None)
    if found is None:
        raise _no_model(model, _service(request))
    return found


@router.post("/v1/chat/completions")
async def chat(request: Request) -> Response:
    """A reply to a conversation."""
    return await _or_gone(request, ChatBody)


@router.post("/v1/completions")
async def complete(request: Request) -> Response:
    """A text that goes on from a prompt."""
    return await _or_gone(request, CompletionBody)


async def _or_gone(request: Request, kind: type[ChatBody] | type[CompletionBody]) -> Response:
    body = read_body(kind, await _json(request))
    try:
        return await while_there(request, _reply(request, body))
    except Gone:
        return Response(status_code=499)


async def _json(request: Request) -> Any:
    """The request's body.

    Raises:
        ApiError: it is no JSON.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "send the header Content-Type: application/json", "wrong_content_type")
    try:
        text = (await request.body()).decode("utf-8")
        data = json.loads(text, parse_constant=_no_number)
        if "\\ud" in text.lower():
            json.dumps(data, ensure_ascii=False).encode("utf-8")  # half a character, which no tokenizer takes
    except (ValueError, RecursionError) as error:
        told = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())[:160]
        raise ApiError(400, f"the body is no JSON ({told})", "invalid_json") from None
    return data


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


class _Asked:
    """A request with its texts, which come in through a queue."""

    def __init__(self, service: Service, body: Body, choices: Sequence[Choice], version: LibraryVersion | None) -> None:
        self.service, self.body = service, body
        self.texts = [Text(choice) for choice in choices for _ in range(body.n)]
        self.events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self.keys: list[int] = []
        self._early: deque[tuple[int, Event]] = deque()
        self.started = time.monotonic()
        version_name = f"{service.name}@{version.number}" if version else ""
        is_chat = isinstance(body, ChatBody)
        name = f"{'chatcmpl' if is_chat else 'cmpl'}-{secrets.token_hex(12)}"
        self.shape = ReplyShape(name, int(time.time()), body.model, is_chat, body.top, version_name)

    @property
    def usage(self) -> dict[str, int]:
        """Tokens read and written."""
        return usage_of(self.texts, self.body.n)

    async def begin(self) -> None:
        """Hands the texts over, and waits until all have begun.

        Raises:
            ApiError: one is refused, or too many wait.
        """
        loop, seed = asyncio.get_running_loop(), self.body.seed
        seed = secrets.randbits(48) if seed is None else seed
        tickets = [self._ticket(number, text, seed, loop) for number, text in enumerate(self.texts)]
        try:
            self.keys = self.service.model.submit(tickets)
        except Busy:
            raise _busy() from None
        begun = 0
        while begun < len(self.texts):
            number, event = await self.events.get()
            if isinstance(event, Begun):
                self.texts[number].prompt_tokens, begun = event.prompt_tokens, begun + 1
            elif isinstance(event, Said):
                self._early.append((number, event))
            else:
                raise _refusal(event)

    async def said(self) -> AsyncGenerator[tuple[int, Said]]:
        """All that is said, until all texts have ended; then, and when nobody listens any more, nothing is left.

        Raises:
            ApiError: the server could not go on.
        """
        left = len(self.texts)
        while left:
            number, event = self._early.popleft() if self._early else await self.events.get()
            if isinstance(event, (Refused, Lost)):
                raise _refusal(event)
            assert isinstance(event, Said)
            if event.tokens and not any(text.tokens for text in self.texts):
                self.service.metrics.first.observe(time.monotonic() - self.started)
            self.texts[number].add(event)
            left -= bool(event.ending)
            yield number, event

    def end(self) -> None:
        """Nothing more is wanted; counts what was."""
        self.service.model.drop(self.keys)
        for kind, tokens in zip(("prompt", "completion"), self.usage.values(), strict=False):
            self.service.metrics.tokens.labels(kind).inc(tokens)

    def _ticket(self, number: int, text: Text, seed: int, loop: asyncio.AbstractEventLoop) -> Ticket:
        body, choice = self.body, text.choice
        sampling = body.sampling(0.0 if self.shape.version else 1.0, _LENGTH)
        request = LiveRequest(
            0,
            choice.prompt,
            sampling,
            choice.policy,
            seeds.derive(seed, number),
            choice.is_one_line,
            is_clipped=body.length is None,
            top_logprobs=(body.top or 0) if self.shape.version else body.top,
        )

        def tell(event: Event) -> None:
            with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                loop.call_soon_threadsafe(self.events.put_nowait, (number, event))

        return Ticket(request, tell, Cutter(body.stops, self.shape.is_chat))


async def _reply(request: Request, body: Body) -> Response:
    """The whole reply, or the stream that it will be once it has begun."""
    service = _service(request)
    choices, version = await asyncio.to_thread(_choices, service, body)
    asked = _Asked(service, body, choices, version)
    headers = {"x-selfedit-version": quote(asked.shape.version, safe="@")} if version else {}
    if passed_over := ignored(body):
        headers["x-selfedit-ignored"] = passed_over
    is_streamed = False
    try:
        await asked.begin()
        if body.stream:
            is_streamed = True
            return EventStream(_events(asked, version), headers, asked.end)
        async for _ in asked.said():
            pass
        await _note(asked, version)
        return JSONResponse(asked.shape.whole(asked.texts, asked.usage), headers=headers)
    finally:
        if not is_streamed:
            asked.end()


async def _note(asked: _Asked, version: LibraryVersion | None) -> None:
    """Of an agent: keeps a chat's one reply, so that it can be told about."""
    service, body = asked.service, asked.body
    if service.is_agent and isinstance(body, ChatBody) and body.n == 1 and body.is_single:
        said = asked.shape.id, body.prompt.text, asked.texts[0].text, version
        await asyncio.to_thread(note_completion, service, *said)


async def _events(asked: _Asked, version: LibraryVersion | None) -> AsyncGenerator[dict[str, Any]]:
    try:
        for number, text in enumerate(asked.texts):
            if first := asked.shape.first(number, text):
                yield first
        async with aclosing(asked.said()) as said:
            async for number, event in said:
                if event.text or event.chances or event.ending:
                    yield asked.shape.more(number, event, asked.texts[number])
        await _note(asked, version)
        if asked.body.has_usage:
            yield asked.shape.last(asked.usage)
    except ApiError as error:
        yield error.data


def _choices(service: Service, body: Body) -> tuple[list[Choice], LibraryVersion | None]:
    """Who answers each prompt, by the version as it is now.

    Raises:
        ApiError: no such model.
    """
    prompts = [body.prompt] if isinstance(body, ChatBody) else _raw_prompts(body)
    if body.model == service.settings.model:
        return [Choice(UNTOUCHED, prompt) for prompt in prompts], None
    if service.is_agent:
        return _as_agent(service, body.model, prompts)
    known = _knowledge(service, body.model)
    is_question = isinstance(body, ChatBody) and body.is_single
    asker = service.asker if is_question else None
    return [known.choose(prompt.text, prompt, asker) for prompt in prompts], known.version


def _as_agent(service: Service, model: str, prompts: list[Prompt]) -> tuple[list[Choice], LibraryVersion | None]:
    if "@" not in model:
        raise _no_model(model, service)
    try:
        return choose_as_agent(service, model, prompts)
    except SelfeditError:
        raise _no_model(model, service) from None


def _raw_prompts(body: Body) -> list[Prompt]:
    assert isinstance(body, CompletionBody)
    return [Prompt(text, raw=True, json_schema=body.schema_text) for text in body.prompts]


def _knowledge(service: Service, model: str) -> Knowledge:
    if "@" not in model:
        raise _no_model(model, service)
    try:
        return service.knowledge(model)
    except SelfeditError:
        raise _no_model(model, service) from None


def _no_model(model: str, service: Service) -> ApiError:
    told = f"there is no model {model[:200]!r}; GET /v1/models names all, such as {service.name}@live"
    return ApiError(404, told, "model_not_found", "model")


def _refusal(event: Event) -> ApiError:
    if isinstance(event, Refused):
        if event.kind == "missing":
            return ApiError(404, event.reason, "model_not_found", "model")
        if event.kind == "memory":
            return ApiError(503, event.reason, "out_of_memory", headers={"Retry-After": "5"})
        return ApiError(400, event.reason, _CODES[event.kind])
    assert isinstance(event, Lost)
    if event.why == "fault":
        return ApiError(500, "the model failed on this; the server's log says why", "fault")
    told = {"memory": "memory ran out; try again", "closing": "the server is being stopped"}[event.why]
    return ApiError(503, told, event.why, headers={"Retry-After": "5"})


def _busy() -> ApiError:
    return ApiError(429, "too many requests wait; try again later", "busy", headers={"Retry-After": "2"})


def _models(service: Service) -> list[dict[str, Any]]:
    base = service.settings.model
    with service.open() as library, library.reading():
        versions, aliases = library.versions(), library.aliases()
        begun = int((library.folder / "library.json").stat().st_mtime)
    by_number = {version.number: version for version in versions}
    data = [_model(base, begun, None, base)]
    if service.is_agent and LIVE not in aliases:  # it answers before anything was learnt, too
        data.append(_model(f"{service.name}@{LIVE}", begun, None, base))
    for name, number in aliases.items():
        if number in by_number:
            data.append(_model(f"{service.name}@{name}", _time(by_number[number]), f"{service.name}@{number}", base))
    for version in versions:
        parent = f"{service.name}@{version.parent}" if version.parent in by_number else base
        data.append(_model(f"{service.name}@{version.number}", _time(version), parent, base))
    return data


def _model(name: str, created: int, parent: str | None, root: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "selfedit", "root": root, "parent": parent}


def _time(version: LibraryVersion) -> int:
    return int(datetime.fromisoformat(version.created).timestamp()) if version.created else 0


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
