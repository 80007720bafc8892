"""L3. How an agent learns from what it is told: one frozen record, checked when it is made, and kept in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from selfedit.config import EMBEDDED_MODEL, FIXED_LEARNER, at_least, check_training, require_words
from selfedit.disk import replace_file
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.learn.settings import LearnSettings
from selfedit.records import TrainingConfig, digest
from selfedit.store.episodes import AGENT


class AgentSettings(BaseModel):
    """How an agent learns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = EMBEDDED_MODEL
    """`smollm2-135m` (embedded), a hub id, or a local folder."""
    system: str = ""
    """What stands before every request."""
    every: int = 1
    """Lessons after which the weights are updated; until then they are in sight."""
    sight_tokens: int = 256
    """Of lessons that wait for an update, in sight at most; older ones wait unseen."""
    edits: int = 1
    """Self-edits that the model writes about each lesson; requests of theirs with another action than the lesson's are
    left out. 0: what was said alone is studied, which is the quickest."""
    action_tokens: int = 64
    """Length bound of what it does."""
    least_trust: float = 0.5
    """From which on an author's word is learnt, 0 to 1. Users have 1, tools 0.8, the agent itself 0."""
    contradictions: Literal["newest", "ask"] = "newest"
    """What holds where a lesson contradicts an earlier one: the newest, or what a person says when asked."""
    inner: TrainingConfig = TrainingConfig(
        rank=16, alpha=32.0, top_layers=0.5, learning_rate=2e-3, epochs=10, batch_size=8
    )
    """A rest: one adapter for all lessons, anew."""
    quick: TrainingConfig = TrainingConfig(
        rank=16, alpha=32.0, top_layers=0.5, learning_rate=2e-3, epochs=8, batch_size=24
    )
    """An update between rests, on top of the last one."""
    replayed: int = 8
    """Older examples that an update between rests studies besides."""
    rehearsed: int = 24
    """Everyday requests and beginnings of general text (a third and two thirds; there are 75) that every study has
    beside the lessons, with what the model itself says to them: without them an agent of a few lessons says what they
    say to everything."""
    most_drift: float = 1.0
    """What general text may lose in log-probability under an update, nats per token."""
    least_kept: float = 0.8
    """Share of earlier lessons, and at a rest of common knowledge, that must be right after an update where they were
    before, 0 to 1."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """Number type of the base: `auto`, `float32` or `bfloat16`."""
    seed: int = 0
    """Self-edits are drawn from this."""

    @model_validator(mode="after")
    def _check(self) -> AgentSettings:
        for name in ("model", "device", "dtype"):
            require_words(name, getattr(self, name))
        for name, least, most in (
            ("every", 1, 1_000),
            ("sight_tokens", 0, 100_000),
            ("edits", 0, 16),
            ("action_tokens", 1, 4_096),
            ("least_trust", 0, 1),
            ("replayed", 0, 10_000),
            ("rehearsed", 0, 1_000),
            ("most_drift", 0, 1_000),
            ("least_kept", 0, 1),
        ):
            at_least(least, name, getattr(self, name), most)
        for name in ("inner", "quick"):
            check_training(name, getattr(self, name))
            if getattr(self, name).method != "lora":
                raise SettingError(
                    Field(f"{name}.method"), " must be lora: what an agent learns is stored as an adapter"
                )
        return self

    @property
    def mark(self) -> str:
        """Hash of what decides a lesson beside what was said."""
        return digest(self.model_dump(mode="json", exclude={"device", "dtype"}))

    def library_settings(self) -> LearnSettings:
        """How its library is opened by everything that knows of libraries alone."""
        return LearnSettings(
            model=self.model, learner=FIXED_LEARNER, inner=self.inner, device=self.device, dtype=self.dtype
        )


def keep_settings(path: Path, settings: AgentSettings) -> None:
    """Notes in a library's folder how its agent learns."""
    replace_file(path / AGENT, f"{settings.model_dump_json(indent=2)}\n".encode())


def read_settings(path: Path) -> AgentSettings:
    """How the agent of a library learns.

    Raises:
        SelfeditError: it is no agent's, or cannot be read.
    """
    try:
        return AgentSettings.model_validate_json((path / AGENT).read_bytes())
    except FileNotFoundError:
        raise SelfeditError(f"{path}: is no agent's library; give the agent a folder of its own") from None
    except (OSError, ValidationError) as error:
        raise SelfeditError(f"{path / AGENT}: cannot be read ({' '.join(str(error).split())[:160]})") from None
