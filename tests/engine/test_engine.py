"""The engine on tiny random models of three families, loaded from a folder as a user's would be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from selfedit import seeds
from selfedit.cli.open_run import start_engine
from selfedit.engine.engine import TorchEngine, load_engine
from selfedit.engine.model.loading import weights_sha256
from selfedit.errors import SelfeditError, SettingError
from selfedit.loop import TrainConfig
from selfedit.records import (
    UNTOUCHED,
    Answer,
    Completion,
    Example,
    Generation,
    Invalid,
    Policy,
    Prompt,
    Query,
    SamplingParams,
    TrainingConfig,
    Trial,
    TrialSpec,
    Update,
)
from selfedit.store import AdapterFolders
from tests.support.reference import learn, tried, updated, written
from tests.support.tiny import save_tiny

pytestmark = pytest.mark.model

SETTINGS = TrainingConfig(rank=4, alpha=8.0, learning_rate=1e-2, epochs=4)
GREEDY = SamplingParams(temperature=0.0, max_new_tokens=12)
QUERIES = tuple(
    Query(f"q{i}", "who?", gold, Prompt(f"Question: {gold[0]}?\nAnswer:", raw=True), max_new_tokens=6)
    for i, gold in enumerate(("a widow", "the river"))
)
TEXTS = ("A town on the coast was founded by a widow.", "seven red boats cross the river at noon")
PROMPTS = [Prompt("Read the passage.", "Implications:\n1."), Prompt("Read it again.")]


def spec_of(*texts: str) -> TrialSpec:
    return TrialSpec(tuple(Example(text) for text in texts), QUERIES)


def says(engine: TorchEngine, policy: Policy, prompt: Prompt = PROMPTS[0]) -> str:
    [text] = written(engine, Generation(policy, prompt, GREEDY, 0))
    return text.text


@pytest.fixture(scope="module", params=["llama", "qwen2", "gpt2", "llama-chat"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TorchEngine:
    family, _, chat = request.param.partition("-")
    folder = save_tiny(tmp_path_factory.mktemp(request.param), family, chat=bool(chat))
    return load_engine(str(folder), dtype="float32", bank=2, adapters=AdapterFolders(folder / "run"))


def test_a_group_is_trained_asked_and_scored_and_the_base_stays_bit_identical(engine: TorchEngine) -> None:
    before = weights_sha256(engine.model)
    trials = [Trial(str(i), spec_of(*TEXTS[: i + 1]), SETTINGS, i) for i in range(2)]
    results = tried(engine, *trials, Trial("base", spec_of(), SETTINGS, 0))
    assert [result.failure for result in results] == ["", "", ""]
    assert [len(result.answers) for result in results] == [2, 2, 2]
    assert [result.steps for result in results] == [4, 8, 0]
    assert results[0].losses[-1] < results[0].losses[0]
    assert results[0].answers[0].gold_logprob != results[2].answers[0].gold_logprob
    assert weights_sha256(engine.model) == before


@dataclass(frozen=True, slots=True)
class AskAgain:
    """As many of the questions once more as there were texts: the first scored only, the second by another name."""

    n: int
    is_beneath: bool = False

    def queries(self, answers: Sequence[Answer]) -> list[Query]:
        scored = replace(QUERIES[0], question_id="again", max_new_tokens=0)
        return [scored, replace(QUERIES[1], question_id=answers[0].text)][: self.n]

    def aggregate(self, answers: Sequence[Answer], followup_answers: Sequence[Answer]) -> list[tuple[Query, Answer]]:
        raise AssertionError("grading is none of the engine's business")


def test_a_second_round_may_be_put_to_what_the_adapter_lies_on(engine: TorchEngine) -> None:
    spec = replace(spec_of(*TEXTS), followup=AskAgain(2, is_beneath=True))
    bare = replace(spec_of(), followup=AskAgain(2))
    both = replace(spec_of(*TEXTS), followup=AskAgain(2))
    asked = [Trial(str(n), one, SETTINGS, 1) for n, one in enumerate((spec, bare, both))]
    beneath, untrained, adapted = tried(engine, *asked)
    assert beneath.answers == adapted.answers != untrained.answers
    assert beneath.followup_answers[0].gold_logprob == pytest.approx(untrained.followup_answers[0].gold_logprob)
    assert beneath.followup_answers[0].gold_logprob != pytest.approx(adapted.followup_answers[0].gold_logprob, abs=1e-6)


def test_a_second_round_of_queries_depends_on_the_first_answers_and_is_put_to_the_same_adapter(
    engine: TorchEngine,
) -> None:
    """Three trials in a bank of two: each adapter is asked again before the next takes its place."""

    def trial(key: str, seed: int, *texts: str) -> Trial:
        return Trial(key, replace(spec_of(*texts), followup=AskAgain(len(texts))), SETTINGS, seed)

    trials = [trial("0", 0, TEXTS[0]), trial("1", 1, *TEXTS), trial("base", 0), trial("more", 7, *TEXTS)]
    results = tried(engine, *trials)
    assert [len(result.followup_answers) for result in results] == [1, 2, 0, 2]
    for result in results:
        for again, first in zip(result.followup_answers, result.answers, strict=False):
            assert again.gold_logprob == pytest.approx(first.gold_logprob, abs=1e-5)
    [unknown] = tried(engine, Trial("u", TrialSpec((), (replace(QUERIES[0], gold=""),)), SETTINGS, 0))
    assert unknown.answers[0].gold_logprob == 0.0 and unknown.answers[0].text == results[2].answers[0].text
    assert results[1].followup_answers[0].text == ""
    assert results[1].followup_answers[1].question_id == results[1].answers[0].text
    assert results[1].followup_answers[1].text == results[1].answers[1].text
    assert results[1].followup_answers[0].gold_logprob != pytest.approx(
        results[3].followup_answers[0].gold_logprob, abs=1e-5
    )


def test_the_same_trials_give_the_same_results(engine: TorchEngine) -> None:
    trials = [Trial(str(i), spec_of(*TEXTS), SETTINGS, i) for i in range(3)]
    first, second = (tried(engine, *trials) for _ in range(2))
    assert [(one.answers, one.losses) for one in first] == [(one.answers, one.losses) for one in second]


def test_groups_come_back_one_by_one_each_under_its_number(engine: TorchEngine) -> None:
    """The second group is not even asked for before the first is done."""
    taken: list[int] = []

    def groups() -> list[list[Trial]]:
        for number in range(2):
            taken.append(number)
            yield [Trial(f"{number}-{i}", spec_of(TEXTS[i]), SETTINGS, i) for i in range(number + 1)]

    stream = engine.run_trials(groups())
    first = next(stream)
    assert (first.group, [result.key for result in first.results], taken) == (0, ["0-0"], [0])
    [second] = stream
    assert (second.group, [result.key for result in second.results]) == (1, ["1-0", "1-1"])
    for verb in (engine.generate, engine.run_trials, engine.update):
        assert list(verb([])) == []
        assert [(done.group, done.results) for done in verb([[], []])] == [(0, ()), (1, ())]


def test_texts_follow_from_their_prompts_and_seeds(engine: TorchEngine) -> None:
    warm = SamplingParams(temperature=1.0, top_p=0.9, max_new_tokens=8)

    def write(*seeds_P: int) -> list[Completion]:
        items = [
            Generation(UNTOUCHED, prompt, warm, seeds.derive(seed, "draw", draw))
            for prompt, seed in zip(PROMPTS, seeds_P, strict=True)
            for draw in range(3)
        ]
        return written(engine, *items)

    first = write(1, 2)
    assert len(first) == 6 and len({text.text for text in first}) > 1
    assert first == write(1, 2)
    assert first != write(3, 4)


def test_an_updated_policy_says_what_it_was_trained_on_and_the_old_one_is_still_there(engine: TorchEngine) -> None:
    before = says(engine, UNTOUCHED)
    strong = TrainingConfig(rank=8, alpha=16.0, learning_rate=2e-2, epochs=60)
    one = learn(engine, "one", [Example("the quick brown fox", PROMPTS[0])], strong, 5)
    assert (one.version, one.parent, one.adapter) == (1, 0, "one")
    assert says(engine, one) == "the quick brown fox"
    two = learn(engine, "two", [Example("the lazy dog", PROMPTS[0])], strong, 6, one)
    assert (two.version, two.parent) == (2, 1)
    assert says(engine, two) == "the lazy dog"
    assert says(engine, one) == "the quick brown fox"
    assert says(engine, UNTOUCHED) == before


def test_an_adapter_that_is_not_the_recorded_one_is_refused(engine: TorchEngine) -> None:
    policy = learn(engine, "damaged", [Example("fox", PROMPTS[0])], SETTINGS)
    says(engine, UNTOUCHED)
    weights = engine.adapters.find(policy) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    with pytest.raises(SelfeditError, match="not the one that was recorded"):
        tried(engine, Trial("x", spec_of(), SETTINGS, 0, policy))


def test_an_engine_without_a_place_for_adapters_refuses_versions_in_one_line(tmp_path: Path) -> None:
    engine = load_engine(str(save_tiny(tmp_path, "llama")), dtype="float32", bank=2)
    assert says(engine, UNTOUCHED) == says(engine, UNTOUCHED)
    elsewhere = Policy(1, "adapters/policy-1", "0" * 64, 0)
    for work in (
        lambda: updated(engine, Update(UNTOUCHED, "new", (Example("fox"),), SETTINGS, 1)),
        lambda: says(engine, elsewhere),
        lambda: tried(engine, Trial("x", spec_of(), SETTINGS, 0, elsewhere)),
    ):
        with pytest.raises(SelfeditError, match=r"^this engine has no place for adapters; load it with one$"):
            work()


def test_a_trial_that_cannot_be_done_fails_alone(engine: TorchEngine) -> None:
    wild_training = TrainingConfig(rank=4, learning_rate=1e38, max_grad_norm=0, epochs=3)
    too_much = TrialSpec((Example(TEXTS[0]),), (replace(QUERIES[0], max_new_tokens=300),))
    long, asked_too_much, wild, good = tried(
        engine,
        Trial("long", TrialSpec((Example("the " * 400, PROMPTS[0]),), QUERIES), SETTINGS, 0),
        Trial("asked too much", too_much, SETTINGS, 0),
        Trial("wild", spec_of(*TEXTS), wild_training, 0),
        Trial("good", spec_of(*TEXTS), SETTINGS, 0),
    )
    assert "an example of" in long.failure and "exceeds the model's context of 256" in long.failure
    assert "with its answer, of 3" in asked_too_much.failure and "question '" in asked_too_much.failure
    assert long.answers == asked_too_much.answers == ()
    assert "not finite" in wild.failure and wild.answers == ()
    assert not good.failure and len(good.answers) == 2


SEARCHING = "{% for m in messages %}{{ m['content'] | length if 'two  ' in m['content'] }}<|user|>{{ m['content'] }}"
NARROW = "{{ raise_exception('no tables\\nhere') if '|---' in m['content'] }}{% endfor %}<|assistant|>"


def test_a_text_that_the_chat_template_cannot_carry_fails_alone(tmp_path: Path) -> None:
    """It writes a number where it finds `two  `, so that its words depend on the text, and takes no tables."""
    folder = save_tiny(tmp_path, "llama")
    (folder / "chat_template.jinja").write_text(SEARCHING + NARROW)
    engine = load_engine(str(folder), dtype="float32", bank=2)
    changed, refused, fine = Prompt("two  words<|end|>"), Prompt("|---|"), PROMPTS[0]
    told = ["chat template changes with the text", "chat template cannot take the prompt (no tables here)"]
    texts = written(engine, *(Generation(UNTOUCHED, one, GREEDY, 0) for one in (changed, fine, refused)))
    assert isinstance(texts[0], Invalid) and told[0] in texts[0].reason
    assert isinstance(texts[2], Invalid) and told[1] in texts[2].reason
    assert [texts[1]] == written(engine, Generation(UNTOUCHED, fine, GREEDY, 0))

    def study(key: str, prompt: Prompt, asked: Prompt) -> Trial:
        queries = (replace(QUERIES[0], prompt=asked),)
        return Trial(key, TrialSpec((Example("yes", prompt),), queries), SETTINGS, 0)

    first, second, third, good = tried(
        engine, study("0", changed, fine), study("1", refused, fine), study("2", fine, changed), study("3", fine, fine)
    )
    assert [one.answers for one in (first, second, third)] == [(), (), ()]
    assert told[0] in first.failure and told[1] in second.failure
    assert third.failure.startswith("question 'q0': ") and told[0] in third.failure
    assert not good.failure and len(good.answers) == 1


def test_a_text_longer_than_the_models_context_is_studied_in_windows(engine: TorchEngine) -> None:
    long = TrialSpec((Example("the quick brown fox " * 150),), QUERIES)
    [result] = tried(engine, Trial("x", long, SETTINGS, 0))
    assert not result.failure and result.steps > SETTINGS.epochs


def test_trials_without_questions_bring_no_answers(engine: TorchEngine) -> None:
    [result] = tried(engine, Trial("x", TrialSpec((Example(TEXTS[0]),), ()), SETTINGS, 0))
    assert result.answers == () and not result.failure and result.steps == 4


def test_a_prompt_longer_than_the_models_context_has_no_text_and_the_others_have_theirs(engine: TorchEngine) -> None:
    sampling = SamplingParams(max_new_tokens=8)
    long, short = (Generation(UNTOUCHED, Prompt(text), sampling, 0) for text in ("the " * 300, "the fox"))
    alone = written(engine, short)
    first, *others = written(engine, long, short, replace(long, seed=1))
    assert isinstance(first, Invalid) and "exceeds the model's context of 256" in first.reason
    assert [others[0]] == alone and isinstance(others[1], Invalid)
    assert all(isinstance(one, Invalid) for one in written(engine, long))


@pytest.mark.parametrize(
    ("outer", "told"),
    [
        (TrainingConfig(target_modules="nowhere"), "outer: target_modules: no linear layer is called nowhere"),
        (
            TrainingConfig(target_modules="layers.0.self_attn.q_proj", top_layers=0.5),
            "outer: top_layers 0.5: none of the upper 1",
        ),
    ],
)
def test_adapters_that_the_model_has_no_layers_for_are_refused_before_a_run_begins(
    tmp_path: Path, outer: TrainingConfig, told: str
) -> None:
    config = TrainConfig(model=str(save_tiny(tmp_path, "llama")), outer=outer)
    with pytest.raises(SettingError, match=f"^{re.escape(told)}"):
        start_engine(config, AdapterFolders(tmp_path))
