"""Adapters on their way: whole, checked, where relative paths lead to; and folders that dead workers left."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError
from selfedit.executors.parcels import MirroredFolders, lineage, mirrored, needed, pack, unpack
from selfedit.executors.ray_worker import own_folder
from selfedit.executors.units import Unit
from selfedit.records import UNTOUCHED, Policy, Share, TrainingConfig, Trial, TrialSpec, Update
from selfedit.records.policies import BENEATH, BENEATH_SHA256
from selfedit.store.adapters import WEIGHTS, AdapterFolders, adapter_in


def save(folder: Path, beneath: Path | None = None) -> Policy:
    """A file without tensors that names what it lies on, as the engine writes it."""
    folder.mkdir(parents=True)
    link = {BENEATH: os.path.relpath(beneath, folder), BENEATH_SHA256: "0"} if beneath else {}
    header = json.dumps({"__metadata__": {"format": "pt", **link}}).encode()
    (folder / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "lora_alpha": 1.0}\n')
    return adapter_in(str(folder))


def test_a_version_travels_with_all_that_it_lies_on_and_is_found_by_its_relative_path(tmp_path: Path) -> None:
    run, worker = tmp_path / "runs" / "t", tmp_path / "worker"
    learner = save(tmp_path / "elsewhere" / "learner")
    first = save(run / "adapters" / "policy-1", Path(learner.adapter))
    second = save(run / "adapters" / "policy-2", Path(first.adapter))
    named = replace(second, version=2, adapter="adapters/policy-2")
    places = needed([named, learner], AdapterFolders(run))
    assert [place.name for place in places] == ["policy-2", "policy-1", "learner"]
    for place in places:
        parcel = pack(place)
        assert parcel.size == sum(path.stat().st_size for path in place.iterdir())
        unpack(parcel, mirrored(worker, Path(parcel.path)))
    there = MirroredFolders(worker, run)
    assert there.find(named).is_relative_to(worker)
    assert [place.name for place in lineage(there.find(named))] == ["policy-2", "policy-1", "learner"]
    assert all(place.is_relative_to(worker) for place in lineage(there.find(named)))
    assert there.find(learner) == mirrored(worker, Path(learner.adapter)), "a path from the root is the driver's"


def test_a_unit_names_all_that_its_items_lie_on_once() -> None:
    base, anchor, part = (Policy(number, f"adapters/{number}", "0") for number in (1, 2, 3))
    asked = Trial("a", TrialSpec((), ()), TrainingConfig(), 0, base, anchor)
    plain = Trial("b", TrialSpec((), ()), TrainingConfig(), 0)
    assert Unit("run_trials", (asked, plain, asked)).versions == (base, anchor)
    summed = Update(UNTOUCHED, "adapters/4", (), TrainingConfig(), 0, shares=(Share(part, 0.5),))
    assert Unit("update", (summed,)).versions == (part,)


def test_a_parcel_that_was_changed_on_the_way_or_would_write_elsewhere_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a")
    parcel = pack(tmp_path / "a")
    (name, content), *others = parcel.files
    damaged = replace(parcel, files=((name, content + b"x"), *others))
    with pytest.raises(SelfeditError, match="came damaged"):
        unpack(damaged, tmp_path / "b")
    from selfedit.executors import parcels

    files = (("../out", b"x"),)
    with pytest.raises(SelfeditError, match="which is no file name"):
        unpack(replace(parcel, files=files, sha256=parcels._hash(files)), tmp_path / "b")
    assert not (tmp_path / "b").exists() and not (tmp_path / "out").exists()
    with pytest.raises(SelfeditError, match="cannot be read"):
        pack(tmp_path / "gone")


@pytest.mark.parametrize("content", [b"", b"mark of a fake", b"\xff" * 9, b"\x04\0\0\0\0\0\0\0null"])
def test_weights_that_name_nothing_lie_on_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes(content)
    assert lineage(tmp_path) == [tmp_path]


def test_folders_that_dead_processes_left_are_taken_away_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    for name in ("w-999999999-a", f"w-{9**30}-a", f"w-{os.getppid()}-b", "w-mine", "other-999999999-a"):
        (tmp_path / name).mkdir()
    own = own_folder("w-", tmp_path)
    assert own.is_dir() and own.name.startswith(f"w-{os.getpid()}-")
    left = {path.name for path in tmp_path.iterdir()} - {own.name}
    assert left == {f"w-{os.getppid()}-b", "w-mine", "other-999999999-a"}
