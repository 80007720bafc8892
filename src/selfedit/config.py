"""L0. What a run is told: one frozen record per command, checked when it is made.

A record here is the command line, the `--config` file and the run's config.json at once: the flag `--inner.epochs` is
the field `inner.epochs`, its help is the docstring under the field, and its default comes from a recipe. Values that
cannot work are refused here, by the name of their flag, before anything is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from selfedit.endpoints import EndpointSettings
from selfedit.records import LoraSettings, Sampling, SelfeditError, digest

EMBEDDED_MODEL = "smollm2-135m"
JUDGE = "judge"
"""The grader that asks an endpoint."""
ATTEMPTS = "attempts"
"""The grader of puzzles."""
UNTOUCHED = "untouched"
"""The learner that has none of the policy's updates."""
METHODS = {
    "base": "the untouched model (and each policy of --policy)",
    "in-context": "with the passage in the prompt",
    "passage": "trained on the passage",
    "sentences": "and on its own sentences, one by one: what a self-edit gives that only takes apart",
    "synthetic": "and on self-edits of the untouched model; `synthetic:PROMPT` asks for them by another prompt",
    "entigraph": "the same as synthetic:entigraph",
    "active-reading": "the same as synthetic:active-reading",
    "distil": "distilled from the model that has the passage in sight",
    "edits": "self-edits from the files of --edits",
    "writer": "self-edits by the model of --writer",
    "seal": "each policy of --policy writes and learns",
    "seal-edits": "each policy of --policy writes, the untouched model learns",
    "oracle": "puzzles: trained as --oracle says, without a self-edit",
    "label-free": "puzzles: of the self-edits of each policy (untrained without one) the best in rehearsal",
}
"""What `selfedit eval` can compare."""
PROMPTED = ("synthetic", "distil", "writer", "seal", "seal-edits", "edits")
"""Methods that may name a prompt of their own behind a colon."""
PUZZLE_METHODS = ("base", "in-context", "synthetic", "seal", "seal-edits", "oracle", "label-free", "edits", "writer")
"""Those that `--task arc` has."""
_PUZZLES_ALONE = ("oracle", "label-free")
ALIASES = {"entigraph": "synthetic:entigraph", "active-reading": "synthetic:active-reading"}
"""Methods that are others under their own name."""


@dataclass(frozen=True, slots=True)
class MethodName:
    """One entry of `--methods`."""

    kind: str
    """A name in METHODS that is no alias."""
    prompt: str = ""
    """How self-edits are asked for; empty: as the run says."""


