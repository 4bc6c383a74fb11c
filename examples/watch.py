"""A viewer in Python, on aiortc (Debian package python3-aiortc): negotiates a session by WHEP, decodes and counts frames, and
sends one request over the data channel `control` (docs/protocol.md lists the methods).

    python3 examples/watch.py http://porthole.local:8080/whep --token TOKEN --output camera.mp4

aiortc hands out decoded frames only; with --output they are encoded again.
"""

import argparse
import asyncio
import fractions
import json
import urllib.parse
import urllib.request

import av
from aiortc import RTCPeerConnection, RTCSessionDescription

# How long to wait for an answer, and for each frame.
TIMEOUT_S = 20


def send(method, url, token, body=None):
    """An HTTP request; raises urllib.error.HTTPError unless the status is 2xx."""
    headers = {"Content-Type": "application/sdp"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, method=method, data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        return response.headers, response.read().decode()


async def ask(channel, opened, method):
    """The answer to a request without parameters. Events, which have no id, are passed over."""
    answer = asyncio.get_running_loop().create_future()

    @channel.on("message")
    def receive(message):
        if isinstance(message, str) and "id" in (message := json.loads(message)) and not answer.done():
            answer.set_result(message)

    await asyncio.wait_for(opened.wait(), TIMEOUT_S)
    channel.send(json.dumps({"id": 1, "method": method}))
    return await asyncio.wait_for(answer, TIMEOUT_S)


async def receive(track, counts, limit=None, on_frame=None):
    """Counts a track's frames, up to a limit."""
    while limit is None or counts[track.kind] < limit:
        frame = await asyncio.wait_for(track.recv(), TIMEOUT_S)
        counts[track.kind] += 1
        if on_frame:
            on_frame(frame)


class Recorder:
    """Encodes video frames into a file."""

    def __init__(self, path):
        self.file, self.stream, self.first = av.open(path, "w"), None, 0

    def write(self, frame):
        if self.stream is None:
            self.stream = self.file.add_stream("libx264", options={"preset": "veryfast"})
            self.stream.width, self.stream.height, self.stream.pix_fmt = frame.width, frame.height, "yuv420p"
            self.stream.codec_context.time_base = fractions.Fraction(1, 90000)
            self.first = frame.pts
        # RTP timestamps begin anywhere.
        frame.pts -= self.first
        self.file.mux(self.stream.encode(frame))

    def close(self):
        if self.stream:
            self.file.mux(self.stream.encode(None))
        self.file.close()


async def main(arguments):
    peer, opened = RTCPeerConnection(), asyncio.Event()
    video, audio = (peer.addTransceiver(kind, direction="recvonly").receiver for kind in ("video", "audio"))
    channel = peer.createDataChannel("control")
    channel.on("open", opened.set)
    # aiortc gathers all ICE candidates before it has a local description: no trickle ICE is needed.
    await peer.setLocalDescription(await peer.createOffer())
    offer = peer.localDescription.sdp.encode()
    headers, answer = await asyncio.to_thread(send, "POST", arguments.url, arguments.token, offer)
    session = urllib.parse.urljoin(arguments.url, headers["Location"])
    recorder = Recorder(arguments.output) if arguments.output else None
    counts = {"video": 0, "audio": 0}
    try:
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        listening = asyncio.create_task(receive(audio.track, counts))
        watching = asyncio.create_task(receive(video.track, counts, arguments.frames, recorder and recorder.write))
        print(f"{arguments.request}: {json.dumps(await ask(channel, opened, arguments.request))}", flush=True)
        await watching
        listening.cancel()
    finally:
        # However it ended, the session must not stay behind.
        await asyncio.to_thread(send, "DELETE", session, arguments.token)
        await peer.close()
        if recorder:
            recorder.close()
        print(f"{counts['video']} video frames, {counts['audio']} audio frames")


if __name__ == "__main__":
    av.logging.set_level(av.logging.ERROR)
    parser = argparse.ArgumentParser(description="Watches a porthole camera.")
    parser.add_argument("url", help="the WHEP endpoint: http://HOST:8080/whep, or http://HOST:8080/whep/CAMERA")
    parser.add_argument("--token", help="as `porthole token add NAME --role viewer` prints it")
    parser.add_argument("--output", help="file to record the video to, such as camera.mp4")
    parser.add_argument("--frames", type=int, help="stop after this many frames; otherwise at Ctrl+C")
    parser.add_argument("--request", default="camera.list", help="method of the control protocol (default: camera.list)")
    try:
        asyncio.run(main(parser.parse_args()))
    except KeyboardInterrupt:
        pass
