"""PEFT's format, in and out: an adapter of either side means the same on the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load, save

from selfedit.engine.engine import TorchEngine
from selfedit.engine.forward.scoring import mean_logprobs
from selfedit.engine.lora import peft_format
from selfedit.engine.lora.peft_format import save_whole, with_sorted_metadata
from selfedit.errors import SelfeditError
from selfedit.records import Example, TrainingConfig
from tests.support.reference import JOBS, engine_of, fill_slots, learn, peft_losses, run_bank, sequences
from tests.support.tiny import FAMILIES, tiny_model

pytestmark = pytest.mark.model
PROBE = sequences(9, (12, 17))


def save_with_peft(folder: Path, family: str = "llama", **settings) -> list[float]:
    """An adapter with random weights, saved by PEFT; returns PEFT's mean log-probability of each probe."""
    config = LoraConfig(**{"r": 3, "lora_alpha": 5, "target_modules": "all-linear"} | settings)
    model = get_peft_model(tiny_model(family), config, autocast_adapter_dtype=False)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    return peft_logprobs(model)


@torch.no_grad()
def peft_logprobs(model: PeftModel) -> list[float]:
    return [-peft_losses(model, tokens).mean().item() for tokens in PROBE]


def in_a_slot(engine: TorchEngine, folder: Path) -> list[float]:
    """The probes' log-probabilities with the adapter in slot 1 of a bank of larger rank."""
    matrices = peft_format.load_adapter(folder)
    engine.bank.allocate(2, 6, list(matrices))
    engine.bank.load_matrices(1, matrices)
    return mean_logprobs(engine.model, engine.holder, PROBE, [1, 1], 1024)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"target_modules": ["q_proj", "v_proj"], "r": 5, "lora_alpha": 32},
        {"use_rslora": True},
        {"alpha_pattern": {"q_proj": 9, r"layers.1.mlp.up_proj": 2}},
        {"rank_pattern": {"k_proj": 6, "down_proj": 1}},
        {"rank_pattern": {"k_proj": 6}, "alpha_pattern": {"k_proj": 2}, "use_rslora": True},
    ],
    ids=["plain", "some targets", "rslora", "alphas", "ranks", "ranks, alphas, rslora"],
)
@pytest.mark.filterwarnings("ignore:Using Rank-Stabilized LoRA with rank_pattern:UserWarning")
def test_an_adapter_saved_by_peft_gives_the_same_log_probabilities_in_a_slot_and_beneath(
    settings: dict, tmp_path: Path
) -> None:
    wanted = save_with_peft(tmp_path, **settings)
    engine = engine_of("llama")
    bare = mean_logprobs(engine.model, engine.holder, PROBE, [-1, -1], 1024)
    assert in_a_slot(engine, tmp_path) == pytest.approx(wanted, rel=1e-6)
    engine.bank.set_under(peft_format.load_adapter(tmp_path))
    assert mean_logprobs(engine.model, engine.holder, PROBE, [-1, -1], 1024) == pytest.approx(wanted, rel=1e-6)
    assert bare != pytest.approx(wanted, rel=1e-3)


def test_an_adapter_of_peft_for_layers_that_are_stored_transposed_fits_as_well(tmp_path: Path) -> None:
    wanted = save_with_peft(tmp_path, "gpt2", fan_in_fan_out=True)
    assert in_a_slot(engine_of("gpt2"), tmp_path) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        {"lora_bias": True},
        {"trainable_token_indices": [3]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"layer_replication": [(0, 2), (0, 2)]},
    ],
    ids=lambda settings: next(iter(settings)),
)
@pytest.mark.filterwarnings(
    "ignore:`lora_bias=True`", "ignore:Setting `save_embedding_layers`", "ignore:Adapter .*invalid shape"
)
def test_an_adapter_that_is_more_than_two_matrices_a_layer_is_refused_in_one_line(
    settings: dict, tmp_path: Path
) -> None:
    save_with_peft(tmp_path, **settings)
    with pytest.raises(SelfeditError, match="only plain LoRA adapters") as caught:
        peft_format.load_adapter(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "setting", [{"init_lora_weights": "pissa_niter_4"}, {"use_qalora": True}, {"peft_type": "LOHA"}]
)
def test_an_adapter_that_needs_another_base_or_another_product_is_refused(setting: dict, tmp_path: Path) -> None:
    save_with_peft(tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | setting))
    with pytest.raises(SelfeditError, match=rf"only plain.*({'|'.join(map(str, [*setting, *setting.values()]))})"):
        peft_format.load_adapter(tmp_path)


