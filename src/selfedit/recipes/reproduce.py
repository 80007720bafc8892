"""L4. The paper's tables and figures as data: which runs each of them needs, and how large these are at each scale.

A name comes down to steps, each an ordinary run in a folder of its own. Names share steps, so that nothing runs twice:
the policy that `table2` tests is the one whose learning curve `figure4` shows.

Departures from the paper:

1. Other writers' self-edits are tested in runs of their own (`…-external`), so that a file of them can be added later
   without touching what was measured.
2. Training is graded by the grader that is asked for only where its verdicts are the reward; otherwise they decide
   nothing, and the recipe's own will do.
3. The learning rate of continued pretraining with all weights (`cpt-full`) is ours.
4. `worth` is ours altogether: methods at equal budgets of tokens, on the untouched model and on a learner that was
   warmed up on other passages, with answers of a few words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from selfedit.config import EMBEDDED_MODEL, FIXED_LEARNER, PLACEMENT, WARM_LEARNER, Placement, judge_settings
from selfedit.continual import ContinualConfig
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.learn.house_rules import HouseRulesConfig
from selfedit.learn.stream import StreamConfig
from selfedit.loop import EvalConfig, TrainConfig
from selfedit.loop.settings import VERDICT_REWARDS
from selfedit.loop.warm_up import FOLDER as WARM_FOLDER
from selfedit.recipes import RECIPES, SHORT_ANSWER, find_recipe
from selfedit.recipes.house_rules import house_rules_runs
from selfedit.recipes.scales import OWN_SCALES, SCALES, check_scale
from selfedit.recipes.stream import stream_runs
from selfedit.records import TrainingConfig
from selfedit.tasks import with_task_args

Kind = Literal["train", "single", "cpt-lora", "cpt-full", "reward", "puzzles", "sequences", "house-rules", "stream"]
"""What a step measures: training; held-out passages one by one; all together with LoRA, with all weights; the noise of
the reward; held-out puzzles; sequences of updates; agents that are told rules; streams of documents."""
OwnRuns = Callable[[str, dict[str, object], Path], Sequence[tuple[str, HouseRulesConfig | StreamConfig]]]
"""(scale, settings of all, root) → (folder, settings) of each run."""

PROMPT = "implications"
"""The prompt of the paper's main results."""
PUBLISHED_PROMPTS = ("implications", "implications-long", "implications-very-long", "rewrite", "self-qa")
"""Those of the paper's comparison of prompts."""
GRADER = "calibrated"
"""Who grades held-out answers where nobody is named: the offline grader that agrees best with the paper's judge."""


_ALWAYS = ("seed", "device", "dtype", "cut_for", *sorted(PLACEMENT))
"""Settings that all sub-runs share."""


class ReproduceConfig(Placement):
    """A table or figure of the paper, ours beside the published numbers."""

    scale: str = "smoke"
    """smoke: minutes on two cores, shows that everything runs. small: hours on two cores with the embedded model.
    paper: the published sizes, for a large GPU; needs data. house-rules has two more, with the embedded model: medium,
    its 48 rules as far as an hour and a half go; full, all that was planned."""
    model: str = ""
    """`smollm2-135m` (embedded), a hub id, or a local folder. Empty: embedded, at --scale paper the paper's."""
    data: str = "invented"
    """`invented` (the corpus that comes with the package; enough for smoke and small) or a file of passages with
    questions."""
    heldout_data: str = ""
    """File of held-out passages. Empty: the held-out part of the data."""
    edits: str = ""
    """Files of another writer's self-edits on the held-out passages, joined by commas: JSONL, `{"id", "edits": [...]}`
    a line. The one whose name contains `gpt-4.1` stands beside the paper's GPT-4.1. Empty: that row is left out."""
    writer: str = ""
    """Another model as external writer: URL of an OpenAI-compatible endpoint, a hub id or a local folder."""
    writer_model: str = ""
    """The model's name at that endpoint."""
    grader: str = ""
    """Who says whether an answer is correct, on held-out passages and where the reward is accuracy. Empty: the scale's
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
    cut_for: int = 1
    """Workers that work is cut for; see `train --help`."""
    run: str = ""
    """Folder of the sub-runs, which all names of one scale share; the same command on it resumes. Empty:
    `runs/reproduce-SCALE`."""

    @model_validator(mode="after")
    def _check_choices(self) -> ReproduceConfig:
        if self.scale not in (*SCALES, *OWN_SCALES):
            raise SettingError(Field("scale"), f" {self.scale}: unknown; choose from {', '.join(SCALES)}")
        if self.writer.startswith(("http://", "https://")) != bool(self.writer_model):
            raise SettingError(Field("writer"), " URL and ", Field("writer_model"), " NAME go together")
        judge_settings(self.grader, self.judge, self.judge_model)
        return self

    def run_path(self) -> Path:
        """The folder, as told or named by the scale."""
        return Path(self.run or f"runs/reproduce-{self.scale}")

    def prompt_names(self) -> tuple[str, ...]:
        """`prompts`, split, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.prompts.split(",") if name.strip()))