class RunConfig(BaseModel):
    """What training and evaluation share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str = ""
    """Source of defaults: paper, embedded, demo or demo-quick. Empty: embedded for the embedded model, else paper."""
    task: Literal["passages", "arc"] = "passages"
    """What is learnt: passages, or few-shot puzzles."""
    data: str = "invented"
    """`invented` (the corpus that comes with the package) or a file of passages with questions: JSONL or SQuAD JSON.
    Puzzles: ids, files, folders, `arcagi-training`, `arcagi-evaluation:24` (the 24 smallest), joined by commas."""
    heldout_data: str = ""
    """File of passages (or source of puzzles) that never train the policy, all of them held out. Empty: the held-out
    part of the data."""
    model: str = EMBEDDED_MODEL
    """`smollm2-135m` (embedded), a hub id, or a local folder."""
    learner: str = ""
    """Who studies and answers. Empty: the policy that writes. `untouched`: the model without the policy's updates. Else
    another model: a hub id or a local folder."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """Number type of the base: `auto`, `float32` or `bfloat16`."""
    prompt: str = "implications"
    """How a self-edit is asked for: implications, implications-long, implications-very-long, rewrite, self-qa,
    chain-of-thought or none; for eval also entigraph or active-reading, which are written in two steps. Puzzles:
    published or extended, the directives there are."""
    ask_style: str = "plain"
    """How a question is put to the adapted model: plain or chat. Puzzles: arrays, as published, or cells, a token for
    each."""
    views: int = 16
    """Puzzles as cells: views of a test input that are asked; the first eight judge what they say."""
    oracle: str = ""
    """Puzzles: directives, as JSON, of the method oracle. Empty: the published ones, or the best known for cells."""
    constrained: bool = True
    """Puzzles: directives are written under their JSON grammar, so that none is invalid."""
    grader: str = "contains"
    """Who says whether an answer is right: contains, exact, f1, calibrated, or judge, a model behind an endpoint.
    Puzzles: attempts, one of two must be the very grid."""
    judge: str = ""
    """URL of the judge's OpenAI-compatible endpoint, e.g. `http://localhost:8000/v1`. The key, where one is needed, is
    read from SELFEDIT_API_KEY or OPENAI_API_KEY."""
    judge_model: str = ""
    """The judge's name at that endpoint."""
    judge_prices: tuple[float, float] | None = None
    """What a million tokens cost there, read and written. No part of a run's identity."""
    inner: LoraSettings = LoraSettings()
    """The inner loop: the adapter of one trial."""
    sampling: Sampling = Sampling()
    """How self-edits are drawn."""
    bank: int = 0
    """Trials (or texts) done at once; part of a run's identity, for it touches last digits. 0: the engine decides."""
    seed: int = 0
    """Every draw of the run comes from this."""
    executor: Literal["local"] = "local"
    """Where trials run."""
    run: str = ""
    """Run folder; the same command on the same folder resumes. Empty: a folder under `runs/` named by the settings."""

    @model_validator(mode="after")
    def _check_shared(self) -> RunConfig:
        for name in ("task", "data", "model", "device", "dtype", "prompt", "ask_style", "grader"):
            _require(bool(str(getattr(self, name)).strip()), f"{flag(name)} is empty")
        self.judge_settings()
        _check_lora("inner", self.inner)
        _require(self.sampling.temperature >= 0, "--sampling.temperature must be at least 0")
        _require(0 < self.sampling.top_p <= 1, "--sampling.top-p must be above 0 and at most 1")
        _at_least(1, "sampling.max_new_tokens", self.sampling.max_new_tokens)
        _at_least(0, "bank", self.bank)
        _at_least(1, "views", self.views)
        is_puzzle = self.task == "arc"
        _require(is_puzzle == (self.grader == ATTEMPTS), f"--task {self.task}: --grader {self.grader} is not for it")
        _require(is_puzzle or not self.oracle, f"--oracle: --task {self.task} has none; it is for --task arc")
        return self

    def identity(self) -> dict[str, Any]:
        """What makes two runs the same: every field but the folder's name and what things cost."""
        return self.model_dump(mode="json", exclude={"run", "judge_prices", "writer_prices"})

    def judge_settings(self) -> EndpointSettings | None:
        """The judge's endpoint; None where a rule grades."""
        return judge_settings(self.grader, self.judge, self.judge_model, self.judge_prices)

    def run_path(self, command: str) -> Path:
        """The run folder: as told, or named by command, recipe and a hash of the settings."""
        if self.run:
            return Path(self.run)
        name = self.recipe if self.recipe.startswith(command) else f"{command}-{self.recipe}".rstrip("-")
        return Path("runs") / f"{name}-{digest(self.identity())[:8]}"


class TrainConfig(RunConfig):
    """One run of the outer loop."""

    rounds: int = 2
    """Times the policy writes, tries, selects and is updated."""
    contexts: int = 50
    """Contexts of each round, drawn without replacement until the data is used up."""
    edits: int = 5
    """Self-edits written for each context."""
    seeds: int = 3
    """Trials of each self-edit; their seeds are common to all self-edits of a context."""
    racing: bool = False
    """Try every self-edit under one seed, and only the best two of each context under the others."""
    reward: Literal["accuracy", "logprob", "both"] = "accuracy"
    """What selects: gain in right answers, in log-probability of the gold answers (less noise), or their sum."""
    keep: Literal["best", "all"] = "best"
    """Which self-edits of a context train the policy: the best, or all with a gain (puzzles, as published)."""
    min_gain: float = 0.0
    """A self-edit is kept only above this gain over the untouched policy."""
    outer: LoraSettings = LoraSettings(rank=64, alpha=128.0, learning_rate=3e-4, epochs=2, batch_size=10)
    """The outer loop: the policy's update on kept self-edits."""
    heldout: int = -1
    """Held-out contexts tested before and after. 0: none; -1: all."""
    heldout_seeds: int = 1
    """Trials of each held-out context."""

    @model_validator(mode="after")
    def _check_training(self) -> TrainConfig:
        for name in ("rounds", "contexts", "edits", "seeds", "heldout_seeds"):
            _at_least(1, name, getattr(self, name))
        _at_least(-1, "heldout", self.heldout)
        _require(self.min_gain == self.min_gain and abs(self.min_gain) != float("inf"), "--min-gain must be finite")
        _check_lora("outer", self.outer)
        _require(self.outer.finetuning == "lora", "--outer.finetuning must be lora: a policy is stored as an adapter")
        _require(not self.racing or self.seeds > 1, f"--racing needs --seeds above 1, not {self.seeds}")
        _require(
            self.edits == 1 or self.sampling.temperature > 0,
            f"--edits {self.edits} with --sampling.temperature 0 would write the same self-edit {self.edits} times",
        )
        return self


