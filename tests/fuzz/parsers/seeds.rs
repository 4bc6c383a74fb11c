//! Seeds of the fuzzers: what browsers, players and people write, generated each time.

use crc::{Algorithm, CRC_8_SMBUS, CRC_16_UMTS, Crc};

/// The seeds of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "offer" => {
            [offer(&[96], "recvonly"), offer(&[102, 108, 127], "recvonly"), offer(&[97], "sendrecv")].map(bytes).into()
        }
        "fragment" => FRAGMENTS.map(|text| bytes(text.replace('\n', "\r\n"))).into(),
        "cookie" => COOKIES.map(|text| bytes(text.to_owned())).into(),
        "command" => COMMANDS.map(|text| bytes(text.to_owned())).into(),
        "config" => {
            [include_str!("../../../systemd/porthole.toml"), CONFIG, "http.tls = { cert = \"a\", key = \"b\" }\n"]
                .map(|text| bytes(text.to_owned()))
                .into()
        }
        "rtsp" => RTSP.map(|text| bytes(text.replace('\n', "\r\n"))).into(),
        "stun" => STUN.map(<[u8]>::to_vec).into(),
        "dtls" => DTLS.map(<[u8]>::to_vec).into(),
        "sctp" => SCTP.map(<[u8]>::to_vec).into(),
        "rtcp" => RTCP.map(<[u8]>::to_vec).into(),
        "talk" => TALK.map(<[u8]>::to_vec).into(),
        "screen" => SCREEN.map(<[u8]>::to_vec).into(),
        "sound" => vec![wav(1, 2, 16), wav(1, 1, 8), wav(3, 1, 32), wav(7, 1, 8), flac(), ogg()],
        _ => Vec::new(),
    }
}

/// Writes a target's seeds as files into the folder `PORTHOLE_SEEDS` before the fuzzer reads it.
#[cfg(fuzzing)]
pub fn write(target: &str) {
    let Some(folder) = std::env::var_os("PORTHOLE_SEEDS").map(std::path::PathBuf::from) else { return };
    for (number, seed) in of(target).into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed).expect("the folder for seeds should be writable");
    }
}

fn bytes(text: String) -> Vec<u8> {
    text.into_bytes()
}

/// A browser's offer of video, audio and a data channel, with H.264 under these payload types, each with a different
/// profile.
fn offer(payload_types: &[u8], direction: &str) -> String {
    let transport = "c=IN IP4 0.0.0.0\na=rtcp:9 IN IP4 0.0.0.0\na=ice-ufrag:x1Yz\na=ice-pwd:0123456789abcdefghijklmn\n\
                     a=ice-options:trickle\na=fingerprint:sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:\
                     AB:3A:F6:0F:5B:8E:1C:02:B7:D4:5E:8F:7A\na=setup:actpass\n";
    let names = payload_types.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
    let mut sdp = format!(
        "v=0\no=- 4611731400430051336 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0 1 2\na=extmap-allow-mixed\n\
         a=msid-semantic: WMS\nm=video 9 UDP/TLS/RTP/SAVPF {names}\n{transport}a=mid:0\n\
         a=extmap:1 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\na={direction}\na=rtcp-mux\na=rtcp-rsize\n"
    );
    for (payload_type, profile) in payload_types.iter().zip(["42e01f", "64001f", "4d001f"]) {
        sdp += &format!(
            "a=rtpmap:{payload_type} H264/90000\na=rtcp-fb:{payload_type} nack pli\na=fmtp:{payload_type} \
             level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}\n"
        );
    }
    sdp += &format!(
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 9\n{transport}a=mid:1\na={direction}\na=rtcp-mux\na=rtpmap:111 opus/48000/2\n\
         a=fmtp:111 minptime=10;useinbandfec=1\na=rtpmap:9 G722/8000\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\n\
         {transport}a=mid:2\na=sctp-port:5000\na=max-message-size:262144\n\
         a=candidate:1 1 udp 2113937151 192.168.1.7 51234 typ host generation 0 ufrag x1Yz network-cost 999\n\
         a=candidate:2 1 udp 2113937151 4d2c.local 51235 typ host generation 0\na=end-of-candidates\n"
    );
    sdp.replace('\n', "\r\n")
}

/// Candidates, a restart, the end of the candidates (RFC 8840 section 9).
const FRAGMENTS: [&str; 3] = [
    "a=ice-ufrag:EsAw\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\nm=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:0\n\
     a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\n\
     a=candidate:3471623853 1 udp 2122194687 198.51.100.1 61765 typ srflx raddr 0.0.0.0 rport 0\n\
     a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\na=end-of-candidates\n",
    "a=ice-options:trickle ice2\na=group:BUNDLE 0 1\nm=video 9 UDP/TLS/RTP/SAVPF 96\na=mid:0\na=ice-ufrag:ysXw\n\
     a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\na=candidate:1 1 udp 1 2001:db8::1 5000 typ relay raddr :: rport 9\n",
    "m=audio RTP/AVP 0\na=mid:0\na=end-of-candidates\n",
];

