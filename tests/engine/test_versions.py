"""Versions side by side in one bank, against one version at a time; chains of updates; and what constraints promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from selfedit.engine.engine import TorchEngine
from selfedit.engine.lora.peft_format import load_adapter, save_whole, sha256_of
from selfedit.engine.model.loading import weights_sha256
from selfedit.engine.model.tokenization import gold_tokens
from selfedit.errors import SelfeditError
from selfedit.records import (
    UNTOUCHED,
    Answer,
    Example,
    Generation,
    Policy,
    Prompt,
    Query,
    SamplingParams,
    TrainingConfig,
    Trial,
    TrialResult,
    TrialSpec,
    Update,
)
from tests.support.reference import (
    ask,
    assert_same_answers,
    assert_same_product,
    engine_of,
    learn,
    logprobs,
    peft_losses,
    products,
    tokens_passed,
    tried,
    updated,
    written,
)
from tests.support.tiny import tiny_model

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("float64")]

SETTINGS = TrainingConfig(rank=3, alpha=6.0, top_layers=0.5, learning_rate=1e-2, epochs=4)
WHOLE = replace(SETTINGS, rank=2, top_layers=1.0)
TEXTS = (
    "A town on the coast was founded by a widow.",
    "seven red boats cross the river at noon",
    "the lazy dog sold candles in 1987",
    "the quick fox read the passage",
)
QUERIES = tuple(Query(f"q{i}", "who?", gold, Prompt(f"{gold[0]}:", raw=True), 4) for i, gold in enumerate(TEXTS))


@pytest.fixture
def engine(tmp_path: Path) -> TorchEngine:
    return engine_at(tmp_path)


def engine_at(home: Path, *others: Path) -> TorchEngine:
    return engine_of("llama", bank_size=4, n_layers=4, home=home, others=others)


def update(base: Policy, folder: str, *texts: str, **others: object) -> Update:
    examples = tuple(Example(text) for text in texts)
    return replace(Update(base, folder, examples, SETTINGS, seed=len(folder)), **others)  # type: ignore[arg-type]


def learn_one(engine: TorchEngine, one: Update) -> Policy:
    [result] = updated(engine, one)
    assert not result.failure
    return result.policies[0]


# Several versions in one group


def test_two_chains_in_one_bank_come_out_as_each_would_alone_one_update_at_a_time(
    engine: TorchEngine, tmp_path: Path
) -> None:
    before = weights_sha256(engine.model)
    together = [UNTOUCHED, UNTOUCHED]
    for step in range(2):
        updates = [
            update(policy, f"{chain}-{step}", *TEXTS[chain + step : chain + step + 1 + chain])
            for chain, policy in enumerate(together)
        ]
        together = [result.policies[0] for result in updated(engine, *updates)]
    found = ask(engine, *((policy, QUERIES) for policy in together))
    for chain, policy in enumerate(together):
        home, alone = tmp_path / f"alone-{chain}", UNTOUCHED
        plain = engine_at(home)
        for step in range(2):
            texts = TEXTS[chain + step : chain + step + 1 + chain]
            alone = learn_one(plain, update(alone, f"{chain}-{step}", *texts))
        assert_same_product(load_adapter(tmp_path / policy.adapter), load_adapter(home / alone.adapter))
        [answers] = ask(plain, (alone, QUERIES))
        assert_same_answers(found[chain], answers)
    assert weights_sha256(engine.model) == before
    assert [policy.version for policy in together] == [2, 2]


def test_what_chains_have_in_common_lies_beneath_all_of_them(engine: TorchEngine, tmp_path: Path) -> None:
    """It may adapt layers that their updates do not: these stay outside the slots, also where several are asked."""
    start = learn(engine, "start", [Example(TEXTS[3])], WHOLE)
    chains = [start, start]
    for step in range(2):
        updates = [update(policy, f"{chain}-{step}", TEXTS[chain], seed=3) for chain, policy in enumerate(chains)]
        chains = [result.policies[0] for result in updated(engine, *updates)]
        in_slots = {name for name, layer in engine.bank.layers.items() if layer.has_slots}
        assert {int(name.split(".")[2]) for name in in_slots} == {2, 3}
    for chain, policy in enumerate(chains):
        alone = start
        for step in range(2):
            one = update(alone, f"{chain}-{step}", TEXTS[chain], seed=3)
            alone = learn_one(engine, replace(one, folder=f"alone-{chain}-{step}"))
        assert_same_product(load_adapter(tmp_path / policy.adapter), load_adapter(tmp_path / alone.adapter))
    assert engine.common_ground([*chains, start]).digest == start.digest
    assert engine.common_ground([*chains, UNTOUCHED]) == UNTOUCHED == engine.common_ground([])
    by_version = ask(engine, *((policy, QUERIES) for policy in (start, *chains)))
    assert {name for name, layer in engine.bank.layers.items() if layer.has_slots} == in_slots
    for policy, answers in zip((start, *chains), by_version, strict=True):
        assert_same_answers(answers, ask(engine, (policy, QUERIES))[0])


def test_bases_that_adapt_other_layers_than_their_updates_are_updated_one_by_one(
    engine: TorchEngine, tmp_path: Path
) -> None:
    bases = [learn(engine, f"base-{i}", [Example(text)], WHOLE) for i, text in enumerate(TEXTS[:2])]
    together = updated(engine, *(update(base, f"new-{i}", TEXTS[2]) for i, base in enumerate(bases)))
    for i, (base, result) in enumerate(zip(bases, together, strict=True)):
        alone = learn_one(engine, update(base, f"own-{i}", TEXTS[2]))
        assert_same_product(load_adapter(tmp_path / result.policies[0].adapter), load_adapter(tmp_path / alone.adapter))


def test_each_version_writes_with_what_it_has_learnt(engine: TorchEngine) -> None:
    """Five versions and six texts in a bank of four slots, each as it would be written alone; the warm ones too."""
    versions = [UNTOUCHED, *(learn(engine, f"v{i}", [Example(text)], SETTINGS) for i, text in enumerate(TEXTS))]
    greedy, warm = SamplingParams(temperature=0.0, max_new_tokens=5), SamplingParams(1.0, 0.9, 6)
    prompt = Prompt("the", raw=True)
    items = [Generation(version, prompt, warm if i % 2 else greedy, i) for i, version in enumerate(versions)]
    items.append(Generation(versions[1], Prompt("seven red", raw=True), greedy, 9))
    together = written(engine, *items)
    assert together == [text for item in items for text in written(engine, item)]
    assert together[2].text != together[0].text


def test_versions_that_are_only_asked_share_a_group_and_answer_as_each_does_alone(engine: TorchEngine) -> None:
    """More versions than slots, one with a second round of queries, one that cannot be asked."""
    versions = [UNTOUCHED, *(learn(engine, f"v{i}", [Example(text)], SETTINGS) for i, text in enumerate(TEXTS))]
    trials = [
        Trial(f"{i}", TrialSpec((), QUERIES[: 1 + i % 3]), SETTINGS, 0, version) for i, version in enumerate(versions)
    ]
    trials[1] = replace(trials[1], spec=replace(trials[1].spec, followup=_AskAll()))
    too_long = TrialSpec((), (replace(QUERIES[0], max_new_tokens=300),))
    trials.append(Trial("too long", too_long, SETTINGS, 0, versions[2]))
    found = tried(engine, *trials)
    assert "exceeds the model's context" in found[-1].failure
    for trial, result in zip(trials[:-1], found, strict=False):
        assert (result.key, result.failure, result.steps) == (trial.key, "", 0)
        assert_same(result, tried(engine, trial)[0])
    assert len(found[1].followup_answers) == len(QUERIES)
    assert len({result.answers[0].gold_logprob for result in found[:-1]}) == len(versions)


def test_trials_that_train_on_several_versions_share_a_group(engine: TorchEngine) -> None:
    """With some that are only asked, in any order; each as it would be alone."""
    one, two = (learn(engine, f"v{i}", [Example(TEXTS[i])], SETTINGS) for i in range(2))
    spec = TrialSpec((Example(TEXTS[2]),), QUERIES)
    trials = [
        Trial("a", spec, SETTINGS, 3, one),
        Trial("b", spec, SETTINGS, 3, two),
        Trial("c", spec, SETTINGS, 3),
        Trial("d", replace(spec, examples=()), SETTINGS, 3, two),
        Trial("e", spec, SETTINGS, 3, one),
    ]
    found = tried(engine, *trials)
    assert [result.key for result in found] == ["a", "b", "c", "d", "e"]
    for trial, result in zip(trials, found, strict=True):
        assert_same(result, tried(engine, trial)[0])
    assert len({tuple(logprobs(result.answers)) for result in found[:4]}) == 4


def test_versions_by_factor_come_from_one_training_and_lie_between_what_was_and_what_was_learnt(
    engine: TorchEngine, tmp_path: Path
) -> None:
    first = learn_one(engine, update(UNTOUCHED, "first", TEXTS[0]))
    [result] = updated(engine, update(first, "second", TEXTS[1], factors=(1.0, 0.25, 0.0)))
    assert [policy.adapter for policy in result.policies] == ["second", "second-1", "second-2"]
    was = products(load_adapter(tmp_path / first.adapter))
    whole, quarter, nothing = (products(load_adapter(tmp_path / policy.adapter)) for policy in result.policies)
    for name, before in was.items():
        torch.testing.assert_close(nothing[name], before)
        torch.testing.assert_close(quarter[name] - before, (whole[name] - before) / 4, rtol=1e-6, atol=1e-9)


def test_a_failing_update_leaves_no_version_and_its_neighbours_alone(engine: TorchEngine, tmp_path: Path) -> None:
    wild = replace(SETTINGS, learning_rate=1e300, max_grad_norm=0.0)
    long = Example("the " * 400, Prompt("Read."))
    updates = [
        update(UNTOUCHED, "wild", TEXTS[0], training=wild),
        update(UNTOUCHED, "empty"),
        update(UNTOUCHED, "long", examples=(long,)),
        update(UNTOUCHED, "good", TEXTS[0]),
    ]
    broken, empty, too_long, good = updated(engine, *updates)
    assert good.policies[0].adapter == "good"
    assert "not finite" in broken.failure and "nothing to learn" in empty.failure
    assert "exceeds the model's context" in too_long.failure
    assert broken.policies == empty.policies == too_long.policies == ()
    alone = learn_one(engine, replace(updates[3], folder="alone"))
    assert_same_product(load_adapter(tmp_path / "good"), load_adapter(tmp_path / alone.adapter))
    assert not (tmp_path / "wild").exists()


def test_updates_that_adapt_other_layers_are_each_done_as_if_alone(engine: TorchEngine, tmp_path: Path) -> None:
    updates = [update(UNTOUCHED, "half", TEXTS[0]), update(UNTOUCHED, "full", TEXTS[0], training=WHOLE)]
    half, whole = (result.policies[0] for result in updated(engine, *updates))
    assert len(load_adapter(tmp_path / whole.adapter)) == 2 * len(load_adapter(tmp_path / half.adapter))
    for one, policy in zip(updates, (half, whole), strict=True):
        alone = learn_one(engine, replace(one, folder=f"{one.folder}-alone"))
        assert_same_product(load_adapter(tmp_path / policy.adapter), load_adapter(tmp_path / alone.adapter))


def test_more_updates_than_slots_go_in_turns(engine: TorchEngine, tmp_path: Path) -> None:
    bases = [UNTOUCHED, learn(engine, "base", [Example(TEXTS[3])], SETTINGS)]
    updates = [update(bases[n % 2], f"four/{'x' * n}", TEXTS[n % 4]) for n in range(1, 6)]
    first = updated(engine, *updates)
    engine.sizes.slots = 2
    turns = [replace(one, folder=one.folder.replace("four", "two")) for one in updates]
    for one, again in zip(first, updated(engine, *turns), strict=True):
        found, wanted = (load_adapter(tmp_path / result.policies[0].adapter) for result in (one, again))
        assert_same_product(found, wanted)


# Versions on disk


def test_a_chain_takes_room_for_each_update_once_and_its_end_can_be_copied_out_whole(
    engine: TorchEngine, tmp_path: Path
) -> None:
    policy, sizes = UNTOUCHED, []
    for step, text in enumerate(TEXTS):
        policy = learn_one(engine, update(policy, f"chain/{step}", text))
        sizes.append((tmp_path / policy.adapter / "adapter_model.safetensors").stat().st_size)
    assert max(sizes) < 1.1 * min(sizes)
    save_whole(tmp_path / policy.adapter, tmp_path / "whole")
    (tmp_path / "chain").rename(tmp_path / "elsewhere")
    ours, whole = (load_adapter(tmp_path / at) for at in ("elsewhere/3", "whole"))
    assert all(a.shape[0] == len(TEXTS) * SETTINGS.rank for a, _ in whole.values())
    torch.testing.assert_close(products(whole), products(ours))
    alone = PeftModel.from_pretrained(tiny_model("llama", n_layers=4), tmp_path / "whole", autocast_adapter_dtype=False)
    [found] = ask(engine, (replace(policy, adapter="elsewhere/3"), QUERIES))
    tokens = [gold_tokens(engine.tokenizer, query) for query in QUERIES]
    wanted = [-peft_losses(alone, one).mean().item() for one in tokens]
    assert logprobs(found) == pytest.approx(wanted, rel=1e-6)


def test_a_version_on_a_base_from_another_folder_is_read_back_and_equals_the_whole(tmp_path: Path) -> None:
    start = learn_one(engine_at(tmp_path / "trained"), update(UNTOUCHED, "adapters/policy-1", TEXTS[0]))
    engine = engine_at(tmp_path / "run", tmp_path / "trained")
    new = learn_one(engine, update(start, "adapters/none/0/1", TEXTS[1]))
    assert (new.version, new.parent) == (2, 1)
    assert not (tmp_path / "run" / "adapters" / "policy-1").exists()
    both = load_adapter(tmp_path / "run" / new.adapter)
    assert all(a.shape[0] == 2 * SETTINGS.rank for a, _ in both.values())
    save_whole(tmp_path / "run" / new.adapter, tmp_path / "whole" / "copy")
    assert_same_product(load_adapter(tmp_path / "whole" / "copy"), both)
    copied = replace(new, adapter="copy", digest=sha256_of(tmp_path / "whole" / "copy"))
    [found] = ask(engine_at(tmp_path / "run", tmp_path / "trained"), (new, QUERIES))
    [wanted] = ask(engine_at(tmp_path / "whole"), (copied, QUERIES))
    assert_same_answers(found, wanted)
    slotted = ask(engine, (UNTOUCHED, QUERIES), (start, QUERIES), (new, QUERIES))
    assert_same_answers(slotted[2], wanted)
    with pytest.raises(SelfeditError, match="the adapter of version 1 is missing"):
        ask(engine_at(tmp_path / "run"), (start, QUERIES))


def test_an_adapter_is_read_down_to_a_version_that_it_lies_on_and_no_other(engine: TorchEngine, tmp_path: Path) -> None:
    chain = [UNTOUCHED]
    for step, text in enumerate(TEXTS[:3]):
        chain.append(learn_one(engine, update(chain[-1], f"chain/{step}", text)))
    other = learn_one(engine, update(UNTOUCHED, "other", TEXTS[3]))
    _, first, second, third = chain
    folder = tmp_path / third.adapter
    upper, lower, whole = (
        load_adapter(folder, first.digest),
        load_adapter(tmp_path / first.adapter),
        load_adapter(folder),
    )
    assert all(a.shape[0] == 2 * SETTINGS.rank for a, _ in upper.values())
    for name, product in products(whole).items():
        torch.testing.assert_close(products(upper)[name] + products(lower)[name], product)
    assert engine.load(third, third) == {} == engine.load(UNTOUCHED)
    assert_same_product(engine.load(third, second), load_adapter(folder, second.digest))
    for above in (other.digest, third.digest):
        with pytest.raises(
            SelfeditError, match=rf"{third.adapter}: does not lie on the version with SHA-256 {above[:12]}$"
        ):
            load_adapter(folder, above)
    with pytest.raises(SelfeditError, match=r"^version 0 does not lie on version 1$"):
        engine.load(UNTOUCHED, first)


def test_a_version_whose_parent_is_gone_or_another_is_refused(engine: TorchEngine, tmp_path: Path) -> None:
    first = learn_one(engine, update(UNTOUCHED, "first", TEXTS[0]))
    second = learn_one(engine, update(first, "second", TEXTS[1]))
    other = learn_one(engine, update(UNTOUCHED, "other", TEXTS[2]))
    (tmp_path / first.adapter).rename(tmp_path / "was")
    with pytest.raises(SelfeditError, match=r"first: not a readable PEFT adapter"):
        ask(engine, (second, QUERIES))
    (tmp_path / other.adapter).rename(tmp_path / first.adapter)
    with pytest.raises(SelfeditError, match=r"first: is not the adapter that later ones were trained on"):
        ask(engine, (second, QUERIES))


# Anchors and constraints


def test_an_anchored_teacher_is_the_model_that_chains_began_with(engine: TorchEngine) -> None:
    """Trained on it, a chain that has drifted goes back towards that model; with itself as teacher it has nothing to
    learn."""
    drifted = learn_one(engine, update(UNTOUCHED, "drifted", *TEXTS[:2]))
    old = [Query("e", "", TEXTS[0][2:], Prompt(TEXTS[0][:1], raw=True), 0)]
    lesson = Example(TEXTS[0], teacher=Prompt("", raw=True))
    anchored = replace(lesson, is_anchored=True)
    training = replace(SETTINGS, epochs=30)
    updates = [
        Update(drifted, "own", (lesson,), training, 1),
        Update(drifted, "anchored", (anchored,), training, 1),
    ]
    own, back = (result.policies[0] for result in updated(engine, *updates))
    answers = ask(engine, *((policy, old) for policy in (UNTOUCHED, drifted, own, back)))
    began, away, still, returned = (found[0].gold_logprob for found in answers)
    assert abs(returned - began) < 0.2 * abs(away - began)
    assert abs(still - away) < 0.2 * abs(away - began)


def test_an_update_that_is_anchored_to_another_version_holds_to_what_that_one_expects(
    engine: TorchEngine, tmp_path: Path
) -> None:
    """Not to the untouched model: a chain that began with a trained policy goes back to that one. With a neighbour that
    is anchored elsewhere, each is held to its own."""
    start = learn(engine, "start", [Example(text) for text in TEXTS[:2]], replace(SETTINGS, epochs=12), 5)
    drifted = learn(engine, "drifted", [Example(text) for text in TEXTS[2:]], replace(SETTINGS, epochs=12), 6, start)
    old = [Query("e", "", TEXTS[0][2:], Prompt(TEXTS[0][:1], raw=True), 0)]
    lesson = Example(TEXTS[0], teacher=Prompt("", raw=True), is_anchored=True)
    to_start = Update(drifted, "to-start", (lesson,), replace(SETTINGS, epochs=30), 1, anchor=start)
    to_base = replace(to_start, folder="to-base", anchor=UNTOUCHED)
    back, further = (result.policies[0] for result in updated(engine, to_start, to_base))
    answers = ask(engine, *((policy, old) for policy in (UNTOUCHED, start, drifted, back, further)))
    base, began, away, returned, gone = (found[0].gold_logprob for found in answers)
    assert abs(base - began) > 0.5 and abs(away - began) > 0.1
    assert abs(returned - began) < 0.2 * abs(away - began)
    assert abs(gone - base) < 0.2 * abs(away - base)
    alone = learn_one(engine, replace(to_start, folder="alone"))
    assert_same_product(load_adapter(tmp_path / back.adapter), load_adapter(tmp_path / alone.adapter))


def test_an_anchor_that_a_version_does_not_lie_on_is_refused(engine: TorchEngine) -> None:
    one, two = (learn(engine, f"v{i}", [Example(TEXTS[i])], SETTINGS) for i in range(2))
    held = Example(TEXTS[0], teacher=Prompt("", raw=True), is_anchored=True)
    with pytest.raises(SelfeditError, match="does not lie on the version"):
        updated(engine, Update(one, "new", (held,), SETTINGS, 1, anchor=two))


def test_questions_pass_the_layers_below_the_adapters_once_for_all_versions(engine: TorchEngine) -> None:
    versions = [learn(engine, f"v{i}", [Example(text)], SETTINGS) for i, text in enumerate(TEXTS[:3])]
    scored = [replace(query, max_new_tokens=0) for query in QUERIES[:3]]
    engine.trunk.clear()
    with tokens_passed(engine, 0) as below, tokens_passed(engine, 3) as above:
        ask(engine, *((version, scored) for version in versions))
    assert sum(above) == 3 * sum(below) > 0


def test_with_an_anchor_one_chain_too_passes_its_lower_layers_once_and_says_the_same(engine: TorchEngine) -> None:
    """Versions that are asked in one group, each in a slot above the anchor, and one that writes."""
    chain = [UNTOUCHED]
    for i, text in enumerate(TEXTS[:3]):
        chain.append(learn(engine, f"v{i}", [Example(text)], SETTINGS, base=chain[-1]))
    spec = TrialSpec((), tuple(replace(query, max_new_tokens=0) for query in QUERIES[:3]))
    plain = [tried(engine, Trial("k", spec, SETTINGS, 0, version))[0] for version in chain]
    with tokens_passed(engine, 0) as below, tokens_passed(engine, 3) as above:
        anchored = tried(engine, *[Trial("k", spec, SETTINGS, 0, version, UNTOUCHED) for version in chain])
    assert sum(above) == len(chain) * sum(below) > 0
    for found, wanted in zip(anchored, plain, strict=True):
        assert_same(found, wanted)
    item = Generation(chain[-1], Prompt("the", raw=True), SamplingParams(1.0, 0.9, 6), 3)
    assert written(engine, replace(item, anchor=UNTOUCHED)) == written(engine, item)
    new = Update(chain[-1], "next", (Example(TEXTS[3]),), SETTINGS, 7)
    [one], [other] = updated(engine, new), updated(engine, replace(new, folder="anchored", anchor=UNTOUCHED))
    assert other.losses == pytest.approx(one.losses, abs=1e-9)


class _AskAll:
    """All questions once more."""

    is_beneath = False

    def queries(self, answers: Sequence[Answer]) -> Sequence[Query]:
        return QUERIES

    def aggregate(self, answers: Sequence[Answer], followup_answers: Sequence[Answer]) -> list[tuple[Query, Answer]]:
        return list(zip(QUERIES, followup_answers, strict=True))


def assert_same(found: TrialResult, wanted: TrialResult) -> None:
    """But for the time that it took."""
    assert (found.key, found.steps, found.tokens, found.failure) == (
        wanted.key,
        wanted.steps,
        wanted.tokens,
        wanted.failure,
    )
    assert found.losses == pytest.approx(wanted.losses, abs=1e-9)
    assert_same_answers(found.answers, wanted.answers)
    assert_same_answers(found.followup_answers, wanted.followup_answers)


def test_an_anchored_update_whose_base_adapts_other_layers_has_its_base_beneath(
    engine: TorchEngine, tmp_path: Path
) -> None:
    base = learn(engine, "base", [Example(TEXTS[0])], WHOLE)
    plain = learn_one(engine, update(base, "same", TEXTS[2]))
    anchored = learn_one(engine, update(base, "same-2", TEXTS[2], anchor=UNTOUCHED, seed=len("same")))
    assert_same_product(load_adapter(tmp_path / anchored.adapter), load_adapter(tmp_path / plain.adapter))
    teacher = Example(TEXTS[1], teacher=Prompt("town"), is_anchored=True)
    [failed] = updated(engine, replace(update(base, "third", anchor=UNTOUCHED), examples=(teacher,)))
    assert "nothing can be anchored" in failed.failure


def test_a_version_that_cannot_be_read_leaves_what_lies_beneath(engine: TorchEngine, tmp_path: Path) -> None:
    good, bad = (learn(engine, name, [Example(TEXTS[i])], WHOLE) for i, name in enumerate(("good", "bad")))
    [before] = ask(engine, (good, QUERIES))
    weights = tmp_path / "bad" / "adapter_model.safetensors"
    tensors = load_file(weights)
    name = max(name for name in tensors if "lora_B" in name)
    save_file({**tensors, name: tensors[name][:-1].clone()}, weights, metadata={"format": "pt"})
    spoilt = replace(bad, digest=sha256_of(tmp_path / "bad"))
    engine.lay_beneath(good)
    with pytest.raises(SelfeditError):
        engine.lay_beneath(spoilt)
    assert_same_answers(ask(engine, (good, QUERIES))[0], before)


def test_a_parent_without_a_hash_is_refused_not_left_out(engine: TorchEngine, tmp_path: Path) -> None:
    first = learn(engine, "first", [Example(TEXTS[0])], SETTINGS)
    learn(engine, "second", [Example(TEXTS[1])], SETTINGS, base=first)
    weights = tmp_path / "second" / "adapter_model.safetensors"
    with safe_open(weights, "pt") as opened:
        metadata = {name: text for name, text in opened.metadata().items() if not name.endswith("sha256")}
    save_file(load_file(weights), weights, metadata=metadata)
    with pytest.raises(SelfeditError, match="is not the adapter that later ones were trained on"):
        load_adapter(tmp_path / "second")


def test_a_version_without_a_hash_is_never_taken_for_the_base(engine: TorchEngine) -> None:
    for policy in (Policy(1, "nonsense"), replace(learn(engine, "one", [Example(TEXTS[0])], SETTINGS), digest="")):
        with pytest.raises(SelfeditError, match="comes without the hash of its weights"):
            ask(engine, (policy, QUERIES))


def test_an_anchored_example_has_no_place_in_a_trial_on_a_version(engine: TorchEngine) -> None:
    base = learn(engine, "base", [Example(TEXTS[0])], SETTINGS)
    spec = TrialSpec((Example(TEXTS[1], teacher=Prompt("town"), is_anchored=True),), QUERIES)
    on_base, on_version = tried(engine, Trial("a", spec, SETTINGS, 1), Trial("b", replace(spec), SETTINGS, 1, base))
    assert not on_base.failure and "is for updates" in on_version.failure


def test_trials_of_one_group_may_adapt_different_layers(engine: TorchEngine) -> None:
    spec = TrialSpec((Example(TEXTS[0]),), QUERIES)
    trials = [Trial(f"{i}", spec, training, 1) for i, training in enumerate((SETTINGS, WHOLE, SETTINGS))]
    together = tried(engine, *trials)
    for trial, result in zip(trials, together, strict=True):
        [alone] = tried(engine, trial)
        assert_same_answers(result.answers, alone.answers)
    assert together[0].answers != together[1].answers