class EvalConfig(RunConfig):
    """A table of methods on held-out contexts."""

    methods: str = "base,passage,synthetic"
    """Rows of the table, joined by commas: base, in-context, passage, sentences, synthetic, entigraph,
    active-reading, distil, edits, writer, seal, seal-edits; puzzles: also oracle, label-free. `synthetic:rewrite` asks
    by another prompt."""
    setting: Literal["single", "cpt"] = "single"
    """`single`: a trial for each passage. `cpt`: one trial for all passages together (continued pretraining)."""
    contexts: int = -1
    """Held-out contexts tested, from the first. -1: all."""
    n_edits: int = 1
    """Self-edits for each context."""
    seeds: int = 1
    """Trials of each context or self-edit."""
    edits: str = ""
    """Files of self-edits for the method `edits`, joined by commas: JSONL, `{"id", "edits": [...]}` a line."""
    writer: str = ""
    """Another model for the method `writer`: URL of an OpenAI-compatible endpoint, a hub id or a local folder."""
    writer_model: str = ""
    """The model's name at that endpoint."""
    writer_prices: tuple[float, float] | None = None
    """What a million tokens cost there, read and written. No part of a run's identity."""
    policy: str = ""
    """Run folder whose trained policies, one per round, are tested beside the untouched model."""

    @model_validator(mode="after")
    def _check_evaluation(self) -> EvalConfig:
        names = self.method_names()
        _require(bool(names), f"--methods is empty; choose from {', '.join(METHODS)}")
        for name in names:
            shown = f"{name.kind}:{name.prompt}" if name.prompt else name.kind
            _require(name.kind in METHODS, f"--methods {shown}: unknown; choose from {', '.join(METHODS)}")
            _require(not name.prompt or name.kind in PROMPTED, f"--methods {shown}: {name.kind} takes no prompt")
            fit = PUZZLE_METHODS if self.task == "arc" else [kind for kind in METHODS if kind not in _PUZZLES_ALONE]
            _require(name.kind in fit, f"--methods {shown}: not for --task {self.task}; choose from {', '.join(fit)}")
        for kind, field in (("edits", "edits"), ("writer", "writer"), ("seal", "policy"), ("seal-edits", "policy")):
            if any(name.kind == kind for name in names):
                _require(bool(getattr(self, field)), f"--methods {kind} needs {flag(field)}")
        for field, kinds in (("edits", {"edits"}), ("writer", {"writer"})):
            is_used = any(name.kind in kinds for name in names)
            _require(is_used or not getattr(self, field), f"{flag(field)} is given, but --methods lacks {field}")
        _require(self.task != "arc" or self.setting == "single", "--setting cpt: puzzles are learnt one by one")
        is_url = "://" in self.writer
        _require(is_url == bool(self.writer_model), "--writer URL and --writer-model NAME go together")
        self.writer_settings()
        _require(self.contexts == -1 or self.contexts >= 1, "--contexts must be at least 1, or -1 for all")
        for field in ("n_edits", "seeds"):
            _at_least(1, field, getattr(self, field))
        return self

    def method_names(self) -> tuple[MethodName, ...]:
        """`methods`, split, each once."""
        names = [name.strip() for name in self.methods.split(",") if name.strip()]
        parts = [ALIASES.get(name, name).partition(":") for name in names]
        return tuple(dict.fromkeys(MethodName(kind, prompt) for kind, _, prompt in parts))

    def writer_settings(self) -> EndpointSettings | None:
        """The writer's endpoint; None where the writer is a model of this machine's, or there is none."""
        if "://" not in self.writer:
            return None
        price_in, price_out = self.writer_prices or (None, None)
        return EndpointSettings(self.writer, self.writer_model, price_in=price_in, price_out=price_out, flag="--writer")


