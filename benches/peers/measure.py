"""What a tree of processes costs, by the kernel's account, and what follows from it. No servers, no viewers."""

import os
import re
from pathlib import Path
from statistics import median


def tree(root):
    """The process IDs of a process and all that it has started."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def cpu_seconds(pids):
    """CPU time so far, of all threads: the first field of `schedstat` in nanoseconds."""
    total = 0
    for pid in pids:
        for task in _list(f"/proc/{pid}/task"):
            total += int((_read(f"/proc/{pid}/task/{task}/schedstat") or "0").split()[0])
    return total / 1e9


def memory_mib(pids):
    """PSS and RSS: pages that are shared count for each process in part, and in full."""
    sums = {"Pss": 0, "Rss": 0}
    for pid in pids:
        for name, kib in re.findall(r"^(Pss|Rss): +(\d+) kB", _read(f"/proc/{pid}/smaps_rollup"), re.M):
            sums[name] += int(kib) / 1024
    return sums["Pss"], sums["Rss"]


def busy_seconds():
    """CPU time that this machine has worked since it started, and what a hypervisor took from it."""
    user, nice, system, _idle, _wait, interrupts, softly, stolen, *_ = map(int, _read("/proc/stat").split("\n")[0].split()[1:])
    return (user + nice + system + interrupts + softly + stolen) / os.sysconf("SC_CLK_TCK")


def slope(points):
    """By how much the second value grows with the first: the least squares through pairs."""
    points = list(points)
    if len({x for x, _ in points}) < 2:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    across = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / across


def middle(values):
    values = [value for value in values if value is not None]
    return median(values) if values else None


def _read(path):
    """A file's text; nothing if the process has ended meanwhile."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _list(path):
    try:
        return os.listdir(path)
    except OSError:
        return []
