"""L1. The engine: one language model on one device that writes, is adapted in groups, and answers.

It holds no state that a caller could notice: every item names the version that it is for, and the base weights never
change.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TypeVar

import torch

from selfedit.engine.forward import attention, trunk
from selfedit.engine.forward.attention import PlanHolder
from selfedit.engine.forward.trunk import Lower, Trunk
from selfedit.engine.lora import peft_format
from selfedit.engine.lora.bank import Bank, Matrices
from selfedit.engine.model import bounds, compatibility, loading, memory
from selfedit.engine.model.devices import choose_device, choose_dtype, is_rounding
from selfedit.engine.moving import ReadsOn
from selfedit.engine.replies import ROOM, Speaker
from selfedit.engine.serving import LiveTexts
from selfedit.engine.train import full_finetuning
from selfedit.engine.train.adapters import Trained, TrainingJob, by_layers, job_of, train
from selfedit.engine.train.distillation import taught
from selfedit.engine.updates import take_part, update_group
from selfedit.errors import SelfeditError
from selfedit.protocols import AdapterStore, Done, Helpers, LiveWriter, TakesPart
from selfedit.records import (
    UNTOUCHED,
    Answer,
    Completion,
    Failed,
    Generation,
    Invalid,
    Policy,
    TrainingConfig,
    Trial,
    TrialResult,
    Update,
    UpdateResult,
)
from selfedit.sizing import BANK

_TRUNK_BYTES = 2 * 2**30
"""What the layers below the adapters made is kept up to this size: some 10⁶ tokens of a 135M model, 10⁵ of a 7B one."""
T = TypeVar("T")
Replies = tuple[tuple[Answer, ...], tuple[Answer, ...]]
"""The answers of one trial, and those to its second round of queries."""


class TorchEngine(ReadsOn):
    """Implements `protocols.Engine` on a transformers model.

    Where all items of a group are for one version, its adapter lies beneath the bank, and the bank's slots are free for
    what is trained on it. Where they are for several, what they have in common lies beneath, and the rest of each in a
    slot of its own.

    Args:
        loaded: the model with its tokenizer.
        bank_size: most adapters trained together.
        pack_tokens: most tokens in one forward pass; bounds memory, not results. 0: as many as memory allows.
        adapters: where versions are found and put; None: the engine knows the untouched model alone.
        is_drawn_rounded: texts are drawn with base weights of 8 bits.

    Raises:
        SelfeditError: a model that this engine would not run as it is meant to run.
    """

    def __init__(
        self,
        loaded: loading.LoadedModel,
        bank_size: int = 8,
        pack_tokens: int = 0,
        adapters: AdapterStore | None = None,
        is_drawn_rounded: bool = False,
    ) -> None:
        self.model, self.tokenizer, self.name = loaded.model, loaded.tokenizer, loaded.name
        self.source = loaded.source or loaded.name
        self.sha256 = loaded.sha256
        self.bank_size = bank_size
        self._adapters = adapters
        self.holder = PlanHolder(compatibility.traits_of(self.model))
        own_logits = compatibility.own_logits(self.model)
        attention.install(self.model, self.holder)
        self.layer_count = trunk.install(self.model, self.holder)
        self.bank = Bank(self.model, self.holder)
        self._layer_of = trunk.layer_indices(self.model, self.bank.layers)
        self.trunk = Trunk(self.model, self.holder, _TRUNK_BYTES)
        self.sizes = memory.plan_sizes(self.model, bank_size, self.bank.width)
        most = bounds.longest_pass(self.model.config) // ROOM
        self.sizes.pack_tokens = min(pack_tokens or self.sizes.pack_tokens, most)
        self.lower = Lower(self.trunk, 0, self.sizes.pack_tokens)
        self.max_context = bounds.longest_context(self.model.config)[0]
        self.speaker = Speaker(self.model, self.holder, self.tokenizer, self.sizes, self.max_context, is_drawn_rounded)
        self._beneath = UNTOUCHED
        compatibility.admit(self.model, self.holder, own_logits)
        bounds.tell(self.name, self.model, self.bank)

    @property
    def facts(self) -> dict[str, str]:
        """What results depend on beside the run's config: model, weights, device, dtype, library versions."""
        return {
            "model": self.name,
            "weights_sha256": self.sha256,
            "device": self.model.device.type,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "torch": torch.__version__,
            "transformers": version("transformers"),
            **self.speaker.facts,
        }

    def generate(self, groups: Iterable[Sequence[Generation]]) -> Iterator[Done[Completion | Invalid]]:
        """See `protocols.Engine.generate`."""
        for number, group in enumerate(groups):
            yield Done(number, tuple(self._generate_group(group)))

    def run_trials(self, groups: Iterable[Sequence[Trial]]) -> Iterator[Done[TrialResult]]:
        """See `protocols.Engine.run_trials`. Trials of full finetuning go one at a time, after the others."""
        for number, group in enumerate(groups):
            self.trunk.clear()  # what an earlier group made passed in other company, and has other last digits
            yield Done(number, tuple(self._run_group(group)))

    def update(self, groups: Iterable[Sequence[Update]]) -> Iterator[Done[UpdateResult]]:
        """See `protocols.Engine.update`. A new adapter is stacked on its base, and saved as a delta that names it."""
        for number, group in enumerate(groups):
            yield Done(number, tuple(update_group(self, group)))

    def update_with(self, update: Update, helpers: Helpers) -> UpdateResult:
        """See `protocols.DataParallel`."""
        return update_group(self, [update], helpers)[0]

    def take_part(self, update: Update) -> TakesPart:
        """See `protocols.DataParallel`."""
        return take_part(self, update)

    def live(self, rows: int, versions: int) -> LiveWriter:
        """See `protocols.WritesLive.live`."""
        return LiveTexts(self, min(rows, self.sizes.rows), versions)

    def _generate_group(self, items: Sequence[Generation]) -> list[Completion | Invalid]:
        bases = [item.base for item in items]
        anchor = shared(item.anchor for item in items)
        if anchor is not None or len(set(bases)) != 1:
            return self._in_slots(bases, lambda some, slots: self.speaker.draw([items[i] for i in some], slots), anchor)
        self.lay_beneath(bases[0])
        return self.within_memory(lambda: self.speaker.draw(items, [-1] * len(items)))

    def _run_group(self, trials: Sequence[Trial]) -> list[TrialResult]:
        bases = list(dict.fromkeys(trial.base for trial in trials))
        anchor = shared(trial.anchor for trial in trials)
        if (anchor is not None or len(bases) > 1) and not any(trial.spec.examples for trial in trials):
            return self._ask_versions(trials, anchor)
        found: dict[int, TrialResult] = {}
        for base in bases:
            own = [i for i, trial in enumerate(trials) if trial.base == base]
            self.lay_beneath(base)
            found.update(zip(own, self._run_on_one([trials[i] for i in own]), strict=True))
        return [found[i] for i in range(len(trials))]

    def _run_on_one(self, trials: Sequence[Trial]) -> list[TrialResult]:
        """Trials on the version that lies beneath the bank."""
        jobs = [job_of(self.tokenizer, trial, self.max_context) for trial in trials]
        alone = {i: job for i, job in enumerate(jobs) if isinstance(job, TrainingJob) and job.is_full}
        for job in alone.values():
            self.adapted(job.training)
        found: dict[int, TrialResult] = {}
        for together in by_layers(trials, jobs, [i for i in range(len(trials)) if i not in alone]):
            results = self._run_together([trials[i] for i in together], [jobs[i] for i in together])
            found.update(zip(together, results, strict=True))
        found.update({i: self._run_alone(trials[i], job) for i, job in alone.items()})
        return [found[i] for i in range(len(trials))]

    def _ask_versions(self, trials: Sequence[Trial], anchor: Policy | None) -> list[TrialResult]:
        """Trials without training, each on a version in a slot of its own."""
        started = time.perf_counter()
        jobs = [job_of(self.tokenizer, trial, self.max_context) for trial in trials]
        able = [i for i, job in enumerate(jobs) if isinstance(job, TrainingJob)]

        def ask(some: Sequence[int], slots: Sequence[int]) -> list[Replies]:
            chunk = [able[i] for i in some]
            replies = self._replies(trials, chunk, dict(zip(chunk, slots, strict=True)))
            return [replies[i] for i in chunk]

        training = trials[0].training if anchor is not None else None
        replies = dict(zip(able, self._in_slots([trials[i].base for i in able], ask, anchor, training), strict=True))
        seconds = (time.perf_counter() - started) / len(trials)
        return [
            TrialResult(trial.key, failure=job.reason)
            if isinstance(job, Failed)
            else _result(trial, Trained(row=None), replies[i], seconds)
            for i, (trial, job) in enumerate(zip(trials, jobs, strict=True))
        ]

    def _in_slots(
        self,
        policies: Sequence[Policy],
        work: Callable[[Sequence[int], Sequence[int]], list[T]],
        anchor: Policy | None = None,
        training: TrainingConfig | None = None,
    ) -> list[T]:
        """What `work(indices, their slots)` makes of all, each version in a slot, as many at a time as there are."""

        def work_through() -> list[T]:
            size = self.sizes.slots
            chunks = [range(at, min(at + size, len(policies))) for at in range(0, len(policies), size)]
            held = ((some, self.hold([self.load(policies[i], beneath) for i in some], training)) for some in chunks)
            return [one for some, slots in held for one in work(some, slots)]

        beneath = self.common_ground(policies) if anchor is None else anchor
        self.lay_beneath(beneath)
        return self.within_memory(work_through)

    def hold(self, adapters_K: Sequence[Matrices], training: TrainingConfig | None = None) -> list[int]:
        """Adapters into the bank; the slot of each, -1 for one that is empty. `training`: on all layers that it adapts,
        not only those that have an adapter."""
        rank = peft_format.highest_rank(adapters_K)
        below, names = self._carrying(adapters_K)
        if training and set(names) <= set((adapted := self.adapted(training))[1]):
            below, names = adapted
        self.reserve(len(adapters_K) if rank else 0, rank, below, names)
        for slot, matrices in enumerate(adapters_K):
            if matrices:
                self.bank.load_matrices(slot, matrices)
        return [slot if matrices else -1 for slot, matrices in enumerate(adapters_K)]

    def _carrying(self, adapters_K: Sequence[Matrices]) -> tuple[int, list[str]]:
        """(decoder layers below these adapters, names of the linear layers that have one)."""
        carried = {name for matrices in adapters_K for name in matrices}
        names = [name for name in self.bank.layers if name in carried]
        return min((self._layer_of[name] for name in names), default=0), names

    def _run_together(self, trials: Sequence[Trial], jobs: Sequence[TrainingJob | Failed]) -> list[TrialResult]:
        started = time.perf_counter()
        good = [i for i, job in enumerate(jobs) if isinstance(job, TrainingJob)]
        ready = self._taught([job for job in jobs if isinstance(job, TrainingJob)])
        trained = {i: Trained(row=None, failure=job.reason) for i, job in enumerate(jobs) if isinstance(job, Failed)}
        trained.update(zip(good, self.within_memory(lambda: self._train(ready)), strict=True))
        replies = self.within_memory(lambda: self._ask(trials, trained))
        seconds = time.perf_counter() - started
        weights = [trained[i].tokens + 1 for i in range(len(trials))]
        shares = [seconds * weight / sum(weights) for weight in weights]
        return [_result(trial, trained[i], replies[i], shares[i]) for i, trial in enumerate(trials)]

    def _run_alone(self, trial: Trial, job: TrainingJob) -> TrialResult:
        """A trial of full finetuning."""
        started = time.perf_counter()
        [job] = self._taught([job])
        result, replies = self.within_memory(lambda: self._train_fully(trial, job))
        return _result(trial, result, replies, time.perf_counter() - started)

    def _train_fully(self, trial: Trial, job: TrainingJob) -> tuple[Trained, Replies]:
        """Train copies of all weights and ask them; the model is as before afterwards, also when this fails."""
        self._allocate([])
        self._give_back()
        sizes = full_finetuning.planned_sizes(self.model, self.bank, self.sizes)
        self.holder.is_recomputed = sizes.is_recomputed
        try:
            with full_finetuning.copied_weights(self.model, self.bank) as weights:
                self.trunk.clear()
                result = full_finetuning.train(self.model, self.holder, weights, job, sizes.pack_tokens)
                [replies] = self.within_memory(lambda: self._ask([trial], {0: result}))
        finally:
            self.trunk.clear()
        return result, replies

    def _taught(self, jobs: Sequence[TrainingJob]) -> list[TrainingJob]:
        return self.within_memory(lambda: taught(self.model, self.holder, jobs, self.sizes.pack_tokens))

    def _allocate(self, jobs: Sequence[TrainingJob]) -> None:
        training = [job for job in jobs if job.examples]
        if not training:
            self.reserve(0, 0)
            return
        below, names = self.adapted(training[0].training)
        self.reserve(min(self.sizes.slots, len(training)), max(job.training.rank for job in training), below, names)

    def reserve(self, size: int, rank: int, below: int = 0, names: Sequence[str] = ()) -> None:
        """A bank of `size` slots of this rank on the layers `names`, above the `below` lowest; of no size: none."""
        self.lower = Lower(self.trunk, 0 if self.holder.traits.is_whole else below, self.sizes.pack_tokens)
        if size:
            self.bank.allocate(size, rank, names)
        else:
            self.bank.release()

    def adapted(self, settings: TrainingConfig) -> tuple[int, list[str]]:
        """(decoder layers below the adapters, names of the linear layers that carry them); with full finetuning, all.

        Raises:
            SelfeditError: there are none; or a share of the layers is to be finetuned fully.
        """
        if settings.method == "full":
            if settings.top_layers < 1:
                raise SelfeditError(f"method full trains every weight: top_layers must be 1, not {settings.top_layers}")
            return 0, list(self.bank.layers)
        n_adapted = max(1, round(settings.top_layers * self.layer_count))
        below = self.layer_count - n_adapted
        names = [name for name in self.bank.chosen(settings.target_modules) if self._layer_of[name] >= below]
        if not names:
            wanted = f"none of the upper {n_adapted} layers has {settings.target_modules}"
            raise SelfeditError(f"top_layers {settings.top_layers}: {wanted}")
        return below, names

    def _train(self, jobs: Sequence[TrainingJob]) -> list[Trained]:
        self._allocate(jobs)
        self.holder.is_recomputed = self.sizes.is_recomputed
        return train(self.model, self.holder, self.bank, jobs, self.sizes.pack_tokens, self.lower)

    def _ask(self, trials: Sequence[Trial], trained: dict[int, Trained]) -> list[Replies]:
        """What each trained trial answers, a bank at a time: an adapter stays until nothing more is asked of it."""
        replies: dict[int, Replies] = {}
        able = [i for i in range(len(trials)) if not trained[i].failure]
        chunk_size = self.bank.size or len(able)
        for start in range(0, len(able), max(1, chunk_size)):
            chunk = able[start : start + chunk_size]
            replies.update(self._replies(trials, chunk, self._load_rows(chunk, trials, trained)))
        return [replies.get(i, ((), ())) for i in range(len(trials))]

    def _replies(self, trials: Sequence[Trial], chunk: Sequence[int], slot_of: Mapping[int, int]) -> dict[int, Replies]:
        """First answers of each trial of the chunk, and those to its second round of queries."""
        first = self.speaker.answer({i: trials[i].spec.queries for i in chunk}, slot_of, self.lower)
        wanted = {i: one.queries(first[i]) if (one := trials[i].spec.followup) else () for i in chunk}
        slots = {i: -1 if trials[i].spec.asks_beneath else slot_of[i] for i in chunk}
        second = self.speaker.answer(wanted, slots, self.lower)
        return {i: (first[i], second[i]) for i in chunk}

    def _load_rows(self, chunk: Sequence[int], trials: Sequence[Trial], trained: dict[int, Trained]) -> dict[int, int]:
        """Trained adapters into the bank; the slot of each trial, -1 for one without an adapter."""
        slot_of = dict.fromkeys(chunk, -1)
        for slot, i in enumerate(i for i in chunk if trained[i].row is not None):
            training, row = trials[i].training, trained[i].row
            assert row is not None
            self.bank.load_row(slot, row, training.alpha / training.rank)
            slot_of[i] = slot
        return slot_of

    def within_memory(self, work: Callable[[], T]) -> T:
        return memory.within_memory(self.sizes, work, self._give_back)

    def _give_back(self) -> None:
        """Free what can be made again; adapters that are being asked stay."""
        self.trunk.clear()
        self.holder.release()
        memory.give_back_freed_memory(self.model.device)

    def lay_beneath(self, policy: Policy) -> None:
        """Lay a version's adapter beneath the bank; where that fails, what lay there stays."""
        if policy.digest == self._beneath.digest and bool(policy.adapter) == bool(self._beneath.adapter):
            return
        matrices = self.load(policy)
        self.within_memory(lambda: self.bank.set_under(matrices))
        self.trunk.clear()
        self._beneath = policy

    def common_ground(self, policies: Iterable[Policy]) -> Policy:
        """The latest version that all of these are, or lie on."""
        ground = UNTOUCHED
        for versions in zip(*map(self._line_of, dict.fromkeys(policies)), strict=False):
            if len({version.digest for version in versions}) > 1:
                break
            ground = versions[0]
        return ground

    def _line_of(self, policy: Policy) -> list[Policy]:
        """The version behind all those that it lies on."""
        below = peft_format.lineage(self.adapters.find(policy)) if policy.adapter else ()
        older = [replace(policy, adapter=str(place.absolute()), digest=digest) for place, digest in below]
        return [*reversed(older), policy] if policy.adapter else []

    def load(self, policy: Policy, above: Policy = UNTOUCHED) -> Matrices:
        """A version's adapter (scale 1) with all that it lies on, down to `above`; empty for that one itself.

        Raises:
            SelfeditError: it cannot be read, is not the one that was recorded, or does not lie on `above`.
        """
        if policy.adapter and not policy.digest:
            raise SelfeditError(f"{policy.adapter}: version {policy.version} comes without the hash of its weights")
        if policy.digest == above.digest:
            return {}
        if not policy.adapter:
            raise SelfeditError(f"version {policy.version} does not lie on version {above.version}")
        return peft_format.load_adapter(self.adapters.find(policy), above.digest)

    @property
    def adapters(self) -> AdapterStore:
        """Where versions are found and put.

        Raises:
            SelfeditError: the engine was loaded without such a place.
        """
        if self._adapters is None:
            raise SelfeditError("this engine has no place for adapters; load it with one")
        return self._adapters


