"""L3. Documents are learnt for good: lessons, the gate, versions, and answers that name their source."""

from selfedit.learn.answering import LibraryReply, Respondent
from selfedit.learn.consolidation import Consolidation, WholeSettings
from selfedit.learn.pipeline import Learning
from selfedit.learn.session import LearningReport, Session, load_with, settings_of
from selfedit.learn.settings import LearnSettings

__all__ = [
    "Consolidation",
    "LearnSettings",
    "Learning",
    "LearningReport",
    "LibraryReply",
    "Respondent",
    "Session",
    "WholeSettings",
    "load_with",
    "settings_of",
]
