"""How many processors this process may really use, which in a container is not how many there are.

Standard library only: it is asked before torch is imported, whose OpenMP reads its settings once.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
SHARE = "MUSICGRAPH_PROCESSORS"
"""environment: for how many of the processors this process has work, beside others of ours"""


def usable_processors() -> int:
    """Those that the scheduler may give this process, or that its container's quota pays for."""
    if hasattr(os, "sched_getaffinity"):
        there = len(os.sched_getaffinity(0))
    else:
        there = os.cpu_count() or 1
    quota = quota_processors()
    return there if quota is None else max(1, min(there, int(quota)))


def own_processors() -> int:
    """This process's share of the usable ones.

    torch is not told of it: its results depend on its number of threads, which stays what it is in
    a process by itself.
    """
    share, usable = os.environ.get(SHARE, ""), usable_processors()
    return max(1, min(int(share), usable)) if share.isdecimal() else usable


def quota_processors() -> float | None:
    """The tightest quota among this process's control groups, in processors; None without one.

    Both versions of Linux's control groups: `cpu.max`, or `cpu.cfs_quota_us` and its period.
    """
    found = [
        quota
        for folder in _groups()
        for quota in (_quota(folder / "cpu.max"), _old_quota(folder))
        if quota is not None
    ]
    return min(found, default=None)


def prepare_threads() -> None:
    """For a program of our own, before torch is imported.

    OpenMP's threads shall sleep, not spin, while they wait for each other: on a machine whose cores
    are busy a spinning step takes ten times as long, and on an idle one the difference could not be
    measured. And there shall be no more of them than the container's quota pays for.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if quota_processors() is not None:
        os.environ.setdefault("OMP_NUM_THREADS", str(usable_processors()))


def _groups() -> list[Path]:
    """This process's groups and those above them, which bind it as well."""
    folders = {CGROUPS, CGROUPS / "cpu"}
    with contextlib.suppress(OSError):
        for line in OWN_GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            root = CGROUPS / "cpu" if controllers else CGROUPS
            group = root / path.strip("/")
            folders |= {one for one in (group, *group.parents) if one.is_relative_to(root)}
    return sorted(folders)


def _quota(file: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        quota, period = file.read_text().split()
        return int(quota) / int(period)  # "max" is no number
    return None


def _old_quota(folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        quota, period = (
            int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period")
        )
        return quota / period if quota > 0 else None
    return None
