"""L4. The application: who may come in, what is refused how, and the routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from selfedit.errors import SelfeditError
from selfedit.serve import feedback, library_routes, openai_routes, page_routes
from selfedit.serve.errors import ApiError
from selfedit.serve.guard import Guard
from selfedit.serve.jobs import Jobs
from selfedit.serve.metrics import Metering
from selfedit.serve.model_thread import Busy
from selfedit.serve.service import Service

OPEN_PATHS = frozenset({"/healthz"}) | page_routes.PAGE_PATHS
"""Paths that need no token."""


def create_app(
    service: Service, token: str = "", open_paths: Collection[str] = OPEN_PATHS, jobs: Jobs | None = None
) -> FastAPI:
    """The application for a service; `app.state.service` is that service, and `app.state.jobs` what is done to it.

    Args:
        token: what clients must send as `Authorization: Bearer TOKEN`; empty: nothing, and the loopback interface alone
            is answered.
        open_paths: paths that need no token.
        jobs: where learning and forgetting are done; None: in child processes of this one.
    """
    app = FastAPI(title="selfedit", docs_url=None, redoc_url=None, openapi_url=None, lifespan=_lifespan)
    app.state.service, app.state.jobs = service, jobs or Jobs()
    app.add_middleware(Guard, token=token, open_paths=open_paths)
    app.add_middleware(Metering, metrics=service.metrics)
    app.add_exception_handler(ApiError, _refused)
    app.add_exception_handler(SelfeditError, _cannot)
    app.add_exception_handler(Busy, _busy)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(HTTPException, _not_there)
    app.add_exception_handler(RequestValidationError, _unfit)
    for routes in (openai_routes, library_routes, page_routes, feedback):
        app.include_router(routes.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    app.state.jobs.close()


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return error.response()


async def _cannot(request: Request, error: Exception) -> JSONResponse:
    return ApiError(400, str(error)).response()


async def _busy(request: Request, error: Exception) -> JSONResponse:
    return ApiError(429, "too many requests wait; try again later", "busy", headers={"Retry-After": "2"}).response()


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it; it is counted


async def _not_there(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return ApiError(error.status_code, str(error.detail), headers=error.headers).response()


async def _unfit(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return ApiError(400, f"{place or 'body'}: {first['msg']}", param=place or None).response()
