"""L0. What every run is told: one frozen record, checked when it is made.

A record here is the command line, the `--config` file and the run's config.json at once: the flag `--inner.epochs` is
the field `inner.epochs`, its help is the docstring under the field, and its default comes from a recipe. What a task
alone is told (where its data is, how it asks) is in `task_args`, a record of the task's own. Values that cannot work
are refused here, by the name of their field, before anything is loaded.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializeAsAny, model_validator

from selfedit.endpoints import EndpointSettings
from selfedit.errors import Field, SettingError
from selfedit.records import Budget, SamplingParams, TrainingConfig, WarmConfig, digest

EMBEDDED_MODEL = "smollm2-135m"
JUDGE = "judge"
"""The grader that asks an endpoint."""
FIXED_LEARNER = "untouched"
"""The learner that has none of the policy's updates."""
WARM_LEARNER = "warm"
"""The learner that is warmed up at the start of the run."""
SHIPPED_LEARNER = "shipped"
"""The learner that the package brings along for the embedded model, warmed up before."""


class TaskSettings(BaseModel):
    """What every task is told; a task's own settings are a subclass."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str = ""
    """What is learnt: a file, or a name that the task knows."""
    heldout_data: str = ""
    """The same for contexts that never train the policy. Empty: the held-out part of the data."""
    prompt: str = ""
    """How a self-edit is asked for."""


class Placement(BaseModel):
    """Where work is done: no part of what a run is, for the same groups come out alike wherever they are done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    executor: Literal["local", "ray"] = "local"
    """Who does the work: `local`, this process; `ray`, workers, each with a model of its own, on this machine or on
    many (extra `ray`). No part of a run's identity."""
    ray_address: str = ""
    """A Ray cluster that runs already: `auto`, or `HOST:PORT`. Empty: one is started on this machine, and ends with the
    command."""
    workers: int | None = None
    """How many workers. None: one for each GPU; where there is none, one for each machine."""

    @model_validator(mode="after")
    def _check_placement(self) -> Placement:
        for name in ("ray_address", "workers"):
            if self.executor != "ray" and getattr(self, name) not in ("", None):
                raise SettingError(Field(name), " has no use without ", Field("executor"), " ray")
        if self.workers is not None:
            at_least(1, "workers", self.workers, MOST_WORKERS)
        return self


PLACEMENT = frozenset(Placement.model_fields)
"""Fields that are no part of what a run is."""
MOST_WORKERS = 10_000
"""A slip of the finger asks for more."""


