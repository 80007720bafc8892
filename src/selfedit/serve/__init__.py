"""L4. A library behind a URL: what it has learnt, asked as one asks any OpenAI-compatible server."""

from selfedit.serve.app import create_app
from selfedit.serve.service import Service

__all__ = ["Service", "create_app"]
