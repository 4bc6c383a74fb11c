//! The table of misbehaving drivers: what each does, and what is expected of the program.
//!
//! The checks do not belong here.

/// The expected outcome with a driver.
#[derive(Debug, Clone, Copy)]
pub enum Expect {
    /// Correct frames of this size and nothing else.
    Video(u32, u32),
    /// Correct frames, and this many frames dropped for this reason.
    Dropped(&'static str, u64),
    /// No video; the status reports this fault, and retries continue.
    Fault(&'static str),
    /// Whatever is shown during the fault, camera frames follow it.
    Continues,
    /// The log has this fault, and correct frames follow it.
    Recovers(&'static str),
}

use Expect::{Continues, Dropped, Fault, Recovers, Video};

/// A driver: its name, its format, the rest of its script, and the expected outcome.
pub struct Case {
    pub name: &'static str,
    pub format: &'static str,
    pub script: &'static str,
    pub expect: Expect,
}

const fn case(name: &'static str, format: &'static str, script: &'static str, expect: Expect) -> Case {
    Case { name, format, script, expect }
}

/// A control, for the drivers with faulty controls.
pub const CONTROL: &str = "control 9963776 1 0 255 1 128 0 Brightness";

/// The format where any will do.
const YUYV: &str = "YUYV 320x240@30";
const MJPG: &str = "MJPG 320x240@30";

/// Frames as requested.
const WHOLE: Expect = Video(320, 240);

pub const CASES: &[Case] = &[
    // Formats.
    case("YUYV", YUYV, "", WHOLE),
    case("NV12", "NV12 320x240@30", "", WHOLE),
    case("YU12", "YU12 320x240@30", "", WHOLE),
    case("MJPG", MJPG, "", WHOLE),
    case("motion JPEG by its other name", "JPEG 320x240@30", "", WHOLE),
    case("UYVY", "UYVY 320x240@30", "", WHOLE),
    case("NV21", "NV21 320x240@30", "", WHOLE),
    case("YV12", "YV12 320x240@30", "", WHOLE),
    case("RGB24", "RGB3 320x240@30", "", WHOLE),
    case("BGR24", "BGR3 320x240@30", "", WHOLE),
    case("GREY", "GREY 320x240@30", "", WHOLE),
    // Multi-planar devices, with frames in one and in several memory planes.
    case("multi-planar YUYV", YUYV, "kind multi", WHOLE),
    case("multi-planar NV12", "NV12 320x240@30", "kind multi", WHOLE),
    case("multi-planar MJPEG", MJPG, "kind multi", WHOLE),
    case("NV12 in two pieces", "NM12 320x240@30", "kind multi", WHOLE),
    case("NV21 in two pieces", "NM21 320x240@30", "kind multi", WHOLE),
    case("YU12 in three pieces", "YM12 320x240@30", "kind multi", WHOLE),
    case("YV12 in three pieces", "YM21 320x240@30", "kind multi", WHOLE),
    case("NV12 in two pieces with padding", "NM12 320x240@30", "kind multi\nanswer stride=384", WHOLE),
    case("YU12 in three pieces with padding", "YM12 320x240@30", "kind multi\nanswer stride=384", WHOLE),
    case("two pieces without strides", "NM12 320x240@30", "kind multi\nanswer stride=0", WHOLE),
    case("two pieces of odd size", "NM12 323x243@30", "kind multi\nanswer stride=324", Video(322, 242)),
    case("three pieces of odd size", "YM12 323x243@30", "kind multi\nanswer stride=324", Video(322, 242)),
    case("empty pieces", "NM12 320x240@30", "kind multi\nframe 5-14 used=0", Dropped("Damaged", 10)),
    case("short pieces", "NM12 320x240@30", "kind multi\nframe 5-14 used=1000", Dropped("Damaged", 10)),
    case("pieces without length", "NM12 320x240@30", "kind multi\nlength 0", Fault("zero bytes")),
    case("a piece that cannot be mapped", "NM12 320x240@30", "kind multi\non mmap 4 ENOMEM", Recovers("mmap")),
    case("multi-planar and unplugged", "NM12 320x240@30", "kind multi\non DQBUF 10 ENODEV", Recovers("unplugged")),
    // Sizes and strides other than requested.
    case("YUYV with padding", YUYV, "answer stride=704", WHOLE),
    case("NV12 with padding", "NV12 320x240@30", "answer stride=384", WHOLE),
    case("YU12 with padding", "YU12 320x240@30", "answer stride=384", WHOLE),
    case("a stride that is not reported", YUYV, "answer stride=0", WHOLE),
    case("a stride for MJPEG", MJPG, "answer stride=320", WHOLE),
    case("no image size", YUYV, "answer size=0", WHOLE),
    case("another size", YUYV, "answer width=352 height=288", Video(352, 288)),
    case("UYVY with padding", "UYVY 320x240@30", "answer stride=704", WHOLE),
    case("RGB24 with padding", "RGB3 320x240@30", "answer stride=1024", WHOLE),
    case("RGB24 of odd size", "RGB3 323x243@30", "", Video(322, 242)),
    case("NV21 of odd size", "NV21 323x243@30", "answer stride=324", Video(322, 242)),
    case("YUYV of odd size", "YUYV 323x243@30", "", Video(322, 242)),
    case("NV12 of odd size", "NV12 323x243@30", "answer stride=324", Video(322, 242)),
    case("MJPEG of odd size", "MJPG 323x243@30", "", Video(322, 242)),
    case("a range of sizes", "YUYV 16x16-1920x1080@30", "", WHOLE),
    case("woven fields", YUYV, "answer field=4", WHOLE),
    case("single fields", YUYV, "answer field=7", Fault("separate fields (field order 7); choose a progressive input")),
    case("no size", YUYV, "answer width=0 height=0", Fault("answered 0x0; is the input connected?")),
    case("another format", YUYV, "answer fourcc=ZZZZ", Fault("the driver insists on ZZZZ")),
    // Device identity.
    case("a name that is no text", YUYV, "card \\xff\\xfe\\x80", WHOLE),
    case("a converter", YUYV, "capabilities 0x4008000", Fault("is a video converter")),
    case("read() alone", YUYV, "capabilities 0x1000001", Fault("capture is not supported")),
    case("no V4L2 device", YUYV, "on QUERYCAP * ENOTTY", Fault("it is no V4L2 device")),
    // Enumerations.
    case("endless formats", YUYV, "endless formats", WHOLE),
    case("endless sizes", YUYV, "endless sizes", WHOLE),
    case("endless rates", YUYV, "endless intervals", WHOLE),
    case("no formats", YUYV, "on ENUM_FMT * EINVAL", Fault("`porthole devices` shows what it offers")),
    case("no sizes", YUYV, "on ENUM_FRAMESIZES * ENOTTY", WHOLE),
    case("sizes that fail for one format", YUYV, "format MJPG 320x240@30\non ENUM_FRAMESIZES 1 EIO", WHOLE),
    case("rates that fail", YUYV, "on ENUM_FRAMEINTERVALS * EIO", WHOLE),
    case("no rates", YUYV, "on ENUM_FRAMEINTERVALS * EINVAL", WHOLE),
    case("a rate that cannot be set", YUYV, "on S_PARM * ENOTTY", WHOLE),
    case("no rate at all", YUYV, "on S_PARM * EINVAL\non G_PARM * EINVAL", WHOLE),
    // Controls, which the program follows: each of these cameras has CONTROL.
    case("endless controls", YUYV, "endless controls", WHOLE),
    case("endless events", YUYV, "endless events", WHOLE),
    case("no events", YUYV, "on SUBSCRIBE_EVENT * ENOTTY", WHOLE),
    case("events that fail", YUYV, "on DQEVENT * EIO", WHOLE),
    case("controls that fail", YUYV, "on QUERY_EXT_CTRL * EIO", WHOLE),
    case("a control that cannot be read", YUYV, "on G_CTRL * EIO\non G_EXT_CTRLS * EIO", WHOLE),
    // Open and start.
    case("busy at startup", YUYV, "on open 1-7 EBUSY", Recovers("another program holds the camera")),
    case("permission denied", YUYV, "on open * EACCES", Fault("add the user to the group")),
    case("busy when its format is set", YUYV, "on S_FMT 1 EBUSY", Recovers("another program holds the camera")),
    case("a format that fails", YUYV, "on S_FMT * EIO", Fault("VIDIOC_S_FMT: Input/output error")),
    case("busy when it shall stream", YUYV, "on REQBUFS 1 EBUSY", Recovers("another program holds the camera")),
    case("no memory", YUYV, "on REQBUFS * ENOMEM", Fault("VIDIOC_REQBUFS: Cannot allocate memory")),
    case("no buffers", YUYV, "buffers 0", Fault("the driver gave no buffers")),
    case("one buffer", YUYV, "buffers 1", WHOLE),
    case("a thousand buffers", YUYV, "buffers 1000", WHOLE),
    case("buffers without length", YUYV, "length 0", Fault("zero bytes")),
    case("buffers longer than they are", YUYV, "length 99999999", Fault("mmap: Invalid argument")),
    case("buffers shorter than a frame", YUYV, "length 1000", Fault("")),
    case("a buffer that cannot be mapped", YUYV, "on mmap 2 ENOMEM", Recovers("mmap: Cannot allocate memory")),
    case("a buffer that is not taken", YUYV, "on QBUF 2 EIO", Recovers("VIDIOC_QBUF")),
    case("no room on the bus", YUYV, "on STREAMON * ENOSPC", Fault("the USB bus has no room for it; choose MJPEG")),
    case("a stream that fails to start", YUYV, "on STREAMON 1 EIO", Recovers("VIDIOC_STREAMON")),
    // Interrupted streams.
    case("unplugged", YUYV, "on DQBUF 10 ENODEV", Recovers("unplugged; plug the camera in again")),
    case("an error", YUYV, "on DQBUF 10 EIO", Recovers("VIDIOC_DQBUF: Input/output error")),
    case("signals", YUYV, "on DQBUF 5-9 EINTR", WHOLE),
    case("nothing there after all", YUYV, "on DQBUF 5-9 EAGAIN", WHOLE),
    case("a stream without frames", YUYV, "stream 1 silent", Recovers("no frames for 5 s")),
    case("frames that are signalled and missing", YUYV, "stream 1 spurious", Recovers("no frames for 5 s")),
    case("an error that only poll reports", YUYV, "stream 1 fault", Recovers("poll: Input/output error")),
    case("a buffer that does not exist", YUYV, "frame 10 index=99", Recovers("the driver gave buffer 99 of 4")),
    case("the same buffer again and again", YUYV, "frame 10-14 index=0", Continues),
    case("a buffer that does not go back", YUYV, "on QBUF 9 EINVAL", Recovers("the driver did not requeue a buffer")),
    // Bad frames.
    case("the flag of an error", YUYV, "frame 5-14 error", Dropped("Damaged", 10)),
    case("empty frames", YUYV, "frame 5-14 used=0", Dropped("Damaged", 10)),
    case("short frames", YUYV, "frame 5-14 used=100", Dropped("Damaged", 10)),
    case("frames longer than their buffer", YUYV, "frame 5-14 used=4294967295", WHOLE),
    case("empty MJPEG", MJPG, "frame 5-14 used=0", Dropped("Damaged", 10)),
    case("MJPEG of two bytes", MJPG, "frame 5-14 used=2", Dropped("Damaged", 10)),
    case("half of an MJPEG", MJPG, "frame 5-14 cut", Dropped("Damaged", 10)),
    case("MJPEG with wrong bytes", MJPG, "frame 5-14 spoilt", Dropped("Damaged", 10)),
    case("MJPEG with the flag of an error", MJPG, "frame 5-14 error", Dropped("Damaged", 10)),
    case("a gap in the count", YUYV, "frame 10 skip=5", Dropped("Driver", 5)),
    // Timestamps.
    case("a clock of unknown kind", YUYV, "frame * stamp=unknown", WHOLE),
    case("no timestamps", YUYV, "frame * stamp=zero", WHOLE),
    case("timestamps of the future", YUYV, "frame * stamp=future", WHOLE),
    case("timestamps of long ago", YUYV, "frame * stamp=past", WHOLE),
    case("a clock that stands still", YUYV, "frame 3- stamp=still", WHOLE),
    case("timestamps that are none", YUYV, "frame * stamp=broken", WHOLE),
];
