"""Lines of self-edits, scored by the engine: all of many self-edits together, each as if alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from selfedit.engine.engine import load_engine
from selfedit.records import TrainingConfig, Trial, TrialSpec
from selfedit.tasks.passages.task import PassagesTask
from selfedit.testing import make_contexts
from tests.support.reference import tried
from tests.support.tiny import save_tiny

pytestmark = pytest.mark.model

EDITS = ("A town was founded.\nThe river is red at noon.", "Seven boats cross the river.\nA widow lives there.")


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_lines_have_the_log_probability_of_their_own_tokens_with_the_passage_before_them_and_without(
    tmp_path: Path, family: str
) -> None:
    folder = save_tiny(tmp_path / family, family)
    contexts = make_contexts("p", len(EDITS))
    task = PassagesTask(contexts, [], "implications")
    queries = [
        tuple(query for pair in task.line_queries(context, edit) for query in pair)
        for context, edit in zip(contexts, EDITS, strict=True)
    ]
    trials = [Trial(str(i), TrialSpec((), asked), TrainingConfig(rank=4), 0) for i, asked in enumerate(queries)]
    results = tried(load_engine(str(folder), dtype="float32", bank=2), *trials)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for asked, result in zip(queries, results, strict=True):
        assert [answer.question_id for answer in result.answers] == [query.question_id for query in asked]
        assert {answer.text for answer in result.answers} == {""}
        for query, answer in zip(asked, result.answers, strict=True):
            before = tokenizer(query.prompt.text).input_ids
            line = tokenizer(query.gold, add_special_tokens=False).input_ids
            with torch.no_grad():
                logits = model(torch.tensor([[*before, *line]])).logits[0, len(before) - 1 : -1]
            each = logits.log_softmax(-1)[range(len(line)), line]
            assert answer.gold_logprob == pytest.approx(each.mean().item(), abs=1e-4)
