"""The embedded model learns a document, and llama.cpp, PEFT and transformers answer what selfedit answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from selfedit.cli.main import main
from selfedit.engine import load_engine
from selfedit.engine.export.asking import as_asked, ask
from selfedit.engine.export.llama_cpp import LlamaCpp
from selfedit.engine.model.loading import load_model
from selfedit.learn import settings_of
from selfedit.learn.asking import Asker
from selfedit.records import Question
from selfedit.store.adapters import AdapterFolders
from selfedit.store.library import LibraryFolder
from tests.learn.test_session import FERRY
from tests.support.gguf_models import write_base_gguf

pytestmark = pytest.mark.slow
QUICK = "--edits 0 --tests cloze --inner.budget tokens:1200".split()


def test_what_the_embedded_model_learnt_is_answered_alike_by_peft_transformers_and_llama_cpp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install selfedit[export-test])")
    monkeypatch.chdir(tmp_path)
    Path("ferry.md").write_text(FERRY)
    assert main(["learn", "ferry.md", "--library", "notes", *QUICK]) == 0

    def exported(form: str) -> Any:
        capsys.readouterr()
        assert main(["export", "live", "--library", "notes", "--format", form, "--to", form, "--json"]) == 0
        [row] = json.loads(capsys.readouterr().out)["exported"]
        return row

    rows = {form: exported(form) for form in ("peft", "merged", "gguf")}
    assert rows["peft"]["rank"] == 32 and rows["gguf"]["loaded_by"] == "transformers, llama.cpp"
    assert len({row["export_says"] for row in rows.values()}) == 1
    assert all(row["logprob_after"] > row["logprob_before"] + 1 for row in rows.values())
    assert Path("gguf/base.gguf").is_file()

    with LibraryFolder(tmp_path / "notes") as library:
        settings, learner = settings_of(library.folder), library.learner
        [(context_id, policy)] = library.resolve().adapters
        lesson = library.lessons()[context_id]
    engine = load_engine("smollm2-135m", "cpu", "float32", 2, AdapterFolders(tmp_path / "notes"))
    asker = Asker(engine, learner, settings.inner, settings.answer_tokens)
    known = [Question(a.question_id, a.question, a.gold) for a in (*lesson.report.after, *lesson.gate.after)]
    queries = asker.queries(lesson.context, known)
    [answers] = asker.ask([(policy, queries)])
    assert len(answers) >= 2

    base = load_model("smollm2-135m", torch.device("cpu"), torch.float32)
    merged = AutoModelForCausalLM.from_pretrained("merged")
    tokenizer = AutoTokenizer.from_pretrained("merged")
    write_base_gguf(Path("exact.gguf"), base)
    exact = LlamaCpp(Path("exact.gguf"), Path("gguf/adapter.gguf"), 256)
    quantised = LlamaCpp(Path("gguf/base.gguf"), Path("gguf/adapter.gguf"), 256)
    for query, answer in zip(queries, answers, strict=True):
        asked = as_asked(base.model, base.tokenizer, query)
        said = ask(merged, tokenizer, asked)
        assert said.text == answer.text and said.logprob == pytest.approx(answer.gold_logprob, abs=1e-3)
        said = exact.ask(tokenizer, asked)
        assert said.text == answer.text and said.logprob == pytest.approx(answer.gold_logprob, abs=0.02)
        said = quantised.ask(tokenizer, asked)  # activations are rounded to 8 bits there, so near ties may turn
        assert said.logprob == pytest.approx(answer.gold_logprob, abs=0.25)
