//! Which microphone or speaker is meant: the names in the configuration, and the same device again when it comes back.
//!
//! A sound card's number, and sometimes its id, changes with every replug, so a device that was found is identified by its
//! USB ids or the card's id. All but [`AudioSelector::cards`] is pure. Opening does not belong here.

use std::fmt;
use std::path::Path;

use super::{Error, SoundRole, alsa};
use crate::device::sysfs;
use crate::device::sysfs::UsbDevice;
use crate::model::inventory::{SoundCardInfo, SoundDeviceInfo};

/// What a configured name may refer to besides sound cards; evaluated each time the device is opened.
pub struct DeviceContext {
    /// Whether the first camera is the test pattern, whose audio is the tone.
    pub pattern: bool,
    /// The USB device that the first camera belongs to, if it is present and on USB.
    pub camera: Box<dyn Fn() -> Option<UsbDevice> + Send>,
}

impl fmt::Debug for DeviceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceContext").field("pattern", &self.pattern).finish_non_exhaustive()
    }
}

/// What to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AudioTarget {
    /// An ALSA device, by its name.
    Device(String),
    /// The built-in tone.
    Tone,
    /// Nothing: `auto` found no device.
    Nothing,
}

/// The identity of a device, wherever it is plugged in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    Usb {
        vendor: String,
        product: String,
        serial: Option<String>,
    },
    /// The id of a card that is not on USB.
    Card(String),
}

/// A sound card as far as it matters here.
#[derive(Debug, Clone)]
pub(super) struct Card {
    index: i32,
    id: String,
    usb: Option<UsbDevice>,
    /// The name of its first capture device.
    captures: Option<String>,
    /// The name of its first playback device.
    plays: Option<String>,
}

impl Card {
    fn new(info: SoundCardInfo) -> Self {
        let usb = sysfs::usb_device(Path::new(&format!("/sys/class/sound/card{}", info.index)));
        let first =
            |fits: fn(&&SoundDeviceInfo) -> bool| info.devices.iter().find(fits).map(|device| device.name.clone());
        let (captures, plays) = (first(|device| device.captures), first(|device| device.plays));
        Self { index: info.index, id: info.id, usb, captures, plays }
    }

    fn identity(&self) -> Identity {
        match self.usb.clone() {
            Some(UsbDevice { vendor, product, serial, .. }) => Identity::Usb { vendor, product, serial },
            None => Identity::Card(self.id.clone()),
        }
    }

    /// The name of its first device that can be used so.
    fn device(&self, role: SoundRole) -> Option<String> {
        match role {
            SoundRole::Microphone => self.captures.clone(),
            SoundRole::Speaker => self.plays.clone(),
        }
    }

    /// Whether the card part of a name refers to this card.
    fn is(&self, reference: &str) -> bool {
        reference == self.id || reference.parse() == Ok(self.index)
    }
}

/// Finds the configured microphone or speaker, and the same one every time after.
#[derive(Debug)]
pub(super) struct AudioSelector {
    device: String,
    role: SoundRole,
    /// The device that was opened last, and its card's id.
    last_opened: Option<(Identity, String)>,
}

impl AudioSelector {
    /// A selector for the configured `device`.
    pub(super) fn new(device: &str, role: SoundRole) -> Self {
        Self { device: device.into(), role, last_opened: None }
    }

    /// The sound cards that there are now.
    pub(super) fn cards() -> Vec<Card> {
        alsa::cards().into_iter().map(Card::new).collect()
    }

