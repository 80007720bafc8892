"""L5. `selfedit stream`: documents that come, change and go, and what each way of keeping up knows after every one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from selfedit.cli.open_run import opened
from selfedit.cli.output import JsonCommand, Output, say
from selfedit.learn.common_start import check_given
from selfedit.learn.stream import StreamConfig, StreamRun, streams_of
from selfedit.learn.stream.experiment import reader_examples
from selfedit.learn.stream.keeping import CountTokens
from selfedit.learn.stream.writing import taught_examples
from selfedit.records import Example
from selfedit.store.run_folder import check_run
from selfedit.tasks import load_probe, load_task
from selfedit.tasks.documents.task import token_counter
from selfedit.tasks.probe import BUNDLED, more_questions
from selfedit.tasks.streams.edits import oracle_lines, template_lines
from selfedit.tasks.streams.events import DocumentEvent, DocumentStream
from selfedit.tasks.streams.task import study

TRAINED_PER_SECOND, ANSWERED_PER_SECOND = 150, 4
"""Tokens and answers, on a quiet core of the kind of a laptop's (docs/performance.md); other machines scale both."""

_REHEARSED = 36
"""Tokens of a text that is rehearsed, about."""


@dataclass(frozen=True, kw_only=True)
class StreamCommand(JsonCommand):
    """Documents that come, change and go, and the same questions after each: what the model still knows, by every way
    of keeping up."""

    settings: Annotated[StreamConfig, tyro.conf.arg(name="")]
    config: str = ""
    """JSON or YAML file of defaults (a run's config.json will do); flags override it."""

    def run(self, out: Output) -> None:
        """Makes or resumes the stream, and shows its report."""
        out.report(run_stream(self.settings, self.settings.run_path("stream"), out))


@dataclass(frozen=True, slots=True)
class StreamAmount:
    """What a run comes to."""

    trained: int
    """Tokens trained on."""
    asked: int
    """Answers, at most: what stays the same is not asked again."""

    @property
    def minutes(self) -> float:
        """On one quiet core."""
        return (self.trained / TRAINED_PER_SECOND + self.asked / ANSWERED_PER_SECOND) / 60


def run_stream(config: StreamConfig, path: Path, out: Output) -> Path:
    """Makes or resumes the experiment in the folder `path`, which it returns."""
    check_run(path, config.identity(), config.defaults())
    check_given("reader_adapter", config.reader_adapter)
    streams, task, count = streams_of(config), load_task(config), token_counter(config.model)
    amount = stream_amount(config, streams, count)
    say(
        f"about {amount.trained:,} tokens to train on and {amount.asked:,} answers at most,"
        f" {max(1, round(amount.minutes)):,} minutes on one quiet core; what is there already is not done again"
    )
    with opened("stream", config, path, task, out) as runtime:
        runtime.ledger.put_contexts("heldout", task.contexts("heldout"))
        StreamRun(config, runtime, count, streams, load_probe(BUNDLED), more_questions()).run()
    return path


def stream_amount(config: StreamConfig, streams: tuple[DocumentStream, ...], count: CountTokens) -> StreamAmount:
    """What a run takes; self-edits of a model are taken for an oracle's beside the documents' own sentences."""
    trained, asked, arms = 0, 0, len(config.arm_list())
    for stream in streams:
        sizes = {one.number: _tokens(_lines(config, one), count) for one in stream.events if one.text}
        own = sum(sizes[one.number] for one in config.own_adapters(stream))
        trained += (own + sum(sizes.values()) * config.merges) * config.inner.epochs
        for event in config.sleeps(stream):
            there = stream.documents_at(event)
            lines = sum(sizes[one.number] for one in there) + config.rehearsed * _REHEARSED
            asked_behind = config.in_sight * config.sight_tokens * sum(_questions(config, one) for one in there)
            trained += round(config.slow.epochs * (lines + asked_behind))
        if config.writer == "checked":
            asked += config.drafts * sum(_questions(config, one) for one in stream.events if one.text)
        asked += sum(one.since <= e for e in config.exams(stream) for one in stream.questions) * max(1, arms // 2)
    if not config.reader_adapter:
        trained += _tokens(reader_examples(config.reader_examples, config.seed), count) * config.reader.epochs
    if config.writer in ("taught", "checked"):
        examples = taught_examples(config.taught_examples, config.renderings, config.seed)
        trained += _tokens(examples, count) * config.reader.epochs
    return StreamAmount(trained, asked)


def _questions(config: StreamConfig, event: DocumentEvent) -> int:
    """Of a self-edit about a document; those of a file's are counted like three facts."""
    return 0 if config.writer == "template" else config.renderings * (len(event.facts) or 3)


def _lines(config: StreamConfig, event: DocumentEvent) -> tuple[Example, ...]:
    if config.writer == "oracle":
        return study(event.title, oracle_lines(event, {fact.key for fact in event.facts}, config.renderings))
    own = study(event.title, template_lines(event))
    if config.writer == "template":
        return own
    if not event.facts:
        return own * 4
    return (*own, *study(event.title, oracle_lines(event, {fact.key for fact in event.facts}, config.renderings)))


def _tokens(examples: tuple[Example, ...], count: CountTokens) -> int:
    return sum(count(one.completion) + (count(one.prompt.text) if one.prompt else 0) + 1 for one in examples)
