"""L1. Policies side by side: many chains of updates on one model, written by, trained and asked through the bank.

A chain's policy lies in a slot: everything that it has learnt, frozen, and in front of it, during an update, the new
adapter. So chains that know nothing of each other share every pass through the base, and what the layers below the
adapters make of a question is computed once for all chains and all their versions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from selfedit.engine import adapters, rendering
from selfedit.engine.bank import Matrices
from selfedit.engine.core import TorchEngine
from selfedit.engine.jobs import job_of
from selfedit.engine.packing import batches_of, pack, split_to_context
from selfedit.engine.restraints import NullSpace, Orthogonal, Restraint, directions_of, watched
from selfedit.engine.scoring import token_losses
from selfedit.engine.teacher import taught
from selfedit.engine.training import Job, Trained, train
from selfedit.records import Answer, Ask, LoraSettings, Policy, Prompt, Sampling, SelfeditError, Study, Trial, Written
from selfedit.versions import Learnt, Update

T = TypeVar("T")


class ChainKeeper:
    """Implements `seams.Keeper` on an engine.

    Args:
        settings: how adapters are made; all versions adapt the same layers.
        start: the policy that every chain begins with.
        start_home: the run folder that its adapter is relative to.
    """

    def __init__(
        self, engine: TorchEngine, settings: LoraSettings, start: Policy | None = None, start_home: Path = Path()
    ) -> None:
        self.engine, self.start, self.start_home = engine, start or Policy(), start_home
        self.below, self.names = engine.adapted(settings)

    def write(
        self,
        home: Path,
        policies: Sequence[Policy],
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seeds: Sequence[int],
    ) -> list[Written]:
        """See `seams.Keeper.write`."""

        def write(some: Sequence[int]) -> list[Written]:
            slots = self._hold([self._load(home, policies[i]) for i in some])
            wanted = [(prompts[i], slot, seeds[i]) for i, slot in zip(some, slots, strict=True)]
            return self.engine.draw(wanted, sampling)

        return self._in_banks(len(prompts), write)

    def learn(self, home: Path, updates: Sequence[Update]) -> list[Learnt]:
        """See `seams.Keeper.learn`."""
        return self._in_banks(len(updates), lambda some: self._learn(home, [updates[i] for i in some]))

    def ask(self, home: Path, asked: Sequence[tuple[Policy, Sequence[Ask]]]) -> list[tuple[Answer, ...]]:
        """See `seams.Keeper.ask`."""

        def ask(some: Sequence[int]) -> list[tuple[Answer, ...]]:
            slots = self._hold([self._load(home, asked[i][0]) for i in some])
            found = self.engine.put({i: asked[i][1] for i in some}, dict(zip(some, slots, strict=True)))
            return [found[i] for i in some]

        return self._in_banks(len(asked), ask)

    def _in_banks(self, n: int, work: Callable[[Sequence[int]], list[T]]) -> list[T]:
        """What `work` makes of 0 … n - 1, as many at a time as there are slots."""

        def work_through() -> list[T]:
            size = self.engine.sizes.slots
            chunks = [range(at, min(at + size, n)) for at in range(0, n, size)]
            return [one for chunk in chunks for one in work(chunk)]

        self.engine.use(self.start, self.start_home)
        return self.engine.within_memory(work_through)

    def _load(self, home: Path, policy: Policy) -> Matrices:
        return {} if policy == self.start else self.engine.load_policy(policy, home)

    def _hold(self, adapters_K: Sequence[Matrices]) -> list[int]:
        """Adapters into the bank; the slot of each, -1 for one that is empty."""
        rank = _highest_rank(adapters_K)
        self.engine.reserve(len(adapters_K) if rank else 0, rank, self.below, self.names)
        for slot, matrices in enumerate(adapters_K):
            if matrices:
                self.engine.bank.load_matrices(slot, matrices)
        return [slot if matrices else -1 for slot, matrices in enumerate(adapters_K)]

    def _learn(self, home: Path, updates: Sequence[Update]) -> list[Learnt]:
        beneath = [self._load(home, update.policy) for update in updates]
        prepared = self._prepare(updates, beneath)
        jobs = [job for job in prepared if isinstance(job, Job)]
        engine, ranks = self.engine, [job.settings.rank for job in jobs]
        engine.reserve(len(jobs), max(ranks, default=0) + _highest_rank(beneath), self.below, self.names)
        engine.holder.is_recomputed = engine.sizes.is_recomputed
        done = iter(train(engine.model, engine.holder, engine.bank, jobs, engine.sizes.pack_tokens, engine.lower))
        trained = [next(done) if isinstance(job, Job) else Trained(None, failure=job) for job in prepared]
        return [self._keep(home, *parts) for parts in zip(updates, beneath, trained, strict=True)]

    def _prepare(self, updates: Sequence[Update], beneath: Sequence[Matrices]) -> list[Job | str]:
        """Training jobs on what lies beneath, with what teachers expect and restraints; or why there is none."""
        slots = self._hold(beneath)
        found: list[Job | str] = []
        for update, lower, slot in zip(updates, beneath, slots, strict=True):
            job = self._job(update)
            if isinstance(job, Job):
                engine = self.engine
                [job] = taught(engine.model, engine.holder, [job], engine.sizes.pack_tokens, [slot])
                job = replace(job, beneath=lower, restraint=self._restraint(update, lower, slot))
            found.append(job)
        return found

    def _job(self, update: Update) -> Job | str:
        if self.engine.adapted(update.settings) != (self.below, self.names):
            raise SelfeditError("all updates of a chain must adapt the same layers")
        trial = Trial("", Study(update.examples, ()), update.settings, update.seed)
        job = job_of(self.engine.tokenizer, trial, self.engine.max_context)
        return "there is nothing to learn" if isinstance(job, Job) and not job.examples else job

    def _restraint(self, update: Update, beneath: Matrices, slot: int) -> Restraint | None:
        wanted = update.restraint
        if wanted is None:
            return None
        if wanted.kind == "orthogonal":
            device = self.engine.bank.device
            return Orthogonal({name: a.to(device) for name, (a, _) in beneath.items()}, wanted.strength)
        return self._null_space(wanted.texts, wanted.strength, slot)

    def _null_space(self, texts: Sequence[str], share: float, slot: int) -> NullSpace:
        """What the layers get to read where the policy reads the texts."""
        engine = self.engine
        whole = [rendering.text_tokens(engine.tokenizer, text) for text in texts]
        parts = [part for tokens in whole for part in split_to_context(tokens, engine.max_context)]
        with watched(engine.bank, self.names) as grams:
            for chunk in batches_of(parts, range(len(parts)), engine.sizes.pack_tokens):
                packed = pack([parts[i] for i in chunk], [slot] * len(chunk), engine.bank.device)
                token_losses(engine.model, engine.holder, packed)
        return NullSpace(directions_of(grams, share))

    def _keep(self, home: Path, update: Update, beneath: Matrices, result: Trained) -> Learnt:
        """The versions on disk."""
        told = tuple(result.losses), result.steps, result.tokens
        if result.row is None:
            return Learnt((), *told, failure=result.failure or "nothing was trained")
        engine, settings = self.engine, update.settings
        upper = engine.bank.matrices(result.row, settings.rank)
        lies_on = (home / update.policy.adapter, update.policy.digest) if beneath else None
        policies = []
        for number, factor in enumerate(update.factors):
            folder = f"{update.folder}-{number}" if number else update.folder
            added = adapters.scaled(upper, factor * settings.alpha / settings.rank)
            digest = adapters.save_adapter(home / folder, added, engine.bank, engine.name, lies_on)
            policies.append(Policy(update.policy.version + 1, folder, digest, update.policy.version))
        return Learnt(tuple(policies), *told)


def _highest_rank(adapters_K: Sequence[Matrices]) -> int:
    return max((a.shape[0] for matrices in adapters_K for a, _ in matrices.values()), default=0)
