//! Watches the DTLS handshake of one session in the datagrams of both sides: bounds what the viewer may send for it, and
//! notices when it fails. Pure.
//!
//! The library keeps the handshake's messages, their fragments in whatever order, and what is encrypted before there are
//! keys, all without a limit that holds (rtc-dtls 0.21.1, `FragmentBuffer`, `HandshakeCache`, `DTLSConn::read`), and joins
//! fragments by recursion. It reports no failure either: the state of its connection stays `connecting`.

/// Bytes that a viewer may send for its handshake. A browser sends some 3 KB, and repeats them a few times when packets are
/// lost.
const MAX_BYTES: usize = 32 * 1024;

/// The records in them. A browser sends fewer than ten, and repeats them likewise.
const MAX_RECORDS: usize = 256;

/// The header of a record (RFC 6347 section 4.1): content type, version, epoch, sequence number, length.
const HEADER_LEN: usize = 13;

/// Content types (RFC 5246 section 6.2.1).
mod content {
    pub const ALERT: u8 = 21;
    pub const APPLICATION_DATA: u8 = 23;
}

/// The level of an alert that ends the connection, and the description of one that ends it in peace (RFC 5246 section 7.2).
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;

/// What becomes of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Pass,
    /// It passes, and the handshake has failed by it.
    Fail,
    /// It is dropped: the viewer has sent too much.
    Exceeded,
}

/// The handshake of one session.
#[derive(Debug, Default)]
pub struct DtlsGuard {
    bytes: usize,
    records: usize,
    connected: bool,
}

impl DtlsGuard {
    /// Notes that the handshake is complete.
    pub fn note_connected(&mut self) {
        self.connected = true;
    }

    /// Checks a datagram of the viewer, one that [`is_dtls`].
    pub fn check_received(&mut self, datagram: &[u8]) -> Verdict {
        // Once there are keys, application data is decrypted and handed on at once; `sctp_guard` bounds it.
        let counted = |record: &Record| !self.connected || record.content != content::APPLICATION_DATA;
        let count = records(datagram).filter(counted).count();
        // One that cannot be read counts as well: the library may take it for something.
        if count > 0 || records(datagram).next().is_none() {
            self.bytes = self.bytes.saturating_add(datagram.len());
            self.records = self.records.saturating_add(count);
            if self.bytes > MAX_BYTES || self.records > MAX_RECORDS {
                return Verdict::Exceeded;
            }
        }
        self.verdict(datagram)
    }

    /// Checks a datagram of ours, one that [`is_dtls`].
    pub fn check_sent(&self, datagram: &[u8]) -> Verdict {
        self.verdict(datagram)
    }

    fn verdict(&self, datagram: &[u8]) -> Verdict {
        let fails = !self.connected && records(datagram).any(|record| record.ends_handshake());
        if fails { Verdict::Fail } else { Verdict::Pass }
    }
}

/// Whether the library takes a datagram for DTLS (RFC 7983 section 7).
pub fn is_dtls(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| (20..=63).contains(first))
}

/// A record.
pub struct Record<'d> {
    /// The content type.
    pub content: u8,
    /// Which keys it is encrypted with; 0 for none.
    pub epoch: u16,
    /// What it carries.
    pub payload: &'d [u8],
}

impl Record<'_> {
    fn ends_handshake(&self) -> bool {
        // An encrypted alert cannot be read. In the middle of a handshake it means that it failed.
        self.content == content::ALERT && (self.epoch > 0 || matches!(self.payload, [FATAL, _] | [_, CLOSE_NOTIFY]))
    }
}

/// The records of a datagram, up to one that is cut off.
pub fn records(datagram: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let header = rest.first_chunk::<HEADER_LEN>()?;
        let end = HEADER_LEN + usize::from(u16::from_be_bytes([header[11], header[12]]));
        let record = Record {
            content: header[0],
            epoch: u16::from_be_bytes([header[3], header[4]]),
            payload: rest.get(HEADER_LEN..end)?,
        };
        rest = &rest[end..];
        Some(record)
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    const HANDSHAKE: u8 = 22;

    /// A record as it stands in a datagram.
    pub fn record(content: u8, epoch: u16, payload: &[u8]) -> Vec<u8> {
        let mut record = vec![content, 0xfe, 0xfd];
        record.extend(epoch.to_be_bytes());
        record.extend([0; 6]);
        record.extend((payload.len() as u16).to_be_bytes());
        record.extend(payload);
        record
    }

    /// How many of 1,000 times a datagram passes.
    fn passes(guard: &mut DtlsGuard, datagram: &[u8]) -> usize {
        (0..1_000).filter(|_| guard.check_received(datagram) == Verdict::Pass).count()
    }

    #[test]
    fn what_a_handshake_takes_is_bounded_in_bytes_and_records() {
        assert!([20, HANDSHAKE, 63].iter().all(|first| is_dtls(&[*first])));
        assert!([0, 19, 64, 0x80].iter().all(|first| !is_dtls(&[*first])) && !is_dtls(&[]));
        for (content, epoch) in [(HANDSHAKE, 0), (HANDSHAKE, 1), (content::APPLICATION_DATA, 1), (63, 7)] {
            let large = record(content, epoch, &[0; 1_000]);
            assert_eq!(passes(&mut DtlsGuard::default(), &large), MAX_BYTES / large.len());
            assert_eq!(passes(&mut DtlsGuard::default(), &record(content, epoch, &[])), MAX_RECORDS);
            let many = record(content, epoch, &[]).repeat(MAX_RECORDS);
            assert_eq!(passes(&mut DtlsGuard::default(), &many), 1);
        }
        let cut_off = &record(HANDSHAKE, 0, &[0; 1_000])[..500];
        assert_eq!(passes(&mut DtlsGuard::default(), cut_off), MAX_BYTES / 500);
    }

    #[test]
    fn only_application_data_is_free_once_connected() {
        let mut guard = DtlsGuard::default();
        guard.note_connected();
        let data = record(content::APPLICATION_DATA, 1, &[0; 1_000]);
        assert_eq!(passes(&mut guard, &data), 1_000);
        let both = [data.clone(), record(HANDSHAKE, 0, &[0; 100])].concat();
        assert_eq!(passes(&mut guard, &both), MAX_BYTES / both.len());
        assert_eq!(passes(&mut guard, &data), 1_000, "a forged flood does not stop the viewer's data");
    }

    #[test]
    fn an_alert_that_ends_the_handshake_is_noticed() {
        let hello = record(HANDSHAKE, 0, &[1; 100]);
        let fatal = record(content::ALERT, 0, &[FATAL, 40]);
        let cases = [
            (fatal.clone(), Verdict::Fail),
            ([hello.clone(), fatal.clone()].concat(), Verdict::Fail),
            (record(content::ALERT, 0, &[1, CLOSE_NOTIFY]), Verdict::Fail),
            (record(content::ALERT, 1, &[0; 26]), Verdict::Fail),
            (record(content::ALERT, 0, &[1, 100]), Verdict::Pass),
            (hello, Verdict::Pass),
        ];
        for (datagram, verdict) in cases {
            assert_eq!(DtlsGuard::default().check_received(&datagram), verdict, "{datagram:?}");
            assert_eq!(DtlsGuard::default().check_sent(&datagram), verdict, "{datagram:?}");
        }
        let mut guard = DtlsGuard::default();
        guard.note_connected();
        assert_eq!((guard.check_received(&fatal), guard.check_sent(&fatal)), (Verdict::Pass, Verdict::Pass));
    }
}
