"""A viewer behind a slow network that takes pictures (`snapshot`) while it watches, and prints as JSON how long the live
picture stood still before and meanwhile, on the stack of tests/control/client.py.

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

# For whatever is waited for, on a machine that does other things too.
DEADLINE_S = 60

# Pictures that are looked at before the first snapshot: they tell what the network and the machine do by themselves.
BEFORE = 100

# Snapshots, one after the other.
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
            # The first pictures come late: the browser's part of the congestion control is not ours to judge.
            before = longest(arrivals[BEFORE // 2 :])
            begun, at, size = time.monotonic(), len(arrivals) - 1, 0
            for _ in range(SNAPSHOTS):
                size += len(await control.picture(await control.ask("snapshot")))
            took = time.monotonic() - begun
        print(json.dumps({"before": before, "meanwhile": longest(arrivals[at:]), "took": took, "bytes": size}))
    finally:
        watching.cancel()
        await peer.close()


asyncio.run(main(sys.argv[1]))
