"""MJPEG of the same camera, which is the tests' fake one (tests/fake): servers that pass its pictures on over HTTP."""

import subprocess

from servers import Porthole, Server, free_port

DEVICE = "/dev/video90"

# A gigabit a second for more of them.
MOST_VIEWERS = 20

# How many different pictures the camera shows.
PICTURES = 60


def make_camera(folder, library, fps):
    """The environment that shows the camera to a program."""
    pictures = folder / "pictures"
    pictures.mkdir()
    subprocess.run([
        "ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate={fps}",
        "-vf", "noise=alls=6:allf=t", "-frames:v", str(PICTURES), "-pix_fmt", "yuvj422p", "-c:v", "mjpeg", "-q:v", "6",
        "-f", "image2", f"{pictures}/%06d",
    ], check=True)
    node = folder / "camera" / DEVICE.lstrip("/")
    node.parent.mkdir(parents=True)
    node.write_text(f"card Fake\nformat MJPG files={pictures} 1280x720@{fps}\n")
    return {"LD_PRELOAD": str(library), "PORTHOLE_FAKE": str(folder / "camera")}


class PortholeMJPEG(Porthole):
    name = "porthole, MJPEG"
    load_arguments = ["-mjpeg"]

    def start(self, environment):
        camera = f'device = "{DEVICE}"\nformat = "MJPEG"\nwidth = 1280\nheight = 720\nfps = 30'
        return self._serve(camera, environment) + "stream.mjpg"


class UStreamer(Server):
    name, program, variable = "ustreamer", "ustreamer", "USTREAMER"
    load_arguments = ["-mjpeg"]

    def start(self, environment):
        port = free_port()
        self._run([
            self.path, f"--device={DEVICE}", "--resolution=1280x720", "--format=MJPEG", "--desired-fps=30",
            "--encoder=HW", "--host=127.0.0.1", f"--port={port}",
        ], environment)
        self._wait_for(f"http://127.0.0.1:{port}/")
        return f"http://127.0.0.1:{port}/stream"


MJPEG_SERVERS = [PortholeMJPEG, UStreamer]
