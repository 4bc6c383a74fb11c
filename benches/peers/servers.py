"""The servers that are compared: where they are, their versions, and how each is started with the same video.

Each listens on this machine only, as far as it can, and starts the source when somebody watches.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

# How long a server may take to start on a small board.
LIMIT = 30

# More than are measured.
MAX_VIEWERS = 100


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def udp_port():
    return free_port(socket.SOCK_DGRAM)


class Server:
    # Its name, the program, and the environment variable with the program's path.
    name = program = variable = None
    # What asks for its version.
    version_arguments = ["--version"]
    # What the load client is told besides the URL.
    load_arguments = []
    note = ""

    def __init__(self, folder):
        self.folder = folder
        self.path = os.environ.get(self.variable) or shutil.which(self.program)
        self.process = None

    @property
    def is_installed(self):
        return bool(self.path) and os.access(self.path, os.X_OK)

    def version(self):
        run = subprocess.run([self.path, *self.version_arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        found = re.findall(r"\d+(?:\.\d+)+", run.stdout + run.stderr)
        # The name of a program may have a shorter number in it.
        return max(found, key=lambda number: number.count("."), default="unknown")

    def start(self, source):
        """Starts it and returns the URL for viewers; `source` is the command that plays the video, without its output."""
        raise NotImplementedError

    def _run(self, command, environment=None):
        with open(self.folder / f"{self.name}.log", "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder,
                env={**os.environ, **(environment or {})}, start_new_session=True,
            )

    def _wait_for(self, url):
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(url, timeout=2).close()
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"{self.name} did not answer at {url}: {self.log()}")

    def log(self):
        return " / ".join((self.folder / f"{self.name}.log").read_text(errors="replace").splitlines()[-5:])

    def stop(self):
        if self.process and self.process.poll() is None:
            # With what it has started.
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


class Porthole(Server):
    name, program, variable = "porthole", "porthole", "PORTHOLE"

    def start(self, source):
        return self._serve(f"name = \"camera\"\ndevice = '''exec:exec {source} -f h264 -'''") + "whep/camera"

    def _serve(self, camera, environment=None):
        """Starts with one camera, configured by these lines; returns the address of its page."""
        port = free_port()
        base = f"http://127.0.0.1:{port}/"
        config = self.folder / "porthole.toml"
        config.write_text(
            f'[http]\nlisten = "127.0.0.1:{port}"\n[auth]\nmode = "none"\n[audio]\ndevice = "off"\n'
            f'[rtc]\nudp_port = {udp_port()}\nmax_viewers = {MAX_VIEWERS}\n[[camera]]\n{camera}\n'
        )
        state = {"STATE_DIRECTORY": str(self.folder / "state")}
        self._run([self.path, "run", "--config", config], state | (environment or {}))
        self._wait_for(base)
        return base


class MediaMTX(Server):
    name, program, variable = "mediamtx", "mediamtx", "MEDIAMTX"

    def start(self, source):
        http, rtsp = free_port(), free_port()
        config = self.folder / "mediamtx.yml"
        config.write_text(
            f"logLevel: warn\nrtspTransports: [tcp]\nrtspAddress: 127.0.0.1:{rtsp}\n"
            f"webrtcAddress: 127.0.0.1:{http}\nwebrtcLocalUDPAddress: :{udp_port()}\nwebrtcAdditionalHosts: [127.0.0.1]\n"
            f"paths:\n  camera:\n    runOnDemand: {source} -f rtsp -rtsp_transport tcp rtsp://127.0.0.1:{rtsp}/camera\n"
        )
        # What it would serve besides is off, so it uses less. Variables, because a version refuses the keys of another.
        others = {f"MTX_{protocol}": "no" for protocol in ("RTMP", "HLS", "SRT", "MOQ")}
        self._run([self.path, config], others)
        self._wait_for(f"http://127.0.0.1:{http}/")
        return f"http://127.0.0.1:{http}/camera/whep"


class Go2rtc(Server):
    name, program, variable = "go2rtc", "go2rtc", "GO2RTC"

    def start(self, source):
        http, media = free_port(), free_port()
        config = self.folder / "go2rtc.yaml"
        config.write_text(
            "app:\n  modules: [api, ws, exec, rtsp, webrtc]\nlog:\n  level: warn\n"
            f"api:\n  listen: 127.0.0.1:{http}\nrtsp:\n  listen: ''\n"
            f"webrtc:\n  listen: :{media}\n  ice_servers: []\n  filters:\n    loopback: true\n    networks: [udp4]\n"
            f"streams:\n  camera: exec:{source} -f h264 -\n"
        )
        self._run([self.path, "-config", config])
        self._wait_for(f"http://127.0.0.1:{http}/api")
        return f"http://127.0.0.1:{http}/api/webrtc?src=camera"


class GStreamer(Server):
    """What sending alone costs: its pipeline sends the same packets to all, without WebRTC, encryption and feedback."""

    name, program, variable = "GStreamer, bare RTP", "gst-launch-1.0", "GST_LAUNCH"
    note = "`multiudpsink`: no WebRTC, no encryption, no feedback; the floor"

    def start(self, source):
        return None

    def start_for(self, source, ports):
        """Starts it for receivers at these ports: it cannot learn of others later."""
        clients = ",".join(f"127.0.0.1:{port}" for port in ports)
        pipeline = "fdsrc ! h264parse config-interval=-1 ! rtph264pay mtu=1200 pt=96 aggregate-mode=zero-latency"
        self._run(["sh", "-c", f"{source} -f h264 - | {self.path} -q {pipeline} ! multiudpsink sync=false clients={clients}"])


SERVERS = [Porthole, MediaMTX, Go2rtc, GStreamer]
