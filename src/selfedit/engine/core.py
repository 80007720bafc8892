"""L1. The engine: one language model on one device that writes, is adapted in groups, and answers.

It holds no state that a caller could notice: every call names the policy it is for, and the base weights never change.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import torch

from selfedit.engine import adapters, admission, attention, full, memory, models, rendering, trunk
from selfedit.engine.attention import Plan, PlanHolder
from selfedit.engine.bank import Bank, Matrices
from selfedit.engine.continuations import continuation_logprobs
from selfedit.engine.decoding import Decoder, Request
from selfedit.engine.devices import choose_device, choose_dtype
from selfedit.engine.grammar import JsonGrammars
from selfedit.engine.jobs import job_of
from selfedit.engine.packing import Tokens
from selfedit.engine.teacher import taught
from selfedit.engine.training import Job, Trained, train
from selfedit.engine.trunk import Lower, Trunk
from selfedit.records import (
    Answer,
    Ask,
    Attempt,
    Example,
    LoraSettings,
    Policy,
    Prompt,
    Sampling,
    SelfeditError,
    Trial,
    Written,
)
from selfedit.seams import AskFurther
from selfedit.seeds import derive
from selfedit.sizing import BANK

_TRUNK_BYTES = 2 * 2**30
"""What the layers below the adapters made is kept up to this size: some 10⁶ tokens of a 135M model, 10⁵ of a 7B one."""
T = TypeVar("T")
Replies = tuple[tuple[Answer, ...], tuple[Answer, ...]]
"""The answers of one trial, and those to what it was asked further."""


class TorchEngine:
    """Implements `seams.Engine` on a transformers model.

    Args:
        loaded: the model with its tokenizer.
        bank_size: most adapters trained together.
        pack_tokens: most tokens in one forward pass; bounds memory, not results. 0: as many as memory allows.

    Raises:
        SelfeditError: a model that this engine would not run as it is meant to run.
    """

    def __init__(self, loaded: models.LoadedModel, bank_size: int = 8, pack_tokens: int = 0) -> None:
        self.model, self.tokenizer, self.name = loaded.model, loaded.tokenizer, loaded.name
        self.sha256 = loaded.sha256
        self.bank_size = bank_size
        self.holder = PlanHolder()
        own_logits = admission.own_logits(self.model)
        attention.install(self.model, self.holder)
        self.layer_count = trunk.install(self.model, self.holder)
        self.bank = Bank(self.model, self.holder)
        self._layer_of = trunk.layer_indices(self.model, self.bank.layers)
        self.trunk = Trunk(self.model, self.holder, _TRUNK_BYTES)
        self.sizes = memory.plan_sizes(self.model, bank_size, self.bank.width)
        self.sizes.pack_tokens = pack_tokens or self.sizes.pack_tokens
        self.lower = Lower(self.trunk, 0, self.sizes.pack_tokens)
        self.max_context = int(getattr(self.model.config, "max_position_embeddings", None) or 2**31)
        self._policy_digest = ""
        admission.admit(self.model, self.holder, own_logits)

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
        }

    def write(
        self, policy: Policy, home: Path, prompts: Sequence[Prompt], n: int, sampling: Sampling, seeds: Sequence[int]
    ) -> list[list[Written]]:
        """See `seams.Engine.write`."""
        self.use(policy, home)
        wanted = [
            (prompt, -1, derive(seed, "draw", i)) for prompt, seed in zip(prompts, seeds, strict=True) for i in range(n)
        ]
        written = self.within_memory(lambda: self.draw(wanted, sampling))
        return [written[i : i + n] for i in range(0, len(written), n)]

    def draw(self, wanted: Sequence[tuple[Prompt, int, int]], sampling: Sampling) -> list[Written]:
        """A text for each (prompt, slot of the adapter that writes or -1, seed)."""
        requests = []
        for prompt, slot, seed in wanted:
            ids = rendering.prompt_ids(self.tokenizer, prompt)
            self._check_length(len(ids) + sampling.max_new_tokens, "prompt and text")
            requests.append(Request(ids, slot, sampling, seed, json_schema=prompt.json_schema))
        return [Written(self._text(ids), len(ids), finished) for ids, finished in self._generate(requests)]

    def run_trials(
        self, policy: Policy, home: Path, trials: Sequence[Trial], further: AskFurther | None = None
    ) -> list[Attempt]:
        """See `seams.Engine.run_trials`. Trials of full finetuning go one at a time, after the others."""
        self.use(policy, home)
        jobs = [job_of(self.tokenizer, trial, self.max_context) for trial in trials]
        alone = {i: job for i, job in enumerate(jobs) if isinstance(job, Job) and job.is_full}
        for job in alone.values():
            self.adapted(job.settings)
        together = [i for i in range(len(trials)) if i not in alone]
        attempts = self._run_together([trials[i] for i in together], [jobs[i] for i in together], further)
        found = dict(zip(together, attempts, strict=True))
        found.update({i: self._run_alone(trials[i], job, further) for i, job in alone.items()})
        return [found[i] for i in range(len(trials))]

    def _run_together(
        self, trials: Sequence[Trial], jobs: Sequence[Job | str], further: AskFurther | None
    ) -> list[Attempt]:
        started = time.perf_counter()
        good = [i for i, job in enumerate(jobs) if isinstance(job, Job)]
        ready = self._taught([job for job in jobs if isinstance(job, Job)])
        trained = {i: Trained(row=None, failure=job) for i, job in enumerate(jobs) if isinstance(job, str)}
        trained.update(zip(good, self.within_memory(lambda: self._train(ready)), strict=True))
        replies = self.within_memory(lambda: self._ask(trials, trained, further))
        seconds = time.perf_counter() - started
        weights = [trained[i].tokens + 1 for i in range(len(trials))]
        shares = [seconds * weight / sum(weights) for weight in weights]
        return [_attempt(trial, trained[i], replies[i], shares[i]) for i, trial in enumerate(trials)]

    def _run_alone(self, trial: Trial, job: Job, further: AskFurther | None) -> Attempt:
        """A trial of full finetuning."""
        started = time.perf_counter()
        [job] = self._taught([job])
        result, replies = self.within_memory(lambda: self._train_fully(trial, job, further))
        return _attempt(trial, result, replies, time.perf_counter() - started)

    def _train_fully(self, trial: Trial, job: Job, further: AskFurther | None) -> tuple[Trained, Replies]:
        """Train copies of all weights and ask them; the model is as before afterwards, also when this fails."""
        self._allocate([])
        self._give_back()
        sizes = full.planned_sizes(self.model, self.bank, self.sizes)
        self.holder.is_recomputed = sizes.is_recomputed
        try:
            with full.copied_weights(self.model, self.bank) as weights:
                self._forget()
                result = full.train(self.model, self.holder, weights, job, sizes.pack_tokens)
                [replies] = self.within_memory(lambda: self._ask([trial], {0: result}, further))
        finally:
            self._forget()
        return result, replies

    def _taught(self, jobs: Sequence[Job]) -> list[Job]:
        return self.within_memory(lambda: taught(self.model, self.holder, jobs, self.sizes.pack_tokens))

    def update(
        self, policy: Policy, home: Path, examples: Sequence[Example], settings: LoraSettings, seed: int
    ) -> Policy:
        """See `seams.Engine.update`. The new adapter is stacked on the old: one PEFT adapter holds the whole policy."""
        if not examples:
            raise SelfeditError("a policy update needs at least one self-edit")
        if settings.finetuning != "lora":
            raise SelfeditError("--outer.finetuning must be lora: a policy is stored as an adapter")
        self.use(policy, home)
        tokens = tuple(rendering.example_tokens(self.tokenizer, example) for example in examples)
        self._check_length(max(t.reach for t in tokens), "a self-edit with its prompt")
        [job] = self._taught([Job(tokens, settings, seed)])
        [result] = self.within_memory(lambda: self._train([job]))
        if result.row is None:
            raise SelfeditError(f"the policy update failed: {result.failure}; lower --outer.learning-rate")
        upper = self.bank.matrices(result.row, settings.rank)
        self.bank.release()
        lower = adapters.load_adapter(home / policy.adapter) if policy.adapter else {}
        version_number = policy.version + 1
        folder = f"adapters/policy-{version_number}"
        stacked = adapters.stack([lower, adapters.scaled(upper, settings.alpha / settings.rank)])
        digest = adapters.save_adapter(home / folder, stacked, self.bank, self.name)
        return Policy(version_number, folder, digest, policy.version)

    def _allocate(self, jobs: Sequence[Job]) -> None:
        training = [job for job in jobs if job.examples]
        if not training:
            self.reserve(0, 0)
            return
        if len({(job.settings.targets, job.settings.adapt_layers) for job in training}) > 1:
            raise SelfeditError("the trials of one group must adapt the same layers")
        below, names = self.adapted(training[0].settings)
        self.reserve(min(self.sizes.slots, len(training)), max(job.settings.rank for job in training), below, names)

    def reserve(self, size: int, rank: int, below: int = 0, names: Sequence[str] = ()) -> None:
        """A bank of `size` slots of this rank on the layers `names`, above the `below` lowest; of no size: none."""
        self.lower = Lower(self.trunk, below, self.sizes.pack_tokens)
        if size:
            self.bank.allocate(size, rank, names)
        else:
            self.bank.release()

    def adapted(self, settings: LoraSettings) -> tuple[int, list[str]]:
        """(decoder layers below the adapters, names of the linear layers that carry them); with full finetuning, all.

        Raises:
            SelfeditError: there are none; or a share of the layers is to be finetuned fully.
        """
        if settings.finetuning == "full":
            if settings.adapt_layers < 1:
                raise SelfeditError(
                    f"finetuning full trains every weight: adapt_layers must be 1, not {settings.adapt_layers}"
                )
            return 0, list(self.bank.layers)
        n_adapted = max(1, round(settings.adapt_layers * self.layer_count))
        below = self.layer_count - n_adapted
        names = [name for name in self.bank.chosen(settings.targets) if self._layer_of[name] >= below]
        if not names:
            wanted = f"none of the upper {n_adapted} layers has {settings.targets}"
            raise SelfeditError(f"adapt_layers {settings.adapt_layers}: {wanted}")
        return below, names

    def _train(self, jobs: Sequence[Job]) -> list[Trained]:
        self._allocate(jobs)
        self.holder.is_recomputed = self.sizes.is_recomputed
        return train(self.model, self.holder, self.bank, jobs, self.sizes.pack_tokens, self.lower)

    def _ask(self, trials: Sequence[Trial], trained: dict[int, Trained], further: AskFurther | None) -> list[Replies]:
        """What each trained trial answers, a bank at a time: an adapter stays until nothing more is asked of it."""
        replies: list[Replies] = [((), ())] * len(trials)
        able = [i for i in range(len(trials)) if not trained[i].failure]
        chunk_size = self.bank.size or len(able)
        for start in range(0, len(able), max(1, chunk_size)):
            chunk = able[start : start + chunk_size]
            slot_of = self._load_rows(chunk, trials, trained)
            first = self.put({i: trials[i].study.asks for i in chunk}, slot_of)
            next_asks = {i: further(trials[i].study, first[i]) if further else () for i in chunk}
            second = self.put(next_asks, slot_of)
            for i in chunk:
                replies[i] = first[i], second[i]
        return replies

    def _load_rows(self, chunk: Sequence[int], trials: Sequence[Trial], trained: dict[int, Trained]) -> dict[int, int]:
        """Trained adapters into the bank; the slot of each trial, -1 for one without an adapter."""
        slot_of = dict.fromkeys(chunk, -1)
        for slot, i in enumerate(i for i in chunk if trained[i].row is not None):
            settings, row = trials[i].settings, trained[i].row
            assert row is not None
            self.bank.load_row(slot, row, settings.alpha / settings.rank)
            slot_of[i] = slot
        return slot_of

    def put(self, asks_of: Mapping[int, Sequence[Ask]], slot_of: Mapping[int, int]) -> dict[int, tuple[Answer, ...]]:
        """Gold log-probabilities and greedy answers to the asks of each trial, all trials together."""
        asked = [(i, ask) for i, asks in asks_of.items() for ask in asks]
        if not asked:
            return dict.fromkeys(asks_of, ())
        golds = [rendering.gold_tokens(self.tokenizer, ask) for _, ask in asked]
        slots = [slot_of[i] for i, _ in asked]
        logprobs = self._score([ask for _, ask in asked], golds, slots)
        requests = [
            Request(
                prompt=gold.ids[: gold.loss_from],
                slot=slot,
                sampling=Sampling(temperature=0.0, max_new_tokens=ask.max_new_tokens),
                is_one_line=ask.is_one_line,
                json_schema=ask.prompt.json_schema,
            )
            for gold, slot, (_, ask) in zip(golds, slots, asked, strict=True)
            if ask.max_new_tokens
        ]
        texts = iter([self._text(ids) for ids, _ in self._generate(requests)])
        answers: dict[int, list[Answer]] = {i: [] for i in asks_of}
        for (i, ask), logprob in zip(asked, logprobs, strict=True):
            answers[i].append(Answer(ask.question_id, next(texts) if ask.max_new_tokens else "", logprob))
        return {i: tuple(found) for i, found in answers.items()}

    def _score(self, asks: Sequence[Ask], golds: Sequence[Tokens], slots: Sequence[int]) -> list[float]:
        """Mean log-probability of each gold answer per token; 0 where there is none."""
        known = [i for i, ask in enumerate(asks) if ask.gold]
        room = 4 * self.sizes.pack_tokens
        scored = [golds[i] for i in known], [slots[i] for i in known]
        found = continuation_logprobs(self.model, self.holder, *scored, room, self.sizes.rows, self.lower)
        by_place = dict(zip(known, found, strict=True))
        return [by_place.get(i, 0.0) for i in range(len(asks))]

    def _generate(self, requests: Sequence[Request]) -> list[tuple[list[int], bool]]:
        self._decoder.max_rows, self._decoder.max_tokens = self.sizes.rows, 4 * self.sizes.pack_tokens
        return self._decoder.generate(requests)

    def within_memory(self, work: Callable[[], T]) -> T:
        return memory.within_memory(self.sizes, work, self._give_back)

    def _give_back(self) -> None:
        """Free what can be made again; adapters that are being asked stay."""
        self.trunk.clear()
        self.holder.plan, self.holder.buffer = Plan(), torch.empty(0)
        memory.give_back_freed_memory(self.model.device)

    def _text(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def use(self, policy: Policy, home: Path) -> None:
        """Lay the policy's adapter beneath the bank."""
        if policy.digest == self._policy_digest:
            return
        self.bank.set_under(self.load_policy(policy, home))
        self._forget()
        self._policy_digest = policy.digest

    def load_policy(self, policy: Policy, home: Path) -> Matrices:
        """The policy's adapter (scale 1); empty for the untouched model.

        Raises:
            SelfeditError: it cannot be read, or is not the one that was recorded.
        """
        if not policy.adapter:
            return {}
        folder = home / policy.adapter
        self._check_adapter(folder, policy)
        return adapters.load_adapter(folder)

    def _forget(self) -> None:
        """The weights are others now: what was computed with the old ones is stale."""
        self.trunk.clear()
        self._decoder.forget_policy()

    @staticmethod
    def _check_adapter(folder: Path, policy: Policy) -> None:
        try:
            found = adapters.sha256_of(folder)
        except OSError as error:
            raise SelfeditError(f"{folder}: the adapter of policy {policy.version} cannot be read") from error
        if found != policy.digest:
            raise SelfeditError(f"{folder}: the adapter of policy {policy.version} is not the one that was recorded")

    def _check_length(self, tokens: int, what: str) -> None:
        if tokens > self.max_context:
            raise SelfeditError(f"{what}: {tokens} tokens exceed the model's context of {self.max_context}")

    @cached_property
    def _decoder(self) -> Decoder:
        texts = self.tokenizer.batch_decode([[i] for i in range(len(self.tokenizer))])
        lines = frozenset(i for i, text in enumerate(texts) if "\n" in text)
        blanks = frozenset(i for i, text in enumerate(texts) if not text.strip())
        stops = {self.tokenizer.eos_token_id}
        configured = self.model.generation_config.eos_token_id if self.model.generation_config else None
        stops.update(configured if isinstance(configured, list) else [configured])
        stop_ids = frozenset(i for i in stops if i is not None)
        grammars = JsonGrammars(self.tokenizer, self.model.config.get_text_config().vocab_size, stop_ids)
        return Decoder(self.model, self.holder, stop_ids, lines, blanks, grammars=grammars)


def _attempt(trial: Trial, result: Trained, replies: Replies, seconds: float) -> Attempt:
    failure = result.failure
    if not all(math.isfinite(answer.gold_logprob) for answers in replies for answer in answers):
        failure, replies = "a gold answer's log-probability is not finite after training", ((), ())
    answers, later = replies
    return Attempt(trial.key, answers, tuple(result.losses), result.steps, result.tokens, seconds, failure, later)


def load_engine(model: str, device: str = "auto", dtype: str = "auto", bank: int = 0) -> TorchEngine:
    """An engine for a model name, a local folder or a hub id.

    Args:
        device: `cpu`, `cuda`, `cuda:1`, or `auto` (a GPU where there is one).
        dtype: `float32`, `bfloat16`, `float64`, or `auto` (see `choose_dtype`).
        bank: most adapters trained together, memory permitting; 0 for 8 on a CPU, 32 on a GPU.

    Raises:
        SelfeditError: anything of these that does not exist here.
    """
    memory.keep_freed_memory()
    chosen = choose_device(device)
    return TorchEngine(models.load_model(model, chosen, choose_dtype(dtype, chosen)), bank or BANK[chosen.type])