def _result(trial: Trial, trained: Trained, replies: Replies, seconds: float) -> TrialResult:
    failure = trained.failure
    if not all(math.isfinite(answer.gold_logprob) for answers in replies for answer in answers):
        failure, replies = "a gold answer's log-probability is not finite after training", ((), ())
    spent = tuple(trained.losses), trained.steps, trained.tokens, seconds
    return TrialResult(trial.key, replies[0], *spent, failure, replies[1])


def shared(anchors: Iterable[Policy | None]) -> Policy | None:
    """The anchor that all items of a group have; None where they have none, or several."""
    found = set(anchors)
    return found.pop() if len(found) == 1 else None


def load_engine(
    model: str,
    device: str = "auto",
    dtype: str = "auto",
    bank: int = 0,
    adapters: AdapterStore | None = None,
    write_dtype: str = "same",
) -> TorchEngine:
    """An engine for a model name, a local folder or a hub id.

    Args:
        device: `cpu`, `cuda`, `cuda:1`, or `auto` (a GPU where there is one).
        dtype: `float32`, `bfloat16`, `float64`, or `auto` (see `choose_dtype`).
        bank: most adapters trained together, memory permitting; 0 for 8 on a CPU, 32 on a GPU.
        adapters: where versions are found and put.
        write_dtype: `same` as the model's, or `int8`: texts are drawn with base weights of 8 bits (on a CPU).

    Raises:
        SelfeditError: anything of these that does not exist here.
    """
    memory.keep_freed_memory()
    chosen = choose_device(device)
    is_drawn_rounded = is_rounding(write_dtype, chosen)
    with memory.told(model):
        loaded = loading.load_model(model, chosen, choose_dtype(dtype, chosen))
        return TorchEngine(loaded, bank or BANK[chosen.type], 0, adapters, is_drawn_rounded)
