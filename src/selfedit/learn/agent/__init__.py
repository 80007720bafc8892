"""L3. An agent that self-edits after each interaction, on a library of its own."""

from selfedit.learn.agent.session import AgentSession, Rested
from selfedit.learn.agent.settings import AgentSettings, is_agent, read_settings

__all__ = ["AgentSession", "AgentSettings", "Rested", "is_agent", "read_settings"]
