"""L1. Self-edits written by a model behind an endpoint, for comparison with those that the policy writes itself.

An endpoint takes messages and not the beginning of a reply, so the opening of a prompt is asked for in words, and taken
off where the reply has it: what comes back is what `Engine.write` would give. A prompt's JSON schema is sent along; how
far it binds is up to the endpoint. `Prompt.plain` has no meaning here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from selfedit import seeds
from selfedit.endpoints import ChatRequest, Endpoint, Reply
from selfedit.records import Prompt, Sampling, Written

_SEEDS = 2**31
"""Endpoints differ in how large a seed may be; below this all agree."""


class EndpointWriter:
    """Writes what an engine would write, by asking an endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def write(
        self, prompts: Sequence[Prompt], n: int, sampling: Sampling, seeds_P: Sequence[int]
    ) -> list[list[Written | str]]:
        """`n` texts for each prompt, or the reason why there is none; `seeds_P[i]` decides the draws of prompt i."""
        requests = [
            ask_writer(prompt, sampling, seed, draw)
            for prompt, seed in zip(prompts, seeds_P, strict=True)
            for draw in range(n)
        ]
        replies = iter(self.endpoint.complete(requests))
        return [[_read(prompt, next(replies)) for _ in range(n)] for prompt in prompts]


def ask_writer(prompt: Prompt, sampling: Sampling, seed: int, draw: int) -> ChatRequest:
    """Draw number `draw` of the replies to `prompt`."""
    opening = "" if prompt.json_schema else prompt.opening
    text = (
        f"{prompt.text.rstrip()}\n\nBegin your reply with exactly these words:\n{opening}" if opening else prompt.text
    )
    return ChatRequest(text, sampling, seeds.derive(seed, "endpoint", draw) % _SEEDS, draw, prompt.json_schema)


def without_opening(opening: str, text: str) -> str:
    """`text` without the opening, whatever the white space in and before it; whole where it begins otherwise."""
    if not opening.split():
        return text
    begin = re.match(r"\s*" + r"\s+".join(map(re.escape, opening.split())), text)
    return text[begin.end() :] if begin else text


def _read(prompt: Prompt, reply: Reply) -> Written | str:
    if reply.failure:
        return reply.failure
    return Written(without_opening(prompt.opening, reply.text), reply.completion_tokens or 0, reply.is_finished)
