//! Where log messages go and how they are formatted: for a terminal, for systemd's journal, or for a file. What is worth a
//! message is decided where it is logged, not here.

mod old_targets;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::env;
use std::fmt;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::util::lock::Mutex;

/// The environment variable that overrides the configured level.
const VARIABLE: &str = "PORTHOLE_LOG";

/// The interval in which one message of each noisy target is let through. webrtc-rs reports every packet that it cannot
/// read, as many as a viewer sends; one per second is enough.
const THROTTLE_INTERVAL: Duration = Duration::from_secs(1);

/// Parts of webrtc-rs that warn for every viewer about normal conditions (no server name over DTLS, an SCTP packet after the
/// close). A warning should mean that somebody has to look. What the MQTT client warns of for each message is logged by
/// `server::mqtt`, once; whoever announces a damaged sound file is told so.
const LIBRARY_FILTER: &str = "rtc_dtls=error,rtc_sctp=error,rumqttc=off,symphonia=off";

/// Starts logging to standard error: porthole's messages from `level` on, those of libraries from `warn` on, including those
/// that use the `log` crate. `PORTHOLE_LOG` overrides both.
///
/// # Errors
///
/// When `PORTHOLE_LOG` is not a valid filter, or logging was started before.
pub fn init(level: Level) -> anyhow::Result<Levels> {
    let (filter, handle) = reload::Layer::new(filter(level, env::var(VARIABLE).ok().as_deref())?);
    let style = Style::of_stderr();
    let colours = style == Style::Terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = LineFormat { style, throttle: Throttle::default() };
    let layer = tracing_subscriber::fmt::layer().event_format(lines).with_ansi(colours).with_writer(io::stderr);
    tracing_subscriber::registry().with(filter).with(layer).try_init().context("start logging")?;
    Ok(Levels(handle))
}

/// The log filter, which can be changed.
pub struct Levels(reload::Handle<EnvFilter, Registry>);

impl Levels {
    /// Changes the level of porthole's messages. `PORTHOLE_LOG` still overrides it.
    ///
    /// # Errors
    ///
    /// When logging has ended.
    pub fn set(&self, level: Level) -> anyhow::Result<()> {
        let filter = filter(level, env::var(VARIABLE).ok().as_deref())?;
        self.0.reload(filter).context("change the level of the log")
    }
}

fn filter(level: Level, variable: Option<&str>) -> anyhow::Result<EnvFilter> {
    let text = match variable {
        Some(text) if !text.trim().is_empty() => old_targets::respell(text),
        _ => format!("{},{LIBRARY_FILTER},porthole={level}", level.min(Level::WARN)),
    };
    EnvFilter::builder().parse(&text).map_err(|error| {
        anyhow!(
            "{VARIABLE} = {text}: {error}; a level or module=level, separated by commas, such as info,porthole=debug"
        )
    })
}

/// The format of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// A terminal: colours and time.
    Terminal,
    /// systemd's journal: no time, and the priority as a prefix (sd-daemon(3)).
    Journal,
    /// A file or another program: time, no colours.
    Plain,
}

impl Style {
    fn of_stderr() -> Self {
        if is_journal(&io::stderr()) {
            Self::Journal
        } else if io::stderr().is_terminal() {
            Self::Terminal
        } else {
            Self::Plain
        }
    }
}

/// Whether a stream goes to systemd's journal, which others than the owner can read.
pub fn is_journal(stream: &impl AsFd) -> bool {
    // The variable may be inherited from an ancestor with another stream, so systemd.exec(5) asks to compare.
    let file = rustix::fs::fstat(stream).map(|file| format!("{}:{}", file.st_dev, file.st_ino));
    file.is_ok_and(|file| env::var("JOURNAL_STREAM") == Ok(file))
}

/// Formats an event as one line.
struct LineFormat {
    style: Style,
    throttle: Throttle,
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let (level, target) = (*metadata.level(), metadata.target());
        let mut dropped = 0;
        if level <= Level::WARN && is_noisy(target) {
            match self.throttle.admit(target, Instant::now()) {
                Some(before) => dropped = before,
                None => return Ok(()),
            }
        }

        let mut line = String::new();
        let buffer = Writer::new(&mut line);
        let format = Format::default().with_ansi(out.has_ansi_escapes());
        match self.style {
            Style::Journal => {
                write!(out, "<{}>", priority(level))?;
                format.without_time().with_level(false).format_event(ctx, buffer, event)?;
            }
            Style::Terminal | Style::Plain => format.format_event(ctx, buffer, event)?,
        }
        // A line break inside a message would start a second message without prefix.
        out.write_str(&line.trim_end().replace('\n', "\\n"))?;
        if dropped > 0 {
            write!(out, " ({dropped} messages of {target} before this one were left out)")?;
        }
        writeln!(out)
    }
}

/// Whether a target belongs to webrtc-rs.
fn is_noisy(target: &str) -> bool {
    let krate = target.split("::").next().unwrap_or(target);
    krate.starts_with("rtc_")
}