def test_an_adapter_of_a_wider_model_is_refused_by_slot_and_beneath() -> None:
    engine = engine_of("llama")
    name = "model.layers.0.self_attn.q_proj"
    wide = {name: (torch.zeros(2, 64), torch.zeros(32, 2))}
    engine.bank.allocate(1, 4, list(engine.bank.layers))
    with pytest.raises(SelfeditError, match=name):
        engine.bank.load_matrices(0, wide)
    with pytest.raises(SelfeditError, match=name):
        engine.bank.set_under(wide)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_adapter_of_any_slot_says_the_same_in_peft_and_beneath(family: str, tmp_path: Path) -> None:
    engine = engine_of(family)
    rows = run_bank(engine, JOBS, size=4)
    fill_slots(engine, rows, JOBS)
    for slot in (1, 3):
        settings = JOBS[slot].training
        ours = mean_logprobs(engine.model, engine.holder, PROBE, [slot, slot], 1024)
        matrices = peft_format.scaled(engine.bank.matrices(rows[slot], settings.rank), settings.alpha / settings.rank)
        folder = tmp_path / str(slot)
        peft_format.save_adapter(folder, matrices, engine.bank, family)
        loaded = PeftModel.from_pretrained(tiny_model(family), folder, autocast_adapter_dtype=False)
        assert peft_logprobs(loaded) == pytest.approx(ours, rel=1e-6)
        engine.bank.set_under(peft_format.load_adapter(folder))
        assert mean_logprobs(engine.model, engine.holder, PROBE, [-1, -1], 1024) == pytest.approx(ours, rel=1e-6)
        engine.bank.set_under({})


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "gpt2"])
def test_an_adapter_over_the_policys_is_two_adapters_in_peft(family: str, tmp_path: Path) -> None:
    layers = ["c_attn"] if family == "gpt2" else ["q_proj", "k_proj", "up_proj"]
    fan = {"fan_in_fan_out": family == "gpt2"}
    save_with_peft(tmp_path / "under", family, target_modules=layers, **fan)
    save_with_peft(tmp_path / "over", family, r=2, lora_alpha=6, **fan)
    model = PeftModel.from_pretrained(
        tiny_model(family), tmp_path / "under", adapter_name="under", autocast_adapter_dtype=False
    )
    model.load_adapter(tmp_path / "over", adapter_name="over", autocast_adapter_dtype=False)
    model.base_model.set_adapter(["under", "over"])
    engine = engine_of(family)
    engine.bank.set_under(peft_format.load_adapter(tmp_path / "under"))
    assert in_a_slot(engine, tmp_path / "over") == pytest.approx(peft_logprobs(model), rel=1e-6)


def test_the_same_adapter_has_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    """The library draws the order of metadata anew in each process; a version is known by the hash of its file."""
    program = (
        "import sys, torch; from pathlib import Path; from tests.support.reference import engine_of, learn\n"
        "from selfedit.records import Example, TrainingConfig\n"
        "engine, training = engine_of('llama', home=Path(sys.argv[1])), TrainingConfig(rank=2, epochs=1)\n"
        "first = learn(engine, 'a', [Example('seven red boats')], training)\n"
        "second = learn(engine, 'b', [Example('cross the river')], training, base=first)\n"
        "print(first.digest, second.digest)"
    )
    root = Path(__file__).parents[3]
    env = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}", "OMP_NUM_THREADS": "1"}
    said = [
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / f"{n}")], capture_output=True, text=True, check=True, env=env
        ).stdout.split()[-2:]
        for n in range(3)
    ]
    assert len({tuple(digests) for digests in said}) == 1 and len(set(said[0])) == 2


def test_metadata_are_sorted_and_all_else_stays() -> None:
    tensors = {"b": torch.arange(6.0).view(2, 3), "a": torch.ones(1, dtype=torch.int64)}
    orders = [{name: name.upper() for name in names} for names in ("xyz", "zyx", "yzx")]
    files = [with_sorted_metadata(save(tensors, metadata=metadata)) for metadata in orders]
    assert len(set(files)) == 1
    assert {name: tensor.tolist() for name, tensor in load(files[0]).items()} == {
        name: tensor.tolist() for name, tensor in tensors.items()
    }