    /// What to open now.
    ///
    /// # Errors
    ///
    /// When the device is not among `cards`: [`Error::NotFound`], [`Error::Unplugged`] if it was there before, or
    /// [`Error::Camera`].
    pub(super) fn find(&self, cards: &[Card], context: &DeviceContext) -> Result<AudioTarget, Error> {
        match self.device.as_str() {
            "tone" if self.role == SoundRole::Microphone => Ok(AudioTarget::Tone),
            "off" => Ok(AudioTarget::Nothing),
            "camera" => self.of_camera(cards, (context.camera)()).map(AudioTarget::Device),
            "auto" => match (&self.last_opened, cards.iter().find_map(|card| card.device(self.role))) {
                (Some(_), _) => {
                    let device = self.same_card(cards)?.device(self.role);
                    device.ok_or_else(|| self.unplugged()).map(AudioTarget::Device)
                }
                (None, Some(name)) => Ok(AudioTarget::Device(name)),
                (None, None) if context.pattern && self.role == SoundRole::Microphone => Ok(AudioTarget::Tone),
                (None, None) => Ok(AudioTarget::Nothing),
            },
            name => self.by_name(name, cards).map(AudioTarget::Device),
        }
    }

    /// The human-readable name of what would be opened now, without opening it; `None` if that is nothing.
    pub(super) fn source(&self, context: &DeviceContext) -> Option<String> {
        match self.find(&Self::cards(), context) {
            Ok(AudioTarget::Device(name)) => Some(name),
            Ok(AudioTarget::Tone) => Some("tone".into()),
            Ok(AudioTarget::Nothing) => None,
            Err(_) => Some(self.device.clone()),
        }
    }

    /// Records what was opened, so that the same device is found next time.
    pub(super) fn opened(&mut self, found: &AudioTarget, cards: &[Card]) {
        if let AudioTarget::Device(name) = found
            && let Some((_, reference, _)) = split_card(name)
            && let Some(card) = cards.iter().find(|card| card.is(reference))
        {
            self.last_opened = Some((card.identity(), card.id.clone()));
        }
    }

    /// Forgets the device that was opened last if it is unplugged, so that the name is resolved again.
    pub(super) fn forget_if_unplugged(&mut self, cards: impl FnOnce() -> Vec<Card>) {
        if self.last_opened.is_some() && self.same_card(&cards()).is_err() {
            self.last_opened = None;
        }
    }

    fn by_name(&self, name: &str, cards: &[Card]) -> Result<String, Error> {
        let Some((before, _, after)) = split_card(name) else {
            // The bare id of a card is not an ALSA name.
            let card = match self.last_opened {
                Some(_) => self.same_card(cards).ok(),
                None => cards.iter().find(|card| card.id == name),
            };
            return Ok(card.map_or_else(|| name.into(), |card| format!("plughw:CARD={}", card.id)));
        };
        match self.last_opened {
            Some(_) => Ok(format!("{before}{}{after}", self.same_card(cards)?.id)),
            None => Ok(name.into()),
        }
    }

    /// The card of the device that was opened before; of several with the same identity the one with the same id.
    fn same_card<'c>(&self, cards: &'c [Card]) -> Result<&'c Card, Error> {
        let Some((identity, id)) = &self.last_opened else { return Err(self.unplugged()) };
        let same = || cards.iter().filter(|card| card.identity() == *identity);
        same().find(|card| card.id == *id).or_else(|| same().next()).ok_or_else(|| self.unplugged())
    }

    fn unplugged(&self) -> Error {
        let device = match &self.last_opened {
            Some((_, id)) => format!("{} ({id})", self.device),
            None => self.device.clone(),
        };
        Error::Unplugged { device, role: self.role }
    }

    /// The first device of the sound card that is the same USB device as the camera.
    fn of_camera(&self, cards: &[Card], camera: Option<UsbDevice>) -> Result<String, Error> {
        let role = self.role;
        let error = |what| Error::Camera { what, role };
        let camera = camera.ok_or_else(|| error("is not connected, or not on USB".into()))?;
        let mut cards = cards.iter().filter(|card| card.usb.as_ref().is_some_and(|usb| usb.path == camera.path));
        let device = cards.find_map(|card| card.device(role));
        device.ok_or_else(|| error(format!("(USB {}:{}) has no {role}", camera.vendor, camera.product)))
    }
}

