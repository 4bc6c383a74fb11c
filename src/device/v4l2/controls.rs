//! The controls of a node (brightness, exposure, focus...): list, read and set them (`VIDIOC_QUERY_EXT_CTRL`,
//! `VIDIOC_QUERYMENU`, `VIDIOC_G_CTRL`, `VIDIOC_S_CTRL`, `VIDIOC_G_EXT_CTRLS`, `VIDIOC_S_EXT_CTRLS`).
//!
//! Array and compound controls are listed but not read: they belong to codecs. Whether a value is valid is decided in
//! `model::inventory`; the order in which controls are set does not belong here either.

use std::io;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use super::device::Device;
use super::enumerate::more;
use super::ioctl::{ioctl, text, zeroed};
use crate::model::inventory::{Control, ControlKind, Flag, MenuItem, Value};

/// The maximum number of controls that are listed; far above any camera's.
const CONTROL_LIMIT: usize = 512;

/// The maximum number of menu entries that are listed; far above any menu's, and a bound for a driver that claims that
/// its menu goes to 2^63.
const MENU_LIMIT: i64 = 256;

/// The maximum length of a string control in bytes: far above any that exists.
const TEXT_LIMIT: usize = 4096;

/// The bits of a control's id that are its class (`V4L2_CTRL_ID2CLASS`).
const CLASS_MASK: u32 = 0x0fff_0000;

impl Device {
    /// Every control, in the driver's order, with the heading that the driver or, where it has none, the kernel's
    /// documentation gives its class.
    ///
    /// # Errors
    ///
    /// The kernel's errno; a control that cannot be read has no value and is no error.
    pub fn controls(&self) -> io::Result<Vec<Control>> {
        let mut controls = Vec::new();
        let mut heading = (0, String::new());
        self.each_control(|query| {
            let class = query.id & CLASS_MASK;
            if is_heading(query) {
                heading = (class, name(query));
                return;
            }
            if heading.0 != class {
                heading = (class, heading_of(class));
            }
            controls.push(self.describe(query, &heading.1));
        })?;
        Ok(controls)
    }

    /// Subscribes to changes of all controls, which [`changed_controls`](Self::changed_controls) returns. Returns
    /// whether the driver has any events.
    pub fn subscribe_to_controls(&self) -> bool {
        let mut followed = false;
        // Controls enumerated before an error stay subscribed.
        let _ =
            self.each_control(|query| followed |= !is_heading(query) && self.subscribe_to_control(query.id).is_ok());
        followed
    }

    fn each_control(&self, mut visit: impl FnMut(&sys::v4l2_query_ext_ctrl)) -> io::Result<()> {
        let mut id = 0;
        for _ in 0..CONTROL_LIMIT {
            let next = id | sys::V4L2_CTRL_FLAG_NEXT_CTRL | sys::V4L2_CTRL_FLAG_NEXT_COMPOUND;
            // An id that does not grow would loop forever.
            let Some(query) = self.query(next)?.filter(|query| query.id > id) else { break };
            id = query.id;
            visit(&query);
        }
        Ok(())
    }

    /// The current state of a control; `before` is a previous state.
    ///
    /// # Errors
    ///
    /// The kernel's errno; `EINVAL` if there is no such control any more.
    pub fn control(&self, before: &Control) -> io::Result<Control> {
        let query = self.query(before.id)?.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        Ok(self.describe(&query, &before.class))
    }

    /// Sets a control to a value that [`Control::accept`] returned. The driver may adjust it.
    ///
    /// # Errors
    ///
    /// The kernel's errno.
    pub fn set_control_value(&self, control: &Control, value: &Value) -> io::Result<()> {
        match (control.kind, value) {
            (ControlKind::Integer64, Value::Number(number)) => {
                let mut entry: sys::v4l2_ext_control = zeroed();
                entry.__bindgen_anon_1.value64 = *number;
                self.ext_control(vidioc::VIDIOC_S_EXT_CTRLS, control.id, entry).map(drop)
            }
            (ControlKind::String, Value::Text(text)) => {
                let mut bytes = Vec::from(text.as_bytes());
                bytes.push(0);
                self.text_control(vidioc::VIDIOC_S_EXT_CTRLS, control.id, &mut bytes)
            }
            (_, Value::Switch(on)) => self.set_number(control.id, i32::from(*on)),
            // A bitmask with the highest bit set is negative for the kernel.
            (ControlKind::Bitmask, Value::Number(bits)) => {
                self.set_number(control.id, u32::try_from(*bits).map_err(|_| out_of_range())?.cast_signed())
            }
            (_, Value::Number(number)) => {
                self.set_number(control.id, i32::try_from(*number).map_err(|_| out_of_range())?)
            }
            (_, Value::Text(_)) => Err(out_of_range()),
        }
    }

