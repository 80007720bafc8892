"""L0. Chat endpoints of the OpenAI kind, hosted or local: which one, what is asked of it, and what came back."""

from selfedit.endpoints.client import Endpoint
from selfedit.endpoints.replies import Reply
from selfedit.endpoints.requests import ChatRequest
from selfedit.endpoints.settings import EndpointSettings

__all__ = ["ChatRequest", "Endpoint", "EndpointSettings", "Reply"]
