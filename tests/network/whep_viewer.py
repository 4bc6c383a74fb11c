"""A WHEP viewer on an independent WebRTC stack, aiortc (Debian package python3-aiortc), which shares nothing with porthole or
Chromium. It waits for frames that advance and for the tone, hangs up and checks that the board has dropped the session. The
exit status tells whether all of it succeeded; standard error tells what did not.

    python3 whep_viewer.py http://192.168.1.10:8080/
"""

import array
import asyncio
import binascii
import json
import sys
import time
import urllib.parse
import urllib.request

from aiortc import RTCPeerConnection, RTCSessionDescription

# For every wait, on a machine that is busy with other things.
DEADLINE_S = 30

# Frames to check: two thirds of a second.
FRAMES = 20

# A tenth of the full scale of 16 bits: far above silence, below the pattern's tone.
LOUD = 3277


def request(method, url, body=None, content_type=None):
    headers = {"Content-Type": content_type} if content_type else {}
    sent = urllib.request.Request(url, method=method, data=body, headers=headers)
    with urllib.request.urlopen(sent, timeout=DEADLINE_S) as answer:
        return answer.status, answer.headers, answer.read().decode()


def frame_number(frame):
    """The number in the block code of a frame, whose layout src/capture/camera/timecode.rs describes; None if it is unreadable."""
    plane = frame.planes[0]
    luma, line = bytes(plane), plane.line_size
    cell = 8 * max(1, min(frame.width // 640, frame.height // 360))
    side = cell // 2

    def value(row, column):
        left, top = (2 + column) * cell + cell // 4, (2 + row) * cell + cell // 4
        return sum(sum(luma[y * line + left : y * line + left + side]) for y in range(top, top + side))

    white, black = (sum(value(row, column) for row in range(4)) / 4 for column in (0, 1))
    bits = "".join("01"[value(row, 2 + column) > (white + black) / 2] for row in range(4) for column in range(26))
    code = int(bits, 2).to_bytes(13, "big")
    # CRC-16/IBM-3740, under another name.
    if binascii.crc_hqx(code[:11], 0xFFFF) != int.from_bytes(code[11:], "big"):
        return None
    return int.from_bytes(code[7:11], "big")


async def watch(track):
    """Waits for frames that advance."""
    numbers = []
    while len(numbers) < FRAMES:
        number = frame_number(await track.recv())
        if number is not None:
            assert not numbers or number > numbers[-1], f"frame {number} follows {numbers[-1]}"
            numbers.append(number)


async def listen(track):
    """Waits for the tone."""
    while max(array.array("h", bytes((await track.recv()).planes[0]))) < LOUD:
        pass


def viewers(base):
    return json.loads(request("GET", urllib.parse.urljoin(base, "api/status"))[2])["viewers"]


async def main(base):
    peer = RTCPeerConnection()
    video, audio = (peer.addTransceiver(kind, direction="recvonly").receiver for kind in ("video", "audio"))
    await peer.setLocalDescription(await peer.createOffer())
    endpoint = urllib.parse.urljoin(base, "whep")
    status, headers, answer = request("POST", endpoint, peer.localDescription.sdp.encode(), "application/sdp")
    assert status == 201, f"POST {endpoint}: {status}"
    try:
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        for what, seen, track in ("frames", watch, video.track), ("audio", listen, audio.track):
            try:
                await asyncio.wait_for(seen(track), DEADLINE_S)
            except asyncio.TimeoutError:
                sys.exit(f"no {what} within {DEADLINE_S} s; ICE is {peer.iceConnectionState}; the answer was\n{answer}")
        assert viewers(base) == 1, "the board does not count the viewer"
        session = urllib.parse.urljoin(endpoint, headers["Location"])
        status, _, _ = request("DELETE", session)
        assert status == 200, f"DELETE {session}: {status}"
        deadline = time.monotonic() + DEADLINE_S
        while viewers(base) > 0:
            assert time.monotonic() < deadline, "the board still counts the viewer that hung up"
            await asyncio.sleep(0.01)
    finally:
        await peer.close()


asyncio.run(main(sys.argv[1]))
