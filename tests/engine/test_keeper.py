"""Chains of versions in one bank, against updates of one policy at a time; and what restraints promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from reference import engine_of, peft_losses
from tiny import Float64Throughout, tiny_model

from selfedit.engine.adapters import load_adapter, save_whole
from selfedit.engine.bank import Matrices
from selfedit.engine.core import TorchEngine
from selfedit.engine.keeper import ChainKeeper
from selfedit.engine.models import weights_sha256
from selfedit.engine.packing import pack
from selfedit.engine.rendering import gold_tokens, text_tokens
from selfedit.engine.restraints import main_directions, watched
from selfedit.engine.scoring import token_losses
from selfedit.records import Answer, Ask, Example, LoraSettings, Policy, Prompt, Sampling, SelfeditError, Study, Trial
from selfedit.versions import Restraint, Update

pytestmark = pytest.mark.model

SETTINGS = LoraSettings(rank=3, alpha=6.0, adapt_layers=0.5, learning_rate=1e-2, epochs=4)
TEXTS = (
    "A town on the coast was founded by a widow.",
    "seven red boats cross the river at noon",
    "the lazy dog sold candles in 1987",
    "the quick fox read the passage",
)
ASKS = tuple(Ask(f"q{i}", "who?", gold, Prompt(f"{gold[0]}:", plain=True), 4) for i, gold in enumerate(TEXTS))


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with Float64Throughout():
        yield


@pytest.fixture
def engine() -> TorchEngine:
    return engine_of("llama", bank_size=4, n_layers=4)


def update(policy: Policy, folder: str, *texts: str, **others: object) -> Update:
    examples = tuple(Example(text) for text in texts)
    return replace(Update(policy, folder, examples, SETTINGS, seed=len(folder)), **others)  # type: ignore[arg-type]


def learn_one(keeper: ChainKeeper, home: Path, one: Update) -> Policy:
    [learnt] = keeper.learn(home, [one])
    assert not learnt.failure
    return learnt.policies[0]


def products(matrices: Matrices) -> dict[str, torch.Tensor]:
    return {name: b @ a for name, (a, b) in matrices.items()}


def test_two_chains_in_one_bank_come_out_as_each_would_alone_one_update_at_a_time(
    engine: TorchEngine, tmp_path: Path
) -> None:
    keeper, plain = ChainKeeper(engine, SETTINGS), engine_of("llama", bank_size=4, n_layers=4)
    before = weights_sha256(engine.model)
    together = [Policy(), Policy()]
    for step in range(2):
        updates = [
            update(policy, f"{chain}-{step}", *TEXTS[chain + step : chain + step + 1 + chain])
            for chain, policy in enumerate(together)
        ]
        together = [learnt.policies[0] for learnt in keeper.learn(tmp_path, updates)]
    found = keeper.ask(tmp_path, [(policy, ASKS) for policy in together])
    for chain, policy in enumerate(together):
        home, alone = tmp_path / f"alone-{chain}", Policy()
        for step in range(2):
            examples = [Example(text) for text in TEXTS[chain + step : chain + step + 1 + chain]]
            alone = plain.update(alone, home, examples, SETTINGS, seed=len(f"{chain}-{step}"))
        wanted, got = (products(load_adapter(at)) for at in (home / alone.adapter, tmp_path / policy.adapter))
        for name, product in wanted.items():
            torch.testing.assert_close(got[name], product, rtol=1e-9, atol=1e-12)
        [attempt] = plain.run_trials(alone, home, [Trial("t", Study((), ASKS), SETTINGS, 0)])
        assert [answer.text for answer in found[chain]] == [answer.text for answer in attempt.answers]
        for ours, theirs in zip(found[chain], attempt.answers, strict=True):
            assert ours.gold_logprob == pytest.approx(theirs.gold_logprob, abs=1e-9)
    assert weights_sha256(engine.model) == before
    assert [policy.version for policy in together] == [2, 2]


def test_the_policy_that_chains_begin_with_lies_beneath_all_of_them(engine: TorchEngine, tmp_path: Path) -> None:
    start = engine.update(Policy(), tmp_path / "start", [Example(TEXTS[3])], SETTINGS, 5)
    keeper = ChainKeeper(engine, SETTINGS, start, tmp_path / "start")
    learnt = learn_one(keeper, tmp_path, update(start, "first", TEXTS[0]))
    direct = engine.update(start, tmp_path / "start", [Example(TEXTS[0])], SETTINGS, len("first"))
    [from_start, from_learnt] = keeper.ask(tmp_path, [(start, ASKS), (learnt, ASKS)])
    trial = Trial("t", Study((), ASKS), SETTINGS, 0)
    for policy, ours in ((start, from_start), (direct, from_learnt)):
        [attempt] = engine.run_trials(policy, tmp_path / "start", [trial])
        assert logprobs(ours) == pytest.approx(logprobs(attempt.answers), abs=1e-9)


def test_each_chain_writes_with_what_it_has_learnt(engine: TorchEngine, tmp_path: Path) -> None:
    keeper, sampling = ChainKeeper(engine, SETTINGS), Sampling(temperature=0.0, max_new_tokens=5)
    learnt = learn_one(keeper, tmp_path, update(Policy(), "first", *TEXTS))
    prompts = [Prompt("the", plain=True)] * 2
    untouched, adapted = keeper.write(tmp_path, [Policy(), learnt], prompts, sampling, [1, 1])
    [[wanted]] = engine.write(Policy(), tmp_path, prompts[:1], 1, sampling, [1])
    assert untouched == wanted
    assert adapted.text != untouched.text


def test_versions_by_factor_come_from_one_training_and_lie_between_what_was_and_what_was_learnt(
    engine: TorchEngine, tmp_path: Path
) -> None:
    keeper = ChainKeeper(engine, SETTINGS)
    first = learn_one(keeper, tmp_path, update(Policy(), "first", TEXTS[0]))
    [learnt] = keeper.learn(tmp_path, [update(first, "second", TEXTS[1], factors=(1.0, 0.25, 0.0))])
    was = products(load_adapter(tmp_path / first.adapter))
    whole, quarter, nothing = (products(load_adapter(tmp_path / policy.adapter)) for policy in learnt.policies)
    for name, before in was.items():
        torch.testing.assert_close(nothing[name], before)
        torch.testing.assert_close(quarter[name] - before, (whole[name] - before) / 4, rtol=1e-6, atol=1e-9)


def test_a_chain_takes_room_for_each_update_once_and_its_end_can_be_copied_out_whole(
    engine: TorchEngine, tmp_path: Path
) -> None:
    keeper, policy, sizes = ChainKeeper(engine, SETTINGS), Policy(), []
    for step, text in enumerate(TEXTS):
        policy = learn_one(keeper, tmp_path, update(policy, f"chain/{step}", text))
        sizes.append((tmp_path / policy.adapter / "adapter_model.safetensors").stat().st_size)
    assert max(sizes) < 1.1 * min(sizes)
    save_whole(tmp_path / policy.adapter, tmp_path / "whole")
    (tmp_path / "chain").rename(tmp_path / "elsewhere")
    ours, whole = (load_adapter(tmp_path / at) for at in ("elsewhere/3", "whole"))
    assert all(a.shape[0] == len(TEXTS) * SETTINGS.rank for a, _ in whole.values())
    torch.testing.assert_close(products(whole), products(ours))
    alone = PeftModel.from_pretrained(tiny_model("llama", n_layers=4), tmp_path / "whole", autocast_adapter_dtype=False)
    [found] = keeper.ask(tmp_path, [(replace(policy, adapter="elsewhere/3"), ASKS)])
    tokens = [gold_tokens(engine.tokenizer, ask) for ask in ASKS]
    wanted = [-peft_losses(alone, one).mean().item() for one in tokens]
    assert logprobs(found) == pytest.approx(wanted, rel=1e-6)


def test_a_version_whose_parent_is_gone_or_another_is_refused(engine: TorchEngine, tmp_path: Path) -> None:
    keeper = ChainKeeper(engine, SETTINGS)
    first = learn_one(keeper, tmp_path, update(Policy(), "first", TEXTS[0]))
    second = learn_one(keeper, tmp_path, update(first, "second", TEXTS[1]))
    other = learn_one(keeper, tmp_path, update(Policy(), "other", TEXTS[2]))
    (tmp_path / first.adapter).rename(tmp_path / "was")
    with pytest.raises(SelfeditError, match=r"first: not a readable PEFT adapter"):
        keeper.ask(tmp_path, [(second, ASKS)])
    (tmp_path / other.adapter).rename(tmp_path / first.adapter)
    with pytest.raises(SelfeditError, match=r"first: is not the adapter that later ones were trained on"):
        keeper.ask(tmp_path, [(second, ASKS)])


def test_an_adapter_in_the_null_space_leaves_what_layers_make_of_earlier_material(
    engine: TorchEngine, tmp_path: Path
) -> None:
    keeper = ChainKeeper(engine, SETTINGS)
    first = learn_one(keeper, tmp_path, update(Policy(), "first", TEXTS[0]))
    confined = Restraint("null-space", 1.0 - 1e-12, (TEXTS[0][:12],))
    second = learn_one(keeper, tmp_path, update(first, "second", TEXTS[1], restraint=confined))
    free = learn_one(keeper, tmp_path, update(first, "free", TEXTS[1]))
    earlier = [Ask("e", "", TEXTS[0][2:12], Prompt(TEXTS[0][:1], plain=True), 0)]
    asked = [(policy, earlier) for policy in (first, second, free)]
    was, kept, moved = (found[0].gold_logprob for found in keeper.ask(tmp_path, asked))
    new = [Ask("n", "", TEXTS[1][6:], Prompt(TEXTS[1][:5], plain=True), 0)]
    unlearnt, learnt = (found[0].gold_logprob for found in keeper.ask(tmp_path, [(p, new) for p in (first, second)]))
    assert kept == pytest.approx(was, abs=1e-6)
    assert abs(moved - was) > 1e-3
    assert learnt > unlearnt + 0.01


def test_the_penalty_turns_a_new_adapter_away_from_what_earlier_ones_read(engine: TorchEngine, tmp_path: Path) -> None:
    keeper = ChainKeeper(engine, SETTINGS)
    first = learn_one(keeper, tmp_path, update(Policy(), "first", TEXTS[0]))
    penalty = Restraint("orthogonal", 10.0)
    overlaps = []
    for one in (update(first, "free", TEXTS[1]), update(first, "held", TEXTS[1], restraint=penalty)):
        one = replace(one, settings=replace(SETTINGS, epochs=40, clip=0.0), seed=1)
        stacked = load_adapter(tmp_path / learn_one(keeper, tmp_path, one).adapter)
        overlaps.append(sum(float((a[:3] @ a[3:].t()).square().sum()) for a, _ in stacked.values()))
    free, held = overlaps
    assert held < free / 10


def test_an_anchored_teacher_is_the_model_that_chains_began_with(engine: TorchEngine, tmp_path: Path) -> None:
    """Trained on it, a chain that has drifted goes back towards that model; with itself as teacher it has nothing to
    learn."""
    keeper = ChainKeeper(engine, SETTINGS)
    drifted = learn_one(keeper, tmp_path, update(Policy(), "drifted", *TEXTS[:2]))
    old = [Ask("e", "", TEXTS[0][2:], Prompt(TEXTS[0][:1], plain=True), 0)]
    lesson = Example(TEXTS[0], teacher=Prompt("", plain=True))
    anchored = replace(lesson, is_anchored=True)
    settings = replace(SETTINGS, epochs=30)
    updates = [
        Update(drifted, "own", (lesson,), settings, 1),
        Update(drifted, "anchored", (anchored,), settings, 1),
    ]
    own, back = (learnt.policies[0] for learnt in keeper.learn(tmp_path, updates))
    asked = [(policy, old) for policy in (Policy(), drifted, own, back)]
    began, away, still, returned = (found[0].gold_logprob for found in keeper.ask(tmp_path, asked))
    assert abs(returned - began) < 0.2 * abs(away - began)
    assert abs(still - away) < 0.2 * abs(away - began)


def test_a_failing_update_leaves_no_version_and_its_neighbours_alone(engine: TorchEngine, tmp_path: Path) -> None:
    keeper = ChainKeeper(engine, SETTINGS)
    wild = replace(SETTINGS, learning_rate=1e300, clip=0.0)
    updates = [
        replace(update(Policy(), "wild", TEXTS[0]), settings=wild),
        update(Policy(), "empty"),
        update(Policy(), "good", TEXTS[0]),
    ]
    broken, empty, good = keeper.learn(tmp_path, updates)
    assert "not finite" in broken.failure and not broken.policies
    assert "nothing to learn" in empty.failure
    [alone] = keeper.learn(tmp_path, [replace(updates[2], folder="alone", seed=len("good"))])
    assert_same(tmp_path, good.policies[0], alone.policies[0])
    assert not (tmp_path / "wild").exists()


def test_updates_that_adapt_other_layers_are_refused(engine: TorchEngine, tmp_path: Path) -> None:
    other = replace(update(Policy(), "other", TEXTS[0]), settings=replace(SETTINGS, adapt_layers=1.0))
    with pytest.raises(SelfeditError, match="same layers"):
        ChainKeeper(engine, SETTINGS).learn(tmp_path, [other])


def test_more_chains_than_slots_go_in_turns(engine: TorchEngine, tmp_path: Path) -> None:
    updates = [update(Policy(), f"{'x' * n}", TEXTS[n % 4]) for n in range(1, 6)]
    keeper = ChainKeeper(engine, SETTINGS)
    first = keeper.learn(tmp_path / "four", updates)
    engine.sizes.slots = 2
    for one, again in zip(first, keeper.learn(tmp_path / "two", updates), strict=True):
        assert_same(tmp_path, *(learnt.policies[0] for learnt in (one, again)), homes=("four", "two"))


def test_main_directions_hold_the_share_that_was_asked_for() -> None:
    gram = torch.diag(torch.tensor([8.0, 1.0, 1.0, 0.0]))
    assert main_directions(gram, 0.5).shape == (4, 1)
    assert main_directions(gram, 0.85).shape == (4, 2)
    assert main_directions(gram, 1.0).shape == (4, 3)
    assert main_directions(torch.zeros(4, 4), 0.9).shape == (4, 0)


def test_what_layers_read_is_summed_while_they_are_watched_and_no_longer(engine: TorchEngine) -> None:
    tokens = text_tokens(engine.tokenizer, TEXTS[0])
    names = ChainKeeper(engine, SETTINGS).names
    packed = pack([tokens], [-1], torch.device("cpu"))
    with watched(engine.bank, names) as grams:
        token_losses(engine.model, engine.holder, packed)
        once = {name: gram.clone() for name, gram in grams.items()}
        token_losses(engine.model, engine.holder, packed)
    assert set(once) == set(names)
    assert all(torch.allclose(2 * once[name], grams[name]) and once[name].trace() > 0 for name in names)
    token_losses(engine.model, engine.holder, packed)
    assert all(torch.allclose(2 * once[name], grams[name]) for name in names)


def assert_same(home: Path, one: Policy, other: Policy, homes: tuple[str, str] = ("", "")) -> None:
    found, wanted = (products(load_adapter(home / at / p.adapter)) for at, p in zip(homes, (one, other), strict=True))
    for name, product in wanted.items():
        torch.testing.assert_close(found[name], product, rtol=1e-9, atol=1e-12)


def logprobs(answers: tuple[Answer, ...]) -> list[float]:
    return [answer.gold_logprob for answer in answers]
