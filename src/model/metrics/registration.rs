//! The names of the metrics, and what they count in words.

use prometheus_client::registry::Unit;

use super::Counters;

impl Counters {
    /// Gives each counter its name.
    pub(super) fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("frames_captured", "Frames captured", self.captured.clone());
        registry.register("frames_encoded", "Frames encoded", self.encoded.clone());
        registry.register(
            "small_frames_encoded",
            "Frames of the smaller renditions encoded",
            self.small_encoded.clone(),
        );
        registry.register("key_frames", "Key frames encoded", self.key_frames.clone());
        registry.register("encode_errors", "Frames the encoder or converter rejected", self.encode_errors.clone());
        registry.register("frames_damaged_shown", "Damaged frames shown all the same", self.damaged_shown.clone());
        registry.register("frames_dropped", "Frames (at Socket: packets) dropped, by place", self.dropped.clone());
        registry.register("cameras_open", "Cameras open now", self.cameras_open.clone());
        registry.register("captures", "Former name of porthole_cameras_open", self.cameras_open.clone());
        registry.register("encoders", "Encoders alive now", self.encoders.clone());
        registry.register_with_unit(
            "encode",
            "Time from a raw frame to its encoded form",
            Unit::Seconds,
            self.encode_seconds.clone(),
        );
        registry.register_with_unit(
            "capture_to_socket",
            "Time from a frame's capture to its last packet in the socket",
            Unit::Seconds,
            self.socket_seconds.clone(),
        );
        registry.register("key_frame_requests", "Key frames requested by viewers", self.key_requests.clone());
        registry.register("nacked_packets", "Packets requested again by viewers", self.nacked_packets.clone());
        registry.register(
            "resends_refused",
            "Packets requested again and not sent again, to keep resends within their share",
            self.resends_refused.clone(),
        );
        registry.register(
            "redundant_audio_packets",
            "Audio packets that viewers were sent once more, together with later ones",
            self.redundant_audio.clone(),
        );
        registry.register("audio_packets", "Audio packets encoded", self.audio_packets.clone());
        registry.register(
            "audio_gaps",
            "Times audio was lost before it was encoded: the microphone or the processor is overloaded",
            self.audio_gaps.clone(),
        );
        registry.register("talking", "Whether somebody talks", self.talking.clone());
        registry.register("talk_packets_played", "Packets of talkers that were played", self.talk_played.clone());
        registry.register(
            "talk_packets_recovered",
            "Lost packets of talkers that the next one made up for",
            self.talk_recovered.clone(),
        );
        registry.register(
            "talk_packets_concealed",
            "Times a packet of a talker was missing and concealed",
            self.talk_concealed.clone(),
        );
        registry.register(
            "talk_packets_dropped",
            "Packets of talkers, or of viewers without the floor, that were not played, by reason",
            self.talk_dropped.clone(),
        );
        registry.register("announcements", "Sounds that were announced on the speaker", self.announcements.clone());
        registry.register(
            "speaker_underruns",
            "Times the speaker ran out of sound: the processor is overloaded",
            self.speaker_underruns.clone(),
        );
        registry.register(
            "screen_frames",
            "Frames of talkers' pictures that the screen's program was given",
            self.screen_frames.clone(),
        );
        registry.register(
            "screen_frames_dropped",
            "Frames of talkers' pictures that it was not given, by reason",
            self.screen_dropped.clone(),
        );
        registry.register("viewers", "Viewers connected or connecting", self.viewers.clone());
        registry.register("viewers_accepted", "Viewers accepted since the start", self.viewers_accepted.clone());
        registry.register(
            "viewer_estimate_bits_per_second",
            "What each viewer's network carries, by its feedback",
            self.viewer_estimate.clone(),
        );
        registry.register_with_unit(
            "viewer_rtt",
            "Each viewer's round trip time",
            Unit::Seconds,
            self.viewer_rtt.clone(),
        );
        registry.register(
            "viewer_loss_ratio",
            "The share of packets that each viewer lost lately",
            self.viewer_loss.clone(),
        );
        registry.register_with_unit(
            "viewer_delay",
            "Time from a frame's capture to its display, as each viewer's page reports it",
            Unit::Seconds,
            self.viewer_delay.clone(),
        );
        registry.register(
            "live_edge_skips",
            "Times at which a viewer was skipped to the live edge, by cause",
            self.live_edge_skips.clone(),
        );
        registry.register("sign_ins", "Sign-in attempts, by outcome", self.sign_ins.clone());
        registry.register(
            "http_refused",
            "HTTP and RTSP connections and requests rejected, by reason",
            self.http_refused.clone(),
        );
        registry.register("commands", "Control requests carried out", self.commands.clone());
        registry.register(
            "control_dropped",
            "Messages dropped on control channels, by kind",
            self.control_dropped.clone(),
        );
        registry.register("untold", "Former name of porthole_control_dropped_total", self.control_dropped.clone());
        registry.register("snapshots", "Snapshots sent", self.snapshots.clone());
        registry.register("mjpeg_readers", "MJPEG readers connected", self.mjpeg_readers.clone());
        registry.register("mjpeg_frames_encoded", "JPEGs encoded for MJPEG readers", self.mjpeg_encoded.clone());
        registry.register("mjpeg_frames_passed", "A camera's JPEGs passed on as they are", self.mjpeg_passed.clone());
        registry.register("mjpeg_frames_sent", "JPEGs sent to MJPEG readers", self.mjpeg_sent.clone());
        registry.register("motion_frames", "Frames looked at for motion", self.motion_frames.clone());
        registry.register("motion_events", "Motions that began", self.motion_events.clone());
        registry.register("mqtt_connected", "Whether the MQTT broker is connected", self.mqtt_connected.clone());
        registry.register("mqtt_connections", "Connections to the MQTT broker", self.mqtt_connections.clone());
        registry.register("mqtt_published", "Messages published to the MQTT broker", self.mqtt_published.clone());
        registry.register("mqtt_ignored", "Messages of the MQTT broker that were ignored", self.mqtt_ignored.clone());
        registry.register(
            "mqtt_pictures_withheld",
            "Pictures that were due and not published by MQTT",
            self.mqtt_pictures_withheld.clone(),
        );
        registry.register("publish_live", "Whether a server is being sent the camera", self.publish_live.clone());
        registry.register(
            "publish_failures",
            "Attempts to publish that failed, and publications that broke",
            self.publish_failures.clone(),
        );
        registry.register("recording", "Whether each camera is being recorded", self.recording.clone());
        registry.register_with_unit("recorded", "Bytes written to recordings", Unit::Bytes, self.recorded.clone());
        registry.register(
            "recording_failures",
            "Recordings that could not be written, or not to their end",
            self.recording_failures.clone(),
        );
        registry.register("timelapse_pictures", "Pictures written to time-lapses", self.timelapse_pictures.clone());
        registry.register("hook_runs", "Events that hooks wait for, by hook and result", self.hook_runs.clone());
        registry.register("packets_sent", "Packets handed to the sockets", self.packets_sent.clone());
        registry.register_with_unit("sent", "Bytes handed to the sockets", Unit::Bytes, self.bytes_sent.clone());
        registry.register("ignored", "Datagrams and connections ignored, by reason", self.ignored.clone());
        registry.register("tasks", "Asynchronous tasks alive", self.tasks.clone());
        registry.register_with_unit("cpu", "CPU time of the process", Unit::Seconds, self.cpu_seconds.clone());
    }
}
