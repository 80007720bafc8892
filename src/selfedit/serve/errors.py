"""L4. What goes wrong with a request, in the shape in which OpenAI's clients read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """A request that is refused.

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
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code or None, param
        self.headers = dict(headers or {})

    @property
    def data(self) -> dict[str, Any]:
        """As JSON: `{"error": {message, type, param, code}}`."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The whole of it."""
        return JSONResponse(self.data, self.status, self.headers)
