"""L3. Learning one context after another for good: the learner, strategies against forgetting, and the experiment."""

from selfedit.continual.experiment import run_sequences
from selfedit.continual.learner import (
    Chain,
    Chooses,
    Decides,
    Decision,
    Learner,
    Learnt,
    Prepares,
    Serves,
    Strategy,
)
from selfedit.continual.plan import ContinualConfig, SequencePlan, plan_sequences
from selfedit.continual.strategies import STRATEGIES, Gate, Kl, Replay, Route, parse_row, row_name

__all__ = [
    "STRATEGIES",
    "Chain",
    "Chooses",
    "ContinualConfig",
    "Decides",
    "Decision",
    "Gate",
    "Kl",
    "Learner",
    "Learnt",
    "Prepares",
    "Replay",
    "Route",
    "SequencePlan",
    "Serves",
    "Strategy",
    "parse_row",
    "plan_sequences",
    "row_name",
    "run_sequences",
]