class RunConfig(Placement):
    """What all runs share."""

    recipe: str = ""
    """Source of defaults: paper, embedded, documents, arc, arc-paper, demo or demo-quick. Empty: what suits task and
    model."""
    task: str = "passages"
    """What is learnt: passages, documents (without questions), episodes (what an agent was told), stream (documents
    that come, change and go), arc (few-shot puzzles), or a task that another package adds. Some flags are the task's
    own: `--task NAME --help` lists them."""
    task_args: SerializeAsAny[TaskSettings] = TaskSettings()
    """Settings of the task's own, a record of its type; a plain `TaskSettings`: its defaults."""
    model: str = EMBEDDED_MODEL
    """`smollm2-135m` (embedded), a hub id, or a local folder."""
    learner: str = ""
    """Who studies and answers. Empty: the policy that writes. `untouched`: the model without the policy's updates.
    `warm`: the model, warmed up first on training contexts with their questions (see the warm options). `shipped`: the
    embedded model, warmed up before, as it comes with the package. Else the folder of an adapter of this model, or
    another model: a hub id or a local folder."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """Number type of the base: `auto`, `float32` or `bfloat16`."""
    write_dtype: str = "same"
    """Number type of the base while self-edits are drawn: `same`, or `int8`, which is quicker on a CPU. Questions are
    answered and self-edits studied in `dtype`."""
    grader: str = "contains"
    """Who says whether an answer is correct: contains, exact, f1, calibrated, or judge, a model behind an endpoint.
    Puzzles: attempts, one of two must be the very grid. Episodes: line, the very action."""
    judge: str = ""
    """URL of the judge's OpenAI-compatible endpoint, e.g. `http://localhost:8000/v1`. The key, where one is needed, is
    read from SELFEDIT_API_KEY or OPENAI_API_KEY."""
    judge_model: str = ""
    """The judge's name at that endpoint."""
    judge_prices: tuple[float, float] | None = None
    """What a million tokens cost there, read and written. No part of a run's identity."""
    inner: TrainingConfig = TrainingConfig()
    """The inner loop: the adapter of one trial."""
    warm: WarmConfig = WarmConfig()
    """The learner `warm`: what it is trained on before anything is studied."""
    sampling: SamplingParams = SamplingParams()
    """How self-edits are drawn."""
    bank: int = 0
    """Trials (or texts) done at once; part of a run's identity, for it touches last digits. 0: the engine decides."""
    cut_for: int = 1
    """Workers that work is cut for: where a stage has too little for them, its groups are smaller than a bank. Part of
    a run's identity above 1, for it touches last digits; the number of workers is not."""
    seed: int = 0
    """Every draw of the run comes from this."""
    run: str = ""
    """Run folder; the same command on the same folder resumes. Empty: a folder under `runs/` named by the settings."""

    @model_validator(mode="after")
    def _check_shared(self) -> RunConfig:
        for name in ("task", "model", "device", "dtype", "grader"):
            require_words(name, getattr(self, name))
        for name in ("data", "prompt"):  # a task that leaves them empty takes none
            if type(self.task_args).model_fields[name].default:
                require_words(name, getattr(self.task_args, name))
        self.judge_settings()
        check_training("inner", self.inner)
        _check_warm(self.warm, self.learner)
        if self.learner == SHIPPED_LEARNER and self.model != EMBEDDED_MODEL:
            told = f" {SHIPPED_LEARNER}: is for {EMBEDDED_MODEL}, not for {self.model}; make one with "
            raise SettingError(Field("learner"), told, Field("learner"), f" {WARM_LEARNER}")
        at_least(0, "sampling.temperature", self.sampling.temperature)
        if not 0 < self.sampling.top_p <= 1:
            raise SettingError(Field("sampling.top_p"), " must be above 0 and at most 1")
        at_least(1, "sampling.max_new_tokens", self.sampling.max_new_tokens)
        at_least(0, "bank", self.bank)
        at_least(1, "cut_for", self.cut_for, MOST_WORKERS)
        return self

    def identity(self) -> dict[str, Any]:
        """What makes two runs the same: every field but the folder's name, what things cost, and where they are done.
        `cut_for` and `write_dtype` only where they change something, so that older runs keep their names."""
        usual = {name for name, value in {"cut_for": 1, "write_dtype": "same"}.items() if getattr(self, name) == value}
        return self.model_dump(mode="json", exclude={"run", "judge_prices", "writer_prices", *PLACEMENT, *usual})

    def shared(self) -> dict[str, Any]:
        """What every kind of run takes, by field."""
        return {name: getattr(self, name) for name in RunConfig.model_fields}

    def defaults(self) -> dict[str, Any]:
        """What would make it the same run if nobody had set anything."""
        return type(self)(task_args=type(self.task_args)()).identity()

    def judge_settings(self) -> EndpointSettings | None:
        """The judge's endpoint; None where a rule grades."""
        return judge_settings(self.grader, self.judge, self.judge_model, self.judge_prices)

    def run_path(self, command: str) -> Path:
        """The run folder: as told, or named by command, recipe and a hash of the settings."""
        if self.run:
            return Path(self.run)
        name = self.recipe if self.recipe.startswith(command) else f"{command}-{self.recipe}".rstrip("-")
        return Path("runs") / f"{name}-{digest(self.identity())[:8]}"


