"""The engine on tiny random models of three families, loaded from a folder as a user's would be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import save_tiny

from selfedit.commands import start_engine
from selfedit.config import TrainConfig
from selfedit.engine.core import TorchEngine, load_engine
from selfedit.engine.models import weights_sha256
from selfedit.records import Answer, Ask, Example, LoraSettings, Policy, Prompt, Sampling, SelfeditError, Study, Trial

pytestmark = pytest.mark.model

SETTINGS = LoraSettings(rank=4, alpha=8.0, learning_rate=1e-2, epochs=4)
ASKS = tuple(
    Ask(f"q{i}", "who?", gold, Prompt(f"Question: {gold[0]}?\nAnswer:", plain=True), max_new_tokens=6)
    for i, gold in enumerate(("a widow", "the river"))
)
TEXTS = ("A town on the coast was founded by a widow.", "seven red boats cross the river at noon")
PROMPTS = [Prompt("Read the passage.", "Implications:\n1."), Prompt("Read it again.")]


def study(*texts: str) -> Study:
    return Study(tuple(Example(text) for text in texts), ASKS)


@pytest.fixture(scope="module", params=["llama", "qwen2", "gpt2", "llama-chat"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TorchEngine:
    family, _, chat = request.param.partition("-")
    folder = save_tiny(tmp_path_factory.mktemp(request.param), family, chat=bool(chat))
    return load_engine(str(folder), dtype="float32", bank=2)


def test_a_group_is_trained_asked_and_scored_and_the_base_stays_bit_identical(engine: TorchEngine) -> None:
    before = weights_sha256(engine.model)
    trials = [Trial(str(i), study(*TEXTS[: i + 1]), SETTINGS, i) for i in range(2)]
    trials.append(Trial("base", study(), SETTINGS, 0))
    attempts = engine.run_trials(Policy(), Path("."), trials)
    assert [attempt.failure for attempt in attempts] == ["", "", ""]
    assert [len(attempt.answers) for attempt in attempts] == [2, 2, 2]
    assert [attempt.steps for attempt in attempts] == [4, 8, 0]
    assert attempts[0].losses[-1] < attempts[0].losses[0]
    assert attempts[0].answers[0].gold_logprob != attempts[2].answers[0].gold_logprob
    assert weights_sha256(engine.model) == before


def test_what_is_asked_further_depends_on_the_first_answers_and_is_put_to_the_same_adapter(engine: TorchEngine) -> None:
    """Three trials in a bank of two: each adapter is asked again before the next takes its place."""

    def further(one: Study, answers: Sequence[Answer]) -> list[Ask]:
        scored = replace(ASKS[0], question_id="again", max_new_tokens=0)
        return [scored, replace(ASKS[1], question_id=answers[0].text)][: len(one.examples)]

    trials = [Trial(str(i), study(*TEXTS[: i + 1]), SETTINGS, i) for i in range(2)]
    trials += [Trial("base", study(), SETTINGS, 0), Trial("more", study(*TEXTS), SETTINGS, 7)]
    attempts = engine.run_trials(Policy(), Path("."), trials, further)
    assert [len(attempt.later) for attempt in attempts] == [1, 2, 0, 2]
    for attempt in attempts:
        for again, first in zip(attempt.later, attempt.answers, strict=False):
            assert again.gold_logprob == pytest.approx(first.gold_logprob, abs=1e-5)
    [unknown] = engine.run_trials(
        Policy(), Path("."), [Trial("u", Study((), (replace(ASKS[0], gold=""),)), SETTINGS, 0)]
    )
    assert unknown.answers[0].gold_logprob == 0.0 and unknown.answers[0].text == attempts[2].answers[0].text
    assert attempts[1].later[0].text == ""
    assert attempts[1].later[1].question_id == attempts[1].answers[0].text
    assert attempts[1].later[1].text == attempts[1].answers[1].text
    assert attempts[1].later[0].gold_logprob != pytest.approx(attempts[3].later[0].gold_logprob, abs=1e-5)


def test_the_same_trials_give_the_same_attempts(engine: TorchEngine) -> None:
    trials = [Trial(str(i), study(*TEXTS), SETTINGS, i) for i in range(3)]
    first, second = (engine.run_trials(Policy(), Path("."), trials) for _ in range(2))
    assert [(a.answers, a.losses) for a in first] == [(a.answers, a.losses) for a in second]


def test_texts_are_written_per_prompt_by_their_seeds(engine: TorchEngine) -> None:
    warm = Sampling(temperature=1.0, top_p=0.9, max_new_tokens=8)
    first = engine.write(Policy(), Path("."), PROMPTS, 3, warm, [1, 2])
    assert [len(texts) for texts in first] == [3, 3]
    assert first == engine.write(Policy(), Path("."), PROMPTS, 3, warm, [1, 2])
    assert first != engine.write(Policy(), Path("."), PROMPTS, 3, warm, [3, 4])


def test_an_updated_policy_says_what_it_was_trained_on_and_the_old_one_is_still_there(
    engine: TorchEngine, tmp_path: Path
) -> None:
    greedy = Sampling(temperature=0.0, max_new_tokens=12)
    before = engine.write(Policy(), tmp_path, PROMPTS[:1], 1, greedy, [0])
    strong = LoraSettings(rank=8, alpha=16.0, learning_rate=2e-2, epochs=60)
    examples = [Example("the quick brown fox", PROMPTS[0])]
    one = engine.update(Policy(), tmp_path, examples, strong, 5)
    assert (one.version, one.parent) == (1, 0)
    assert engine.write(one, tmp_path, PROMPTS[:1], 1, greedy, [0])[0][0].text == "the quick brown fox"
    two = engine.update(one, tmp_path, [Example("the lazy dog", PROMPTS[0])], strong, 6)
    assert engine.write(two, tmp_path, PROMPTS[:1], 1, greedy, [0])[0][0].text == "the lazy dog"
    assert engine.write(one, tmp_path, PROMPTS[:1], 1, greedy, [0])[0][0].text == "the quick brown fox"
    assert engine.write(Policy(), tmp_path, PROMPTS[:1], 1, greedy, [0]) == before


def test_an_adapter_that_is_not_the_recorded_one_is_refused(engine: TorchEngine, tmp_path: Path) -> None:
    policy = engine.update(Policy(), tmp_path, [Example("fox", PROMPTS[0])], SETTINGS, 5)
    engine.write(Policy(), tmp_path, PROMPTS[:1], 1, Sampling(0.0, max_new_tokens=1), [0])
    weights = tmp_path / policy.adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    with pytest.raises(SelfeditError, match="not the one that was recorded"):
        engine.run_trials(policy, tmp_path, [Trial("x", study(), SETTINGS, 0)])


def test_a_trial_that_cannot_be_done_fails_alone(engine: TorchEngine) -> None:
    trials = [
        Trial("long", Study((Example("the " * 400, PROMPTS[0]),), ASKS), SETTINGS, 0),
        Trial("asked too much", Study((Example(TEXTS[0]),), (replace(ASKS[0], max_new_tokens=300),)), SETTINGS, 0),
        Trial("wild", study(*TEXTS), LoraSettings(rank=4, learning_rate=1e38, clip=0, epochs=3), 0),
        Trial("good", study(*TEXTS), SETTINGS, 0),
    ]
    long, asked_too_much, wild, good = engine.run_trials(Policy(), Path("."), trials)
    assert "an example of" in long.failure and "exceeds the model's context of 256" in long.failure
    assert "a question with its answer" in asked_too_much.failure
    assert long.answers == asked_too_much.answers == ()
    assert "not finite" in wild.failure and wild.answers == ()
    assert not good.failure and len(good.answers) == 2


def test_a_text_longer_than_the_models_context_is_studied_in_windows(engine: TorchEngine) -> None:
    long = Study((Example("the quick brown fox " * 150),), ASKS)
    [attempt] = engine.run_trials(Policy(), Path("."), [Trial("x", long, SETTINGS, 0)])
    assert not attempt.failure and attempt.steps > SETTINGS.epochs


def test_trials_without_questions_bring_no_answers(engine: TorchEngine) -> None:
    [attempt] = engine.run_trials(Policy(), Path("."), [Trial("x", Study((Example(TEXTS[0]),), ()), SETTINGS, 0)])
    assert attempt.answers == () and not attempt.failure and attempt.steps == 4


def test_a_prompt_longer_than_the_models_context_is_refused(engine: TorchEngine) -> None:
    with pytest.raises(SelfeditError, match="exceed the model's context"):
        engine.write(Policy(), Path("."), [Prompt("the " * 300)], 1, Sampling(), [0])


@pytest.mark.parametrize(
    ("outer", "told"),
    [
        (LoraSettings(targets="nowhere"), "--outer.targets: no linear layer is called nowhere"),
        (
            LoraSettings(targets="layers.0.self_attn.q_proj", adapt_layers=0.5),
            "--outer.adapt-layers 0.5: none of the upper 1",
        ),
    ],
)
def test_adapters_that_the_model_has_no_layers_for_are_refused_before_a_run_begins(
    tmp_path: Path, outer: LoraSettings, told: str
) -> None:
    config = TrainConfig(model=str(save_tiny(tmp_path, "llama")), outer=outer)
    with pytest.raises(SelfeditError, match=f"^{re.escape(told)}"):
        start_engine(config)
