"""L1. Self-edits written by a model behind an endpoint, for comparison with those that the policy writes itself.

An endpoint takes messages and not the beginning of a reply, so the prefill of a prompt is asked for in words, and taken
off where the reply has it: what comes back is what an engine would give. A prompt's JSON schema is sent along; how
far it binds is up to the endpoint. `Prompt.raw` has no meaning here.

A writer's thoughts are no part of the text. One that is cut off by the length bound is a text like any other, as it is
where the policy writes: that is what the bound is for. Where the bound comes before the thoughts end, there is no text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from selfedit import seeds
from selfedit.endpoints import ChatRequest, Endpoint, Reply
from selfedit.records import Completion, Failed, Prompt, SamplingParams

_SEEDS = 2**31
"""Endpoints differ in how large a seed may be; below this all agree."""


class EndpointWriter:
    """Writes what an engine would write, by asking an endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def write(
        self, prompt_draws: Sequence[tuple[Prompt, int, int]], sampling: SamplingParams
    ) -> list[Completion | Failed]:
        """A text for each (prompt, seed of its draws, number of the draw), or the reason why there is none."""
        requests = [ask_writer(prompt, sampling, seed, draw) for prompt, seed, draw in prompt_draws]
        replies = self.endpoint.complete(requests)
        bound = sampling.max_new_tokens
        return [_read(prompt, reply, bound) for (prompt, _, _), reply in zip(prompt_draws, replies, strict=True)]


def ask_writer(prompt: Prompt, sampling: SamplingParams, seed: int, draw: int) -> ChatRequest:
    """Draw number `draw` of the replies to `prompt`."""
    prefill = "" if prompt.json_schema else prompt.prefill
    text = (
        f"{prompt.text.rstrip()}\n\nBegin your reply with exactly these words:\n{prefill}" if prefill else prompt.text
    )
    return ChatRequest(text, sampling, seeds.derive(seed, "endpoint", draw) % _SEEDS, draw, prompt.json_schema)


def without_prefill(prefill: str, text: str) -> str:
    """`text` without the prefill, whatever the white space in and before it; whole where it begins otherwise."""
    if not prefill.split():
        return text
    begin = re.match(r"\s*" + r"\s+".join(map(re.escape, prefill.split())), text)
    return text[begin.end() :] if begin else text


def _read(prompt: Prompt, reply: Reply, bound: int) -> Completion | Failed:
    if reply.failure:
        return Failed(reply.failure if reply.is_finished else f"{reply.failure} of {bound} tokens (max_new_tokens)")
    return Completion(without_prefill(prompt.prefill, reply.text), reply.completion_tokens or 0, reply.is_finished)
