"""L1. A trial becomes a job: its examples as tokens that fit the model's context, or the reason why they do not."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from selfedit.engine import rendering
from selfedit.engine.packing import Tokens, split_to_context
from selfedit.engine.training import Job
from selfedit.records import Ask, Trial


def job_of(tokenizer: PreTrainedTokenizerBase, trial: Trial, most: int) -> Job | str:
    """The trial's training job, or why it cannot be done in a context of `most` tokens."""
    for ask in trial.study.asks:
        if (longest := _ask_length(tokenizer, ask)) > most:
            return f"a question with its answer of {longest} tokens exceeds the model's context of {most}"
    examples: list[Tokens] = []
    for example in trial.study.examples:
        tokens = rendering.example_tokens(tokenizer, example)
        if why := _misfit(tokens, most):
            return why
        examples += split_to_context(tokens, most)
    return Job(tuple(tokens for tokens in examples if tokens.loss_count > 0), trial.settings, trial.seed)


def _ask_length(tokenizer: PreTrainedTokenizerBase, ask: Ask) -> int:
    prompt = len(rendering.prompt_ids(tokenizer, ask.prompt))
    return max(prompt + ask.max_new_tokens, len(rendering.gold_tokens(tokenizer, ask).ids))


def _misfit(tokens: Tokens, most: int) -> str:
    """Why an example cannot be studied; empty where it can. A bare text alone may be longer than the context."""
    if tokens.teacher is not None and tokens.teacher.loss_from < 1:
        return "an example's teacher has an empty prompt"
    if tokens.teacher is not None and tokens.reach > most:
        return f"an example of {tokens.reach} tokens with its teacher's prompt exceeds the model's context of {most}"
    if len(tokens.ids) > most and (tokens.loss_from > 1 or tokens.gaps):
        return f"an example of {len(tokens.ids)} tokens with a prompt exceeds the model's context of {most}"
    return ""
