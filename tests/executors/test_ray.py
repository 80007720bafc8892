"""Workers on Ray: the same ledger by one, three and none; what does not fit is refused, and what kills has failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from selfedit.cli import learn
from selfedit.cli.main import main
from selfedit.errors import SelfeditError, SettingError
from selfedit.executors import ray_worker
from selfedit.executors.dispatch import LostWorker
from selfedit.executors.helping import PartTask
from selfedit.executors.ray_cluster import Cluster, join
from selfedit.executors.ray_pool import RayPool, pools_on
from selfedit.executors.units import Unit
from selfedit.learn import LearnSettings
from selfedit.records import UNTOUCHED, Example, Policy, Prompt, Query, TrainingConfig, Trial, TrialSpec, Update
from selfedit.store import AdapterFolders
from selfedit.testing import BuildFake, FakeEngine
from selfedit.testing.engines import _MarkedFolders
from tests.support.commands import use_library_engine
from tests.support.faults.checks import knowledge, state_of
from tests.support.faults.scenes import tiny_model, write_documents, write_inputs
from tests.support.ray_runs import train

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Started once, with room for three workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_NUM_THREADS", "1")
        found = join("", 3, "cpu")
    yield replace(found, is_own=False)
    import ray

    ray.shutdown()


class Folders(_MarkedFolders):
    """Versions of fakes, and the learner that is shipped."""

    def _sha256(self, folder: Path, policy: Policy) -> str:
        told = super()._sha256(folder, policy)
        return told if len(told) < 100 else AdapterFolders._sha256(self, folder, policy)


def pool_on(cluster: Cluster, home: Path, build: BuildFake | None = None, workers: int = 1) -> RayPool:
    adapters: Any = Folders(home)
    return pools_on(replace(cluster, workers=workers), {"": build or BuildFake()}, adapters)[""]


def trial(name: str) -> Trial:
    return Trial(name, TrialSpec((), (Query(name, f"on {name}?", "gold", Prompt("p")),)), TrainingConfig(), 0)


def test_one_worker_three_and_none_come_to_the_same_ledger(cluster: Cluster, tmp_path: Path) -> None:
    alone = train(tmp_path / "alone", FakeEngine(home=tmp_path / "alone"))
    for workers in (1, 3):
        home = tmp_path / str(workers)
        pool = pool_on(cluster, home, workers=workers)
        assert train(home, pool) == alone
        assert pool.crew.bytes_received > 0, "new versions came over the network"
        assert sorted(path.name for path in (home / "adapters").iterdir()) == ["policy-1", "policy-2"]
        pool.leave()


def test_a_trial_that_kills_three_workers_has_failed_and_each_is_replaced(cluster: Cluster, tmp_path: Path) -> None:
    pool = pool_on(cluster, tmp_path, BuildFake(kills="deadly"))
    groups = [[trial(name)] for name in ("a", "deadly", "b", "c")]
    found = {done.group: done.results[0] for done in pool.run_trials(groups)}
    assert [number for number, result in found.items() if result.failure] == [1]
    assert "3 workers were lost" in found[1].failure
    assert len(found) == 4 and len(pool.dispatcher.lost) == 3
    assert all("it died" in why for why in pool.dispatcher.lost)
    pool.leave()


def test_a_worker_that_is_lost_as_it_helps_with_an_update_is_replaced_and_the_update_is_done(
    cluster: Cluster, tmp_path: Path
) -> None:
    pool = pool_on(cluster, tmp_path, BuildFake(kills="deadly"), workers=2)
    update = Update(UNTOUCHED, "adapters/deadly", (Example("text"),), TrainingConfig(rank=2), 0, shards=3)
    for folder in ("adapters/deadly", "adapters/harmless"):
        [done] = pool.update([[replace(update, folder=folder)]])
        assert [policy.adapter for policy in done.results[0].policies] == [folder]
    list(pool.run_trials([[trial(name)] for name in "abcd"]))  # both are given something, so that it is noticed
    assert len(pool.dispatcher.lost) == 1 and "it died" in pool.dispatcher.lost[0]
    pool.leave()


def test_a_worker_that_is_not_like_the_others_or_like_the_driver_is_refused(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    with pytest.raises(SelfeditError, match="no such model"):
        pool_on(cluster, tmp_path, BuildFake(refuses="no such model"))
    pool = pool_on(cluster, tmp_path)
    lost = replace(UNTOUCHED, version=1, adapter="adapters/gone", digest="0")
    with pytest.raises(SelfeditError, match="the adapter of version 1 is missing"):
        list(pool.run_trials([[replace(trial("a"), base=lost)]]))
    said = pool.crew.introduction
    assert said is not None and said.facts is not None
    hand = next(iter(pool.crew._hands.values()))
    other = {"": {**said.facts[""], "weights_sha256": "another"}}
    with pytest.raises(SelfeditError, match=r"has another model than .* \(weights_sha256 0 and another\)"):
        pool.crew._welcome(hand, replace(said, facts=other))
    [number] = pool.crew.workers
    [gone] = pool.crew._replace(number, ray.exceptions.OutOfMemoryError("the node was running low on memory"))
    assert isinstance(gone, LostWorker) and gone.why.endswith("out of memory")
    assert [one.halvings for one in pool.crew._hands.values()] == [1], "the next one does half as much at once"
    pool.leave()
    monkeypatch.setattr("selfedit.executors.ray_crew.code_mark", lambda: "selfedit 9.9")
    with pytest.raises(SelfeditError, match=r"has selfedit .*, and this command is selfedit 9.9; install the same"):
        pool_on(cluster, tmp_path)
    assert "Python 3" in ray_worker.code_mark()


def test_addresses_at_which_nobody_answers_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    for address, told in (
        ("127.0.0.1:1", "nobody answers there"),
        ("nowhere", "is neither auto nor HOST:PORT"),
        ("ray://127.0.0.1:1", "submit the command as a job"),
    ):
        with pytest.raises(SettingError, match=told) as refused:
            join(address, None, "cpu")
        assert refused.value.with_flags().startswith(f"--ray-address {address}")


def test_documents_are_learnt_on_workers_as_by_one_engine(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_documents(tmp_path / "docs")
    use_library_engine(monkeypatch.setattr)
    assert main(["learn", "docs", "--library", "here", "--cut-for", "2", "--json"]) == 0

    def load_on_workers(settings: LearnSettings) -> Any:
        return lambda adapters: pool_on(cluster, adapters.home, BuildFake(is_helpful=True), workers=2)

    monkeypatch.setattr(learn, "load_with", load_on_workers)
    words = ["--library", "there", "--cut-for", "2", "--json", "--executor", "ray", "--workers", "2"]
    assert main(["learn", "docs", *words]) == 0
    assert knowledge(tmp_path / "here") == knowledge(tmp_path / "there")


@pytest.mark.model
def test_a_real_model_on_two_workers_makes_the_same_ledger_and_the_same_adapters_to_the_byte(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfedit.engine import limit_threads

    monkeypatch.chdir(tmp_path)
    tiny_model(tmp_path / "model")
    write_inputs(tmp_path)
    limit_threads(1)
    small = "--sampling.max-new-tokens 4 --inner.epochs 1 --inner.rank 2 --outer.epochs 1 --outer.rank 2 --min-gain -99"
    sizes = "--rounds 2 --contexts 2 --edits 2 --heldout 0 --bank 2 --cut-for 2"
    words = f"train --recipe embedded --model model --data passages.jsonl {small} {sizes} --json"
    for more in ("--run here", "--executor ray --workers 2 --run there"):
        assert main([*words.split(), *more.split()]) == 0
    here, there = (state_of(tmp_path / name) for name in ("here", "there"))
    assert here.fingerprints == there.fingerprints
    assert here.adapters == there.adapters and len(here.adapters) == 2


@dataclass(frozen=True)
class Breaks:
    """A part of an update that cannot be made."""

    error: Exception

    def gradient(self, weights: Any, indices: Any, n_loss: int) -> Any:
        raise self.error


def test_a_helper_that_is_out_of_memory_leaves_its_part_to_the_leader_and_a_fault_is_no_shortage() -> None:
    worker = ray_worker.RayWorker(ray_worker.Brief({}, "run", (), 1))
    update = Update(UNTOUCHED, "adapters/new", (Example("text"),), TrainingConfig(rank=2), 0, shards=2)
    task = PartTask("this", Unit("update", (update,)), ())
    for error in (MemoryError(), RuntimeError("CUDA out of memory"), SelfeditError("no such version")):
        worker._part = "this", Breaks(error)
        assert worker.gradient(task, None, (0,), 1) is None and worker._part is None
    worker._part = "this", Breaks(ValueError("a fault"))
    with pytest.raises(ValueError, match="a fault"):
        worker.gradient(task, None, (0,), 1)
