"""L1. Right, wrong or ungraded: metrics, graders, and the grading of answers and of files of answers."""

from selfedit.grading.calibrated.grader import CalibratedGrader
from selfedit.grading.graders import (
    F1_THRESHOLD,
    GRADERS,
    GradeSummary,
    RuleGrader,
    grade_answers,
    grade_file,
    load_grader,
)
from selfedit.grading.judge import JudgeGrader
from selfedit.grading.metrics import contains, exact, f1, normalise

__all__ = [
    "F1_THRESHOLD",
    "GRADERS",
    "CalibratedGrader",
    "GradeSummary",
    "JudgeGrader",
    "RuleGrader",
    "contains",
    "exact",
    "f1",
    "grade_answers",
    "grade_file",
    "load_grader",
    "normalise",
]
