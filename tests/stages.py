"""Every kind of held-out stage, with made-up results: method, right answers in mean, gold log-probability."""

from __future__ import annotations

EVERY_STAGE = {
    "eval-base": ("base", 0.6, -5.4),
    "eval-base-1": ("base", 0.7, -5.3),
    "eval-base-2": ("base", 0.7, -5.2),
    "eval-in-context": ("in-context", 4.2, -0.8),
    "eval-passage": ("passage", 1.6, -4.1),
    "eval-synthetic-0": ("synthetic", 2.0, -3.6),
    "eval-synthetic-1": ("synthetic", 2.2, -3.2),
    "eval-synthetic-2": ("synthetic", 2.8, -2.9),
    "eval-synthetic:rewrite-0": ("synthetic", 2.2, -3.3),
    "eval-synthetic:rewrite-1": ("synthetic", 2.3, -3.1),
    "eval-synthetic:rewrite-2": ("synthetic", 2.6, -3.0),
    "eval-distil-0": ("distil", 2.1, -3.4),
    "eval-distil:rewrite-0": ("distil", 2.0, -3.5),
    "eval-seal-edits-1": ("seal-edits", 2.1, -3.4),
    "eval-seal-edits-2": ("seal-edits", 2.5, -3.1),
    "eval-edits:gpt-4.1-0": ("edits", 2.7, -2.9),
    "eval-edits:gpt-4-0": ("edits", 2.3, -3.2),
    "eval-writer:big-writer-0": ("writer", 2.4, -3.1),
}
"""Stage → method, right answers of five, log-probability: every kind of row that an evaluation can hold."""
