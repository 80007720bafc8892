"""L3. An agent that self-edits after each interaction, on a library of its own."""

from selfedit.learn.agent.session import AgentSession, Rested
from selfedit.learn.agent.settings import AgentSettings, read_settings

__all__ = ["AgentSession", "AgentSettings", "Rested", "read_settings"]