class ContinualConfig(RunConfig):
    """Sequences of contexts, learnt one after another by one model."""

    remedy: str = "none"
    """Against forgetting; a row for each, joined by commas: none, replay, self-replay, kl, gate, null-space,
    orthogonal, reward-shaping, route, distil. `replay+kl` is both in one row."""
    sequences: int = 3
    """Sequences, each of contexts of its own while there are enough."""
    contexts: int = 8
    """Contexts of each sequence."""
    writer: Literal["current", "untouched", "sentences"] = "current"
    """Who writes the self-edits: the model as it is by then, as published; the model that the sequence began with, so
    that all rows study the same; or nobody: the passage's own sentences."""
    edits: str = ""
    """Files of self-edits to take instead, joined by commas: JSONL, `{"id", "edits": [...]}` a line."""
    policy: str = ""
    """Run folder whose last trained policy every sequence begins with. Empty: the untouched model."""
    probe: str = "bundled"
    """What is asked beside the contexts after every update: `bundled`, or a JSONL file of questions {question, answer}
    and texts {title, text}."""
    ask_every: int = 1
    """Updates between two times that everything is asked; in between, the context just learnt alone. For long
    sequences, whose matrix costs more than learning. The end is always asked about."""
    held_back: int = 1
    """Questions of each context that are in no result: gate and reward-shaping decide by them."""
    budget: int = 8
    """Examples that replay and self-replay each add to an epoch of an update."""
    anchors: int = 8
    """Texts that kl adds to an epoch of an update."""
    drafts: int = 4
    """Self-edits that reward-shaping chooses from."""
    tolerance: float = 0.1
    """What gate lets an update cost, nats per token: of gold answers to earlier questions, and of the probe's texts."""
    energy: float = 0.95
    """Share of the earlier inputs' energy that null-space keeps an update from reading."""
    penalty: float = 1.0
    """Weight of orthogonal's penalty."""

    @model_validator(mode="after")
    def _check_sequences(self) -> ContinualConfig:
        _require(self.task == "passages", f"--task {self.task}: sequences are of passages")
        for field in ("sequences", "contexts", "drafts", "budget", "anchors", "ask_every"):
            _at_least(1, field, getattr(self, field))
        for field in ("held_back", "tolerance", "penalty"):
            _at_least(0, field, getattr(self, field))
        _require(0 < self.energy <= 1, f"--energy must be above 0 and at most 1, not {self.energy}")
        _require(self.inner.finetuning == "lora", "--inner.finetuning must be lora: versions are stored as adapters")
        _require(self.writer == "current" or not self.edits, f"--edits and --writer {self.writer}: give one of them")
        _require(
            not self.learner, f"--learner {self.learner}: in a sequence the model that writes is the one that learns"
        )
        _require(bool(self.rows()), "--remedy is empty")
        return self

    def rows(self) -> tuple[tuple[str, ...], ...]:
        """`remedy`, split: for each row the names of its remedies, each row once."""
        rows = (tuple(name.strip() for name in row.split("+")) for row in self.remedy.split(",") if row.strip())
        return tuple(dict.fromkeys(rows))


def judge_settings(
    grader: str, url: str, model: str, prices: tuple[float, float] | None = None
) -> EndpointSettings | None:
    """The judge's endpoint; None where a rule grades.

    Raises:
        SelfeditError: a judge without an endpoint, an endpoint without a judge, or one that cannot be.
    """
    if grader == JUDGE and not url:
        raise SelfeditError("--grader judge needs an endpoint: give --judge URL and --judge-model NAME")
    if grader != JUDGE and (url or model or prices):
        named = "--judge" if url else "--judge-model" if model else "--judge-prices"
        raise SelfeditError(f"{named} is given, but --grader is {grader}: add --grader judge, or leave it out")
    price_in, price_out = prices or (None, None)
    return EndpointSettings(url, model, price_in=price_in, price_out=price_out) if grader == JUDGE else None


