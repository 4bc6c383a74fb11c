"""A WHEP viewer on GStreamer's webrtcbin (Debian packages in .ci/install, `players`), which shares nothing with porthole, aiortc
or Chromium. It waits until video and, where that shares the video's transport, audio were decoded. The exit status tells whether they
were.

    python3 gstreamer.py http://192.168.1.10:8080/ BUNDLE-POLICY
"""

import sys
import urllib.error
import urllib.parse
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC

# For all of it, on a machine that is busy with other things.
DEADLINE_S = 60

# Frames to decode: two thirds of a second.
FRAMES = 20


class Player:
    def __init__(self, base, policy):
        self.base, self.frames, self.failure, self.loop = base, {}, None, GLib.MainLoop()
        self.bundled, self.session = False, None
        self.pipeline = Gst.Pipeline.new("player")
        self.peer = Gst.ElementFactory.make("webrtcbin", "peer")
        Gst.util_set_object_arg(self.peer, "bundle-policy", policy)
        self.pipeline.add(self.peer)
        for media in (
            "video,encoding-name=H264,payload=96,clock-rate=90000,packetization-mode=(string)1",
            "audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2",
        ):
            caps = Gst.Caps.from_string(f"application/x-rtp,media={media}")
            self.peer.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, caps)
        self.peer.connect("pad-added", self.on_track)
        self.peer.connect("notify::ice-gathering-state", self.on_gathering)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.on_error)

    def play(self):
        self.pipeline.set_state(Gst.State.PLAYING)
        GLib.timeout_add_seconds(DEADLINE_S, self.end, f"not enough frames within {DEADLINE_S} s")
        GLib.idle_add(self.offer)
        self.loop.run()
        if self.session:
            # As whepsrc leaves.
            urllib.request.urlopen(urllib.request.Request(self.session, method="DELETE"), timeout=DEADLINE_S).close()
        self.pipeline.set_state(Gst.State.NULL)
        if self.failure:
            sys.exit(f"{self.failure}; decoded so far: {self.frames}")
        print(f"decoded {self.frames}")

    def end(self, failure=None):
        self.failure = failure
        self.loop.quit()

    def on_error(self, _, message):
        self.end(" ".join(map(str, message.parse_error())))

    def offer(self):
        promise = Gst.Promise.new_with_change_func(self.on_offer)
        self.peer.emit("create-offer", None, promise)

    def on_offer(self, promise):
        # The description belongs to the reply.
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        self.peer.emit("set-local-description", offer, Gst.Promise.new())

    def on_gathering(self, *_):
        if self.peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.negotiate)

    def negotiate(self):
        sdp = self.peer.get_property("local-description").sdp.as_text()
        request = urllib.request.Request(f"{self.base}whep", sdp.encode(), {"Content-Type": "application/sdp"})
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
                answer = response.read().decode()
                self.session = urllib.parse.urljoin(f"{self.base}whep", response.headers["Location"])
        except urllib.error.HTTPError as error:
            return self.end(f"{error}: {error.read().decode()}; the offer was\n{sdp}")
        self.bundled = "a=group:BUNDLE" in answer
        _, parsed = GstSdp.SDPMessage.new_from_text(answer)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, parsed)
        self.peer.emit("set-remote-description", description, Gst.Promise.new())

    def on_track(self, _, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        decoder = Gst.ElementFactory.make("decodebin", None)
        decoder.connect("pad-added", self.on_decoded)
        self.pipeline.add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))

    def on_decoded(self, _, pad):
        kind = pad.get_current_caps().get_structure(0).get_name()
        sink = Gst.ElementFactory.make("fakesink", None)
        sink.set_property("signal-handoffs", True)
        sink.set_property("sync", False)
        sink.connect("handoff", self.on_frame, kind)
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def on_frame(self, sink, buffer, pad, kind):
        self.frames[kind] = self.frames.get(kind, 0) + 1
        audio = not self.bundled or self.frames.get("audio/x-raw", 0) > 0
        if audio and self.frames.get("video/x-raw", 0) >= FRAMES:
            GLib.idle_add(self.end)


Gst.init(None)
Player(*sys.argv[1:]).play()