@dataclass(frozen=True, slots=True)
class Step:
    """One run that a name needs."""

    folder: str
    """Its folder's name, the same for all names that need it."""
    kind: Kind
    """What it measures."""
    config: TrainConfig | EvalConfig | ContinualConfig | HouseRulesConfig | StreamConfig
    """Its settings."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How large everything is."""

    sizes: dict[str, int]
    """Rounds, contexts, edits and seeds of training."""
    reward: dict[str, int]
    """The same for the study of the reward's noise; empty: training has the seeds for it."""
    heldout: int
    """Held-out passages."""
    single: str
    """Methods on single passages."""
    cpt: str
    """Methods of continued pretraining."""
    cpt_edits: int
    """Self-edits for each passage there."""
    cpt_lora: TrainingConfig
    """Its adapter."""
    grader: str
    """Who grades held-out answers."""
    sequences: dict[str, object]
    """Sequences of updates, and what helps against forgetting."""
    worth: dict[str, int]
    """Sizes of the training that `worth` rests on."""
    budgets: tuple[int, ...]
    """Tokens that each study of `worth` trains on; the writer is trained at the first."""
    trained: tuple[str, ...]
    """Prompts that `prompts` trains."""
    untrained: tuple[str, ...]
    """Prompts that it shows untrained unless they are trained."""


_CPT = TrainingConfig(rank=16, alpha=32.0, learning_rate=1e-3, epochs=3, batch_size=8)
_FULL_LEARNING_RATE = 5e-5
_TABLE2 = "base,in-context,passage,sentences,synthetic,seal,seal-edits,distil,entigraph,active-reading"
_TABLE2_CPT = "base,passage,sentences,synthetic,entigraph,seal"
_WORTH = "base,passage,sentences,synthetic,seal"
_STRATEGIES = "none,replay,self-replay,kl,gate,null-space,orthogonal,reward-shaping,distil,route"
_SCALES = {
    "smoke": Scale(
        sizes={"rounds": 1, "contexts": 2, "edits": 2, "seeds": 1},
        reward={"rounds": 1, "contexts": 2, "edits": 2, "seeds": 3},
        heldout=4,
        single="base,in-context,passage,sentences,synthetic,seal,seal-edits",
        cpt="base,passage,sentences,synthetic,seal",
        cpt_edits=1,
        cpt_lora=_CPT,
        grader="contains",
        sequences={"sequences": 2, "contexts": 3, "strategy": "none,replay,route"},
        worth={"rounds": 1, "contexts": 2, "edits": 2, "seeds": 1},
        budgets=(300, 600),
        trained=(PROMPT, "rewrite"),
        untrained=(),
    ),
    "small": Scale(
        sizes={"rounds": 2, "contexts": 30, "edits": 4, "seeds": 1},
        reward={"rounds": 1, "contexts": 12, "edits": 4, "seeds": 3},
        heldout=60,
        single=_TABLE2,
        cpt=_TABLE2_CPT,
        cpt_edits=2,
        cpt_lora=_CPT,
        grader=GRADER,
        sequences={"sequences": 3, "contexts": 8, "strategy": _STRATEGIES, "writer": "untouched"},
        worth={"rounds": 2, "contexts": 12, "edits": 6, "seeds": 1, "preview": 3},
        budgets=(2000, 1000, 4000),
        trained=(PROMPT, "rewrite", "implications-long"),
        untrained=PUBLISHED_PROMPTS,
    ),
    # SEAL section 4.2; its continued pretraining with LoRA is that of the first version of the paper.
    "paper": Scale(
        sizes={"rounds": 2, "contexts": 50, "edits": 5, "seeds": 3},
        reward={},
        heldout=200,
        single=_TABLE2,
        cpt=_TABLE2_CPT,
        cpt_edits=5,
        cpt_lora=replace(_CPT, rank=32, alpha=64.0),
        grader=GRADER,
        sequences={"sequences": 8, "contexts": 8, "strategy": _STRATEGIES},
        worth={"rounds": 3, "contexts": 25, "edits": 8, "seeds": 1},
        budgets=(2000, 1000, 4000, 8000),
        trained=PUBLISHED_PROMPTS,
        untrained=PUBLISHED_PROMPTS,
    ),
}


