"""L1. llama.cpp itself, where the package `xllamacpp` is installed: what it answers with an adapter and without."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from selfedit.engine.export.asking import Asked, Said
from selfedit.errors import SelfeditError

_LIKELIEST = 1_000_000
"""Tokens whose log-probabilities are asked for: all of them."""


def is_here() -> bool:
    """Whether llama.cpp can be asked."""
    return importlib.util.find_spec("xllamacpp") is not None


class LlamaCpp:
    """A base model in llama.cpp, with an adapter or without, on the CPU.

    Raises:
        SelfeditError: llama.cpp does not load them.
    """

    def __init__(self, base: Path, adapter: Path | None = None, context: int = 1024) -> None:
        xllamacpp: Any = importlib.import_module("xllamacpp")
        params = xllamacpp.CommonParams()
        params.model.path = str(base)
        params.n_ctx, params.n_parallel, params.n_gpu_layers = context, 1, 0
        params.warmup, params.verbosity, params.fit_params, params.ui = False, -1, False, False
        if adapter is not None:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
        try:
            self._server = xllamacpp.Server(params)
        except Exception as error:
            told = " ".join(str(error).split())[:160] or type(error).__name__
            raise SelfeditError(f"export: llama.cpp does not load {(adapter or base).name} ({told})") from error

    def ask(self, tokenizer: PreTrainedTokenizerBase, asked: Asked) -> Said:
        """As `asking.ask`."""
        written = [one["id"] for one in self._complete(asked.prompt, max(1, asked.longest), 1)]
        total = 0.0
        for place, token in enumerate(asked.gold):
            [found] = self._complete((*asked.prompt, *asked.gold[:place]), 1, _LIKELIEST)
            total += next(one["logprob"] for one in found["top_logprobs"] if one["id"] == token)
        return Said(asked.cut(written, tokenizer), total / max(1, len(asked.gold)))

    def _complete(self, prompt: tuple[int, ...], most: int, likeliest: int) -> list[dict[str, Any]]:
        """The tokens of a greedy continuation, each with the likeliest at its place."""
        request = {"prompt": list(prompt), "temperature": 0, "n_predict": most, "n_probs": likeliest}
        reply = self._server.handle_completions({**request, "cache_prompt": False})
        try:
            found: list[dict[str, Any]] = reply["choices"][0]["logprobs"]["content"]
        except (KeyError, IndexError, TypeError):
            raise SelfeditError(f"export: llama.cpp does not answer ({str(reply)[:160]})") from None
        return found
