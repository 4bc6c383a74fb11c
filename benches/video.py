"""The H.264 video that the benchmarks play instead of a camera with an encoder of its own."""

import subprocess

# What it shows has enough detail that the encoder needs its bitrate.
FPS, BITRATE = 30, 2_000_000


def make_video(path, seconds, key_frame_each):
    """Makes it, with a key frame every so many seconds; returns the command that plays it for ever, without its output,
    and its bitrate."""
    key = FPS * key_frame_each
    subprocess.run([
        "ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate={FPS}",
        "-vf", "noise=alls=12:allf=t", "-t", str(seconds), "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast",
        "-profile:v", "baseline", "-tune", "zerolatency", "-threads", "1", "-b:v", str(BITRATE), "-maxrate", str(BITRATE),
        "-bufsize", str(BITRATE // 2), "-g", str(key), "-keyint_min", str(key), "-sc_threshold", "0", str(path),
    ], check=True)
    rate = path.stat().st_size * 8 / seconds
    return f"ffmpeg -nostdin -loglevel error -re -stream_loop -1 -i {path} -c copy", rate
