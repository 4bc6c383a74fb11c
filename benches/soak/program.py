"""porthole as a process, and what the kernel and its metrics say about it."""

import http.client
import os
import re
import subprocess
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")

# How long it may take to start or to stop on a busy small board.
LIMIT = 30

# A request while there is no network must not hold up the measurements.
HTTP_LIMIT = 4


class Program:
    """Runs porthole with a configuration file; `prefix` is the command that starts it in its network."""

    def __init__(self, binary, config, log, environment, prefix=()):
        self.log = log
        addresses = f"{log}.addresses"
        with open(log, "wb") as errors, open(addresses, "wb") as output:
            self.process = subprocess.Popen(
                [*prefix, binary, "run", "--config", config],
                stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env={**os.environ, **environment},
            )
        self.base = self._address(addresses)

    def _address(self, file):
        deadline = time.monotonic() + LIMIT
        while self.runs() and time.monotonic() < deadline:
            with open(file) as lines:
                line = lines.readline()
            if line.endswith("\n"):
                return line.strip()
            time.sleep(0.1)
        self.process.kill()
        raise RuntimeError(f"porthole did not start: {self.last_words()}")

    @property
    def pid(self):
        return self.process.pid

    def runs(self):
        return self.process.poll() is None

    def last_words(self, lines=5):
        with open(self.log, errors="replace") as file:
            return " / ".join(line.strip() for line in file.readlines()[-lines:])

    def reading(self):
        """Memory in MiB, descriptors, threads, and CPU seconds so far, at a time in seconds."""
        with open(f"/proc/{self.pid}/smaps_rollup") as file:
            memory = {name: int(kib) / 1024 for name, kib in re.findall(r"^(\w+): +(\d+) kB", file.read(), re.M)}
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return {
            "at": time.monotonic(),
            "rss": memory["Rss"],
            "pss": memory["Pss"],
            "descriptors": len(os.listdir(f"/proc/{self.pid}/fd")),
            "threads": len(os.listdir(f"/proc/{self.pid}/task")),
            "cpu": (int(fields[11]) + int(fields[12])) / TICKS,
        }

    def metrics(self):
        """The sum of the series of each metric; `None` if it cannot be reached now."""
        try:
            with urllib.request.urlopen(f"{self.base}metrics", timeout=HTTP_LIMIT) as response:
                text = response.read().decode()
        except (OSError, http.client.HTTPException):
            return None
        sums = {}
        for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", text, re.M):
            sums[name] = sums.get(name, 0) + float(value)
        return sums

    def stop(self):
        """Stops it as systemd does; returns its exit status, or `None` if it had to be killed."""
        self.process.terminate()
        try:
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def wait_until_nobody_watches(self, limit):
        """Whether the last session ends in time."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            metrics = self.metrics()
            if metrics and metrics["porthole_viewers"] == 0:
                return True
            time.sleep(0.5)
        return False
