"""L4. A library behind a URL: what it has learnt, asked as one asks any OpenAI-compatible server."""

from selfedit.serve.app import create_app
from selfedit.serve.model_thread import Limits
from selfedit.serve.service import Service

__all__ = ["Limits", "Service", "create_app"]