@dataclass(frozen=True, slots=True)
class PuzzleScale:
    """How large everything on puzzles is."""

    recipe: str
    """Of puzzles, directives, format and settings; for another model than its own too."""
    train: str
    """Puzzles that train; empty: the recipe's."""
    heldout: str
    """Held-out puzzles; empty: the recipe's."""
    values: dict[str, int]
    """Contexts and edits of training."""
    heldout_edits: int
    """Self-edits for each held-out puzzle."""


PUZZLE_METHODS = "base,oracle,synthetic,seal,loo"
_PUZZLE_SCALES = {
    "smoke": PuzzleScale("arc", "6150a2bd,d037b0a7", "25ff71a9,a85d4709", {"contexts": 2, "edits": 2}, 2),
    "small": PuzzleScale("arc", "", "", {"contexts": 10, "edits": 8}, 5),
    "paper": PuzzleScale("arc-paper", "", "", {}, 5),
}


def plan(name: str, config: ReproduceConfig) -> tuple[Step, ...]:
    """The runs that `name` needs, in order.

    Raises:
        SelfeditError: there is no such name, or it has no use for a setting.
    """
    if name not in NAMES:
        raise SelfeditError(f"reproduce {name}: unknown; choose from {', '.join((*NAMES, *EXPERIMENTS))}")
    check_scale(config.scale, name)
    for field in ("prompts", *_NOT_FOR.get(name, ())):
        if getattr(config, field) and (field, name) != ("prompts", "prompts"):
            raise SettingError(Field(field), f": {name} takes none; leave it out")
    return _PLANS[name](_Planner(config, _SCALES.get(config.scale, _SCALES["small"])))


