"""A viewer in Firefox (Debian package firefox-esr), driven over its own remote protocol, Marionette. It opens the page, waits until
Firefox has decoded frames of a WHEP session of its own, or, without H.264, until the page shows MJPEG, and prints how many. The
exit status tells whether it has.

    python3 firefox.py http://192.168.1.10:8080/ h264|mjpeg [--offer]

With --offer it prints Firefox's offer first.
"""

import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

# For all of it, on a machine that is busy with other things.
DEADLINE_S = 120

# Frames to decode: two thirds of a second.
FRAMES = 20

PREFERENCES = {
    # Debian's build decodes H.264 with ffmpeg; the plugin that Mozilla's builds download cannot be had in a test.
    "media.navigator.mediadatadecoder_h264_enabled": True,
    "media.gmp-gmpopenh264.version": "1.0",
    "media.gmp-gmpopenh264.abi": "x86_64-gcc3",
    "media.gmp-gmpopenh264.enabled": True,
    "media.gmp-gmpopenh264.visible": True,
    "media.peerconnection.ice.loopback": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.gmp-manager.updateEnabled": False,
    "media.autoplay.default": 0,
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "marionette.port": 0,
}

# What Firefox asks before it offers H.264: a description of Cisco's plugin. The plugin itself is not called, since ffmpeg decodes.
PLUGIN = """Name: gmpopenh264
Description: H.264
Version: 1.0
APIs: encode-video[h264], decode-video[h264]
"""

# Resolves with the offer and the counts once enough frames were decoded.
WATCH = """
const [endpoint, frames, done] = arguments;
(async () => {
  const peer = new RTCPeerConnection();
  peer.addTransceiver('video', { direction: 'recvonly' });
  peer.addTransceiver('audio', { direction: 'recvonly' });
  const video = document.createElement('video');
  video.muted = true;
  peer.ontrack = ({ track }) => {
    if (track.kind !== 'video') return;
    video.srcObject = new MediaStream([track]);
    video.play();
  };
  await peer.setLocalDescription();
  while (peer.iceGatheringState !== 'complete') await new Promise((next) => setTimeout(next, 20));
  const offer = peer.localDescription.sdp;
  const answer = await fetch(endpoint, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: offer });
  const sdp = await answer.text();
  if (answer.status !== 201) return { offer, failure: `${answer.status} ${sdp}` };
  await peer.setRemoteDescription({ type: 'answer', sdp });
  const session = new URL(answer.headers.get('Location'), endpoint);
  for (const end = Date.now() + 40000; Date.now() < end; await new Promise((next) => setTimeout(next, 100))) {
    const inbound = [...(await peer.getStats()).values()].filter((report) => report.type === 'inbound-rtp');
    const of = (kind) => inbound.find((report) => report.kind === kind) ?? {};
    const counts = { decoded: of('video').framesDecoded ?? 0, video: of('video').packetsReceived ?? 0,
      audio: of('audio').packetsReceived ?? 0, width: video.videoWidth, state: peer.connectionState };
    if (counts.decoded >= frames && counts.audio > 0) {
      await fetch(session, { method: 'DELETE' });
      return { offer, counts };
    }
    var last = counts;
  }
  return { offer, failure: `not enough frames: ${JSON.stringify(last)}; the answer was ${sdp}` };
})().then(done, (error) => done({ failure: String(error) }));
"""


# Resolves with the page's state once its picture, which is MJPEG, has moved.
FALLBACK = """
const [endpoint, frames, done] = arguments;
(async () => {
  const image = document.querySelector('#mjpeg');
  const [width, height] = [64, 36];
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const seen = new Set();
  const state = () => document.querySelector('#state').textContent;
  for (const end = Date.now() + 40000; Date.now() < end; await new Promise((next) => setTimeout(next, 20))) {
    if (image.hidden || image.naturalWidth === 0) continue;
    context.drawImage(image, 0, 0, width, height);
    seen.add(context.getImageData(0, 0, width, height).data.join());
    if (seen.size >= frames) return { counts: { shown: seen.size, state: state() } };
  }
  return { failure: `${seen.size} different pictures within 40 s; the page says ${state()}` };
})().then(done, (error) => done({ failure: String(error) }));
"""


class Marionette:
    """The protocol: `length:[type, id, command, parameters]`."""

    def __init__(self, port):
        self.socket, self.buffer, self.calls = socket.create_connection(("127.0.0.1", port)), b"", 0
        self.socket.settimeout(DEADLINE_S)
        self.receive()

    def receive(self):
        while b":" not in self.buffer:
            self.buffer += self.socket.recv(1 << 16)
        length, _, self.buffer = self.buffer.partition(b":")
        while len(self.buffer) < int(length):
            self.buffer += self.socket.recv(1 << 16)
        message, self.buffer = self.buffer[: int(length)], self.buffer[int(length) :]
        return json.loads(message)

    def call(self, command, **parameters):
        self.calls += 1
        message = json.dumps([0, self.calls, command, parameters])
        self.socket.sendall(f"{len(message)}:{message}".encode())
        _, _, error, result = self.receive()
        if error:
            sys.exit(f"{command}: {error}")
        return result


def port(profile, firefox):
    """The port that Firefox listens on; it writes it into the profile."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        active = profile / "MarionetteActivePort"
        if active.exists() and active.read_text().strip():
            return int(active.read_text())
        if firefox.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"Firefox does not listen; it ended with {firefox.poll()}")
        time.sleep(0.1)


def main(base, what):
    script = {"h264": WATCH, "mjpeg": FALLBACK}[what]
    with tempfile.TemporaryDirectory(prefix="firefox-") as folder:
        profile = pathlib.Path(folder)
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items())
        (profile / "user.js").write_text("".join(lines))
        if what == "h264":
            plugin = profile / "gmp-gmpopenh264" / "1.0"
            plugin.mkdir(parents=True)
            (plugin / "gmpopenh264.info").write_text(PLUGIN)
            (plugin / "libgmpopenh264.so").touch()
        command = ["firefox-esr", "--headless", "--marionette", "--no-remote", "--profile", folder]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as firefox:
            try:
                browser = Marionette(port(profile, firefox))
                browser.call("WebDriver:NewSession", capabilities={"alwaysMatch": {}})
                browser.call("WebDriver:SetTimeouts", script=60_000)
                browser.call("WebDriver:Navigate", url=base)
                found = browser.call("WebDriver:ExecuteAsyncScript", script=script, args=[f"{base}whep", FRAMES])
                found = found["value"]
                if "--offer" in sys.argv:
                    print(found.get("offer"))
                if failure := found.get("failure"):
                    sys.exit(failure)
                print(found["counts"])
            finally:
                firefox.terminate()


main(*sys.argv[1:3])
