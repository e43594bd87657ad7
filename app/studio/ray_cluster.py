"""A Ray cluster: joining one, and what each of so many workers may ask it for."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from typing import Any

from ...models.engines.processors import SHARE, prepare_threads
from ...models.refused import Refused

log = logging.getLogger("musicgraph")

LOCAL = "local"
TRIES = 3
PATIENCE, PATIENCE_S = "RAY_agent_register_timeout_ms", 300
"""for a part of a node that on a busy machine takes longer to start than Ray's 30 s, behind which
the node would abort
"""
EXPECTED = "local, auto, or the address of a Ray cluster"


def joined(address: str) -> Any:
    """The module `ray`, with this process in the cluster at `address`.

    Raises Refused if Ray is not installed or there is no such cluster.
    """
    if find_spec("ray") is None:
        remedy = "pip install 'musicgraph[ray]'"
        raise Refused("--ray", got="no ray", expected="it", remedy=remedy)
    import ray

    os.environ.setdefault(PATIENCE, str(1000 * PATIENCE_S))
    tries = TRIES if address == LOCAL else 1
    while not _has_joined(ray, address):
        tries -= 1
        if not tries:
            raise Refused(
                f"--ray {address}",
                got="a cluster that does not start in time",
                expected="one that does",
                remedy="wait until the machine is less busy, or start it by itself (ray start "
                "--head) and say --ray auto",
            )
        log.warning("the Ray cluster did not start in time, and is tried again")
    return ray


def _has_joined(ray: Any, address: str) -> bool:
    """Raises Refused if there is no such cluster. Without one: it did not start in time."""
    try:
        ray.init(
            address=address, include_dashboard=False, logging_level=logging.ERROR,
            ignore_reinit_error=True,
        )  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise Refused(f"--ray {address}", got=error, expected=EXPECTED) from error
    except Exception as error:
        if type(error) is not Exception:  # what Ray raises where a node takes more than 30 s
            raise
        ray.shutdown()
        return False
    return True


def share_of(ray: Any, count: int) -> dict[str, float]:
    """What each of so many actors asks a cluster for: its share of processors, within the smallest
    machine, and a GPU where there is one for each.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    smallest = min((node["CPU"] for node in machines if node.get("CPU")), default=1.0)
    total = sum(node.get("CPU", 0.0) for node in machines)
    share = max(1.0, min(smallest, total // count)) if total >= count else total / count
    gpus = sum(node.get("GPU", 0.0) for node in machines)
    return {"num_cpus": share, "num_gpus": 1.0 if gpus >= count else 0.0}


def prepare_actor(processors: int) -> None:
    """In an actor, before torch is imported. `processors`: for how many it has work."""
    os.environ.pop("OMP_NUM_THREADS", None)  # Ray's, which would change torch's results
    os.environ[SHARE] = str(processors)
    prepare_threads()
