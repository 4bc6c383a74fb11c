//! Finds the configured camera among the available ones: by the identity of the one that was open before, then by path,
//! USB id (`usb:VVVV:PPPP`) or card name. Pure.
//!
//! Which cameras are in use does not belong here; see `select`.

use super::super::v4l2::identity::{HardwareId, Identity, VideoNode};
use super::super::{DeviceSelector, Error};

/// A camera that matches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CameraMatch<'a> {
    /// The camera.
    pub node: &'a VideoNode,
    /// Whether this particular camera is meant, not just any of its kind.
    pub exact: bool,
}

/// A configured `Path` in its current state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it points to.
    pub path: String,
    /// Whether it is a symlink. A symlink identifies a camera (its name or its port), a plain node number does not.
    pub link: bool,
}

/// The nodes of the camera that was open before; the one in the same port first.
pub fn by_identity<'a>(previous: &Identity, nodes: &'a [VideoNode]) -> Vec<CameraMatch<'a>> {
    let stayed = |node: &VideoNode| node.identity.port == previous.port;
    let mut same: Vec<_> = nodes
        .iter()
        .filter(|node| node.identity.is_same(previous))
        .map(|node| CameraMatch { node, exact: stayed(node) })
        .collect();
    same.sort_by_key(|candidate| !candidate.exact);
    same
}

/// The nodes that a name refers to, the best first; for a `Path`, `target` is where it points to.
///
/// # Errors
///
/// [`Error::Absent`] and [`Error::Ambiguous`].
pub fn by_name<'a>(
    device: &DeviceSelector,
    target: Option<&Target>,
    nodes: &'a [VideoNode],
) -> Result<Vec<CameraMatch<'a>>, Error> {
    let exact = !matches!(device, DeviceSelector::Auto | DeviceSelector::Usb { serial: None, .. });
    let mut matches: Vec<&VideoNode> = match device {
        DeviceSelector::Auto => nodes.iter().filter(|node| node.usable).collect(),
        DeviceSelector::Card(name) => by_card(name, nodes)?,
        _ => nodes.iter().filter(|node| is_meant(device, target, node)).collect(),
    };
    if matches.is_empty() && *device != DeviceSelector::Auto {
        return Err(Error::Absent { device: device.to_string(), available: describe_available(nodes) });
    }
    // A camera may have other nodes for metadata, depth or other formats.
    matches.sort_by_key(|node| !node.usable);
    Ok(matches.into_iter().map(|node| CameraMatch { node, exact }).collect())
}

/// Whether a name may refer to this camera; `auto` refers to none in particular.
pub fn is_meant(device: &DeviceSelector, target: Option<&Target>, node: &VideoNode) -> bool {
    match device {
        DeviceSelector::Path(_) => target.is_some_and(|target| target.path == node.path),
        DeviceSelector::Usb { vendor, product, serial } => match &node.identity.hardware {
            HardwareId::Usb { vendor: v, product: p, serial: s } => {
                let equal = |text: &str, number: u16| u16::from_str_radix(text, 16) == Ok(number);
                equal(v, *vendor) && equal(p, *product) && (serial.is_none() || serial == s)
            }
            HardwareId::Other { .. } => false,
        },
        DeviceSelector::Card(name) => CARD_RULES.iter().any(|rule| rule(node, name)),
        DeviceSelector::Auto | DeviceSelector::Pattern | DeviceSelector::Libcamera | DeviceSelector::Exec(_) => false,
    }
}

/// How card names are compared: the first rule that matches any camera decides.
const CARD_RULES: [fn(&VideoNode, &str) -> bool; 3] = [
    |node, name| node.card == name || node.identity.to_string() == name,
    |node, name| node.card.to_lowercase().starts_with(&name.to_lowercase()),
    |node, name| node.card.to_lowercase().contains(&name.to_lowercase()),
];

fn by_card<'a>(name: &str, nodes: &'a [VideoNode]) -> Result<Vec<&'a VideoNode>, Error> {
    let fits = |rule: &fn(&VideoNode, &str) -> bool| nodes.iter().filter(|node| rule(node, name)).collect::<Vec<_>>();
    let matches = CARD_RULES.iter().map(fits).find(|matches| !matches.is_empty()).unwrap_or_default();
    let several = matches.iter().any(|one| !one.identity.is_same_device(&matches[0].identity));
    if several {
        return Err(Error::Ambiguous { device: name.into(), matches: joined(matches) });
    }
    Ok(matches)
}

/// The available cameras, for the end of a message.
pub fn describe_available(nodes: &[VideoNode]) -> String {
    // A dangling path is not a camera.
    let cameras: Vec<&VideoNode> = nodes.iter().filter(|node| node.usable || node.error.is_some()).collect();
    if cameras.is_empty() { "there is none".into() } else { format!("there are: {}", joined(cameras)) }
}

fn joined(nodes: Vec<&VideoNode>) -> String {
    nodes.into_iter().map(VideoNode::to_string).collect::<Vec<_>>().join(", ")
}
