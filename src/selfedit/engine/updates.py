"""L1. New versions: adapters that are trained on top of a version, and saved as deltas that name it.

What the new adapters of a group are stacked on lies in a slot each, or beneath the bank where it is the same for all:

1. Updates with an anchor: that version is beneath. What each base has beyond it is in the slot, frozen, in front of
   the new adapter.
2. Updates of one base: that base lies beneath, and the slots hold the new adapters alone.
3. Updates of several bases: the latest version that all of them lie on is beneath.
4. Updates that adapt other layers than one another, that are anchored to several versions, or whose bases have layers
   that the new adapters have not, are done one by one, each with its base beneath; and so are those whose steps are
   made in parts.
5. Updates that are sums of versions train nothing and need no bank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from selfedit.engine.forward.packing import batches_of, pack, split_to_context
from selfedit.engine.forward.scoring import token_losses
from selfedit.engine.lora import peft_format
from selfedit.engine.lora.bank import Matrices
from selfedit.engine.lora.compression import compressed
from selfedit.engine.lora.constraints import AdapterConstraint, NullSpace, Orthogonal, directions_of, watched
from selfedit.engine.model import tokenization
from selfedit.engine.train.adapters import Trained, TrainingJob, job_of, train
from selfedit.engine.train.data_parallel import NOBODY, PartOfUpdate, train_in_shards
from selfedit.engine.train.distillation import taught
from selfedit.errors import SelfeditError
from selfedit.protocols import Helpers
from selfedit.records import UNTOUCHED, Failed, Policy, TrainingConfig, Trial, TrialSpec, Update, UpdateResult

if TYPE_CHECKING:
    from selfedit.engine.engine import TorchEngine


def update_group(engine: TorchEngine, updates: Sequence[Update], helpers: Helpers = NOBODY) -> list[UpdateResult]:
    """What comes of updates that are done together, as many at a time as the bank has slots.

    Args:
        helpers: who makes parts of the gradients, where an update's steps are made in parts.

    Raises:
        SelfeditError: no adapter is trained; a version cannot be read; or a base does not lie on its anchor.
    """
    engine.trunk.clear()
    for update in updates:
        _check_method(update.training)
    trained = iter(_train_group(engine, [update for update in updates if not update.shares], helpers))
    return [_sum_up(engine, update) if update.shares else next(trained) for update in updates]


def _train_group(engine: TorchEngine, updates: Sequence[Update], helpers: Helpers) -> list[UpdateResult]:
    if not updates:
        return []
    ground = _ground(engine, updates)
    if len(updates) > 1 and (ground is None or any(update.shards > 1 for update in updates)):
        return [result for update in updates for result in _train_group(engine, [update], helpers)]
    if ground is None:
        return [UpdateResult(failure="its base has layers that it does not adapt, so that nothing can be anchored")]
    beneath, lower_U = ground

    def work_through() -> list[UpdateResult]:
        size = engine.sizes.slots
        chunks = [slice(at, at + size) for at in range(0, len(updates), size)]
        return [one for some in chunks for one in _learn(engine, updates[some], lower_U[some], helpers)]

    engine.lay_beneath(beneath)
    return engine.within_memory(work_through)


def take_part(engine: TorchEngine, update: Update) -> PartOfUpdate:
    """Ready to make parts of this update's gradients; the engine does nothing else meanwhile.

    Raises:
        SelfeditError: as with the update itself; or nothing of it can be trained.
    """
    engine.trunk.clear()
    _check_method(update.training)
    ground = _ground(engine, [update])
    if ground is None:
        raise SelfeditError("nothing can be anchored there")
    engine.lay_beneath(ground[0])

    def ready() -> PartOfUpdate:
        [job] = _prepare(engine, [update], ground[1])
        if isinstance(job, Failed):
            raise SelfeditError(job.reason)
        _make_room(engine, [job], ground[1])
        return PartOfUpdate(engine.model, engine.holder, engine.bank, job, engine.sizes.pack_tokens, engine.lower)

    return engine.within_memory(ready)


def _ground(engine: TorchEngine, updates: Sequence[Update]) -> tuple[Policy, list[Matrices]] | None:
    """The version that lies beneath these, and what the base of each has beyond it; None where they have none in
    common, or where one alone cannot have the one that it is anchored to."""
    beneath = _version_beneath(engine, updates)
    if beneath is None:
        return None
    layers = {tuple(engine.adapted(update.training)[1]) for update in updates}
    lower_U = [engine.load(update.base, beneath) for update in updates]
    if len(layers) == 1 and all(name in next(iter(layers)) for lower in lower_U for name in lower):
        return beneath, lower_U
    if len(updates) > 1 or any(example.is_anchored for example in updates[0].examples):
        return None
    return updates[0].base, [{}]


def _check_method(training: TrainingConfig) -> None:
    if training.method != "lora":
        raise SelfeditError(f"training.method {training.method}: a version is stored as an adapter; use lora")


def _version_beneath(engine: TorchEngine, updates: Sequence[Update]) -> Policy | None:
    """The version that all of these can be trained on top of; None where there is none."""
    anchors = {update.anchor for update in updates}
    if None not in anchors or any(example.is_anchored for update in updates for example in update.examples):
        return (anchors.pop() or UNTOUCHED) if len(anchors) == 1 else None
    return engine.common_ground(update.base for update in updates)


def _learn(
    engine: TorchEngine, updates: Sequence[Update], lower_U: Sequence[Matrices], helpers: Helpers
) -> list[UpdateResult]:
    """Updates that fit into the bank, each on top of what its base has beyond the version that lies beneath."""
    prepared = _prepare(engine, updates, lower_U)
    jobs = [job for job in prepared if isinstance(job, TrainingJob)]
    _make_room(engine, jobs, lower_U)
    parts = engine.model, engine.holder, engine.bank
    if jobs and updates[0].shards > 1:
        own = PartOfUpdate(*parts, jobs[0], engine.sizes.pack_tokens, engine.lower)
        done = iter([train_in_shards(own, updates[0].shards, helpers)])
    else:
        done = iter(train(*parts, jobs, engine.sizes.pack_tokens, engine.lower))
    trained = [next(done) if isinstance(job, TrainingJob) else Trained(None, failure=job.reason) for job in prepared]
    return [_saved(engine, *parts) for parts in zip(updates, trained, strict=True)]


def _make_room(engine: TorchEngine, jobs: Sequence[TrainingJob], lower_U: Sequence[Matrices]) -> None:
    """A bank with a slot for each job, which takes its new adapter and what lies behind it."""
    rank = max((job.training.rank for job in jobs), default=0) + peft_format.highest_rank(lower_U)
    engine.reserve(len(jobs), rank, *(engine.adapted(jobs[0].training) if jobs else ()))
    engine.holder.is_recomputed = engine.sizes.is_recomputed


def _prepare(engine: TorchEngine, updates: Sequence[Update], lower_U: Sequence[Matrices]) -> list[TrainingJob | Failed]:
    """Training jobs on what lies beneath, with what teachers expect and constraints; or why there is none."""
    slots = engine.hold(lower_U, updates[0].training)
    found: list[TrainingJob | Failed] = []
    for update, lower, slot in zip(updates, lower_U, slots, strict=True):
        trial = Trial("", TrialSpec(update.examples, ()), update.training, update.seed)
        job = job_of(engine.tokenizer, trial, engine.max_context)
        if isinstance(job, TrainingJob) and not job.examples:
            job = Failed("there is nothing to learn")
        if isinstance(job, TrainingJob):
            [job] = taught(engine.model, engine.holder, [job], engine.sizes.pack_tokens, [slot])
            job = replace(job, beneath=lower, constraint=_constraint(engine, update, slot))
        found.append(job)
    return found


def _constraint(engine: TorchEngine, update: Update, slot: int) -> AdapterConstraint | None:
    wanted = update.constraint
    if wanted is None:
        return None
    if wanted.kind == "orthogonal":
        earlier = engine.load(update.base, update.anchor or UNTOUCHED)
        return Orthogonal({name: a.to(engine.bank.device) for name, (a, _) in earlier.items()}, wanted.strength)
    return _null_space(engine, wanted.texts, wanted.strength, slot, engine.adapted(update.training)[1])


def _null_space(engine: TorchEngine, texts: Sequence[str], share: float, slot: int, names: Sequence[str]) -> NullSpace:
    """What the layers get to read where the version reads the texts."""
    whole = [tokenization.text_tokens(engine.tokenizer, text) for text in texts]
    parts = [part for tokens in whole for part in split_to_context(tokens, engine.max_context)]
    with watched(engine.bank, names) as grams:
        for chunk in batches_of(parts, range(len(parts)), engine.sizes.pack_tokens):
            packed = pack([parts[i] for i in chunk], [slot] * len(chunk), engine.bank.device)
            token_losses(engine.model, engine.holder, packed)
    return NullSpace(directions_of(grams, share))


def _sum_up(engine: TorchEngine, update: Update) -> UpdateResult:
    """The weighted sum of versions. What all of them have in common is in it once, with all the weight."""
    common = engine.common_ground(share.policy for share in update.shares)
    parts = [(common, update.base, sum(share.weight for share in update.shares))]
    parts += [(share.policy, common, share.weight) for share in update.shares]
    loaded = [peft_format.scaled(engine.load(policy, above), weight) for policy, above, weight in parts]
    found, kept = compressed(peft_format.stack(loaded), update.training.rank)
    if not found:
        return UpdateResult(failure="there is nothing to sum up")
    return UpdateResult(_save(engine, update, found, update.factors), kept=kept)


def _saved(engine: TorchEngine, update: Update, result: Trained) -> UpdateResult:
    told = tuple(result.losses), result.steps, result.tokens
    if result.row is None:
        return UpdateResult((), *told, failure=result.failure or "nothing was trained")
    training = update.training
    upper = engine.bank.matrices(result.row, training.rank)
    scales = [factor * training.alpha / training.rank for factor in update.factors]
    return UpdateResult(_save(engine, update, upper, scales), *told)


def _save(engine: TorchEngine, update: Update, matrices: Matrices, scales: Sequence[float]) -> tuple[Policy, ...]:
    """The versions on disk, one for each scale."""
    store, base = engine.adapters, update.base
    lies_on = (store.find(base), base.digest) if base.adapter else None
    policies = []
    for number, scale in enumerate(scales):
        folder = f"{update.folder}-{number}" if number else update.folder
        added = peft_format.scaled(matrices, scale)
        digest = peft_format.save_adapter(store.place(folder), added, engine.bank, engine.source, lies_on)
        policies.append(Policy(base.version + 1, folder, digest, base.version))
    return tuple(policies)