/// Our cookie alone, among others, quoted, repeated, malformed.
const COOKIES: [&str; 5] = [
    "porthole_session_0123abcd=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
    "a=b; porthole_session=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8; theme=dark",
    "porthole_session=\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"",
    "porthole_session=a; porthole_session_0123abcd=b",
    "xporthole_session=a;porthole_session ;=;;",
];

/// Requests with all kinds of parameters, and malformed ones.
const COMMANDS: [&str; 9] = [
    r#"{"id":1,"method":"time.sync","params":{}}"#,
    r#"{"jsonrpc":"2.0","id":"a","method":"controls.set","params":{"camera":"door","values":{"gain":-5,"auto":true,"m":"x"}}}"#,
    r#"{"id":2,"method":"controls.reset","params":{"names":["gain","white_balance_automatic"]}}"#,
    r#"{"id":3.5,"method":"video.set","params":{"width":1280,"height":720,"fps":30,"bitrate":2000000}}"#,
    r#"{"method":"audio.mute","params":{"muted":false}}"#,
    r#"{"id":4,"method":"latency.set","params":{"mode":"smooth"}}"#,
    r#"{"id":5,"method":"chat.send","params":{"text":"안녕\n\u0068i","name":"Ada"}}"#,
    r#"{"id":6,"method":"camera.selct","params":{"camera":1}}"#,
    r#"[{"id":null,"method":[],"params":"x"}]"#,
];

/// Settings missing in the shipped configuration.
const CONFIG: &str = "[[camera]]\nname = \"door\"\ndevice = \"usb:046d:082d:A1\"\nwidth = { min = 320, ideal = 640 }\n\
                      format = \"MJPEG\"\n[camera.controls]\nzoom = 0x10\n\"White Balance\" = false\n[audio]\ngain = \"-3.5 dB\"\n\
                      [http]\nlisten = \":80\"\nhosts = [\"cam.example.org\"]\norigins = [\"https://example.org:8443\"]\n\
                      trusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n[rtc]\nadvertise = [\"203.0.113.5:1\", \"[2001:db8::5]:2\"]\n\
                      interfaces = [\"wlan*\"]\nice_servers = [{ urls = [\"stun:a:1\"] }, { urls = \"turn:b\", secret = \"s\" }]\n";

/// Requests of ffmpeg, VLC and GStreamer, packets and answers between them, and what is no RTSP.
const RTSP: [&str; 5] = [
    "OPTIONS rtsp://192.168.1.20:8554/door RTSP/1.0\nCSeq: 1\nUser-Agent: Lavf61.7.100\n\n\
     DESCRIBE rtsp://192.168.1.20:8554/door?audio=off RTSP/1.0\nAccept: application/sdp\nCSeq: 2\n\
     Authorization: Basic YW55OnBodF9hYmM=\n\n",
    "SETUP rtsp://192.168.1.20:8554/door/trackID=0 RTSP/1.0\n\
     Transport: RTP/AVP/UDP;unicast;client_port=20000-20001,RTP/AVP/TCP;unicast;interleaved=0-1;mode=play\nCSeq: 3\n\n\
     PLAY rtsp://[fe80::1]/door/ RTSP/1.0\nRange: npt=0.000-\nCSeq: 4\nSession: 0123abcd;timeout=60\n\n",
    "$\u{1}\0\u{4}abcdGET_PARAMETER * RTSP/1.0\nCSeq: 5\nContent-Type: text/parameters\nContent-Length: 8\n\nposition\n\n\
     RTSP/1.0 200 OK\nCSeq: 1\n\nTEARDOWN rtsp://a/ RTSP/1.0\nCSeq: 6\nX:\n folded\n\n",
    "SETUP rtsp://a/?audio=off/trackID=1 RTSP/1.0\nTransport: RTP/AVP;unicast;dest_addr=\"/\",RTP/AVP/TCP;interleaved=254\n\
     Authorization: Bearer pht_abc\nContent-Length: 5000\n\n",
    "GET /stream.mjpg HTTP/1.1\nHost: 192.168.1.20:8554\n\n",
];

