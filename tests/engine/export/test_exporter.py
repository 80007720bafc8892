"""What is exported answers in other programs as it does here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from selfedit.engine import load_engine
from selfedit.engine.export import exporter as exporters
from selfedit.engine.export import gguf_adapter
from selfedit.engine.export.asking import as_asked, ask
from selfedit.engine.export.exporter import Exporter, ExportOrder, open_exporter
from selfedit.engine.export.flatten import flattened, served_rank
from selfedit.engine.lora.peft_format import load_adapter, sha256_of
from selfedit.errors import SelfeditError
from selfedit.records import Policy, Prompt, Query, TrainingConfig, Trial, TrialSpec
from selfedit.store.adapters import AdapterFolders
from tests.support.libraries import ALL, CPU, MadeLibrary, make_library

pytestmark = pytest.mark.model
QUERY = Query("q", "What is red?", "seven boats", Prompt("Question: What is red?\nAnswer:", raw=True), 6)
IDS = torch.tensor([[7, 30, 99, 250, 12, 5, 301, 44]])
GPT2 = ("c_attn", "c_proj", "c_fc")
KINDS = {"llama": ALL, "tied": ALL, "qwen2": ALL, "gpt2": GPT2, "gemma2": ALL}


def order(made: MadeLibrary, form: str, number: int = 0, **more: Any) -> ExportOrder:
    """The export of one lesson's adapter."""
    folder = made.path / "adapters"
    learner = folder / "learner" if (folder / "learner").is_dir() else None
    return ExportOrder(form, folder / f"lesson-{number}", learner, QUERY, "notes-1-abc", "hub/tiny", **more)  # type: ignore[arg-type]


def as_here(made: MadeLibrary, number: int = 0) -> torch.Tensor:
    """Logits of the base with learner and adapter as PEFT adds them, one merged and the other on top."""
    model = AutoModelForCausalLM.from_pretrained(made.base.source, dtype=torch.float32)
    folder = made.path / "adapters"
    if (folder / "learner").is_dir():
        model = PeftModel.from_pretrained(model, str(folder / "learner")).merge_and_unload()
    with torch.no_grad():
        logits: torch.Tensor = PeftModel.from_pretrained(model, str(folder / f"lesson-{number}"))(IDS).logits
    return logits


