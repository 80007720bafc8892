"""What models and endpoints say: texts of the policy on fakes, and whole responses of an endpoint on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

from selfedit.cli import open_run
from selfedit.endpoints.requests import encodable
from selfedit.records import Prompt
from selfedit.testing.engines import made_up_text
from tests.support.commands import start_fake
from tests.support.endpoint_server import EndpointServer, Said, Seen
from tests.support.fuzz.inputs import ANSWERS, DIRECTIVES, PASSAGES, PUZZLE, REPLY, Kind
from tests.support.fuzz.mutations import TEXTS, as_bytes, damaged, json_files, mutated, texts

_PROMPTS = ("implications", "self-qa", "rewrite", "chain-of-thought", "implications-long", "none")


class Speaking:
    """What the fakes' policy and the endpoint say next."""

    def __init__(self) -> None:
        self.text: str | None = None
        """Every text that the policy writes; None: what fakes write."""
        self.said = Said(200, b"")
        """Every response of the endpoint."""
        self.url = ""

    @contextmanager
    def on(self) -> Iterator[None]:
        """The policy and the endpoint say so while the block lasts."""
        before = open_run.start_engine

        def start(config, adapters):  # type: ignore[no-untyped-def]
            engine = start_fake(config, adapters)
            engine.write_text = self._write
            return engine

        with EndpointServer(self._answer) as server:
            self.url = server.url
            open_run.start_engine = start  # type: ignore[assignment]
            try:
                yield
            finally:
                open_run.start_engine = before

    def _write(self, prompt: Prompt, seed: int) -> str:
        return made_up_text(prompt, seed) if self.text is None else self.text

    def _answer(self, seen: Seen) -> Said:
        return self.said


SPEAKING = Speaking()
"""Of this process."""


def _said(draw: st.DrawFn, *others: st.SearchStrategy[str]) -> str:
    """A text as a tokenizer decodes it: without halves of surrogate pairs."""
    return encodable(draw(st.one_of(texts(), *others)))


def _written(draw: st.DrawFn, here: Path) -> list[str]:
    SPEAKING.text = _said(draw)
    (here / "p.jsonl").write_bytes(b"\n".join(as_bytes(one, True) for one in PASSAGES))
    methods = draw(st.sampled_from(["synthetic", "synthetic,distil", "entigraph", "active-reading"]))
    prompt = draw(st.sampled_from(_PROMPTS))
    return f"eval --data p.jsonl --methods {methods} --prompt {prompt} --contexts 1 --n-edits 1 --run r --json".split()


def _directives(draw: st.DrawFn, here: Path) -> list[str]:
    SPEAKING.text = _said(draw, json_files([DIRECTIVES]).map(lambda told: told.decode("utf-8", "replace")))
    (here / "f.json").write_bytes(as_bytes(PUZZLE, True))
    recipe = draw(st.sampled_from(["arc", "arc-paper"]))
    words = (
        f"eval --task arc --recipe {recipe} --data none --heldout-data f.json --methods synthetic --n-edits 1 --run r"
    )
    return words.split()


def _given_directives(draw: st.DrawFn, here: Path) -> list[str]:
    (here / "f.json").write_bytes(as_bytes(PUZZLE, True))
    told = draw(json_files([DIRECTIVES])).decode("utf-8", "replace").replace("\0", "")
    return ["solve", "f.json", "--directives", told, "--run", "r"]


def _respond(draw: st.DrawFn) -> None:
    """Draws the endpoint's response."""
    status = draw(st.sampled_from([200] * 12 + [204, 400, 401, 404, 422]))
    body = draw(json_files([REPLY]))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        said = {**REPLY["choices"][0], "message": {"role": "assistant", "content": draw(texts())}}  # type: ignore[index, dict-item]
        body = as_bytes({**REPLY, "choices": [said]}, True)
    elif kind == 1:
        body = as_bytes(draw(mutated([{"error": {"message": draw(st.sampled_from(TEXTS)), "code": "x"}}])), True)
    elif kind == 2:
        body = draw(damaged(json.dumps(REPLY).encode()))
    SPEAKING.said = Said(status, b"" if status == 204 else body)


def _judged(draw: st.DrawFn, here: Path) -> list[str]:
    _respond(draw)
    (here / "f.jsonl").write_bytes(b"\n".join(as_bytes(one, True) for one in ANSWERS))
    return ["grade", "f.jsonl", "--grader", "judge", "--judge", SPEAKING.url, "--judge-model", "m", "--json"]


def _endpoint_written(draw: st.DrawFn, here: Path) -> list[str]:
    _respond(draw)
    (here / "p.jsonl").write_bytes(b"\n".join(as_bytes(one, True) for one in PASSAGES))
    words = (
        f"eval --data p.jsonl --methods base,writer --writer {SPEAKING.url} --writer-model m --contexts 1 --n-edits 1"
    )
    return [*words.split(), "--run", "r", "--json"]


REPLY_KINDS = (
    Kind("written", _written, 800),
    Kind("directives", _directives, 400),
    Kind("given-directives", _given_directives, 100),
    Kind("judged", _judged, 600),
    Kind("endpoint-written", _endpoint_written, 400),
)
"""What is said by a model."""