@dataclass(frozen=True, slots=True)
class _Planner:
    """Makes the steps of one scale."""

    config: ReproduceConfig
    """What was asked for."""
    scale: Scale
    """How large."""

    def train(self, prompt: str = PROMPT) -> Step:
        values = {**self.scale.sizes, "prompt": prompt}
        return Step(f"train-{prompt}", "train", self._training(values))

    def reward(self) -> Step:
        if not self.scale.reward:
            return replace(self.train(), kind="reward")
        return Step("reward", "reward", self._training(dict(self.scale.reward)))

    def single(self, prompt: str = PROMPT) -> list[Step]:
        if prompt != PROMPT:
            return [self._tested(f"prompts-{prompt}", "single", "base,synthetic,seal", {"prompt": prompt}, prompt)]
        return [*self._external("single", {}), self._tested("single", "single", self.scale.single, {}, prompt)]

    def untrained(self, prompt: str) -> Step:
        return self._tested(f"untrained-{prompt}", "single", "base,synthetic", {"prompt": prompt})

    def cpt(self, kind: Literal["cpt-lora", "cpt-full"]) -> list[Step]:
        inner = self.scale.cpt_lora
        if kind == "cpt-full":
            inner = replace(inner, method="full", learning_rate=_FULL_LEARNING_RATE)
        elif not self._is_embedded():
            inner = replace(inner, target_modules=self._recipe().inner.target_modules)
        values: dict[str, object] = {"setting": "cpt", "n_edits": self.scale.cpt_edits, "inner": inner}
        return [*self._external(kind, values), self._tested(kind, kind, self.scale.cpt, values, PROMPT)]

    def puzzles(self) -> tuple[Step, Step]:
        """Training on puzzles, and all methods on held-out ones."""
        scale = _PUZZLE_SCALES[self.config.scale]
        recipe = RECIPES[scale.recipe]
        given = {name: getattr(self.config, name) for name in _ALWAYS}
        given["model"] = self.config.model or recipe.model
        named = {"data": self.config.data, "heldout_data": self.config.heldout_data}
        sources = {"data": scale.train, "heldout_data": scale.heldout}
        given |= {name: source for name, source in sources.items() if source}
        given |= {name: source for name, source in named.items() if source not in ("", "invented")}
        training = TrainConfig.model_validate(with_task_args(dict(recipe) | scale.values | given))
        tested = {"methods": PUZZLE_METHODS, "n_edits": scale.heldout_edits, "data": "none"}
        tested["policy"] = str(self.config.run_path() / "train-puzzles")
        evaluation = EvalConfig.model_validate(with_task_args(recipe.shared() | given | tested))
        return Step("train-puzzles", "train", training), Step("puzzles", "puzzles", evaluation)

    def worth(self) -> tuple[Step, ...]:
        """A writer that is trained on a warm learner, and methods at every budget, on that learner and the untouched
        model."""
        first, learner = self.scale.budgets[0], self.config.run_path() / "train-worth" / WARM_FOLDER
        training = self._training({**self.scale.worth, "learner": WARM_LEARNER, **self._studied(first)})
        given = {"methods": f"{_WORTH},edits", "edits": self.config.edits} if self.config.edits else {"methods": _WORTH}
        learners = {WARM_LEARNER: str(learner), FIXED_LEARNER: FIXED_LEARNER}
        return Step("train-worth", "train", training), *(
            self._tested(
                f"worth-{name}-{tokens}", "single", "", {**given, "learner": path, **self._studied(tokens)}, "worth"
            )
            for name, path in learners.items()
            for tokens in sorted(self.scale.budgets)
        )

    def _studied(self, tokens: int) -> dict[str, object]:
        inner = replace(self._recipe().inner, budget=f"tokens:{tokens}")
        return {"inner": inner, "answer_tokens": SHORT_ANSWER}

    def sequences(self) -> Step:
        """Sequences of updates, with the strategies of the scale."""
        graded = {"grader": self.config.grader or self.scale.grader, "judge": self.config.judge}
        given = {"edits": self.config.edits, "writer": "current"} if self.config.edits else {}
        sizes = {**graded, "judge_model": self.config.judge_model, **self.scale.sequences, **given}
        values = with_task_args(self._recipe().shared() | self._inputs() | sizes)
        return Step("sequences", "sequences", ContinualConfig.model_validate(values))

    def own(self, kind: Kind, runs: OwnRuns) -> tuple[Step, ...]:
        """Of an experiment with worlds of its own, by who writes the self-edits."""
        values = {name: getattr(self.config, name) for name in _ALWAYS} | {"model": self._model()}
        return tuple(Step(name, kind, one) for name, one in runs(self.config.scale, values, self.config.run_path()))

    def _external(self, kind: Kind, values: dict[str, object]) -> list[Step]:
        """The same with the self-edits of other writers, where there are any."""
        named = {"edits": self.config.edits, "writer": self.config.writer}
        given = [method for method, source in named.items() if source]
        if not given:
            return []
        values = {**values, **named, "writer_model": self.config.writer_model}
        return [self._tested(f"{kind}-external", kind, ",".join(["base", *given]), values)]

    def _training(self, values: dict[str, object]) -> TrainConfig:
        recipe = self._recipe()
        if self.config.grader and recipe.reward in VERDICT_REWARDS:
            values.update(grader=self.config.grader, judge=self.config.judge, judge_model=self.config.judge_model)
        return TrainConfig.model_validate(with_task_args(dict(recipe) | self._inputs() | values | {"heldout": 0}))

    def _tested(self, folder: str, kind: Kind, methods: str, values: dict[str, object], policy_of: str = "") -> Step:
        tested = {
            "grader": self.config.grader or self.scale.grader,
            "judge": self.config.judge,
            "judge_model": self.config.judge_model,
            "methods": methods,
            "contexts": self.scale.heldout,
            "policy": str(self.config.run_path() / f"train-{policy_of}") if policy_of else "",
        }
        given = with_task_args(self._recipe().shared() | self._inputs() | tested | values)
        return Step(folder, kind, EvalConfig.model_validate(given))

    def _inputs(self) -> dict[str, object]:
        given = {name: getattr(self.config, name) for name in ("data", "heldout_data", *_ALWAYS)}
        return {**given, "model": self._model()}

    def _recipe(self) -> TrainConfig:
        if self.config.scale == "smoke" and self._is_embedded():
            # As small as the quick demo, but with the paper's learner and answers.
            return RECIPES["demo-quick"].model_copy(update={"learner": "", "task_args": RECIPES["embedded"].task_args})
        return find_recipe("", self._model())

    def _model(self) -> str:
        return self.config.model or (RECIPES["paper"].model if self.config.scale == "paper" else EMBEDDED_MODEL)

    def _is_embedded(self) -> bool:
        return self._model() == EMBEDDED_MODEL


