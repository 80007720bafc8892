"""Recipes for clusters: shells take them, their commands are commands, and nothing in them opens a door."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from selfedit.cli.main import parse
from selfedit.cli.train import Train

FOLDER = Path(__file__).parents[1] / "examples" / "cluster"
PINNED = (FOLDER.parents[1] / "constraints.txt").read_text()
SCRIPTS = sorted(FOLDER.glob("*.sh"))
KUBERAY = (FOLDER / "kuberay.yaml").read_text()


def command_in(text: str) -> Train:
    """The selfedit command of a recipe, with its variables filled in."""
    [line] = re.findall(r"(selfedit train .*?)(?: &)?$", text.replace("\\\n", " "), re.MULTILINE)
    filled = re.sub(r'"?\$\{?\w+\}?(:\$\w+)?"?', "8", line.replace('"$head_ip:$PORT"', "10.0.0.1:6379"))
    command = parse(shlex.split(filled)[1:])
    assert isinstance(command, Train)
    return command


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_shell_reads_the_script(path: Path) -> None:
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert path.stat().st_mode & 0o100, "can be run"
    assert "set -euo pipefail" in path.read_text()


@pytest.mark.parametrize("text", [*[path.read_text() for path in SCRIPTS], KUBERAY], ids=["job", "slurm", "kuberay"])
def test_the_command_of_a_recipe_is_one_and_works_on_ray(text: str) -> None:
    settings = command_in(text).settings
    assert settings.executor == "ray" and settings.workers and settings.ray_address and settings.run
    assert settings.cut_for > 1, "groups are cut for the workers"
    assert "token" in text and not re.search(r"0\.0\.0\.0|RAY_AUTH_MODE[=: ]+disabled|pkill|killall", text)
    assert re.search(r"RAY_USAGE_STATS_ENABLED[^\n]*0|disable-usage-stats", text)


def test_slurm_starts_one_head_without_a_dashboard_and_is_queued_again() -> None:
    text = (FOLDER / "slurm.sh").read_text()
    told = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", text, re.MULTILINE))
    assert {"nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task", "time", "signal", "requeue"} <= set(told)
    assert text.count("--head") == 1 and "--include-dashboard=false" in text
    assert int(told["nodes"]) * int(told["gpus-per-node"]) == command_in(text).settings.cut_for
    assert "scontrol requeue" in text


def test_kuberay_asks_for_a_token_and_has_a_gpu_for_each_worker() -> None:
    job: dict[str, Any] = yaml.safe_load(KUBERAY)
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert f"ray=={cluster['rayVersion']}\n" in PINNED
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0", "no worker beside the command"
    [group] = cluster["workerGroupSpecs"]
    [worker] = group["template"]["spec"]["containers"]
    [head] = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert worker["image"] == head["image"], "the same selfedit on both"
    assert command_in(KUBERAY).settings.workers == group["replicas"] == group["minReplicas"]
    mounted = {mount["mountPath"] for mount in head["volumeMounts"]}
    assert any(command_in(KUBERAY).settings.run.startswith(place) for place in mounted - {"/cache"})
