"""L4. The page: four files of the package, that ask for nothing from elsewhere and run no script but their own."""

from __future__ import annotations

from importlib import resources

from fastapi import APIRouter
from fastapi.responses import Response

router = APIRouter()
PAGE_PATHS = frozenset({"/", "/page.css", "/page.js", "/parts.js"})
"""What a browser loads before a token can be typed: nothing of it is about the library."""
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@router.get("/")
def index() -> Response:
    """The page."""
    return _file("index.html")


@router.get("/page.css")
def style() -> Response:
    """How it looks."""
    return _file("page.css")


@router.get("/page.js")
def script() -> Response:
    """What it does."""
    return _file("page.js")


@router.get("/parts.js")
def parts() -> Response:
    """What its parts look like."""
    return _file("parts.js")


def _file(name: str) -> Response:
    content = (resources.files("selfedit.serve") / "page" / name).read_bytes()
    return Response(content, media_type=f"{_KINDS[name.rpartition('.')[2]]}; charset=utf-8", headers=_HEADERS)
