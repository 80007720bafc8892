"""selfedit: language models that write their own training data, learn from it, and learn to write it better.

What users need, loaded when it is first asked for:

    runs        train, evaluate, learn_in_sequence, build_report, Ledger; TrainConfig, EvalConfig, ContinualConfig
    documents   Library; LearnSettings, LearningReport, LibraryReply, Consolidation, WholeSettings
    agents      Agent; Feedback, Episode, Observation, AgentSettings, Rested
    a model     load_engine, AdapterFolders, EnginePool
    tasks       TaskPlugin, TaskSettings, PassagesTask, load_passages, find_task, load_task
    methods     Method, Row, RowRequest, find_method
    strategies  Replay, Kl, Gate, Route, Learner, Chain
    records     Context, Question, Prompt, Example, Query, TrialSpec, Trial, Generation, Update, Policy, Stage, …
    errors      SelfeditError, SettingError, InvalidEdit

`selfedit.testing` has a fake for every seam.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Read when torch is loaded: a thread of a product that is ahead of the others turns so many times, and then gives
    # its core up. By itself it would turn 300 times as long, and starve whatever else is on that core.

_PUBLIC = {
    "selfedit.api": ("Agent", "Library", "build_report", "evaluate", "learn_in_sequence", "train"),
    "selfedit.continual": ("Chain", "ContinualConfig", "Gate", "Kl", "Learner", "Replay", "Route"),
    "selfedit.engine": ("TorchEngine", "load_engine"),
    "selfedit.errors": ("InvalidEdit", "SelfeditError", "SettingError"),
    "selfedit.executors": ("EnginePool",),
    "selfedit.grading": ("grade_answers", "load_grader"),
    "selfedit.learn.agent": ("AgentSettings", "Rested"),
    "selfedit.learn": ("Consolidation", "LearnSettings", "LearningReport", "LibraryReply", "WholeSettings"),
    "selfedit.loop": ("EvalConfig", "Method", "Row", "RowRequest", "Runtime", "TrainConfig", "find_method"),
    "selfedit.records": (
        "UNTOUCHED",
        "Answer",
        "Completion",
        "Context",
        "Episode",
        "Example",
        "Feedback",
        "Generation",
        "Observation",
        "Outcome",
        "Policy",
        "Prompt",
        "Query",
        "Question",
        "SamplingParams",
        "SelfEdit",
        "Stage",
        "TrainingConfig",
        "Trial",
        "TrialResult",
        "TrialSpec",
        "Update",
    ),
    "selfedit.store": ("AdapterFolders", "Ledger"),
    "selfedit.tasks": ("PassagesTask", "TaskPlugin", "find_task", "load_passages", "load_task"),
    "selfedit.config": ("TaskSettings",),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = sorted(_MODULE_OF)  # made from the table above


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'selfedit' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
