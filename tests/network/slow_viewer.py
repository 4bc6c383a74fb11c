"""A viewer behind a slow network that takes snapshots while it watches, and prints as JSON how long the live video froze
before and during them. Built on tests/control/client.py.

    python3 slow_viewer.py http://192.168.1.10:8080/
"""

import asyncio
import json
import pathlib
import sys
import time
import urllib.request

from aiortc import RTCPeerConnection, RTCSessionDescription

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "control"))
from client import Control  # noqa: E402

# For every wait, on a machine that is busy with other things.
DEADLINE_S = 60

# Frames observed before the first snapshot: the baseline of the network and the machine.
BEFORE = 100

# Snapshots, one after another.
SNAPSHOTS = 3


async def watch(track, arrivals):
    while True:
        await track.recv()
        arrivals.append(time.monotonic())


def longest(arrivals):
    return max(later - earlier for earlier, later in zip(arrivals, arrivals[1:]))


async def main(base):
    peer = RTCPeerConnection()
    receiver = peer.addTransceiver("video", direction="recvonly").receiver
    channel = peer.createDataChannel("control")
    control = Control(channel)
    await peer.setLocalDescription(await peer.createOffer())
    offer = urllib.request.Request(f"{base}whep", peer.localDescription.sdp.encode(), {"Content-Type": "application/sdp"})
    await peer.setRemoteDescription(RTCSessionDescription(urllib.request.urlopen(offer).read().decode(), "answer"))
    arrivals = []
    watching = asyncio.create_task(watch(receiver.track, arrivals))
    try:
        async with asyncio.timeout(DEADLINE_S):
            while len(arrivals) < BEFORE:
                await asyncio.sleep(0.05)
            # The first frames arrive late while the connection settles; they do not count.
            before = longest(arrivals[BEFORE // 2 :])
            begun, at, size = time.monotonic(), len(arrivals) - 1, 0
            for _ in range(SNAPSHOTS):
                size += len(await control.snapshot(await control.call("snapshot")))
            took = time.monotonic() - begun
        print(json.dumps({"before": before, "meanwhile": longest(arrivals[at:]), "took": took, "bytes": size}))
    finally:
        watching.cancel()
        await peer.close()


asyncio.run(main(sys.argv[1]))