/// Splits an ALSA name around its card: `hw:1,0` is `hw:`, `1` and `,0`. `None` if it names no card.
fn split_card(name: &str) -> Option<(&str, &str, &str)> {
    let (kind, arguments) = name.split_once(':')?;
    // The first argument of these is a card; that of others (`plug:`, `file:`) is not.
    if !["hw", "plughw", "dsnoop", "dmix", "sysdefault", "default", "front", "hdmi"].contains(&kind) {
        return None;
    }
    let start = match arguments.find("CARD=") {
        Some(at) => at + "CARD=".len(),
        None if arguments.contains('=') => return None,
        None => 0,
    };
    let length = arguments[start..].find(',').unwrap_or(arguments.len() - start);
    let start = kind.len() + 1 + start;
    (length > 0).then(|| (&name[..start], &name[start..start + length], &name[start + length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(index: i32, id: &str, usb: Option<(&str, &str)>) -> Card {
        let usb = usb.map(|(path, serial)| UsbDevice {
            path: path.into(),
            vendor: "046d".into(),
            product: "082d".into(),
            serial: (!serial.is_empty()).then(|| serial.into()),
        });
        let device = Some(format!("plughw:CARD={id},DEV=0"));
        Card { index, id: id.into(), usb, captures: device.clone(), plays: device }
    }

    fn alone() -> DeviceContext {
        DeviceContext { pattern: false, camera: Box::new(|| None) }
    }

    fn device(name: &str) -> AudioTarget {
        AudioTarget::Device(name.into())
    }

    /// What is opened of `before`, and then of `after`.
    fn twice(device: &str, before: &[Card], after: &[Card]) -> (AudioTarget, Result<AudioTarget, String>) {
        let mut selector = AudioSelector::new(device, SoundRole::Microphone);
        let first = selector.find(before, &alone()).expect("should find");
        selector.opened(&first, before);
        (first, selector.find(after, &alone()).map_err(|error| error.to_string()))
    }

    #[test]
    fn auto_is_resolved_at_each_open() {
        let selector = AudioSelector::new("auto", SoundRole::Microphone);
        let mut speaker = card(0, "HDMI", None);
        speaker.captures = None;
        let pattern = DeviceContext { pattern: true, ..alone() };
        assert_eq!(selector.find(&[speaker.clone()], &alone()).expect("should decide"), AudioTarget::Nothing);
        assert_eq!(selector.find(&[speaker.clone()], &pattern).expect("should decide"), AudioTarget::Tone);
        let cards = [speaker, card(1, "C920", None)];
        assert_eq!(selector.find(&cards, &pattern).expect("should decide"), device("plughw:CARD=C920,DEV=0"));
    }

    #[test]
    fn microphone_is_recognised_under_a_new_card_number_and_id() {
        let before = [card(0, "Loopback", None), card(1, "C920", Some(("/usb/1", "A")))];
        let after = [
            card(0, "Loopback", None),
            card(1, "Other", Some(("/usb/1", "B"))),
            card(2, "C920_1", Some(("/usb/2", "A"))),
        ];
        for (name, again) in [
            ("hw:1,0", "hw:C920_1,0"),
            ("hw:1", "hw:C920_1"),
            ("plughw:CARD=C920,DEV=0", "plughw:CARD=C920_1,DEV=0"),
            ("dsnoop:DEV=0,CARD=1", "dsnoop:DEV=0,CARD=C920_1"),
        ] {
            let found = twice(name, &before, &after);
            assert_eq!(found, (device(name), Ok(device(again))));
        }
        assert_eq!(twice("C920", &before, &after), (device("plughw:CARD=C920"), Ok(device("plughw:CARD=C920_1"))));
        let away = twice("hw:1,0", &before, &after[..2]).1;
        assert_eq!(away, Err("hw:1,0 (C920): unplugged; plug the microphone in again".into()));
    }

    #[test]
    fn auto_keeps_the_selected_microphone() {
        let usb = card(1, "C920", Some(("/usb/1", "")));
        let (first, second) = (vec![usb.clone()], vec![card(0, "Late", None), usb.clone()]);
        assert_eq!(twice("auto", &first, &second).1, Ok(device("plughw:CARD=C920,DEV=0")));
        assert!(twice("auto", &first, &second[..1]).1.is_err(), "another one is not taken for it");

        let mut selector = AudioSelector::new("auto", SoundRole::Microphone);
        selector.opened(&device("plughw:CARD=C920,DEV=0"), &first);
        selector.forget_if_unplugged(|| second.clone());
        assert_eq!(selector.find(&second, &alone()).expect("should find"), device("plughw:CARD=C920,DEV=0"));
        selector.forget_if_unplugged(|| second[..1].to_vec());
        assert_eq!(selector.find(&second[..1], &alone()).expect("should find"), device("plughw:CARD=Late,DEV=0"));
    }

    #[test]
    fn identical_cards_are_told_apart_by_card_id() {
        let before = [card(0, "C920", Some(("/usb/1", ""))), card(1, "C920_1", Some(("/usb/2", "")))];
        let mut after = before.clone();
        after.reverse();
        assert_eq!(twice("hw:1,0", &before, &after).1, Ok(device("hw:C920_1,0")));
    }

    #[test]
    fn camera_microphone_is_on_the_same_usb_device() {
        let cards =
            [card(0, "Loopback", None), card(1, "Other", Some(("/usb/2", ""))), card(2, "C920", Some(("/usb/1", "")))];
        let at = |path: &'static str| DeviceContext {
            pattern: false,
            camera: Box::new(move || card(0, "", Some((path, ""))).usb),
        };
        let selector = AudioSelector::new("camera", SoundRole::Microphone);
        assert_eq!(selector.find(&cards, &at("/usb/1")).expect("should find"), device("plughw:CARD=C920,DEV=0"));
        let deaf = selector.find(&cards, &at("/usb/3")).expect_err("has none").to_string();
        assert!(deaf.starts_with("the camera (USB 046d:082d) has no microphone; "), "{deaf}");
        let away = selector.find(&cards, &alone()).expect_err("is not connected").to_string();
        assert!(away.starts_with("the camera is not connected, or not on USB; "), "{away}");
    }

    #[test]
    fn a_speaker_is_found_among_what_plays() {
        let (mut mic, mut both) = (card(0, "Mic", None), card(1, "Headset", Some(("/usb/1", ""))));
        mic.plays = None;
        both.plays = Some("plughw:CARD=Headset,DEV=1".into());
        let cards = [mic, both];
        let selector = AudioSelector::new("auto", SoundRole::Speaker);
        let found = selector.find(&cards, &alone()).expect("should find");
        assert_eq!(found, device("plughw:CARD=Headset,DEV=1"));
        let pattern = DeviceContext { pattern: true, ..alone() };
        assert_eq!(selector.find(&cards[..1], &pattern).expect("should decide"), AudioTarget::Nothing);
        let camera = DeviceContext { pattern: false, camera: Box::new(|| card(0, "", Some(("/usb/2", ""))).usb) };
        let silent = AudioSelector::new("camera", SoundRole::Speaker).find(&cards, &camera).expect_err("has none");
        assert_eq!(
            silent.to_string(),
            "the camera (USB 046d:082d) has no speaker; name a sound card in speaker.device (`porthole devices` lists them)"
        );
        let mut selector = AudioSelector::new("hw:1,1", SoundRole::Speaker);
        selector.opened(&device("hw:1,1"), &cards);
        let away = selector.find(&cards[..1], &alone()).expect_err("is away").to_string();
        assert_eq!(away, "hw:1,1 (Headset): unplugged; plug the speaker in again");
    }

    #[test]
    fn other_names_are_passed_to_alsa() {
        let cards = [card(0, "C920", None)];
        for name in ["default", "null", "plug:'hw:0'", "pulse", "file:x,raw", "hw", "hw:", "hw:DEV=0", "c920"] {
            assert_eq!(twice(name, &cards, &cards), (device(name), Ok(device(name))));
        }
        assert_eq!(
            AudioSelector::new("tone", SoundRole::Microphone).find(&[], &alone()).expect("should decide"),
            AudioTarget::Tone
        );
        assert_eq!(
            AudioSelector::new("off", SoundRole::Microphone).find(&[], &alone()).expect("should decide"),
            AudioTarget::Nothing
        );
    }
}