def _one_policy(planner: _Planner) -> tuple[Step, ...]:
    return planner.train(), *planner.single()


def _table2(planner: _Planner) -> tuple[Step, ...]:
    return *_one_policy(planner), *planner.cpt("cpt-lora"), *planner.cpt("cpt-full")


def _prompts(planner: _Planner) -> tuple[Step, ...]:
    trained = planner.config.prompt_names() or planner.scale.trained
    steps = [step for prompt in trained for step in (planner.train(prompt), planner.single(prompt)[-1])]
    return *steps, *(planner.untrained(prompt) for prompt in planner.scale.untrained if prompt not in trained)


NAMES = {
    "table1": "Few-shot puzzles: who chooses how the model trains",
    "table2": "Knowledge incorporation: methods on held-out passages",
    "figure4": "Learning curve: what a self-edit teaches, by rounds of its writer's training",
    "figure5": "The same passages' self-edits across rounds",
    "figure6": "Sequences of updates: what is kept of what was learnt",
    "prompts": "Ways of asking for self-edits, before and after training",
    "cost": "What a self-edit costs",
    "reward": "How noisy the reward is",
    "worth": "What a self-edit is worth: methods at equal budgets, on a plain and on a warm learner",
    "house-rules": "House rules: an agent that self-edits after each interaction, beside agents that keep notes",
    "stream": "Streams of documents: what is known of old, changed and gone ones, by each way of keeping up",
}
"""Everything that comes down to runs, with its title."""
EXPERIMENTS = ("past-window",)
"""What is no run of contexts, and has a plan of its own."""

_NOT_FOR: dict[str, tuple[str, ...]] = {
    "table1": ("edits", "writer", "grader", "judge"),
    "figure6": ("writer",),
    "prompts": ("edits", "writer"),
    "reward": ("edits", "writer"),
    "worth": ("writer",),
    "house-rules": ("edits", "writer", "grader", "judge"),
    "stream": ("edits", "writer", "grader", "judge"),
}
"""Settings that a name has no use for, and refuses."""
_PLANS: dict[str, Callable[[_Planner], tuple[Step, ...]]] = {
    "table1": lambda planner: planner.puzzles(),
    "table2": _table2,
    "figure4": _one_policy,
    "figure5": _one_policy,
    "figure6": lambda planner: (planner.sequences(),),
    "prompts": _prompts,
    "cost": _one_policy,
    "reward": lambda planner: (planner.reward(),),
    "worth": lambda planner: planner.worth(),
    "house-rules": lambda planner: planner.own("house-rules", house_rules_runs),
    "stream": lambda planner: planner.own("stream", stream_runs),
}
