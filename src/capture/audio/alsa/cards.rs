//! Lists the sound cards by querying each card itself.
//!
//! `default` and other names from ALSA's configuration are not tried: on a host without a card the library would print
//! errors to the terminal, and a sound server behind such a name would be started.

use std::ffi::CString;

use alsa::card;
use alsa::ctl::{Ctl, DeviceIter};
use alsa::{Card, Direction};

use super::mixer;
use super::open::SuppressAlsaErrors;
use crate::model::inventory::{SoundCardInfo, SoundDeviceInfo};

/// Every sound card with its devices and the inputs of its mixer, by number.
pub fn list() -> Vec<SoundCardInfo> {
    let with_inputs = |card: SoundCardInfo| SoundCardInfo { inputs: mixer::inputs(card.index), ..card };
    cards().into_iter().map(with_inputs).collect()
}

/// Every sound card with its devices, by number; one that cannot be asked has none. The mixers are not opened.
pub fn cards() -> Vec<SoundCardInfo> {
    let _quiet = SuppressAlsaErrors::new();
    // An error ends the enumeration: there is nothing behind it.
    card::Iter::new().map_while(Result::ok).map(describe).collect()
}

fn describe(card: Card) -> SoundCardInfo {
    let index = card.get_index();
    let mut info = SoundCardInfo {
        index,
        id: index.to_string(),
        name: card.get_name().unwrap_or_else(|_| format!("card {index}")),
        devices: Vec::new(),
        inputs: Vec::new(),
    };
    let ctl = CString::new(format!("hw:{index}")).ok().and_then(|name| Ctl::open(&name, true).ok());
    let Some(ctl) = ctl else { return info };
    // The id stays the same when cards come and go; the number does not.
    if let Ok(card) = ctl.card_info()
        && let Ok(id) = card.get_id()
    {
        id.clone_into(&mut info.id);
    }
    for number in DeviceIter::new(&ctl) {
        let Ok(number) = u32::try_from(number) else { continue };
        let capture = ctl.pcm_info(number, 0, Direction::Capture);
        let playback = ctl.pcm_info(number, 0, Direction::Playback);
        let title = [&capture, &playback]
            .into_iter()
            .find_map(|info| info.as_ref().ok()?.get_name().ok().map(str::to_owned))
            .unwrap_or_default();
        info.devices.push(SoundDeviceInfo {
            name: format!("plughw:CARD={},DEV={number}", info.id),
            title,
            captures: capture.is_ok(),
            plays: playback.is_ok(),
        });
    }
    info
}