def judge_settings(
    grader: str, url: str, model: str, prices: tuple[float, float] | None = None
) -> EndpointSettings | None:
    """The judge's endpoint; None where a rule grades.

    Raises:
        SettingError: a judge without an endpoint, an endpoint without a judge, or one that cannot be.
    """
    if grader == JUDGE and not url:
        needed = " judge needs an endpoint: give ", Field("judge"), " URL and ", Field("judge_model"), " NAME"
        raise SettingError(Field("grader"), *needed)
    if grader != JUDGE and (url or model or prices):
        named = Field("judge" if url else "judge_model" if model else "judge_prices")
        mend = f" is {grader}: add ", Field("grader"), " judge, or leave it out"
        raise SettingError(named, " is given, but ", Field("grader"), *mend)
    price_in, price_out = prices or (None, None)
    return EndpointSettings(url, model, price_in=price_in, price_out=price_out) if grader == JUDGE else None


def check_training(name: str, settings: TrainingConfig) -> None:
    """Refuses training that cannot be; `name`: of the field that holds it."""
    for field, most in (("rank", 16_384), ("epochs", 1_000_000), ("batch_size", 1_000_000)):
        at_least(1, f"{name}.{field}", getattr(settings, field), most)
    for field in ("warmup_steps", "weight_decay", "max_grad_norm"):
        at_least(0, f"{name}.{field}", getattr(settings, field))
    for field in ("alpha", "learning_rate"):
        if not 0 < getattr(settings, field) < float("inf"):
            raise SettingError(Field(f"{name}.{field}"), " must be above 0 and finite")
    if not 0 < settings.top_layers <= 1:
        raise SettingError(Field(f"{name}.top_layers"), f" must be above 0 and at most 1, not {settings.top_layers}")
    if not 0 < settings.skip_above <= 1:
        raise SettingError(Field(f"{name}.skip_above"), f" must be above 0 and at most 1, not {settings.skip_above}")
    require_words(f"{name}.target_modules", settings.target_modules)
    try:
        Budget.parse(settings.budget)
    except ValueError as problem:
        raise SettingError(Field(f"{name}.budget"), f" {problem}") from None


def _check_warm(warm: WarmConfig, learner: str) -> None:
    """Refuses a warm-up that cannot be, or that nobody asked for."""
    check_training("warm.training", warm.training)
    if warm.contexts != -1 and warm.contexts < 1:
        raise SettingError(Field("warm.contexts"), " must be at least 1, or -1 for all")
    if warm.training.method != "lora":
        raise SettingError(Field("warm.training.method"), " must be lora: a learner is stored as an adapter")
    if warm.material in ("after", "meta") and (warm.training.budget or warm.training.epochs < 2):
        told = f" {warm.material} takes half of the epochs for contexts and half for questions: give "
        needed = told, Field("warm.training.epochs"), " 2 or more, and no ", Field("warm.training.budget")
        raise SettingError(Field("warm.material"), *needed)
    if warm.material == "contexts" and warm.answers != "short":
        raise SettingError(Field("warm.answers"), " has no use: ", Field("warm.material"), " contexts asks nothing")
    at_least(1, "warm.together", warm.together)
    at_least(1, "warm.passes", warm.passes)
    if not 0 < warm.step <= 1:
        raise SettingError(Field("warm.step"), f" must be above 0 and at most 1, not {warm.step}")
    given = [one.name for one in fields(warm) if getattr(warm, one.name) != one.default]
    if learner != WARM_LEARNER and given:
        raise SettingError(Field(f"warm.{given[0]}"), " has no use without ", Field("learner"), f" {WARM_LEARNER}")
    if warm.material != "meta" and (idle := [name for name in given if name in ("together", "step", "passes")]):
        raise SettingError(Field(f"warm.{idle[0]}"), " has no use without ", Field("warm.material"), " meta")


def at_least(least: int, field: str, value: float, most: int = 1_000_000) -> None:
    """Refuses a smaller value, one that no run could ever get through, and one that is no number."""
    if not least <= value < float("inf"):
        raise SettingError(Field(field), f" must be at least {least}, not {value}")
    if value > most:
        raise SettingError(Field(field), f" must be at most {most}, not {value}")


def require_words(field: str, value: str) -> None:
    """Refuses what is empty."""
    if not value.strip():
        raise SettingError(Field(field), " is empty")