SCALES = ("smoke", "small", "paper")
"""How much of the protocol `selfedit reproduce` runs."""


class ReproduceConfig(BaseModel):
    """A table or figure of the paper, ours beside the published numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: str = "smoke"
    """smoke: minutes on two cores, shows that everything runs. small: hours on two cores with the embedded model; needs
    data. paper: the published sizes, for a large GPU; needs data."""
    model: str = ""
    """`smollm2-135m` (embedded), a hub id, or a local folder. Empty: embedded, at --scale paper the paper's."""
    data: str = "invented"
    """`invented` (the corpus that comes with the package; enough for smoke) or a file of passages with questions."""
    heldout_data: str = ""
    """File of held-out passages. Empty: the held-out part of the data."""
    edits: str = ""
    """Files of another writer's self-edits on the held-out passages, joined by commas: JSONL, `{"id", "edits": [...]}`
    a line. The one whose name contains `gpt` stands beside the paper's GPT-4.1. Empty: that row is left out."""
    writer: str = ""
    """Another model as external writer: URL of an OpenAI-compatible endpoint, a hub id or a local folder."""
    writer_model: str = ""
    """The model's name at that endpoint."""
    grader: str = ""
    """Who says whether an answer is right, on held-out passages and where the reward is accuracy. Empty: the scale's
    own, an offline one."""
    judge: str = ""
    """URL of the judge's OpenAI-compatible endpoint, for `--grader judge`."""
    judge_model: str = ""
    """The judge's name at that endpoint."""
    prompts: str = ""
    """For `prompts`: ways of asking for self-edits that are trained, joined by commas. Empty: the scale's own."""
    seed: int = 0
    """Every draw of the sub-runs comes from this; another seed wants another folder."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """Number type of the base: `auto`, `float32` or `bfloat16`."""
    run: str = ""
    """Folder of the sub-runs, which all names of one scale share; the same command on it resumes. Empty:
    `runs/reproduce-SCALE`."""

    @model_validator(mode="after")
    def _check_choices(self) -> ReproduceConfig:
        _require(self.scale in SCALES, f"--scale {self.scale}: unknown; choose from {', '.join(SCALES)}")
        is_endpoint = self.writer.startswith(("http://", "https://"))
        _require(is_endpoint == bool(self.writer_model), "--writer URL and --writer-model NAME go together")
        judge_settings(self.grader, self.judge, self.judge_model)
        return self

    def run_path(self) -> Path:
        """The folder, as told or named by the scale."""
        return Path(self.run or f"runs/reproduce-{self.scale}")

    def prompt_names(self) -> tuple[str, ...]:
        """`prompts`, split, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.prompts.split(",") if name.strip()))


def flag(field: str) -> str:
    """A field's name on the command line."""
    return "--" + field.replace("_", "-")


def _check_lora(name: str, settings: LoraSettings) -> None:
    for field in ("rank", "epochs", "batch_size"):
        _at_least(1, f"{name}.{field}", getattr(settings, field))
    for field in ("warmup_steps", "weight_decay", "clip"):
        _at_least(0, f"{name}.{field}", getattr(settings, field))
    for field in ("alpha", "learning_rate"):
        _require(0 < getattr(settings, field) < float("inf"), f"{flag(f'{name}.{field}')} must be above 0 and finite")
    share = f"{name}.adapt_layers"
    _require(
        0 < settings.adapt_layers <= 1, f"{flag(share)} must be above 0 and at most 1, not {settings.adapt_layers}"
    )
    _require(bool(settings.targets.strip()), f"{flag(f'{name}.targets')} is empty")


def _at_least(least: int, field: str, value: float) -> None:
    _require(least <= value < float("inf"), f"{flag(field)} must be at least {least}, not {value}")


def _require(is_met: bool, otherwise: str) -> None:
    if not is_met:
        raise ValueError(otherwise)
