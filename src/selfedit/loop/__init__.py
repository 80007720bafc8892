"""L3. The two loops of SEAL, free of torch: they work through the seams and keep what they find in the ledger."""

from selfedit.loop.evaluation import (
    Bench,
    HeldoutPlan,
    Method,
    MethodRequest,
    Row,
    RowRequest,
    ask_only,
    evaluate,
    study_context,
    study_written,
)
from selfedit.loop.methods import METHODS, all_methods, by_the_base, find_method, of_policies, once
from selfedit.loop.plan import TrainingPlan, plan_evaluation, plan_training
from selfedit.loop.regrading import regrade
from selfedit.loop.rounds import run_training, trained_rows
from selfedit.loop.runtime import Runtime
from selfedit.loop.settings import EvalConfig, TrainConfig
from selfedit.loop.writing import Draw, Write, engine_write

__all__ = [
    "METHODS",
    "Bench",
    "Draw",
    "EvalConfig",
    "HeldoutPlan",
    "Method",
    "MethodRequest",
    "Row",
    "RowRequest",
    "Runtime",
    "TrainConfig",
    "TrainingPlan",
    "Write",
    "all_methods",
    "ask_only",
    "by_the_base",
    "engine_write",
    "evaluate",
    "find_method",
    "of_policies",
    "once",
    "plan_evaluation",
    "plan_training",
    "regrade",
    "run_training",
    "study_context",
    "study_written",
    "trained_rows",
]
