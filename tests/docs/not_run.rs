//! The commands of the documents that the test of them does not run, each with the reason. They have to exist all the same.

/// Reasons, each with the commands that it holds for, as the documents have them without their comments.
const NOT_RUN: &[(&str, &[&str])] = &[
    ("runs all tests, this one too; CI runs it (.ci/run)", &["make test"]),
    (
        "downloads and builds for minutes; `make pi`, which CI runs, builds and installs the packages by the same scripts",
        &[
            "make run",
            "make run ARGS=\"--camera pattern\"",
            "make deb",
            "make deb TARGET=aarch64-unknown-linux-gnu",
            "make deb TARGET=armv7-unknown-linux-gnueabihf",
            "make cross TARGET=aarch64-unknown-linux-gnu",
        ],
    ),
    (
        "installs on this machine, or asks its systemd; `make pi` does so on an emulated board",
        &[
            "sudo apt install ./porthole_*.deb",
            "sudo apt install ./porthole_*_arm64.deb",
            "sudo apt install ./porthole_NEW_arm64.deb",
            "sudo apt remove porthole",
            "sudo apt purge porthole",
            "systemctl status porthole",
            "journalctl -u porthole",
            "sudo systemctl reload porthole",
            "sudo systemctl restart porthole",
            "sudo systemctl edit porthole",
            "sudo rm /etc/machine-id",
            "sudo systemd-machine-id-setup",
            "sudo systemctl disable porthole",
            "sudo systemctl add-wants porthole-camera.target porthole.service",
            "sudo systemctl disable --now porthole",
            "sudo systemctl enable --now porthole.socket",
        ],
    ),
    (
        "needs a Raspberry Pi",
        &["scp target/debian/porthole_*_arm64.deb pi@raspberrypi.local:", "sudo apt install rpicam-apps"],
    ),
    (
        "builds an example or needs packages of its own; tests/examples.rs runs the same viewers with these arguments",
        &[
            "cargo run --example watch -- http://porthole.local:8080/whep --token \"$TOKEN\" --output camera.h264",
            "sudo apt install python3-aiortc",
            "/usr/bin/python3 examples/watch.py http://porthole.local:8080/whep --token \"$TOKEN\" --output camera.mp4",
        ],
    ),
    (
        "serves until it is stopped; tests/page/examples.test.mjs serves and opens the same page",
        &["python3 -m http.server --directory examples 8000"],
    ),
    (
        "reads until it is stopped; tests/events.rs reads the same",
        &["curl -N -H \"Authorization: Bearer $TOKEN\" http://192.168.1.20:8080/api/events"],
    ),
    (
        "needs recording, which is off by default, or recordings; tests/recordings.rs does the same",
        &[
            "porthole ctl record.start",
            "porthole ctl record.start '{\"camera\": \"door\"}'",
            "porthole ctl record.stop",
            "curl -H \"Authorization: Bearer $TOKEN\" http://192.168.1.20:8080/recordings/42.mp4 > event.mp4",
            "curl -H \"Authorization: Bearer $TOKEN\" -X PUT http://192.168.1.20:8080/api/recordings/42/protected",
            "curl -H \"Authorization: Bearer $TOKEN\" -X DELETE http://192.168.1.20:8080/api/recordings/41",
        ],
    ),
    (
        "needs a speaker and a sound; tests/say.rs does the same",
        &[
            "porthole ctl say bell.wav",
            "curl -H \"Authorization: Bearer $TOKEN\" -H \"Content-Type: audio/wav\" --data-binary @bell.wav http://192.168.1.20:8080/api/say",
        ],
    ),
    (
        "needs the RTSP server, which is off by default; tests/rtsp.rs records from it with ffmpeg",
        &[
            "ffmpeg -rtsp_transport tcp -i \"rtsp://any:$TOKEN@192.168.1.20:8554/\" -c copy -t 60 camera.mkv",
            "ffmpeg -i \"rtsp://any:$TOKEN@192.168.1.20:8554/?audio=off\" -c copy -t 60 camera.mp4",
        ],
    ),
    (
        "opens a window, and needs the RTSP server; tests/rtsp.rs replays VLC, tests/players.rs runs GStreamer without a window",
        &[
            "vlc --rtsp-tcp --network-caching=300 \"rtsp://any:$TOKEN@192.168.1.20:8554/\"",
            "gst-launch-1.0 rtspsrc location=\"rtsp://any:$TOKEN@192.168.1.20:8554/\" protocols=tcp ! rtph264depay ! avdec_h264 ! autovideosink",
        ],
    ),
    (
        "needs a server to publish to; tests/publish.rs calls the same methods",
        &["porthole ctl publish.stop", "porthole ctl publish.start '{\"camera\": \"door\"}'"],
    ),
    ("changes a user of this machine", &["sudo usermod -aG video $USER"]),
    (
        "needs the package's user and its configuration",
        &["sudo -u porthole porthole check-config /etc/porthole/porthole.toml"],
    ),
    ("opens a browser; `make test` builds the same documentation", &["cargo doc --open"]),
    (
        "is a check or a tool of the developers, run by `make test`, by CI or by hand",
        &[
            "make fmt",
            "make lint",
            "make page",
            "make network",
            "make board",
            "make players",
            "make pi",
            "make fuzz",
            "make bench",
            "make bench-peers",
            "make recordings",
            "make soak HOURS=8",
            "make bench-card",
            "make bench-network",
        ],
    ),
];

/// Why a command is not run; `None` for one that is.
pub fn reason(command: &str) -> Option<&'static str> {
    NOT_RUN.iter().find(|(_, commands)| commands.contains(&command)).map(|(reason, _)| *reason)
}

/// The commands that are not run.
pub fn commands() -> impl Iterator<Item = &'static str> {
    NOT_RUN.iter().flat_map(|(_, commands)| commands.iter().copied())
}
