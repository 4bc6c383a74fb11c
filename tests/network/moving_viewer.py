"""A viewer on another WebRTC stack that keeps watching while the network around it changes. Prints a line for each picture
that it decodes, and one for each datagram that it sends, with the time in milliseconds since the Unix epoch. Runs until it is
killed.

    python3 moving_viewer.py http://192.168.1.10:8080/
"""

import asyncio
import sys
import time
import urllib.request

from aioice import ice
from aiortc import RTCPeerConnection, RTCSessionDescription


def note(what):
    print(f"{what} {time.time() * 1000:.0f}", flush=True)


class Noted(ice.StunProtocol):
    """Notes what is sent: the board can follow no earlier."""

    async def send_data(self, data, addr):
        note("sent")
        await super().send_data(data, addr)

    def send_stun(self, message, addr):
        note("sent")
        super().send_stun(message, addr)


async def main(base):
    ice.StunProtocol = Noted
    peer = RTCPeerConnection()
    video = peer.addTransceiver("video", direction="recvonly").receiver
    await peer.setLocalDescription(await peer.createOffer())
    offer = urllib.request.Request(f"{base}whep", peer.localDescription.sdp.encode(), {"Content-Type": "application/sdp"})
    await peer.setRemoteDescription(RTCSessionDescription(urllib.request.urlopen(offer).read().decode(), "answer"))
    while True:
        await video.track.recv()
        note("picture")


asyncio.run(main(sys.argv[1]))