    /// Sets any 32-bit control.
    ///
    /// # Errors
    ///
    /// The kernel's errno: `EINVAL` if there is no such control or menu entry, `ERANGE` if the value is none that it
    /// takes, `EACCES` if it is read-only, `EBUSY` if it is fixed while the camera streams.
    pub(super) fn set_number(&self, id: u32, value: i32) -> io::Result<()> {
        let mut control = sys::v4l2_control { id, value };
        // SAFETY: the request is made for this struct, which holds no pointers.
        unsafe { ioctl(self.fd(), vidioc::VIDIOC_S_CTRL, &mut control) }
    }

    fn query(&self, id: u32) -> io::Result<Option<sys::v4l2_query_ext_ctrl>> {
        let mut query: sys::v4l2_query_ext_ctrl = zeroed();
        query.id = id;
        // SAFETY: the request is made for this struct, which holds no pointers.
        Ok(more(unsafe { ioctl(self.fd(), vidioc::VIDIOC_QUERY_EXT_CTRL, &mut query) })?.then_some(query))
    }

    fn describe(&self, query: &sys::v4l2_query_ext_ctrl, class: &str) -> Control {
        let kind = kind(query);
        let title = name(query);
        let flags = flags(query.flags);
        // The kernel stores a bitmask in a signed number.
        let number = |number: i64| if kind == ControlKind::Bitmask { number & i64::from(u32::MAX) } else { number };
        let default = match kind {
            ControlKind::Button | ControlKind::String | ControlKind::Compound => None,
            ControlKind::Boolean => Some(Value::Switch(query.default_value != 0)),
            _ => Some(Value::Number(number(query.default_value))),
        };
        let readable = !flags.contains(&Flag::WriteOnly) && !flags.contains(&Flag::Disabled);
        Control {
            id: query.id,
            name: Some(Control::name_of(&title))
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| number_name(query.id)),
            title,
            class: class.into(),
            kind,
            min: number(query.minimum),
            max: number(query.maximum),
            step: query.step,
            default,
            value: if readable { self.value(query.id, kind, query.elem_size) } else { None },
            flags,
            menu: match kind {
                ControlKind::Menu | ControlKind::IntegerMenu => self.menu(query, kind),
                _ => Vec::new(),
            },
        }
    }

    /// The value; `None` for a type that has none, and if the driver does not return it.
    fn value(&self, id: u32, kind: ControlKind, size: u32) -> Option<Value> {
        match kind {
            ControlKind::Button | ControlKind::Compound => None,
            ControlKind::Integer64 => {
                let entry = self.ext_control(vidioc::VIDIOC_G_EXT_CTRLS, id, zeroed()).ok()?;
                // SAFETY: the control is of 64 bits, so that this is the variant the driver filled in; any bytes are valid.
                Some(Value::Number(unsafe { entry.__bindgen_anon_1.value64 }))
            }
            ControlKind::String => {
                let mut bytes = vec![0; usize::try_from(size).ok().filter(|size| *size <= TEXT_LIMIT)?];
                self.text_control(vidioc::VIDIOC_G_EXT_CTRLS, id, &mut bytes).ok()?;
                let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
                Some(Value::Text(String::from_utf8_lossy(&bytes[..end]).into_owned()))
            }
            ControlKind::Boolean
            | ControlKind::Bitmask
            | ControlKind::Integer
            | ControlKind::Menu
            | ControlKind::IntegerMenu => {
                let mut control = sys::v4l2_control { id, value: 0 };
                // SAFETY: the request is made for this struct, which holds no pointers.
                unsafe { ioctl(self.fd(), vidioc::VIDIOC_G_CTRL, &mut control) }.ok()?;
                Some(match kind {
                    ControlKind::Boolean => Value::Switch(control.value != 0),
                    // A bitmask is not negative.
                    ControlKind::Bitmask => Value::Number(control.value.cast_unsigned().into()),
                    _ => Value::Number(control.value.into()),
                })
            }
        }
    }

    /// Reads or sets a string.
    fn text_control(&self, request: vidioc::_IOC_TYPE, id: u32, bytes: &mut [u8]) -> io::Result<()> {
        if bytes.len() > TEXT_LIMIT {
            return Err(out_of_range());
        }
        let mut entry: sys::v4l2_ext_control = zeroed();
        entry.size = bytes.len().try_into().map_err(|_| out_of_range())?;
        entry.__bindgen_anon_1.string = bytes.as_mut_ptr().cast();
        // The pointer leads to as many bytes as `size` says, which live through the call.
        self.ext_control(request, id, entry).map(drop)
    }

    /// Reads or sets one control by the extended call. A pointer in `entry` leads to as many bytes as its `size` says.
    fn ext_control(
        &self,
        request: vidioc::_IOC_TYPE,
        id: u32,
        mut entry: sys::v4l2_ext_control,
    ) -> io::Result<sys::v4l2_ext_control> {
        entry.id = id;
        let mut list: sys::v4l2_ext_controls = zeroed();
        list.__bindgen_anon_1.which = sys::V4L2_CTRL_WHICH_CUR_VAL;
        list.count = 1;
        list.controls = &raw mut entry;
        // SAFETY: both requests are made for this struct; its pointer leads to the one control that `count` says, whose
        // own pointer the callers in this file see to.
        unsafe { ioctl(self.fd(), request, &mut list) }?;
        Ok(entry)
    }

    fn menu(&self, query: &sys::v4l2_query_ext_ctrl, kind: ControlKind) -> Vec<MenuItem> {
        let first = query.minimum.max(0);
        let last = query.maximum.min(first.saturating_add(MENU_LIMIT - 1));
        let mut items = Vec::new();
        for index in first..=last {
            let mut entry: sys::v4l2_querymenu = zeroed();
            entry.id = query.id;
            let Ok(number) = u32::try_from(index) else { break };
            entry.index = number;
            // SAFETY: the request is made for this struct, which holds no pointers. An entry that is refused is one
            // that this device does not have: menus have holes.
            if unsafe { ioctl(self.fd(), vidioc::VIDIOC_QUERYMENU, &mut entry) }.is_ok() {
                let answer = entry.__bindgen_anon_1;
                let name = if kind == ControlKind::Menu {
                    // SAFETY: both variants are plain bytes; the kind tells which one the driver filled in.
                    text(&unsafe { answer.name })
                } else {
                    // SAFETY: as above.
                    unsafe { answer.value }.to_string()
                };
                items.push(MenuItem { index, name });
            }
        }
        items
    }
}

