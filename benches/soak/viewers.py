"""The viewers of a soak: processes of the tests' viewer (tests/viewer/process.rs)."""

import asyncio
import json
import random
import time

from counts import Counts

ARRIVALS_A_MINUTE = 20

# Seconds that a passing viewer stays.
STAY = (3, 20)

# Shares of the passing viewers: those that are killed without a goodbye, and those whose network loses packets.
VANISH, LOSSY = 0.25, 0.25
LOSE_ONE_IN = 50

# A viewer whose frames stay away for so long is started anew; a network that is away ends it sooner.
SILENCE = 30

# Seconds before one that should stay is started again.
RETRY = 5

# How long one may take to say goodbye.
GOODBYE = 10

# What a viewer may print in a line: a snapshot of its state is far below.
LINE = 1 << 20


class Viewers:
    """Starts viewers and counts what becomes of them."""

    def __init__(self, binary, base, cameras, counts: Counts, network_is_away, seed):
        self.binary = binary
        self.base = base
        self.cameras = cameras
        self.counts = counts
        # Whether the network is away, or was within the last seconds: what fails then is not counted.
        self.network_is_away = network_is_away
        self.random = random.Random(seed)
        self.passing = set()

    async def _start(self, *arguments, control=False):
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            self.binary, self.base, *arguments, limit=LINE,
            stdin=pipe if control else asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe,
        )

    async def arrive(self):
        """Viewers that come and go, evenly over time. Does not end."""
        while True:
            await asyncio.sleep(60 / ARRIVALS_A_MINUTE)
            task = asyncio.create_task(self._pass_by())
            self.passing.add(task)
            task.add_done_callback(self.passing.discard)

    async def _pass_by(self):
        camera, stay = self.random.choice(self.cameras), self.random.uniform(*STAY)
        vanishes, is_lossy = self.random.random() < VANISH, self.random.random() < LOSSY
        arguments = ["--no-decode", "--camera", camera, "--seconds", "1e6" if vanishes else f"{stay:.1f}"]
        if is_lossy:
            arguments += ["--lose-one-in", str(LOSE_ONE_IN)]
        was_away = self.network_is_away()
        process = await self._start(*arguments)
        self.counts.joins += 1
        errors = asyncio.create_task(process.stderr.read())
        wrong = None
        try:
            # Whatever happens, it is gone after this.
            async with asyncio.timeout(stay + SILENCE):
                joined = asyncio.create_task(self._read_join(process))
                if vanishes:
                    await asyncio.wait([joined], timeout=stay)
                    _kill(process)
                    self.counts.vanished += 1
                if not await joined:
                    wrong = "saw nothing"
                await process.wait()
        except TimeoutError:
            wrong = "neither ended nor failed"
        finally:
            if process.returncode is None:
                _kill(process)
                await process.wait()
        if wrong and not was_away and not self.network_is_away():
            self.counts.fail(f"a viewer of {camera} {wrong}: {await _last_words(errors)}")

    async def _read_join(self, process):
        """Reads until the viewer ends; whether it had a frame."""
        has_frame = False
        while not has_frame:
            event = read_event(await process.stdout.readline())
            if not event:
                return False
            if event["event"] == "frame":
                has_frame = True
                self.counts.join_ms.append(event["ms"])
        while await process.stdout.read(1 << 16):
            pass
        return True

    async def watch(self, camera):
        """One viewer that stays, decodes, and measures. Does not end."""
        await self._stay(["--camera", camera], self.counts.measure)

    async def switch(self, seconds):
        """One viewer that stays and switches between all cameras. Does not end."""
        await self._stay(["--no-decode"], lambda event: None, switch_each=seconds)

    async def _stay(self, arguments, measure, switch_each=None):
        is_first = True
        while True:
            if not is_first:
                self.counts.restarts += 1
                await asyncio.sleep(RETRY)
            is_first = False
            process = await self._start(*arguments, control=True)
            errors = asyncio.create_task(process.stderr.read())
            switching = switch_each and asyncio.create_task(self._switch(process, switch_each))
            was_away = self.network_is_away()
            try:
                await self._read(process, measure)
            finally:
                if switching:
                    switching.cancel()
                await self._end(process)
            if not was_away and not self.network_is_away():
                self.counts.fail(f"a viewer that should stay has ended: {await _last_words(errors)}")

    async def _read(self, process, measure):
        """Reads until the viewer ends or has no frames."""
        seen = time.monotonic()
        while True:
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + SILENCE - (time.monotonic() - seen)):
                    event = read_event(await process.stdout.readline())
            except TimeoutError:
                return
            if not event:
                return
            if event["event"] == "frame":
                seen = time.monotonic()
            elif time.monotonic() - seen > SILENCE:
                return
            if event["event"] == "ended":
                return
            measure(event)

    async def _switch(self, process, seconds):
        number = 0
        while True:
            await asyncio.sleep(seconds)
            number += 1
            camera = self.cameras[number % len(self.cameras)]
            request = {"id": number, "method": "camera.select", "params": {"camera": camera}}
            try:
                process.stdin.write(json.dumps(request).encode() + b"\n")
                await process.stdin.drain()
            except OSError:
                return
            self.counts.switches += 1

    async def _end(self, process):
        """Closes its input, upon which it says goodbye."""
        process.stdin.close()
        try:
            async with asyncio.timeout(GOODBYE):
                while await process.stdout.read(1 << 16):
                    pass
                await process.wait()
        except TimeoutError:
            _kill(process)
            await process.wait()


def read_event(line):
    """The event in a line of output; `None` at its end, which a killed viewer may reach in the middle of a line."""
    return json.loads(line) if line.endswith(b"\n") else None


def _kill(process):
    try:
        process.kill()
    except ProcessLookupError:
        # It has just ended by itself.
        pass


async def _last_words(errors):
    """The last line that a process has written to standard error."""
    lines = (await errors).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing said"