/// The syslog priority of a level, sd-daemon(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Lets one message of each target through per [`THROTTLE_INTERVAL`]. Targets are names in the code, so there are few.
#[derive(Default)]
struct Throttle {
    targets: Mutex<HashMap<String, Window>>,
}

struct Window {
    opened: Instant,
    dropped: u64,
}

impl Throttle {
    /// The number of messages suppressed before this one, if a message of the target may be written `now`; `None` if not.
    fn admit(&self, target: &str, now: Instant) -> Option<u64> {
        let mut targets = self.targets.lock();
        match targets.entry(target.to_owned()) {
            Entry::Vacant(entry) => {
                entry.insert(Window { opened: now, dropped: 0 });
                Some(0)
            }
            Entry::Occupied(mut entry) => {
                let window = entry.get_mut();
                if now.saturating_duration_since(window.opened) < THROTTLE_INTERVAL {
                    window.dropped += 1;
                    return None;
                }
                window.opened = now;
                Some(std::mem::take(&mut window.dropped))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::*;

    /// What is logged while `act` runs, with the default filter for `level`.
    fn logged(style: Style, level: Level, act: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = {
            let written = written.clone();
            move || Sink(written.clone())
        };
        let lines = LineFormat { style, throttle: Throttle::default() };
        let layer = tracing_subscriber::fmt::layer().event_format(lines).with_ansi(false).with_writer(sink);
        let subscriber = tracing_subscriber::registry().with(filter(level, None).unwrap()).with(layer);
        tracing::subscriber::with_default(subscriber, act);
        let bytes = written.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_journal_gets_one_line_an_event_with_its_priority() {
        let text = logged(Style::Journal, Level::INFO, || {
            tracing::error!(target: "porthole::a", "one");
            tracing::warn!(target: "porthole::a", "two\nhalves");
            tracing::info!(target: "porthole::a", camera = "door", "three");
            tracing::debug!(target: "porthole::a", "unseen");
        });
        assert_eq!(text, "<3>porthole::a: one\n<4>porthole::a: two\\nhalves\n<6>porthole::a: three camera=\"door\"\n");
    }

    #[test]
    fn libraries_are_logged_from_warnings_on() {
        let text = logged(Style::Journal, Level::DEBUG, || {
            tracing::debug!(target: "porthole::server::rtc", "ours");
            tracing::info!(target: "rtc_sctp::association", "unseen");
            tracing::warn!(target: "hyper", "theirs");
        });
        assert_eq!(text, "<7>porthole::server::rtc: ours\n<4>hyper: theirs\n");
        let text = logged(Style::Journal, Level::ERROR, || tracing::warn!(target: "hyper", "unseen"));
        assert_eq!(text, "");
    }

    #[test]
    fn a_flood_of_one_target_is_one_line() {
        let text = logged(Style::Plain, Level::INFO, || {
            for _ in 0..200 {
                tracing::error!(target: "rtc_sctp::association", "cannot read");
                tracing::warn!(target: "porthole::server::rtc", "ours");
            }
            tracing::error!(target: "rtc_dtls", "another");
        });
        assert_eq!(text.matches("cannot read").count(), 1, "{text}");
        assert_eq!(text.matches("another").count(), 1, "{text}");
        assert_eq!(text.matches("ours").count(), 200, "{text}");
    }

    #[test]
    fn the_throttle_opens_after_a_second_and_reports_what_it_suppressed() {
        let throttle = Throttle::default();
        let start = Instant::now();
        assert_eq!(throttle.admit("rtc_dtls", start), Some(0));
        for millis in [0, 1, 999] {
            assert_eq!(throttle.admit("rtc_dtls", start + Duration::from_millis(millis)), None);
        }
        assert_eq!(throttle.admit("rtc_sctp", start), Some(0));
        assert_eq!(throttle.admit("rtc_dtls", start + THROTTLE_INTERVAL), Some(3));
        assert_eq!(throttle.admit("rtc_dtls", start + 2 * THROTTLE_INTERVAL), Some(0));
    }

    #[test]
    fn only_the_webrtc_stack_is_noisy() {
        for target in ["rtc_sctp", "rtc_dtls::conn"] {
            assert!(is_noisy(target), "{target}");
        }
        for target in ["porthole::server::rtc", "porthole::server::rtc::session", "rtcp", "warp"] {
            assert!(!is_noisy(target), "{target}");
        }
    }

    #[test]
    fn an_invalid_variable_is_an_error() {
        let error = filter(Level::INFO, Some("porthole=loud")).unwrap_err().to_string();
        assert!(error.starts_with("PORTHOLE_LOG = porthole=loud: "), "{error}");
        assert!(filter(Level::INFO, Some("debug,porthole::server::rtc=trace")).is_ok());
        assert_eq!(filter(Level::INFO, Some(" ")).unwrap().to_string(), filter(Level::INFO, None).unwrap().to_string());
    }
}
