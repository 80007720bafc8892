"""L0. What happens to an agent: what it was asked and did, what it was told about that, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Author = Literal["user", "tool", "environment", "self"]
"""Who says something. `tool`: a program that the agent uses. `environment`: the world that it acts in. `self`: the
agent; nothing that it says alone is learnt."""
TRUST: dict[str, float] = {"user": 1.0, "tool": 0.8, "environment": 0.8, "self": 0.0}
"""How far an author is trusted where nobody says otherwise, 0 to 1."""
ObservationKind = Literal["learnt", "noted", "rejected", "nothing", "asks"]
"""`learnt`: it is in the weights. `noted`: it is in sight, and goes into the weights with the next update. `rejected`:
it is not to be learnt. `nothing`: there is nothing in it to learn. `asks`: it contradicts a lesson, and a person is to
say which holds."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """What an agent is told about something that it did."""

    kind: Literal["correction", "score", "result"]
    """`correction`: what would have been right. `score`: how good it was. `result`: what a tool or an environment made
    of it."""
    action: str = ""
    """What would have been right; empty where that is not said."""
    said: str = ""
    """The reason, as a rule in a sentence, or a tool's own words; may be empty."""
    score: float | None = None
    """0 to 1; of a result, 1 for success and 0 for failure. None where nothing is said of it."""
    author: Author = "user"
    """Who says it."""
    trust: float | None = None
    """How far that one is trusted, 0 to 1; None: as `TRUST` has it."""
    replaces: str = ""
    """The lesson in whose place this one is to stand, by its id or name; empty: the one that it contradicts, if any."""

    @classmethod
    def correction(cls, action: str = "", said: str = "", author: Author = "user", replaces: str = "") -> Feedback:
        """It should have been this, because of that; one of the two may be left out."""
        return cls("correction", action.strip(), said.strip(), author=author, replaces=replaces)

    @classmethod
    def scored(cls, score: float, author: Author = "user") -> Feedback:
        """It was that good, 0 to 1."""
        return cls("score", score=score, author=author)

    @classmethod
    def result(cls, is_success: bool, said: str = "", action: str = "", author: Author = "tool") -> Feedback:
        """What a tool or an environment made of it; `action`: what would have worked, where it says so."""
        return cls("result", action.strip(), said.strip(), float(is_success), author)

    @property
    def trusted(self) -> float:
        """How far it is trusted, 0 to 1."""
        return TRUST[self.author] if self.trust is None else self.trust


@dataclass(frozen=True, slots=True)
class Episode:
    """Something that an agent was asked and did."""

    id: str
    """By which feedback names it."""
    number: int
    """Counts all of an agent's episodes, from 1."""
    request: str
    """What it was asked."""
    action: str
    """What it did."""
    version: int
    """The library's version that did it; 0: the model before any lesson."""
    in_sight: tuple[str, ...] = ()
    """Lessons that it had in sight, by context id."""


@dataclass(frozen=True, slots=True)
class LessonSource:
    """Where a lesson of an agent is from."""

    episode: str
    """Id of the episode that it was told about."""
    trigger: str
    """The request that it was told about."""
    action: str
    """What is right there."""
    evidence: str
    """What was said, word for word; empty where only the action was."""
    author: Author
    """Who said so."""
    trust: float
    """How far that one is trusted, 0 to 1."""
    valid_from: int
    """Number of the episode from which on it holds."""
    supersedes: str = ""
    """Context id of the lesson that it takes the place of; empty: none."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What became of a feedback."""

    kind: ObservationKind
    why: str
    """In a few words."""
    lesson: str = ""
    """Context id; empty where there is none."""
    version: int = 0
    """The library's version that holds from now on; 0: none yet."""
    seconds: float = 0.0
    """Wall time of the update, where there was one."""

    @property
    def line(self) -> str:
        """In one line: `learnt: …`."""
        return f"{self.kind}: {self.why}"