/// Operations of `datagrams::stun`: a check that nominates its path, its repetition from elsewhere, one with the viewer's role,
/// a datagram of a stranger, and one of a handshake, after which time passes.
const STUN: [&[u8]; 5] = [
    b"\x01\0\x01a\x03\0\x06\x0dserver:client\0\x24\x04nice\0\x25\0\xff\xff",
    b"\x01\0\x01a\x02\0\x06\x0dserver:client\0\x25\0\x11\0\x01b\x02\0\x06\x0dserver:client\0\x25\0\x07\x0f",
    b"\x11\0\x01c\x02\0\x06\x0dserver:client\x80\x29\x0812345678\x03\x01\x01\x01d\x01\0\x20\x08\0\x01\x13\x88abcd",
    b"\0\x14\0\x01\0\0\x21\x12\xa4\x42ABCDEFGHIJKL\x03\x0f\x1f",
    b"405678\x03\x01`\x0d\0\x10\x17\0\0\0\xfe\xff\0\
        \0\0\0\0\0\0\0\0\x06\0\xbf\x08\x09\0\0\0\0\x08\0\0\0\xf7\x03\x01`\x0d\0\x03r\x0f\xff\xff",
];

/// Operations of `datagrams::dtls`, one for each datagram of the viewer.
const DTLS: [&[u8]; 4] = [
    b"",
    b"\0\0\0\x80\x80\0\x90",
    b"\0\0\xb8\x20\0\0\xa0\x80\0",
    b"\0\xe8\x0e\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\x01\x01\0\0\0",
];

/// Operations of `datagrams::sctp`: a channel's opening, text on the channel 0, a fragment, acknowledgements, a reset of a
/// stream, a skipped chunk, a heartbeat, the end, and chunks skipped far ahead, after an answer to no question, after
/// others, and within an acknowledgement.
const SCTP: [&[u8]; 8] = [
    b"\x03\0\x03\x1c\0\0\0\0\0\x02\0\0\0\0\0\x32\x03\0\0\0\0\0\0\0\0\x04\0\0abcd\x02\x22",
    b"\x03\0\x03\x11\0\0\0\0\0\0\0\0\0\0\0\x33hello\x03\0\x02\x10\0\0\0\x01\0\0\0\x01\0\0\0\x33frag\x02\x01",
    b"\x03\x03\0\x0c\xff\xff\xff\xff\0\x02\0\0\0\0\0\0\x03\xc0\0\x08\0\0\0\x05\0\0\0\0\xff",
    b"\x03\x82\0\x10\0\x0d\0\x10\0\0\0\x01\0\0\0\x01\0\0\0\x01\x03\x04\0\x08\0\x01\0\x08abcd\x01",
    b"\x03\x06\0\0\x03\x07\0\x04\0\0\0\0\x03\x0e\0\0\0\x0cgarbage here",
    b"\x03\x02\0\0\x03\xc0\0\x08\x24\xff\xff\xf8\0\0\x05\0",
    b"\x03\xc0\0\x04\0\0\x03\xc0\x03\xc0\0\x04\x80\0\0\x05",
    b"\x03\x03\0\x14\xff\x01\0\0\0\0\0\0\0\0\0\0\xc0\0\0\x08\x24\xff\xff\xf8",
];

/// Compounds: a report with a key frame request, lost packets, an estimate of the viewer, congestion control feedback with runs
/// and vectors of statuses.
const RTCP: [&[u8]; 4] = [
    b"\x81\xc9\0\x07\0\0\0\x02\0\0\0\x01\x10\0\0\x05\0\0\0\x64\0\0\0\x07\x12\x34\x56\x78\0\0\x10\0\
\x81\xce\0\x02\0\0\0\x02\0\0\0\x01",
    b"\x81\xcd\0\x03\0\0\0\x02\0\0\0\x01\0\x05\x80\x01",
    b"\x8f\xce\0\x05\0\0\0\x02\0\0\0\0REMB\x01\x0b\xd0\x90\0\0\0\x01",
    b"\x8f\xcd\0\x06\0\0\0\x02\0\0\0\x01\0\0\0\x09\0\0\x01\0\x20\x05\xd5\x55\x04\x08\x0c\x10\0\0\0\0",
];

/// Operations of `datagrams::talk`: Opus of silence packet by packet, and played; one as RTP, and with the one before it; a jump,
/// a copy, and a long pause.
const TALK: [&[u8]; 4] = [
    b"\x81\0\x03\xf8\xff\xfe\x5f\x81\0\x03\xf8\xff\xfe\x5f\x81\0\x03\xf8\xff\xfe\x5f\x5f\x5f\x5f",
    b"\0\x0f\x80\x6f\0\x01\0\0\x03\xc0\0\0\0\x07\xf8\xff\xfe\x5f\
\0\x18\x80\x3f\0\x03\0\0\x0b\x40\0\0\0\x07\xef\x0f\0\x03\x6f\xf8\xff\xfe\x08\xff\xfe\x01\x5f\x5f",
    b"\x81\0\x04\x78\x01\x02\x03\x89\x90\x03\xf8\xff\xfe\xff\xff\xff\x81\x7f\x05garbage\xff",
    b"\x81\0\x02\xfc\x7f\x5f\x5f\xff\xff\xff\xff\xff\xff\x81\0\x02\xfc\x7f\x81\xff\x02\xfc\x7f\x5f",
];

