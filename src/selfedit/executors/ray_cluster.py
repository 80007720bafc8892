"""L3. Ray is started for a command, or one that runs already is joined.

What Ray does by default, and what is done here instead:

1. It tells its makers about each use; here it does not.
2. Its ports take code from anybody who reaches them. A cluster that is started here asks for a token, which is made for
   it and known to this command's processes alone. One that runs already must ask for a token too, unless it is on this
   machine. There is no dashboard.
3. Workers' output goes to the terminal; here it goes to files that are taken away at the end, and what failed is told.
4. An actor counts for no CPU. Here each has its threads reserved, or a GPU.
"""

from __future__ import annotations

import contextlib
import importlib
import ipaddress
import os
import secrets
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import selfedit
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.executors.ray_worker import own_folder

_SECONDS_TO_ANSWER = 5.0
"""That an address has to take a connection."""
_TRIES = 3
"""At starting Ray here: it gives itself half a minute, which on a busy machine is short."""
_STORE_BYTES = 1 << 30
"""For objects on the way, where a cluster is started here: adapters, each once."""
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_TQDM_PATCH_PRINT": "0",
}
"""Of Ray's own settings, unless the user has set them otherwise."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a command works on."""

    workers: int
    """How many there are to be."""
    threads: int
    """Of each."""
    has_gpus: bool
    """Whether each worker has one."""
    is_own: bool
    """Whether it was started here, and ends with the command."""

    @property
    def resources(self) -> dict[str, Any]:
        """What a worker reserves, in Ray's words."""
        return {"num_cpus": self.threads, "num_gpus": 1 if self.has_gpus else 0}


def join(address: str, workers: int | None, device: str) -> Cluster:
    """A cluster to work on.

    Args:
        address: of one that runs already, `auto` or HOST:PORT; empty: one is started here.
        workers: None for one on each GPU; where there is none, one on each machine.
        device: as in the settings; `cpu` leaves GPUs alone.

    Raises:
        SelfeditError: Ray is not installed; nobody answers at the address; or it takes code from anybody.
    """
    ray = load_ray(is_token_made=not address)
    is_own = False
    if not ray.is_initialized():
        is_own = not address
        if is_own:
            _start(ray, workers)
        else:
            _connect(ray, address)
    found = ray.cluster_resources()
    gpus, cores = int(found.get("GPU", 0)), max(1, int(found.get("CPU", 1)))
    has_gpus = bool(gpus) and not device.startswith("cpu")
    machines = sum(bool(node["Alive"]) for node in ray.nodes())
    n = workers or (gpus if has_gpus else machines)
    if is_own and has_gpus and n > gpus:
        raise SettingError(Field("workers"), f" {n}: this machine has {gpus} GPUs, and each worker takes one")
    threads = 1 if has_gpus else _threads() or max(1, cores // n)
    return Cluster(n, threads, has_gpus, is_own)


def load_ray(is_token_made: bool = False) -> Any:
    """Ray, which looks for its settings when it is loaded.

    Args:
        is_token_made: it will be started here, and is to ask for a token.

    Raises:
        SettingError: it is not installed.
        SelfeditError: it was loaded before, without a token.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if is_token_made and sys.modules.get("ray") is None:
        os.environ.pop("RAY_AUTH_TOKEN_PATH", None)
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    elif is_token_made and os.environ.get("RAY_AUTH_MODE") != "token":
        raise SelfeditError("Ray was loaded before, and would take code from anybody; set RAY_AUTH_MODE=token first")
    try:
        return importlib.import_module("ray")
    except ImportError:
        told = " ray: Ray is not installed; pip install 'selfedit[ray]'"
        raise SettingError(Field("executor"), told) from None


def _threads() -> int:
    """Of a worker, as the user has set them; 0 where nobody has."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() else 0


def _start(ray: Any, workers: int | None) -> None:
    """On this machine, for this command."""
    base = Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir())  # short, for sockets lie in it
    folder = str(own_folder("selfedit-ray-", base))
    os.environ.pop("RAY_ADDRESS", None)
    # Workers must find this very package, also where it is not installed.
    home = str(Path(selfedit.__file__).parents[1])
    known = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [home, known]))
    cores = max(os.cpu_count() or 1, (workers or 1) * (_threads() or 1))
    try:
        _init(ray, address="local", num_cpus=cores, object_store_memory=_STORE_BYTES, _temp_dir=folder)
    finally:
        os.environ["PYTHONPATH"] = known
        if not known:
            del os.environ["PYTHONPATH"]


def _connect(ray: Any, address: str) -> None:
    """To one that runs already."""
    if address != "auto":
        host, port = _host_and_port(address)
        _check_answers(host, port, address)
        _check_guarded(host)
    _init(ray, address=address)
    if address == "auto":
        try:
            _check_guarded(str(ray.get_runtime_context().gcs_address).rpartition(":")[0])
        except SettingError:
            ray.shutdown()
            raise


def _init(ray: Any, **given: Any) -> None:
    is_own = given["address"] == "local"
    if is_own:
        given["include_dashboard"] = False
    for left in reversed(range(_TRIES if is_own else 1)):
        try:
            ray.init(**given, log_to_driver=False, configure_logging=False)
            break
        except Exception as error:  # of all kinds, and plain ones where a busy machine is slow
            ray.shutdown()
            told = " ".join(str(error).split())[:200]
            if not left and is_own:
                raise SelfeditError(f"Ray could not be started on this machine ({told})") from error
            if not left:
                why = f" {given['address']}: no Ray cluster answers there ({told})"
                raise SettingError(Field("ray_address"), why) from error
    with contextlib.suppress(AttributeError):  # what Ray says of lost workers would go to standard output, to results
        ray._private.worker._worker_logs_enabled = False


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address.startswith("ray://"):
        told = ": Ray's client keeps no references; run on a machine of the cluster, or submit the command as a job"
        raise SettingError(Field("ray_address"), f" {address}", told)
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise SettingError(Field("ray_address"), f" {address}: is neither auto nor HOST:PORT")
    return host.strip("[]"), int(port)


def _check_answers(host: str, port: int, address: str) -> None:
    """Ray itself would try for a minute, and then abort."""
    try:
        socket.create_connection((host, port), timeout=_SECONDS_TO_ANSWER).close()
    except OSError as error:
        why = error.strerror or str(error) or "no answer"
        raise SettingError(Field("ray_address"), f" {address}: nobody answers there ({why})") from None


def _check_guarded(host: str) -> None:
    if os.environ.get("RAY_AUTH_MODE") == "token" or _is_here(host):
        return
    told = f" {host}: is another machine, and without a token Ray takes code from anybody who reaches it; start it with"
    mend = " RAY_AUTH_MODE=token, and set that and RAY_AUTH_TOKEN here as well"
    raise SettingError(Field("ray_address"), told + mend)


def _is_here(host: str) -> bool:
    """Whether this is an address of this machine."""
    with contextlib.suppress(OSError):
        for *_, place in socket.getaddrinfo(host, None):
            if ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback:
                return True
            with socket.socket(socket.AF_INET6 if ":" in str(place[0]) else socket.AF_INET) as own:
                own.bind((str(place[0]), 0))
                return True
    return False