def close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    """The largest difference is below a hundred-thousandth of the largest logit."""
    return float((found - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())


@pytest.mark.parametrize("family", KINDS)
def test_an_exported_adapter_gives_the_logits_of_learner_and_adapter_together(family: str, tmp_path: Path) -> None:
    made = make_library(tmp_path, family, kinds=KINDS[family])
    to = tmp_path / "out"
    to.mkdir()
    before = made.base.model(IDS).logits
    written = Exporter(made.base).write(order(made, "peft"), to)
    assert torch.equal(made.base.model(IDS).logits, before)
    base = AutoModelForCausalLM.from_pretrained(made.base.source, dtype=torch.float32)
    with torch.no_grad():
        found = PeftModel.from_pretrained(base, str(to))(IDS).logits
    assert close(found, as_here(made)) and not close(found, before)
    assert (written.rank, written.learnt_rank) == (8, 5)
    [check] = written.checks
    assert check.loaded_by == "peft" and check.base_logprob != check.exported_logprob


@pytest.mark.parametrize("family", KINDS)
def test_a_merged_model_gives_the_same_logits_and_keeps_tied_weights_tied(family: str, tmp_path: Path) -> None:
    made = make_library(tmp_path, family, kinds=KINDS[family])
    to = tmp_path / "out"
    to.mkdir()
    Exporter(made.base).write(order(made, "merged"), to)
    model = AutoModelForCausalLM.from_pretrained(to)
    with torch.no_grad():
        assert close(model(IDS).logits, as_here(made))
    assert AutoTokenizer.from_pretrained(to)("red boats")["input_ids"]
    is_tied = model.config.tie_word_embeddings
    held = load_file(to / "model.safetensors")
    assert ("lm_head.weight" in held) == (not is_tied)
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == is_tied


def test_the_engine_itself_says_what_the_export_says(tmp_path: Path) -> None:
    made = make_library(tmp_path)
    to = tmp_path / "out"
    to.mkdir()
    [check] = Exporter(made.base).write(order(made, "peft"), to).checks
    engine = load_engine(made.base.name, "cpu", "float32", 2, AdapterFolders(made.path))
    (_, policy), *_ = made.version.adapters
    [done] = list(engine.run_trials([[Trial("t", TrialSpec((), (QUERY,)), TrainingConfig(), 0, policy)]]))
    [answer] = done.results[0].answers
    assert answer.text == check.exported and answer.gold_logprob == pytest.approx(check.exported_logprob, abs=1e-4)


def test_a_library_without_a_learner_and_one_with_ranks_by_layer_are_flattened_exactly(tmp_path: Path) -> None:
    plain = make_library(tmp_path / "plain", has_learner=False)
    matrices = flattened(plain.path / "adapters" / "lesson-0")
    assert {a.shape[0] for a, _ in matrices.values()} == {2}
    made = make_library(tmp_path / "whole", is_whole=True)
    learner = made.path / "adapters" / "learner"
    folder = made.path / "adapters" / "whole"
    one = flattened(folder, sha256_of(learner))
    assert {a.shape[0] for a, _ in one.values()} == {8}  # 3 of the learner, 5 of the adapter, of which one layer has 4
    products = {name: b @ a for name, (a, b) in load_adapter(folder).items()}
    assert all(torch.allclose(b @ a, products[name], atol=1e-6) for name, (a, b) in one.items())
    with pytest.raises(SelfeditError, match="does not lie on the library's learner"):
        flattened(folder)
    with pytest.raises(SelfeditError, match="does not lie on the library's learner"):
        flattened(plain.path / "adapters" / "lesson-0", "0" * 64)


def test_ranks_go_up_to_the_next_that_vllm_knows() -> None:
    assert [served_rank(rank) for rank in (1, 8, 9, 32, 33, 257, 321, 513)] == [8, 8, 16, 32, 64, 320, 512, 513]


def test_an_adapter_config_has_one_rank_one_scale_and_the_name_that_is_served(tmp_path: Path) -> None:
    made = make_library(tmp_path)
    to = tmp_path / "out"
    to.mkdir()
    Exporter(made.base).write(order(made, "peft"), to)
    config = json.loads((to / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["rank_pattern"], config["alpha_pattern"]) == (8, 8, {}, {})
    assert config["base_model_name_or_path"] == "hub/tiny"
    assert not config["use_rslora"] and config["bias"] == "none" and not config["modules_to_save"]
    assert {
        tensor.shape[0] for key, tensor in load_file(to / "adapter_model.safetensors").items() if "lora_A" in key
    } == {8}


def test_a_gguf_adapter_has_llama_cpps_names_and_rows_of_queries_and_keys_in_its_order(tmp_path: Path) -> None:
    made = make_library(tmp_path)
    to = tmp_path / "out"
    to.mkdir()
    Exporter(made.base).write(order(made, "gguf"), to)
    reader = GGUFReader(to / "adapter.gguf")

    def told(key: str) -> Any:
        field = reader.get_field(key)
        assert field is not None
        return field.contents()

    assert (told("general.type"), told("adapter.type"), told("general.architecture")) == ("adapter", "lora", "llama")
    assert told("adapter.lora.alpha") == 5.0
    tensors = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    assert (
        len(tensors) == 2 * 2 * 7
        and "blk.1.attn_q.weight.lora_b" in tensors
        and "blk.0.ffn_down.weight.lora_a" in tensors
    )
    learner = made.path / "adapters" / "learner"
    for name, short, heads in (("q_proj", "attn_q", 4), ("k_proj", "attn_k", 2)):
        a, b = flattened(made.path / "adapters" / "lesson-0", sha256_of(learner))[f"model.layers.1.self_attn.{name}"]
        half = b.shape[0] // heads // 2  # of a head: there pair i is rows 2i and 2i + 1, here i and half + i
        wanted = np.stack(
            [b[h * 2 * half + part * half + i].numpy() for h in range(heads) for i in range(half) for part in (0, 1)]
        )
        assert np.array_equal(tensors[f"blk.1.{short}.weight.lora_b"], wanted)
        assert np.array_equal(tensors[f"blk.1.{short}.weight.lora_a"], a.numpy())
    a, b = flattened(made.path / "adapters" / "lesson-0", sha256_of(learner))["model.layers.1.self_attn.v_proj"]
    assert np.array_equal(tensors["blk.1.attn_v.weight.lora_b"], b.numpy())


def _changed(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = next(folder.glob("*.safetensors"))
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path, metadata={"format": "pt"})

    return spoil


Q_A, Q_B = (f"base_model.model.model.layers.0.self_attn.q_proj.lora_{part}.weight" for part in "AB")
Q = "model.layers.0.self_attn.q_proj.weight"


def _clear(tensors: dict[str, torch.Tensor]) -> None:
    for tensor in tensors.values():
        tensor.zero_()


@pytest.mark.parametrize(
    ("form", "change", "line"),
    [
        ("peft", lambda t: t.clear(), "has no tensors"),
        ("peft", _clear, "is all zeros"),
        ("peft", lambda t: t.pop(Q_A), "q_proj has B without A"),
        ("peft", lambda t: t.pop(Q_B), "q_proj has A without B"),
        ("peft", lambda t: (t.pop(Q_A), t.pop(Q_B)), "lacks model.layers.0.self_attn.q_proj"),
        ("peft", lambda t: t[Q_A].fill_(float("nan")), "not finite"),
        ("peft", lambda t: t[Q_B].fill_(float("inf")), "not finite"),
        ("peft", lambda t: t.update({Q_A: torch.ones(8, 31)}), "q_proj is A .8, 31. and B"),
        (
            "peft",
            lambda t: t.update(
                {Q_A.replace("q_proj", "x_proj"): t.pop(Q_A), Q_B.replace("q_proj", "x_proj"): t.pop(Q_B)}
            ),
            "x_proj is no linear layer of the base",
        ),
        ("peft", lambda t: t[Q_B].mul_(2), "q_proj is not what was learnt"),
        ("merged", lambda t: t.pop(Q), "lacks model.layers.0.self_attn.q_proj.weight"),
        ("merged", lambda t: t[Q].fill_(float("nan")), "not finite"),
        ("merged", lambda t: t[Q].add_(1), "is not the base with what was learnt"),
        ("merged", lambda t: t["model.norm.weight"].add_(1), "model.norm.weight is not the base"),
        ("merged", lambda t: t.update({Q: torch.ones(3, 3)}), "has shape"),
        ("merged", lambda t: t.update({"other": torch.ones(3)}), "other is no tensor of the base"),
        ("merged", lambda t: t.clear(), "has no tensors"),
    ],
)
def test_what_is_at_fault_is_not_exported(
    form: str,
    change: Callable[[dict[str, torch.Tensor]], None],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = make_library(tmp_path)
    to = tmp_path / "out"
    to.mkdir()
    name = f"write_{form}"
    write = getattr(exporters, name)

    def spoiled(folder: Path, *given: Any) -> None:
        write(folder, *given)
        _changed(change)(folder)

    monkeypatch.setattr(exporters, name, spoiled)
    with pytest.raises(SelfeditError, match=rf"^export: what was written [^\n]*{line}[^\n]*nothing is exported$"):
        Exporter(made.base).write(order(made, form), to)


def test_a_gguf_that_says_another_scale_is_not_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_library(tmp_path)
    to = tmp_path / "out"
    to.mkdir()
    monkeypatch.setattr(gguf_adapter, "highest_rank", lambda adapters: 7)
    with pytest.raises(SelfeditError, match=r"says adapter.lora.alpha 7.0, not 5.0; nothing is exported"):
        Exporter(made.base).write(order(made, "gguf"), to)


def test_an_adapter_under_which_nothing_is_said_otherwise_is_not_exported(tmp_path: Path) -> None:
    made = make_library(tmp_path)
    to = tmp_path / "out"
    to.mkdir()
    folder = made.path / "adapters" / "lesson-0"
    tensors = {key: value * ("lora_A" in key) for key, value in load_file(folder / "adapter_model.safetensors").items()}
    learner = made.path / "adapters" / "learner"
    save_file(
        tensors,
        folder / "adapter_model.safetensors",
        metadata={"selfedit.beneath": "../learner", "selfedit.beneath_sha256": sha256_of(learner)},
    )
    with pytest.raises(SelfeditError, match=r"loaded by peft, answers as the learner alone does"):
        Exporter(made.base).write(order(made, "peft"), to)


def test_a_model_with_other_weights_and_an_adapter_of_another_model_are_refused(tmp_path: Path) -> None:
    made = make_library(tmp_path)
    with pytest.raises(SelfeditError, match="has other weights than the library was learnt with"):
        open_exporter(made.base.name, "cpu", "float32", "0" * 64)
    other = make_library(tmp_path / "other", "gpt2", kinds=GPT2)
    with pytest.raises(SelfeditError, match=r"has a layer model\.layers\.0\.\S+ that \S+ has not"):
        Exporter(other.base).write(order(made, "peft"), tmp_path)


def test_a_family_that_is_not_written_as_gguf_is_refused_with_what_to_take(tmp_path: Path) -> None:
    made = make_library(tmp_path)
    made.base.model.config.model_type = "mamba"
    with pytest.raises(SelfeditError, match=r"a mamba model is not written as GGUF, only llama, .*; take merged"):
        Exporter(made.base).write(order(made, "gguf"), tmp_path)


def test_an_answer_ends_where_the_engines_ends(tmp_path: Path) -> None:
    made = make_library(tmp_path)
    tokenizer = made.base.tokenizer
    asked = as_asked(made.base.model, tokenizer, QUERY)
    ids = tokenizer("\n red boats\nmore")["input_ids"]
    assert asked.longest == 6 and tokenizer.eos_token_id in asked.stops
    assert asked.cut([*tokenizer("red")["input_ids"], 0, *ids], tokenizer) == "red"
    wide = as_asked(made.base.model, tokenizer, Query("q", "", "x", QUERY.prompt, 60))
    assert wide.cut(ids, tokenizer) == "red boats"
    assert ask(made.base.model, tokenizer, asked).logprob < 0
    assert made.base.model.device == CPU and isinstance(made.version.adapters[0][1], Policy)
