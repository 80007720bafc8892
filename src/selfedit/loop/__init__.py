"""L3. The two loops of SEAL, free of torch: they work through the seams and keep what they find in the ledger."""

from selfedit.loop.evaluation import Sources, check_files, evaluate, plan_rows, run_eval, take_heldout
from selfedit.loop.kit import Kit
from selfedit.loop.regrading import regrade
from selfedit.loop.rounds import check_adapter, check_prompt, check_sizes, run_training
from selfedit.loop.sequence import check_contexts, draw_sequences, plan_remedies, run_sequences
from selfedit.loop.writing import Draw

__all__ = [
    "Draw",
    "Kit",
    "Sources",
    "check_adapter",
    "check_contexts",
    "check_files",
    "check_prompt",
    "check_sizes",
    "draw_sequences",
    "evaluate",
    "plan_remedies",
    "plan_rows",
    "regrade",
    "run_eval",
    "run_sequences",
    "run_training",
    "take_heldout",
]
