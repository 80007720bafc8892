"""L5. `selfedit eval`: a table of methods on held-out contexts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from selfedit.cli.open_run import load_writer, opened, trained_policies
from selfedit.cli.output import JsonCommand, Output
from selfedit.edits import EndpointWriter, read_edit_files
from selfedit.endpoints import Endpoint
from selfedit.loop import Draw, EvalConfig, Write, engine_write, evaluate, plan_evaluation
from selfedit.loop.plan import writer_name
from selfedit.loop.writing import Written
from selfedit.protocols import Done
from selfedit.records import UNTOUCHED, SamplingParams
from selfedit.store.run_folder import check_run
from selfedit.tasks import load_task


@dataclass(frozen=True, kw_only=True)
class Eval(JsonCommand):
    """A table of methods on held-out contexts."""

    settings: Annotated[EvalConfig, tyro.conf.arg(name="")]
    config: str = ""
    """JSON or YAML file of defaults (a run's config.json will do); flags override it."""

    def run(self, out: Output) -> None:
        """Makes or resumes the evaluation, and shows its report."""
        out.report(run_evaluation(self.settings, self.settings.run_path("eval"), out))


def run_evaluation(config: EvalConfig, path: Path, out: Output, is_newest_alone: bool = False) -> Path:
    """Makes or resumes an evaluation in the folder `path`, which it returns. `is_newest_alone`: of the trained policies
    the last one only."""
    check_run(path, config.identity(), config.defaults())
    task = load_task(config)
    policies = trained_policies(Path(config.policy), task) if config.policy else []
    policies = policies[-1:] if is_newest_alone else policies
    plan = plan_evaluation(config, task, policies, read_edit_files(config.edits))
    with opened("eval", config, path, task, out, policies) as runtime:
        runtime.ledger.put_contexts("heldout", plan.contexts)
        writers, endpoint = _writers(config)
        evaluate(runtime, plan, writers, endpoint)
    return path


def _writers(config: EvalConfig) -> tuple[Mapping[str, Write], Endpoint | None]:
    """How the other model writes, by its name, with the endpoint behind it; nothing where none is named."""
    if not config.writer:
        return {}, None
    if settings := config.writer_settings():
        writer = EndpointWriter(Endpoint(settings))
        return {writer_name(config): _endpoint_write(writer, config.sampling)}, writer.endpoint
    return {writer_name(config): engine_write(load_writer(config), UNTOUCHED, config.sampling)}, None


def _endpoint_write(writer: EndpointWriter, sampling: SamplingParams) -> Write:
    def write(groups: Iterable[Sequence[Draw]]) -> Iterator[Done[Written]]:
        for number, group in enumerate(groups):
            drawn = [(draw.prompt, draw.seed, draw.number) for draw in group]
            yield Done(number, tuple(writer.write(drawn, sampling)))

    return write