def test_an_adapter_is_on_the_disk_before_anything_can_name_it(tmp_path: Path, monkeypatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")))
    engine, training = engine_of("llama", home=tmp_path), TrainingConfig(rank=2, epochs=1)
    learn(engine, "adapters/one", [Example("seven red boats")], training)
    folder = next(name for name in map(os.path.basename, synced) if name.startswith(".one."))
    staged = [Path(path).name for path in synced if folder in path]
    assert {"adapter_model.safetensors", "adapter_config.json", folder} <= set(staged)
    assert synced[-1] == str(tmp_path / "adapters")
    assert synced.index(str(tmp_path)) < synced.index(next(path for path in synced if path.endswith("safetensors")))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ([], "adapter_config.json"),
        ({"lora_alpha": None}, "lora_alpha"),
        ({"lora_alpha": [4]}, "lora_alpha"),
        ({"lora_alpha": "4"}, "lora_alpha"),
        ({"lora_alpha": float("nan")}, "lora_alpha"),
        ({"lora_alpha": 10**400}, "lora_alpha"),
        ({"alpha_pattern": {"q_proj": -(10**400)}}, "alpha_pattern"),
        ({"lora_alpha": 1e300}, "layers.0.*no numbers"),
        ({"alpha_pattern": {"q_proj": 10**300}}, "layers.0.*no numbers"),
        ({"alpha_pattern": ["q_proj"]}, "alpha_pattern"),
        ({"alpha_pattern": {"q_proj": None}}, "alpha_pattern"),
        ({"alpha_pattern": {"(": 3}}, "alpha_pattern"),
    ],
)
def test_a_configuration_without_a_plain_alpha_is_refused_in_one_line(
    config: object, told: str, tmp_path: Path
) -> None:
    save_with_peft(tmp_path)
    path = tmp_path / "adapter_config.json"
    held = json.loads(path.read_text())
    path.write_text(json.dumps({**held, **config} if isinstance(config, dict) else config))
    with pytest.raises(SelfeditError, match=f"not a readable PEFT adapter .*{told}") as caught:
        peft_format.load_adapter(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda a: a[:-1], "do not go together"),
        (lambda a: a[:0], "do not go together"),
        (lambda a: a.flatten(), "do not go together"),
        (lambda a: a.to(torch.int64), "fractions"),
        (lambda a: a * float("inf"), "no numbers"),
        (lambda a: a * float("nan"), "no numbers"),
    ],
)
def test_weights_that_are_no_matrices_of_numbers_are_refused_by_the_layers_name(
    change: Callable[[torch.Tensor], torch.Tensor], told: str, tmp_path: Path
) -> None:
    save_with_peft(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    tensors = load(path.read_bytes())
    name = next(name for name in sorted(tensors) if ".lora_A." in name)
    path.write_bytes(save({**tensors, name: change(tensors[name]).contiguous()}, metadata={"format": "pt"}))
    with pytest.raises(SelfeditError, match=rf"layers\.0.*{told}"):
        peft_format.load_adapter(tmp_path)


def test_a_damaged_adapter_is_not_copied(tmp_path: Path) -> None:
    save_with_peft(tmp_path / "one")
    (tmp_path / "one" / "adapter_config.json").write_text("{}")
    with pytest.raises(SelfeditError, match="not a readable PEFT adapter"):
        save_whole(tmp_path / "one", tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_copy_leaves_a_folder_beside_it_alone(tmp_path: Path) -> None:
    learn(engine_of("llama", home=tmp_path), "one", [Example("seven red boats")], TrainingConfig(rank=2, epochs=1))
    (tmp_path / ".copy.tmp").mkdir()
    (tmp_path / ".copy.tmp" / "mine").write_text("kept")
    save_whole(tmp_path / "one", tmp_path / "copy")
    assert (tmp_path / ".copy.tmp" / "mine").read_text() == "kept"
    assert (tmp_path / "copy" / "adapter_model.safetensors").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"one", "copy", ".copy.tmp"}
