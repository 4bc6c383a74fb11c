//! Which of the cameras there are is meant: by the camera that was opened before, then by name. Pure.
//!
//! Who else uses a camera is `find`'s business.

use super::super::v4l2::identity::{HardwareId, Identity, VideoNode};
use super::super::{Device, Error};

/// A camera that may be meant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CameraMatch<'a> {
    /// The camera.
    pub seen: &'a VideoNode,
    /// Whether this very camera is meant, and not any of its kind.
    pub exact: bool,
}

/// A `Path` of the configuration as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it leads to.
    pub path: String,
    /// Whether it is a link. A link says which camera is meant (its name or its port), a mere node number does not.
    pub link: bool,
}

/// The nodes of the camera that was opened before; the one in the same port first.
pub fn known<'a>(before: &Identity, seen: &'a [VideoNode]) -> Vec<CameraMatch<'a>> {
    let stayed = |seen: &VideoNode| seen.identity.place == before.place;
    let mut same: Vec<_> = seen
        .iter()
        .filter(|seen| seen.identity.is_same(before))
        .map(|seen| CameraMatch { seen, exact: stayed(seen) })
        .collect();
    same.sort_by_key(|candidate| !candidate.exact);
    same
}

/// The nodes that a name means, the best first; for a `Path`, `target` is where it leads to.
///
/// # Errors
///
/// [`Error::Absent`] and [`Error::Ambiguous`].
pub fn named<'a>(
    device: &Device,
    target: Option<&Target>,
    seen: &'a [VideoNode],
) -> Result<Vec<CameraMatch<'a>>, Error> {
    let exact = !matches!(device, Device::Auto | Device::Usb { serial: None, .. });
    let mut matches: Vec<&VideoNode> = match device {
        Device::Auto => seen.iter().filter(|seen| seen.usable).collect(),
        Device::Card(name) => by_card(name, seen)?,
        _ => seen.iter().filter(|seen| is_meant(device, target, seen)).collect(),
    };
    if matches.is_empty() && *device != Device::Auto {
        return Err(Error::Absent { device: device.to_string(), there: there(seen) });
    }
    // A camera may have nodes for metadata, depth or other formats beside the one that is wanted.
    matches.sort_by_key(|seen| !seen.usable);
    Ok(matches.into_iter().map(|seen| CameraMatch { seen, exact }).collect())
}

/// Whether a name may mean this camera; `auto` means none in particular.
pub fn is_meant(device: &Device, target: Option<&Target>, seen: &VideoNode) -> bool {
    match device {
        Device::Path(_) => target.is_some_and(|target| target.path == seen.path),
        Device::Usb { vendor, product, serial } => match &seen.identity.hardware {
            HardwareId::Usb { vendor: v, product: p, serial: s } => {
                let equal = |text: &str, number: u16| u16::from_str_radix(text, 16) == Ok(number);
                equal(v, *vendor) && equal(p, *product) && (serial.is_none() || serial == s)
            }
            HardwareId::Other { .. } => false,
        },
        Device::Card(name) => CARD_RULES.iter().any(|rule| rule(seen, name)),
        Device::Auto | Device::Pattern | Device::Libcamera | Device::Exec(_) => false,
    }
}

/// How a card's name is compared: the first rule that any camera fits decides.
const CARD_RULES: [fn(&VideoNode, &str) -> bool; 3] = [
    |seen, name| seen.card == name || seen.identity.to_string() == name,
    |seen, name| seen.card.to_lowercase().starts_with(&name.to_lowercase()),
    |seen, name| seen.card.to_lowercase().contains(&name.to_lowercase()),
];

fn by_card<'a>(name: &str, seen: &'a [VideoNode]) -> Result<Vec<&'a VideoNode>, Error> {
    let fits = |rule: &fn(&VideoNode, &str) -> bool| seen.iter().filter(|seen| rule(seen, name)).collect::<Vec<_>>();
    let matches = CARD_RULES.iter().map(fits).find(|matches| !matches.is_empty()).unwrap_or_default();
    let several = matches.iter().any(|one| !one.identity.is_beside(&matches[0].identity));
    if several {
        return Err(Error::Ambiguous { device: name.into(), matches: joined(matches) });
    }
    Ok(matches)
}

/// The cameras there are, for the end of a message.
pub fn there(seen: &[VideoNode]) -> String {
    // A path that leads nowhere is no camera.
    let cameras: Vec<&VideoNode> = seen.iter().filter(|seen| seen.usable || seen.trouble.is_some()).collect();
    if cameras.is_empty() { "there is none".into() } else { format!("there are: {}", joined(cameras)) }
}

fn joined(seen: Vec<&VideoNode>) -> String {
    seen.into_iter().map(VideoNode::to_string).collect::<Vec<_>>().join(", ")
}
