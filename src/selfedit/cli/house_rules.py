"""L5. The run behind `selfedit reproduce house-rules`: estimated, opened, resumed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from selfedit.cli.open_run import opened
from selfedit.cli.output import Output, say
from selfedit.learn.house_rules import HouseRules, HouseRulesConfig, lives_of
from selfedit.learn.house_rules.form import form_examples
from selfedit.learn.house_rules.memory import CountTokens, notes_after
from selfedit.learn.house_rules.writing import taught_examples
from selfedit.records import Example, Prompt
from selfedit.store.run_folder import check_run
from selfedit.tasks import load_probe, load_task
from selfedit.tasks.documents.task import token_counter
from selfedit.tasks.episodes.edits import read_rendering
from selfedit.tasks.episodes.task import rule_context
from selfedit.tasks.episodes.world import KINDS
from selfedit.tasks.probe import BUNDLED

TRAINED_PER_SECOND, READ_PER_SECOND = 100, 300
"""Tokens, on a quiet core of the kind of a laptop's (docs/performance.md); other machines scale both."""
_LESSONS_IN_SIGHT, _REHEARSED_TOKENS = 3.5, 40
"""In the mean: of requests that are studied with some in sight, and of what is rehearsed."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What a run comes to."""

    trained: int
    """Tokens trained on."""
    read: int
    """Tokens of questions with what is in sight."""

    @property
    def minutes(self) -> float:
        """On one quiet core."""
        return (self.trained / TRAINED_PER_SECOND + self.read / READ_PER_SECOND) / 60


def run_house_rules(config: HouseRulesConfig, path: Path, out: Output) -> Path:
    """Makes or resumes the experiment in the folder `path`, which it returns."""
    check_run(path, config.identity(), config.defaults())
    task, count = load_task(config), token_counter(config.model)
    amount = estimate_amount(config, count)
    say(
        f"about {amount.trained:,} tokens to train on and {amount.read:,} to read,"
        f" {max(1, round(amount.minutes)):,} minutes on one quiet core; what is there already is not done again"
    )
    with opened("house-rules", config, path, task, out) as runtime:
        HouseRules(config, runtime, count, lives_of(config), load_probe(BUNDLED)).run()
    return path


def estimate_amount(config: HouseRulesConfig, count: CountTokens) -> Amount:
    """What a run takes, from the texts of its first world; self-edits of a policy are taken for perfect ones."""
    lives = lives_of(config)
    life = lives[0]
    lessons = [rule_context(life.world, rule) for rule in life.world.rules]
    said = [read_rendering(context.text) for context in lessons]
    per_lesson = sum(count(rule) + 3 for one in said for rule in one.rules) / len(said)
    per_pair = sum(count(pair.request) + count(pair.action) + 7 for one in said for pair in one.pairs) / len(said)
    studied = per_pair + config.in_sight * _LESSONS_IN_SIGHT * per_lesson
    own = per_lesson + studied * (1 + fmean(config.renderings_of(kind) for kind in KINDS))
    rests = life.rests(config.rests)
    told = [len(notes_after(life.world, life.heard[:end])) for end in rests]
    passes = [n * own + config.rehearsed * _REHEARSED_TOKENS for n in told]
    slow, once = (sum(some) * config.inner.epochs for some in (passes, passes[-1:]))
    n_quick = len(life.heard) // config.quick_every if config.quick_every else 0
    new = len(life.world.rules) / config.rests / 2
    quick = n_quick * (new * own + config.replayed * studied) * config.quick.epochs
    shared = () if config.form_adapter else form_examples(config.form_examples, config.seed)
    taught = (
        taught_examples(config.taught_examples, config.renderings, config.seed) if config.writer == "taught" else ()
    )
    rehearsed = 0 if config.form_adapter else config.form_rehearsed * _REHEARSED_TOKENS
    form = (_tokens([*shared, *taught], count) + rehearsed) * config.form.epochs
    control = once if config.worlds == 1 and any(arm.kind == "other" for arm in config.arm_list()) else 0
    asked = 2 * (len(life.world.rules) + len(life.world.untaught))
    sight = [arm.tokens or (sum(told[-1:]) * per_lesson if arm.kind == "all" else 0) for arm in config.arm_list()]
    read = sum((one + per_pair) * asked for one in sight)
    trained = form + len(lives) * (slow + quick) + control
    return Amount(round(trained), round(len(lives) * read))


def _tokens(examples: Iterable[Example], count: CountTokens) -> int:
    texts = [(one.completion, *_prompt_texts(one.prompt)) for one in examples]
    return sum(count("".join(parts)) + 1 for parts in texts)


def _prompt_texts(prompt: Prompt | None) -> tuple[str, ...]:
    return (*(part for turn in prompt.history for part in turn), prompt.text) if prompt else ()