fn out_of_range() -> io::Error {
    io::Error::from_raw_os_error(libc::ERANGE)
}

fn kind(query: &sys::v4l2_query_ext_ctrl) -> ControlKind {
    if query.elems > 1 || query.nr_of_dims > 0 {
        return ControlKind::Compound;
    }
    match query.type_ {
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER => ControlKind::Integer,
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN => ControlKind::Boolean,
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU => ControlKind::Menu,
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU => ControlKind::IntegerMenu,
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BUTTON => ControlKind::Button,
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER64 => ControlKind::Integer64,
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_STRING => ControlKind::String,
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BITMASK => ControlKind::Bitmask,
        _ => ControlKind::Compound,
    }
}

/// The name of a control whose title has neither letters nor digits.
fn number_name(id: u32) -> String {
    format!("{id:#010x}")
}

fn is_heading(query: &sys::v4l2_query_ext_ctrl) -> bool {
    query.type_ == sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_CTRL_CLASS
}

fn name(query: &sys::v4l2_query_ext_ctrl) -> String {
    // The field is an array of `c_char`, which is signed on some architectures and unsigned on others.
    text(&query.name.map(|character| character.to_ne_bytes()[0]))
}

fn flags(bits: u32) -> Vec<Flag> {
    let known = [
        (sys::V4L2_CTRL_FLAG_DISABLED, Flag::Disabled),
        (sys::V4L2_CTRL_FLAG_GRABBED, Flag::Grabbed),
        (sys::V4L2_CTRL_FLAG_READ_ONLY, Flag::ReadOnly),
        (sys::V4L2_CTRL_FLAG_INACTIVE, Flag::Inactive),
        (sys::V4L2_CTRL_FLAG_WRITE_ONLY, Flag::WriteOnly),
        (sys::V4L2_CTRL_FLAG_VOLATILE, Flag::Volatile),
    ];
    known.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, flag)| flag).collect()
}

/// The heading of a class for which the driver has none, from the kernel's documentation.
fn heading_of(class: u32) -> String {
    let known = match class {
        sys::V4L2_CTRL_CLASS_USER => "User Controls",
        sys::V4L2_CTRL_CLASS_CODEC => "Codec Controls",
        sys::V4L2_CTRL_CLASS_CAMERA => "Camera Controls",
        sys::V4L2_CTRL_CLASS_FLASH => "Flash Controls",
        sys::V4L2_CTRL_CLASS_JPEG => "JPEG Compression Controls",
        sys::V4L2_CTRL_CLASS_IMAGE_SOURCE => "Image Source Controls",
        sys::V4L2_CTRL_CLASS_IMAGE_PROC => "Image Processing Controls",
        sys::V4L2_CTRL_CLASS_DV => "Digital Video Controls",
        sys::V4L2_CTRL_CLASS_DETECT => "Detection Controls",
        other => return format!("Controls of class {other:#010x}"),
    };
    known.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_scalar_control_is_compound() {
        let mut query: sys::v4l2_query_ext_ctrl = zeroed();
        (query.type_, query.elems) = (sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER, 1);
        assert_eq!(kind(&query), ControlKind::Integer);
        query.nr_of_dims = 1;
        assert_eq!(kind(&query), ControlKind::Compound, "an array of one element");
        (query.nr_of_dims, query.type_) = (0, 0x0106);
        assert_eq!(kind(&query), ControlKind::Compound);
    }

    #[test]
    fn flags_are_parsed_and_control_classes_are_skipped() {
        assert_eq!(flags(0x0004 | 0x0010 | 0x0100), [Flag::ReadOnly, Flag::Inactive]);
        assert_eq!(heading_of(0x009a_0000), "Camera Controls");
        assert_eq!(heading_of(0x00f0_0000), "Controls of class 0x00f00000");
    }
}