/// Operations of `datagrams::screen`: H.264 with parameter sets, a key frame in parts and another frame; with a jump; VP8 with and
/// without extensions.
const SCREEN: [&[u8]; 3] = [
    b"\0\0\x0a\x78\0\x03\x67\x42\x01\0\x02\x68\x02\0\x04\x7c\x85\x01\x02\x10\x03\x7c\x45\x03\x10\x02\x41\x09",
    b"\0\x10\x12\x78\0\x03\x67\x42\x01\0\x02\x68\x02\0\x04\x65\x01\x02\x03\x3c\x02\x41\x09\x11\x02\x41\x09\xff\x01\x41",
    b"\x01\0\x0e\x90\x80\x05\x10\x02\0\x9d\x01\x2a\x80\x02\xe0\x01\x07\x10\x03\0\x08\x09\x10\x03\x10\x11\x05",
];

/// A WAV file of a few samples with this format tag.
fn wav(tag: u16, channels: u16, bits: u16) -> Vec<u8> {
    let block = channels * bits / 8;
    let data: Vec<u8> = (0..=255).cycle().take(1_200 * usize::from(block)).collect();
    let mut file = [&b"RIFF"[..], &(60 + data.len() as u32).to_le_bytes(), b"WAVEfmt ", &16_u32.to_le_bytes()].concat();
    for word in [tag, channels, 44_100, 0, 44_100, 0, block, bits] {
        file.extend(word.to_le_bytes());
    }
    file.extend(b"LIST\x10\0\0\0INFOINAM\x04\0\0\0bellfact\x04\0\0\0\xb0\x04\0\0data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

/// A FLAC file with a comment, padding, and frames that are constant (RFC 9639).
fn flac() -> Vec<u8> {
    // Mono at 48 kHz with 16 bits, 192 samples a frame, and an unknown length.
    let mut file =
        [&b"fLaC\0\0\0\x22"[..], &[0, 192, 0, 192, 0, 0, 0, 0, 0, 0, 0x0b, 0xb8, 0x00, 0xf0], &[0; 20]].concat();
    file.extend(b"\x04\0\0\x15\x04\0\0\0test\x01\0\0\0\x05\0\0\0T=abc\x81\0\0\x04\0\0\0\0");
    for number in 0..6u8 {
        let mut frame = vec![0xff, 0xf8, 0x10, 0x08, number];
        frame.push(Crc::<u8>::new(&CRC_8_SMBUS).checksum(&frame));
        frame.extend([0, 0x10, number]);
        let sum = Crc::<u16>::new(&CRC_16_UMTS).checksum(&frame);
        frame.extend(sum.to_be_bytes());
        file.extend(frame);
    }
    file
}

/// An Ogg file with Opus (RFC 7845).
fn ogg() -> Vec<u8> {
    let head = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\x01\0".to_vec();
    let tags = b"OpusTags\x04\0\0\0test\x01\0\0\0\x05\0\0\0T=abc".to_vec();
    let packet = vec![0xfc, 0xff, 0xfe];
    let pages =
        [(2, 0, vec![head]), (0, 0, vec![tags]), (0, 2_880, vec![packet.clone(); 3]), (4, 4_000, vec![packet; 2])];
    let page = |(number, (flags, position, packets)): (u32, (u8, u64, Vec<Vec<u8>>))| {
        let mut page =
            [&b"OggS\0"[..], &[flags], &position.to_le_bytes(), b"seri", &number.to_le_bytes(), &[0; 4]].concat();
        page.push(packets.len() as u8);
        page.extend(packets.iter().map(|packet| packet.len() as u8));
        page.extend(packets.concat());
        page
    };
    let file: Vec<u8> = (0..).zip(pages).flat_map(page).collect();
    with_checksums(&file)
}

/// The same with the right checksums, if it is Ogg (RFC 3533 section 6).
pub fn with_checksums(file: &[u8]) -> Vec<u8> {
    const OGG: Algorithm<u32> = Algorithm {
        width: 32,
        poly: 0x04c1_1db7,
        init: 0,
        refin: false,
        refout: false,
        xorout: 0,
        check: 0x89a1_897f,
        residue: 0,
    };
    let mut file = file.to_vec();
    let mut at = 0;
    while file.get(at..at + 4) == Some(b"OggS")
        && let Some(table) = file.get(at + 26).and_then(|count| file.get(at + 27..at + 27 + usize::from(*count)))
    {
        let length = 27 + table.len() + table.iter().map(|length| usize::from(*length)).sum::<usize>();
        let Some(page) = file.get_mut(at..at + length) else { break };
        page[22..26].fill(0);
        let sum = Crc::<u32>::new(&OGG).checksum(page);
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        at += length;
    }
    file
}
