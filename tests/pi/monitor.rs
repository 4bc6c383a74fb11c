//! The emulator's monitor: reads the board's registers from outside, independently of the software on it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The monitor's prompt.
const PROMPT: &[u8] = b"(qemu) ";

/// Limit for a response, which is given between two instructions of the board.
const LIMIT: Duration = Duration::from_secs(30);

/// The levels of pins 0 to 31: GPLEV0 of the BCM2837, as the processor addresses it (BCM2835 ARM Peripherals, chapter 6).
const PIN_LEVELS: u64 = 0x3f20_0034;

/// A connection to the monitor.
pub struct Monitor(UnixStream);

impl Monitor {
    pub fn connect(socket: &Path) -> Monitor {
        let stream = UnixStream::connect(socket).expect("the emulator's monitor should answer");
        stream.set_read_timeout(Some(LIMIT)).expect("a socket should take a timeout");
        let mut monitor = Monitor(stream);
        monitor.read_on();
        monitor
    }

    /// Whether a pin is high.
    pub fn pin(&mut self, number: u32) -> bool {
        self.word(PIN_LEVELS) >> number & 1 == 1
    }

    /// 32 bits at a physical address.
    fn word(&mut self, address: u64) -> u32 {
        writeln!(self.0, "xp /1wx {address:#x}").expect("the monitor should listen");
        let answer = self.read_on();
        // It echoes the command, with terminal control sequences in between.
        let line = answer.lines().find_map(|line| line.strip_prefix(&format!("{address:016x}: 0x")));
        let digits = line.unwrap_or_else(|| panic!("no word at {address:#x}: {answer:?}"));
        u32::from_str_radix(digits.trim(), 16).unwrap_or_else(|error| panic!("{digits:?}: {error}"))
    }

    /// Reads until the next prompt.
    fn read_on(&mut self) -> String {
        let (mut text, mut piece) = (Vec::new(), [0; 4096]);
        while !text.ends_with(PROMPT) {
            let count = self.0.read(&mut piece).expect("the monitor should answer");
            assert!(count > 0, "the emulator has ended: {}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&piece[..count]);
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}
