"""L1. A question put to a plain transformers model: greedy, as the engine puts it, without its bank and packs.

What was exported is for other programs. So it is asked by other code than it was learnt by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from selfedit.engine.lora.bank import Matrices
from selfedit.engine.model.tokenization import gold_tokens
from selfedit.records import Query


@dataclass(frozen=True, slots=True)
class AskedTokens:
    """A question as token ids, and where its answer ends."""

    prompt: tuple[int, ...]
    """What is read."""
    gold: tuple[int, ...]
    """The gold answer behind it."""
    stops: frozenset[int]
    """Tokens that end a text."""
    longest: int
    """Most tokens of an answer."""

    def cut(self, ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
        """The text of these tokens, up to an end token or the first line break behind a word."""
        text = ""
        for place, token in enumerate(ids[: self.longest]):
            if token in self.stops:
                break
            text = str(tokenizer.decode(list(ids[: place + 1]), skip_special_tokens=True))
            if "\n" in text.lstrip():
                break
        return text.strip().partition("\n")[0].strip()


@dataclass(frozen=True, slots=True)
class Heard:
    """What a model makes of a question."""

    text: str
    """Greedy answer."""
    logprob: float
    """Of the gold answer, nats per token in the mean."""


def as_asked(model: Any, tokenizer: PreTrainedTokenizerBase, query: Query) -> AskedTokens:
    """The query for this model."""
    tokens = gold_tokens(tokenizer, query)
    named = model.generation_config.eos_token_id if model.generation_config else None
    stops = {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])} - {None}
    split = tokens.loss_from
    return AskedTokens(tuple(tokens.ids[:split]), tuple(tokens.ids[split:]), frozenset(stops), query.max_new_tokens)


@torch.inference_mode()
def ask(model: Any, tokenizer: PreTrainedTokenizerBase, asked: AskedTokens) -> Heard:
    """The greedy answer, and how likely the gold one is."""
    ids = torch.tensor([[*asked.prompt, *asked.gold]], device=model.device)
    logits = model(input_ids=ids).logits[0, len(asked.prompt) - 1 : -1].double()
    found = logits.log_softmax(-1)[range(len(asked.gold)), list(asked.gold)]
    written: list[int] = []
    given, past = torch.tensor([asked.prompt], device=model.device), None
    while len(written) < asked.longest and not asked.stops & set(written[-1:]):
        out = model(input_ids=given, past_key_values=past, use_cache=True)
        past, given = out.past_key_values, out.logits[:, -1:].argmax(-1)
        written.append(int(given))
    return Heard(asked.cut(written, tokenizer), float(found.mean()))


@contextmanager
def adapted(model: torch.nn.Module, matrices: Matrices) -> Iterator[None]:
    """Within, the model answers with these added to its layers; its weights are left alone."""
    modules: Mapping[str, torch.nn.Module] = dict(model.named_modules())
    hooks = [modules[name].register_forward_hook(_addition(*pair)) for name, pair in matrices.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _addition(a: torch.Tensor, b: torch.Tensor) -> Any:
    def add(module: torch.nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> torch.Tensor:
        x = given[0]
        wide = torch.promote_types(x.dtype, a.dtype)
        update = (x.to(wide) @ a.to(x.device, wide).t()) @ b.to(x.device, wide).t()
        return out + update.to(out.dtype)

    return add
