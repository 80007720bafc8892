"""L1. llama.cpp itself, where the package `xllamacpp` is installed: what it answers with an adapter and without."""

from __future__ import annotations

import importlib
import importlib.util
import secrets
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from selfedit.engine.export.asking import AskedTokens, Heard
from selfedit.engine.model.control_tokens import text_ids
from selfedit.errors import SelfeditError

_ALL = 1_000_000
"""More tokens than any model has."""


def is_here() -> bool:
    """Whether llama.cpp can be asked."""
    return importlib.util.find_spec("xllamacpp") is not None


class LlamaCpp:
    """A base model in llama.cpp, with an adapter or without, on the CPU.

    Args:
        context: tokens of all texts together that are under way at once.
        texts: how many these are.

    Raises:
        SelfeditError: llama.cpp does not load them.
    """

    def __init__(self, base: Path, adapter: Path | None = None, context: int = 1024, texts: int = 1) -> None:
        xllamacpp: Any = importlib.import_module("xllamacpp")
        params = xllamacpp.CommonParams()
        params.model.path = str(base)
        params.n_ctx, params.n_parallel, params.n_gpu_layers = context, texts, 0
        params.warmup, params.verbosity, params.fit_params, params.ui = False, -1, False, False
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = torch.get_num_threads()
        params.api_keys = [secrets.token_hex()]  # it listens on the loopback address too; nobody is to ask there
        if adapter is not None:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
        try:
            self._server = xllamacpp.Server(params)
        except Exception as error:
            told = " ".join(str(error).split())[:160] or type(error).__name__
            raise SelfeditError(f"export: llama.cpp does not load {(adapter or base).name} ({told})") from error

    def ask(self, tokenizer: PreTrainedTokenizerBase, asked: AskedTokens) -> Heard:
        """As `asking.ask`."""
        [plain, *_] = text_ids(tokenizer, "a", is_begun=True)
        written: list[int] = []
        while len(written) < asked.longest and not asked.stops & set(written[-1:]):
            written.append(self._likeliest((*asked.prompt, *written), plain, 1)[0]["id"])
        total = 0.0
        for place, token in enumerate(asked.gold):
            found = self._likeliest((*asked.prompt, *asked.gold[:place]), plain, _ALL)
            total += next(one["logprob"] for one in found if one["id"] == token)
        return Heard(asked.cut(written, tokenizer), total / max(1, len(asked.gold)))

    def complete(self, request: dict[str, Any]) -> dict[str, Any]:
        """The server's reply to a request for a completion, in llama.cpp's own words."""
        reply: dict[str, Any] = self._server.handle_completions(request)
        return reply

    def _likeliest(self, prompt: tuple[int, ...], plain: int, n: int) -> list[dict[str, Any]]:
        """The `n` likeliest next tokens with their log-probabilities, best first.

        llama.cpp tells nothing of a token that ends within a character. So `plain`, a token that is a letter, is drawn
        in its place; the log-probabilities are those from before the draw.
        """
        request = {"prompt": list(prompt), "temperature": 0, "n_predict": 1, "n_probs": n}
        reply = self.complete({**request, "logit_bias": [[plain, 1e6]]})
        try:
            found: list[dict[str, Any]] = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        except (KeyError, IndexError, TypeError):
            raise SelfeditError(f"export: llama.cpp does not answer ({str(reply)[:160]})") from None
        return found
