"""The faults of a soak: cameras that die, stall and are unplugged, and a network that goes away."""

import asyncio
import os
import random
import signal
import subprocess
import time
from pathlib import Path

# The fake camera of the tests (tests/fake), whose node is a script.
USB = "/dev/video90"
USB_SCRIPT = "card Soak\nformat YUYV 320x240@30\n"

# Seconds between two faults of cameras, and how long one stays unplugged.
BETWEEN = (20, 60)
UNPLUGGED = (3, 15)

# Seconds of a network's absence: sessions outlive the first (consent lasts 15 s, RFC 7675), and not the second.
SHORT, LONG = 5, 40

# Seconds between two restarts of the network, at most.
RESTARTS_EACH = 600

# What fails so many seconds after the network's return is still its fault: connections have to notice.
AFTERMATH = 30

BOARD = "board"
BOARD_ADDRESS, OUR_ADDRESS = "192.168.1.10", "192.168.1.20"


class Cameras:
    """The cameras' faults. `folder` keeps the fake camera's node and the program's process ID."""

    def __init__(self, folder: Path, counts, has_usb, seed, note):
        self.pidfile = folder / "camera.pid"
        self.counts = counts
        self.note = note
        self.random = random.Random(seed)
        self.node = folder / "fake" / USB.lstrip("/") if has_usb else None
        if self.node:
            self.node.parent.mkdir(parents=True)
            self._plug()

    @property
    def environment(self):
        return {"PORTHOLE_FAKE": str(self.node.parent.parent)} if self.node else {}

    def _plug(self):
        new = self.node.with_suffix(".new")
        new.write_text(USB_SCRIPT)
        new.rename(self.node)

    async def fail(self):
        """One fault after the other. Does not end."""
        while True:
            await asyncio.sleep(self.random.uniform(*BETWEEN))
            faults = [signal.SIGKILL, signal.SIGSTOP, signal.SIGUSR1, signal.SIGUSR2] + [None] * (4 * bool(self.node))
            fault = self.random.choice(faults)
            if fault is None:
                self.note("usb unplugged")
                self.node.unlink()
                await asyncio.sleep(self.random.uniform(*UNPLUGGED))
                self._plug()
            elif not self._signal(fault):
                # Nobody watches it now.
                continue
            else:
                self.note(f"program {fault.name}")
            self.counts.camera_faults += 1

    def _signal(self, number):
        try:
            pid = int(self.pidfile.read_text())
            # It may have ended, and another process may have its number.
            if b"camera" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                return False
            os.kill(pid, number)
        except (OSError, ValueError):
            return False
        return True


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, stdin=subprocess.DEVNULL)


class Network:
    """A board in a network namespace of its own, plugged into ours; without one, nothing."""

    def __init__(self, counts, is_there, note):
        self.counts = counts
        self.is_there = is_there
        self.note = note
        self.is_down = False
        self.returned = float("-inf")
        if is_there:
            ip("netns", "add", BOARD)
            ip("link", "add", "cable", "type", "veth", "peer", "name", "eth0", "netns", BOARD)
            ip("address", "add", f"{OUR_ADDRESS}/24", "dev", "cable")
            ip("link", "set", "cable", "up")
            for arguments in (["address", "add", f"{BOARD_ADDRESS}/24", "dev", "eth0"], ["link", "set", "eth0", "up"],
                              ["link", "set", "lo", "up"]):
                ip("-n", BOARD, *arguments)

    @property
    def prefix(self):
        return ["nsenter", f"--net=/run/netns/{BOARD}", "--"] if self.is_there else []

    @property
    def address(self):
        return f"{BOARD_ADDRESS}:8080" if self.is_there else "127.0.0.1:0"

    def is_away(self):
        return self.is_down or time.monotonic() - self.returned < AFTERMATH

    async def restart(self, seconds):
        """Takes the board's interface down and up, in turn for a short and a long time, within a soak of so many
        seconds. Does not end."""
        each = min(RESTARTS_EACH, seconds / 4)
        number = 0
        await asyncio.sleep(each / 2)
        while self.is_there:
            away = min(LONG if number % 2 else SHORT, each / 2)
            self.is_down = True
            ip("-n", BOARD, "link", "set", "eth0", "down")
            try:
                await asyncio.sleep(away)
            finally:
                ip("-n", BOARD, "link", "set", "eth0", "up")
                self.is_down, self.returned = False, time.monotonic()
            self.note("network", away)
            self.counts.network_restarts += 1
            number += 1
            await asyncio.sleep(each - away)
