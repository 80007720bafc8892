"""L4. What goes wrong with a request, in the shape in which OpenAI's clients read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(HTTPException):
    """A request that is refused. FastAPI lets it through where it reads a body itself, since it is one of HTTP's.

    Args:
        status: of HTTP.
        message: one line for people.
        code: one word for programs, such as `model_not_found`.
        param: the field of the request that it is about; None: none.
        headers: further headers, such as `Retry-After`.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str = "",
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.code, self.param = code or None, param

    @property
    def data(self) -> dict[str, Any]:
        """As JSON: `{"error": {message, type, param, code}}`."""
        status = self.status_code
        kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
        return {"error": {"message": self.detail, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The whole of it."""
        return JSONResponse(self.data, self.status_code, self.headers)
