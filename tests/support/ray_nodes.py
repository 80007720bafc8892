"""A cluster of several nodes on this machine, and ways to end what runs on it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfedit.executors.ray_cluster import load_ray

ROOT = Path(__file__).parents[2]
_TRIES = 12


class Nodes:
    """A head without room for workers, and nodes that have some.

    Args:
        count: nodes beside the head.
        cpus: workers that each has room for.
    """

    def __init__(self, count: int = 2, cpus: int = 2) -> None:
        load_ray(is_token_made=True)
        os.environ.setdefault("RAY_health_check_period_ms", "500")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        from ray.cluster_utils import Cluster

        self._given = {"include_dashboard": False, "object_store_memory": 100 << 20}
        self._cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **self._given})
        self._cpus = cpus
        self.nodes: list[Any] = []
        for _ in range(count):
            self.add()

    @property
    def address(self) -> str:
        """Where drivers connect."""
        return str(self._cluster.address)

    def add(self) -> None:
        """One more node. On a busy machine Ray gives up after half a minute; then it is tried again."""
        for left in reversed(range(_TRIES)):
            try:
                self.nodes.append(self._cluster.add_node(num_cpus=self._cpus, **self._given))
                return
            except Exception:
                if not left:
                    raise
                time.sleep(2)

    def kill_node(self, draws: random.Random) -> None:
        """A node is gone at once with all that runs on it; another comes in its place."""
        node = self.nodes.pop(draws.randrange(len(self.nodes)))
        self._cluster.remove_node(node, allow_graceful=False)
        self.add()

    def kill_worker(self, draws: random.Random) -> bool:
        """A worker is gone at once; False where there is none."""
        if found := self.workers():
            os.kill(draws.choice(found), signal.SIGKILL)
        return bool(found)

    def workers(self) -> list[int]:
        """Processes of workers of this cluster."""
        raylets = {info.process.pid for node in self.nodes for info in node.all_processes["raylet"]}
        found = []
        for place in Path("/proc").iterdir():
            if place.name.isdecimal():
                try:
                    parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                    if parent in raylets and (place / "cmdline").read_bytes().startswith(b"ray::RayWorker"):
                        found.append(int(place.name))
                except (OSError, ValueError):
                    continue
        return sorted(found)

    def drive(self, words: Sequence[str]) -> subprocess.Popen[str]:
        """A driver in a process of its own."""
        command = [sys.executable, "-m", "tests.support.ray_runs", *words]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def shutdown(self) -> None:
        """Everything ends."""
        self._cluster.shutdown()
