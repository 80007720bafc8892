"""L3. The methods that `eval` can compare, each declared once: in the order in which tables list them.

A package adds its own under the entry-point group `selfedit.methods` (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from selfedit.errors import Field, SettingError
from selfedit.loop.evaluation import (
    Method,
    MethodRequest,
    Row,
    RowRequest,
    ask_in_sight,
    ask_only,
    study_context,
    study_file,
    study_random_plans,
    study_sentences,
    study_written,
)
from selfedit.loop.leave_one_out import choose_by_leaving_out
from selfedit.loop.rethinking import believe_another, study_longer, think_again, think_again_about_edits
from selfedit.plugins import by_name, load_plugins
from selfedit.records import UNTOUCHED, Policy, Stage

GROUP = "selfedit.methods"
"""Entry points of further methods; each names a `Method`."""


def once(name: str) -> list[Row]:
    """One row, without a policy's version in its stage."""
    return [Row(Stage.of(name), find_method(name))]


def by_the_base(name: str, request: RowRequest, is_distilled: bool = False) -> list[Row]:
    """One row, written and learnt by the untouched model."""
    stage = Stage.of(name, 0, request.prompt)
    return [Row(stage, find_method(name), prompt=request.prompt, is_distilled=is_distilled)]


def of_policies(name: str, request: RowRequest, is_learner: bool = True) -> list[Row]:
    """A row for each trained policy, which writes, and unless told otherwise learns."""
    return [
        Row(
            Stage.of(name, policy.version, request.prompt),
            find_method(name),
            policy if is_learner else UNTOUCHED,
            policy,
            request.prompt,
        )
        for policy in request.policies
    ]


def from_sources(name: str, request: RowRequest, sources: Sequence[str]) -> list[Row]:
    """A row for each file or other model."""
    return [
        Row(Stage.of(name, 0, source), find_method(name), prompt=request.prompt, source=source) for source in sources
    ]


def _base(request: RowRequest) -> list[Row]:
    return [*once("base"), *(base_of(policy) for policy in request.policies)]


def base_of(policy: Policy) -> Row:
    """A trained policy as it is: what its update alone changed."""
    return Row(Stage.of("base", policy.version), find_method("base"), policy, policy)


def _chosen_among(name: str, request: RowRequest) -> list[Row]:
    policies = request.policies or (UNTOUCHED,)
    return [Row(Stage.of(name, one.version), find_method(name), one, one) for one in policies]


def _named(prompt: str, request: RowRequest) -> list[Row]:
    return by_the_base("synthetic", RowRequest(prompt, request.policies, request.files, request.writers))


