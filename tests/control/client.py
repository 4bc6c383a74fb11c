"""An independent client of the whole control protocol (docs/protocol.md), with aiortc (Debian package python3-aiortc).

    python3 client.py http://192.168.1.10:8080/ [TOKEN]

The board needs two cameras, the first with a brightness control, a `[[publish]]` section and `[recording] mode = "manual"`. It
calls every method and prints each result; the exit status is 0 if all responses and events arrive in order and the snapshot is intact.
"""

import asyncio
import hashlib
import json
import struct
import sys
import time
import urllib.request
from contextlib import AsyncExitStack

from aiortc import RTCPeerConnection, RTCSessionDescription


class Control:
    """Requests and responses, events and snapshots over the data channel of a session."""

    def __init__(self, channel):
        self.channel, self.answers, self.events, self.chunks = channel, {}, asyncio.Queue(), asyncio.Queue()
        channel.on("message", self.receive)

    def receive(self, message):
        if isinstance(message, bytes):
            self.chunks.put_nowait(message)
        elif "id" in (message := json.loads(message)):
            self.answers.pop(message["id"]).set_result(message)
        else:
            self.events.put_nowait(message)

    async def call(self, method, **params):
        number, answer = id(params), asyncio.get_running_loop().create_future()
        self.answers[number] = answer
        self.channel.send(json.dumps({"id": number, "method": method, "params": params}))
        answer = await asyncio.wait_for(answer, 30)
        print(f"{method}: {json.dumps(answer)[:200]}")
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    async def event(self, method, wanted=lambda params: True):
        while (event := await asyncio.wait_for(self.events.get(), 30))["method"] != method or not wanted(event["params"]):
            pass
        return event["params"]

    async def snapshot(self, description):
        content, count = b"", 1
        while count:
            chunk = await asyncio.wait_for(self.chunks.get(), 30)
            transfer, index, of, version, length = struct.unpack(">IHHBB2x", chunk[:12])
            assert (transfer, version, chunk[12 : 12 + length]) == (description["transfer"], 1, b"image/jpeg")
            content, count = content + chunk[12 + length :], of - 1 - index
        assert hashlib.sha256(content).hexdigest() == description["sha256"] and len(content) == description["bytes"]
        return content


async def main(base, token=None):
    async with AsyncExitStack() as stack:
        stack.push_async_callback((peer := RTCPeerConnection()).close)  # else its threads outlive an error
        peer.addTransceiver("video", direction="recvonly"), peer.addTransceiver("audio")
        channel = peer.createDataChannel("control")
        control, opened = Control(channel), asyncio.Event()
        call, _ = control.call, channel.on("open", opened.set)
        await peer.setLocalDescription(await peer.createOffer())
        headers = {"Content-Type": "application/sdp"} | ({"Authorization": f"Bearer {token}"} if token else {})
        offer = urllib.request.Request(f"{base}whep", peer.localDescription.sdp.encode(), headers)
        await peer.setRemoteDescription(RTCSessionDescription(urllib.request.urlopen(offer).read().decode(), "answer"))
        await asyncio.wait_for(opened.wait(), 30), await control.event("status"), await control.event("viewers")
        first, second = (camera["name"] for camera in (await call("camera.list"))["cameras"][:2])
        sent, times = time.time() * 1e3, await call("time.sync")
        # RFC 5905 section 8: how far the server's clock is ahead of ours.
        print("offset in ms:", (times["received"] - sent + times["sent"] - time.time() * 1e3) / 2)
        for method in "controls.list status devices.list session.list session.status session.report video.keyframe video.pause video.resume photo.take talk.start talk.stop".split():
            await call(method)
        await call("camera.select", camera=second)
        assert (await control.event("camera.changed"))["camera"] in (first, second)
        await call("audio.mute", muted=True), await call("latency.set", mode="smooth")
        assert (await call("video.quality", quality="high"))["quality"] == "high"
        assert (await call("privacy.toggle")) != (await call("privacy.set", on=False))
        await call("controls.get", camera=first, name="brightness"), await call("publish.start"), await call("publish.stop")
        await call("record.start", camera=first), await control.event("recording"), await call("record.stop", camera=first)
        await call("controls.set", camera=first, values={"brightness": 10})
        await control.event("control.changed", lambda params: params["controls"][0]["value"] == 10)
        await call("controls.reset", camera=first, names=["brightness"]), await call("video.set", bitrate=400_000)
        assert (await control.snapshot(await call("snapshot")))[:2] == b"\xff\xd8"
        await call("chat.send", text="hello", name="Python")
        assert (await control.event("chat"))["you"]
        for method in ("session.limit", "session.kick"):
            await call(method, session=(await call("status"))["you"]["session"])
        assert (await control.event("session.end"))["code"] == "kicked"


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
