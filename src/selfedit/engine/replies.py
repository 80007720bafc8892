"""L1. What the model says: texts drawn, and queries answered, each with the adapter in its slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from transformers import PreTrainedTokenizerBase

from selfedit.engine.forward.attention import PlanHolder
from selfedit.engine.forward.packing import Tokens
from selfedit.engine.forward.trunk import Lower
from selfedit.engine.generate import few_rows
from selfedit.engine.generate.candidates import continuation_logprobs
from selfedit.engine.generate.decoding import Decoder, Request
from selfedit.engine.generate.grammar import JsonGrammars
from selfedit.engine.model import tokenization
from selfedit.engine.model.control_tokens import special_tokens
from selfedit.engine.model.memory import Sizes
from selfedit.errors import UnfitText
from selfedit.records import Answer, Completion, Generation, Invalid, Query, SamplingParams
from selfedit.thinking import is_mark

ROOM = 4
"""Passes without a backward one take so many times the tokens of one that trains."""


class Speaker:
    """Draws texts and answers queries with a model whose adapters are in place.

    Args:
        sizes: how much goes through the model at once; read anew each time, for it shrinks where memory runs out.
        max_context: most tokens of a prompt with its text.
        is_drawn_rounded: texts are drawn with base weights of 8 bits; queries are always answered with the model's own.
    """

    def __init__(
        self,
        model: Any,
        holder: PlanHolder,
        tokenizer: PreTrainedTokenizerBase,
        sizes: Sizes,
        max_context: int,
        is_drawn_rounded: bool = False,
    ) -> None:
        self.model, self.holder, self.tokenizer = model, holder, tokenizer
        self.sizes, self.max_context = sizes, max_context
        self.is_drawn_rounded = is_drawn_rounded

    @cached_property
    def facts(self) -> dict[str, str]:
        """What texts depend on beside the model: the compiler of steps of few rows, where there is one."""
        return {"numba": few_rows.compiler()} if few_rows.is_compiled(self.model, self.holder) else {}

    def draw(self, items: Sequence[Generation], slots: Sequence[int]) -> list[Completion | Invalid]:
        """A text for each item, by the adapter in its slot, or for -1 by what lies beneath the bank; or the reason why
        there can be none: the prompt with its text is longer than the model's context, or no prompt for this model."""
        asked = [self._request(item, slot) for item, slot in zip(items, slots, strict=True)]
        drawn = iter(self._decode([request for request in asked if isinstance(request, Request)], self.drawer))
        return [one if isinstance(one, Invalid) else self._completion(*next(drawn)) for one in asked]

    def _request(self, item: Generation, slot: int) -> Request | Invalid:
        try:
            ids, longest = tokenization.prompt_ids(self.tokenizer, item.prompt), item.sampling.max_new_tokens
        except UnfitText as error:
            return Invalid(str(error))
        if len(ids) + longest > self.max_context:
            told = f"a prompt of {len(ids)} tokens with up to {longest} for the text"
            return Invalid(f"{told} exceeds the model's context of {self.max_context}")
        return Request(ids, slot, item.sampling, item.seed, json_schema=item.prompt.json_schema)

    def _completion(self, ids: list[int], is_finished: bool) -> Completion:
        return Completion(self.text(ids), len(ids), is_finished)

    def answer(
        self, queries_of: Mapping[int, Sequence[Query]], slot_of: Mapping[int, int], lower: Lower
    ) -> dict[int, tuple[Answer, ...]]:
        """Gold log-probabilities and greedy answers to the queries of each trial, all trials together.

        Args:
            queries_of: trial → its queries.
            slot_of: trial → the slot of its adapter; -1 for none.
            lower: the layers below the adapters.
        """
        asked = [(i, query) for i, queries in queries_of.items() for query in queries]
        if not asked:
            return dict.fromkeys(queries_of, ())
        golds = [tokenization.gold_tokens(self.tokenizer, query) for _, query in asked]
        slots = [slot_of[i] for i, _ in asked]
        logprobs = self._score([query for _, query in asked], golds, slots, lower)
        requests = [
            Request(
                prompt=gold.ids[: gold.loss_from],
                slot=slot,
                sampling=SamplingParams(temperature=0.0, max_new_tokens=query.max_new_tokens),
                is_one_line=query.is_one_line,
                json_schema=query.prompt.json_schema,
            )
            for gold, slot, (_, query) in zip(golds, slots, asked, strict=True)
            if query.max_new_tokens
        ]
        texts = iter([self.text(ids) for ids, _ in self._decode(requests, self.decoder)])
        answers: dict[int, list[Answer]] = {i: [] for i in queries_of}
        for (i, query), logprob in zip(asked, logprobs, strict=True):
            answers[i].append(Answer(query.question_id, next(texts) if query.max_new_tokens else "", logprob))
        return {i: tuple(found) for i, found in answers.items()}

    def _score(
        self, queries: Sequence[Query], golds: Sequence[Tokens], slots: Sequence[int], lower: Lower
    ) -> list[float]:
        """Mean log-probability of each gold answer per token; 0 where there is none."""
        known = [i for i, query in enumerate(queries) if query.gold]
        room = ROOM * self.sizes.pack_tokens
        scored = [golds[i] for i in known], [slots[i] for i in known]
        found = continuation_logprobs(self.model, self.holder, *scored, room, self.sizes.rows, lower)
        by_place = dict(zip(known, found, strict=True))
        return [by_place.get(i, 0.0) for i in range(len(queries))]

    def _decode(self, requests: Sequence[Request], decoder: Decoder) -> list[tuple[list[int], bool]]:
        if not requests:
            return []
        decoder.max_rows, decoder.max_tokens = self.sizes.rows, ROOM * self.sizes.pack_tokens
        return decoder.generate(requests)

    def text(self, ids: list[int]) -> str:
        """Tokens as text, without white space at its ends."""
        return self.spoken(ids).strip()

    def spoken(self, ids: Sequence[int]) -> str:
        """Tokens as text, without special ones; but those that mark thoughts stay, for these are left out by them."""
        if self._silent is None:
            return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))
        heard = [i for i in ids if i not in self._silent]
        return str(self.tokenizer.decode(heard, skip_special_tokens=False))

    @cached_property
    def _silent(self) -> frozenset[int] | None:
        """Special tokens that are no part of a text, where some are that mark thoughts; None where all are not."""
        special = special_tokens(self.tokenizer)
        silent = frozenset(number for token, number in special.items() if not is_mark(token))
        return silent if len(silent) < len(special) else None

    @cached_property
    def drawer(self) -> Decoder:
        """Draws texts: with base weights of 8 bits where that is wanted."""
        if not self.is_drawn_rounded:
            return self.decoder
        own = self.decoder
        tokens = own.stop_ids, own.line_ids, own.blank_ids
        return Decoder(self.model, self.holder, *tokens, grammars=own.grammars, is_rounded=True)

    @cached_property
    def decoder(self) -> Decoder:
        """Writes token by token; knows the tokens that end a text or a line."""
        texts = self.tokenizer.batch_decode([[i] for i in range(len(self.tokenizer))])
        lines = frozenset(i for i, text in enumerate(texts) if "\n" in text)
        blanks = frozenset(i for i, text in enumerate(texts) if not text.strip())
        stops = {self.tokenizer.eos_token_id}
        configured = self.model.generation_config.eos_token_id if self.model.generation_config else None
        stops.update(configured if isinstance(configured, list) else [configured])
        stop_ids = frozenset(i for i in stops if i is not None)
        grammars = JsonGrammars(self.tokenizer, self.model.config.get_text_config().vocab_size, stop_ids)
        return Decoder(self.model, self.holder, stop_ids, lines, blanks, grammars=grammars)
