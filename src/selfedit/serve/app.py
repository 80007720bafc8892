"""L4. The application: who may come in, what is refused how, and the routes."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from selfedit.errors import SelfeditError
from selfedit.serve import openai_routes
from selfedit.serve.errors import ApiError
from selfedit.serve.guard import Guard
from selfedit.serve.service import Service

OPEN_PATHS = frozenset({"/healthz"})
"""Paths that need no token."""


def create_app(service: Service, token: str = "", open_paths: Collection[str] = OPEN_PATHS) -> FastAPI:
    """The application for a service; `app.state.service` is that service.

    Args:
        token: what clients must send as `Authorization: Bearer TOKEN`; empty: nothing, and the loopback interface alone
            is answered.
        open_paths: paths that need no token.
    """
    app = FastAPI(title="selfedit", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service
    app.add_middleware(Guard, token=token, open_paths=open_paths)
    app.add_exception_handler(ApiError, _refused)
    app.add_exception_handler(SelfeditError, _cannot)
    app.add_exception_handler(HTTPException, _not_there)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.include_router(openai_routes.router)
    return app


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return error.response()


async def _cannot(request: Request, error: Exception) -> JSONResponse:
    return ApiError(400, str(error)).response()


async def _not_there(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return ApiError(error.status_code, str(error.detail), headers=error.headers).response()


async def _unfit(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return ApiError(400, f"{place or 'body'}: {first['msg']}", param=place or None).response()