_TAUGHT = "Studying the trained policy’s self-edits"
_METHODS = (
    Method(
        "base",
        "the untouched model (and each trained policy)",
        "baseline",
        _base,
        ask_only,
        label="Policy {time}, no study",
        label_untouched="Base model, no study",
    ),
    Method(
        "passage",
        "trained on the passage",
        "context",
        lambda request: once("passage"),
        study_context,
        label="Trained on the passage",
        cause="Studying the passage",
    ),
    Method(
        "sentences",
        "trained on its own sentences, one by one: what a self-edit gives that only takes apart",
        "control",
        lambda request: once("sentences"),
        study_sentences,
        label="Trained on the passage's own sentences",
        cause="Studying the passage sentence by sentence",
        written="the passage's own sentences",
        compared_with=("base", "passage"),
    ),
    Method(
        "random-plan",
        "trained by study plans that nobody wrote: directives drawn at random, without own lines",
        "control",
        lambda request: [replace(row, prompt="study-plan") for row in once("random-plan")],
        study_random_plans,
        label="Trained by study plans drawn at random",
        cause="Studying by a plan drawn at random",
        written="drawn at random",
        compared_with=("base", "passage", "sentences"),
    ),
    Method(
        "distil",
        "distilled from the model that has the passage in sight",
        "teacher",
        lambda request: by_the_base("distil", request, is_distilled=True),
        study_written,
        label="Distilled on {asked}self-edits, passage in sight",
        cause="Distilling from the passage in sight",
        remark="distilled",
        compared_with=("base", "passage"),
        takes_prompt=True,
    ),
    Method(
        "synthetic",
        "trained on self-edits of the untouched model",
        "policy",
        lambda request: by_the_base("synthetic", request),
        study_written,
        label="Trained on {asked}self-edits, {time}",
        cause="Studying its own self-edits",
        compared_with=("base", "passage", "sentences"),
        takes_prompt=True,
    ),
    Method(
        "entigraph",
        "the same as synthetic:entigraph",
        "policy",
        lambda request: _named("entigraph", request),
        study_written,
    ),
    Method(
        "active-reading",
        "the same as synthetic:active-reading",
        "policy",
        lambda request: _named("active-reading", request),
        study_written,
    ),
    Method(
        "seal",
        "each trained policy writes and learns",
        "policy",
        lambda request: of_policies("synthetic", request),
        study_written,
        takes_prompt=True,
        needs="policy",
    ),
    Method(
        "seal-edits",
        "each trained policy writes, the untouched model learns",
        "policy-writes",
        lambda request: of_policies("seal-edits", request, is_learner=False),
        study_written,
        label="Base model trained on {asked}self-edits written {time}",
        cause=_TAUGHT,
        remark="learnt by the untouched model",
        compared_with=("base", "passage", "sentences"),
        takes_prompt=True,
        needs="policy",
    ),
    Method(
        "edits",
        "self-edits from files",
        "external",
        lambda request: from_sources("edits", request, request.files),
        study_file,
        label="Trained on self-edits from {name}",
        cause="Studying the self-edits from {name}",
        written="from {name}",
        compared_with=("base", "passage", "sentences"),
        takes_prompt=True,
        needs="edits",
    ),
    Method(
        "writer",
        "self-edits by another model",
        "external",
        lambda request: from_sources("writer", request, request.writers),
        study_written,
        label="Trained on self-edits by {name}",
        cause="Studying the self-edits by {name}",
        written="written by {name}",
        compared_with=("base", "passage", "sentences"),
        takes_prompt=True,
        needs="writer",
    ),
    Method(
        "in-context",
        "with the passage in the prompt",
        "in-sight",
        lambda request: once("in-context"),
        ask_in_sight,
        label="Passage in the prompt",
    ),
    Method(
        "oracle",
        "trained with settings that are known to work, without a self-edit",
        "other",
        lambda request: once("oracle"),
        study_context,
        label="Settings known to work",
    ),
    Method(
        "loo",
        "of the self-edits of each policy (untrained without one) the best with parts of the context left out",
        "other",
        lambda request: _chosen_among("loo", request),
        choose_by_leaving_out,
        label="Best by leave-one-out, {time}",
    ),
    Method(
        "rethink",
        "oracle, then studied anew with what the answers' own agreement and held-out parts tell, and answered again",
        "other",
        lambda request: once("rethink"),
        think_again,
        label="Settings known to work, thought about again",
        compared_with=("base", "oracle"),
        goes_by_views=True,
    ),
    Method(
        "rethink-edits",
        "the same of self-edits by each policy (untrained without one); of several, the best by leave-one-out",
        "other",
        lambda request: _chosen_among("rethink-edits", request),
        think_again_about_edits,
        label="Self-edits thought about again, {time}",
        goes_by_views=True,
    ),
    Method(
        "rethink-wrong",
        "the same as rethink, but that of each trusted answer another one is studied",
        "control",
        lambda request: once("rethink-wrong"),
        believe_another,
        label="The same with another answer believed",
        compared_with=("base", "oracle"),
        goes_by_views=True,
    ),
    Method(
        "longer",
        "oracle in one pass of the cost of rethink: as many optimiser steps, as many answers",
        "control",
        lambda request: once("longer"),
        study_longer,
        label="One pass of the cost of thinking again",
        compared_with=("base", "oracle"),
        goes_by_views=True,
    ),
)
METHODS: Mapping[str, Method] = {method.name: method for method in _METHODS}
"""Those that come with the package, by name."""


@cache
def all_methods() -> Mapping[str, Method]:
    """Those that come with the package, then those of other packages.

    Raises:
        SelfeditError: an entry point that cannot be loaded, or that names no method.
    """
    return by_name(GROUP, METHODS, load_plugins(GROUP, Method))


def find_method(name: str) -> Method:
    """The method called so.

    Raises:
        SettingError: there is none.
    """
    if name not in all_methods():
        raise SettingError(Field("methods"), f" {name}: unknown; choose from {', '.join(all_methods())}")
    return all_methods()[name]


def read_requests(methods: str) -> tuple[MethodRequest, ...]:
    """A run's `methods`, split, each once."""
    parts = [name.strip().partition(":") for name in methods.split(",") if name.strip()]
    return tuple(dict.fromkeys(MethodRequest(name, prompt) for name, _, prompt in parts))


def plan_rows(requests: Sequence[MethodRequest], request: RowRequest) -> tuple[Row, ...]:
    """The rows that methods mean, in the order of methods; each stage once.

    Raises:
        SettingError: two would have one stage, and are not the same.
    """
    rows = [
        row
        for one in requests
        for row in find_method(one.name).rows(RowRequest(one.prompt, request.policies, request.files, request.writers))
    ]
    prompts: dict[Stage, set[str]] = {}
    for row in rows:
        prompts.setdefault(row.stage, set()).add(row.prompt)
        if len(prompts[row.stage]) > 1:
            told = f": {row.stage} would be two rows, by their prompts; leave one out"
            raise SettingError(Field("methods"), told)
    return tuple({row.stage: row for row in rows}.values())
