"""L3. The policy writes self-edits; each is recorded as written, with the reason if it cannot be studied.

Contexts are written about in chunks that are fixed by the whole list, for the reason that fixes the groups of trials.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from selfedit import seeds
from selfedit.loop.kit import Kit
from selfedit.loop.trials import study_of
from selfedit.records import Context, Edit, Policy, Prompt, Sampling, Written, digest

Draw = Callable[[Sequence[Prompt], int, Sequence[int]], list[list[Written | str]]]


def write_edits(
    kit: Kit,
    stage: str,
    policy: Policy,
    contexts: Sequence[Context],
    n: int,
    sampling: Sampling,
    run_seed: int,
    draw: Draw | None = None,
    writer: str = "",
) -> list[Edit]:
    """`n` self-edits for each context, in order; those that the ledger of `stage` holds are not written again."""
    size = max(1, kit.rows // n)
    kit.progress.stage(f"{stage}: writing self-edits", n * len(contexts))
    edits: list[Edit] = []
    for chunk in (contexts[start : start + size] for start in range(0, len(contexts), size)):
        seeds_C = [seeds.derive(run_seed, "write", stage, context.id) for context in chunk]
        pairs = zip(chunk, seeds_C, strict=True)
        keys_C_E = [_keys(kit, policy, context, n, sampling, seed) for context, seed in pairs]
        known = {edit.key: edit for edit in kit.ledger.edits(stage)}
        if all(key in known for keys_E in keys_C_E for key in keys_E):
            written, note = [known[key] for keys_E in keys_C_E for key in keys_E], "from the ledger"
        else:
            written, note = _write_chunk(kit, stage, policy, chunk, n, sampling, seeds_C, keys_C_E), ""
        edits += written
        kit.progress.advance(len(written), note)
    return edits


def _write_chunk(
    kit: Kit,
    stage: str,
    policy: Policy,
    chunk: Sequence[Context],
    n: int,
    sampling: Sampling,
    seeds_C: Sequence[int],
    keys_C_E: Sequence[Sequence[str]],
) -> list[Edit]:
    with kit.timed(f"{stage}/write"):
        prompts = [kit.task.prompt(context) for context in chunk]
        texts_C_E = kit.engine.write(policy, kit.home, prompts, n, sampling, seeds_C)
    edits = []
    for context, keys_E, texts_E in zip(chunk, keys_C_E, texts_C_E, strict=True):
        for index, (key, text) in enumerate(zip(keys_E, texts_E, strict=True)):
            study = study_of(kit.task, context, text.text)
            invalid = study if isinstance(study, str) else ""
            edits.append(Edit(key, context.id, stage, index, policy.version, text.text, text.tokens, invalid))
    kit.ledger.add_edits(edits)
    return edits


def _keys(kit: Kit, policy: Policy, context: Context, n: int, sampling: Sampling, seed: int) -> list[str]:
    prompt = kit.task.prompt(context)
    return [digest(dict(kit.facts), policy.digest, context.id, prompt, sampling, seed, index) for index in range(n)]
