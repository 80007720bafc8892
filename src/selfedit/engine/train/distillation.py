"""L1. Self-distillation: what the policy expects with the context in sight, the adapter learns to expect without it.

The policy itself (the base and its own adapter, nothing else) reads the teacher's prompt and then the completion, and
says how likely it holds each next token. These distributions are what the student's tokens are trained on, instead of
the tokens themselves: the loss is the cross-entropy against them, which is their Kullback-Leibler divergence from the
student's plus a constant. The idea is prompt distillation; the paper trains on the text.

1. Of a distribution the likeliest tokens are kept, and share its whole mass in proportion: the rest of a vocabulary
   costs more memory than it teaches.
2. The teacher never changes during a trial, so that each distinct sequence passes it once for all epochs and adapters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from selfedit.engine.forward.attention import PlanHolder
from selfedit.engine.forward.packing import Soft, Tokens, batches_of, pack
from selfedit.engine.forward.scoring import likeliest
from selfedit.engine.train.adapters import TrainingJob

CANDIDATES = 64
"""How many of the likeliest tokens a distribution keeps."""


def taught(
    model: Any, holder: PlanHolder, jobs: Sequence[TrainingJob], max_tokens: int, slots: Sequence[int] = ()
) -> list[TrainingJob]:
    """The jobs, with what their teachers expect at every place that carries loss.

    Args:
        max_tokens: most tokens in one forward pass.
        slots: where in the bank each job's policy lies, unless an example is anchored. Empty: in none.
    """

    def teacher(job: int, tokens: Tokens) -> tuple[Tokens, int] | None:
        """Who reads what."""
        slot = slots[job] if slots and not tokens.is_anchored else -1
        return None if tokens.teacher is None else (tokens.teacher, slot)

    found = [teacher(i, tokens) for i, job in enumerate(jobs) for tokens in job.examples]
    wanted = list(dict.fromkeys(one for one in found if one is not None))
    read, held = [tokens for tokens, _ in wanted], [slot for _, slot in wanted]
    soft_of = dict(zip(wanted, expectations(model, holder, read, max_tokens, held), strict=True))

    def learn(job: int, tokens: Tokens) -> Tokens:
        one = teacher(job, tokens)
        return tokens if one is None else replace(tokens, soft=soft_of[one])

    return [replace(job, examples=tuple(learn(i, tokens) for tokens in job.examples)) for i, job in enumerate(jobs)]


def expectations(
    model: Any, holder: PlanHolder, sequences: Sequence[Tokens], max_tokens: int, slots: Sequence[int] = ()
) -> list[Soft]:
    """For each sequence, what the policy alone expects in the place of each token that carries loss; with `slots`, the
    adapter in the bank's slot on top, below 0 none."""
    k = min(CANDIDATES, model.config.get_text_config().vocab_size)
    found: dict[int, Soft] = {}
    order = sorted(range(len(sequences)), key=lambda i: slots[i] if slots else -1)
    for chunk in batches_of(sequences, order, max_tokens):
        held = [slots[i] if slots else -1 for i in chunk]
        packed = pack([sequences[i] for i in chunk], held, model.device)
        ids, logits = likeliest(model, holder, packed, k)
        parts = zip(ids.int().split(packed.loss_counts), logits.softmax(1).split(packed.loss_counts), strict=True)
        found.update({chunk[owner]: Soft(*part) for owner, part in zip(packed.owners, parts, strict=True)})
    return [found[i] for i in range(len(sequences))]
