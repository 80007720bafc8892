"""L4. What OpenAI's clients ask for: models, chat, completions; and whether the server is well."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter()


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the server answers; open to everybody."""
    return {"status": "ok"}
