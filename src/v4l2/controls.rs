//! The controls of a node (brightness, exposure, focus...): what there is and how it stands (`VIDIOC_QUERY_EXT_CTRL`,
//! `VIDIOC_QUERYMENU`, `VIDIOC_G_CTRL`, `VIDIOC_G_EXT_CTRLS`).
//!
//! Arrays and compound controls are passed over: they belong to codecs. What a control is for does not belong here.

use std::io;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use super::device::Device;
use super::enumerate::more;
use super::ioctl::{ioctl, text, zeroed};

/// The most controls that are listed; far above what any camera has.
const CONTROL_LIMIT: usize = 512;

/// The most entries of a menu that are listed; far above what any menu has, and a bound for a driver that says that its
/// menu goes to 2^63.
const MENU_LIMIT: i64 = 256;

/// The type of a control's value (`enum v4l2_ctrl_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlKind {
    /// A number.
    Integer,
    /// On or off.
    Boolean,
    /// One of several names.
    Menu,
    /// One of several numbers.
    IntegerMenu,
    /// An action.
    Button,
    /// A number of 64 bits.
    Integer64,
    /// A text.
    String,
    /// A set of bits.
    Bitmask,
    /// Not a control: the heading of those that follow.
    Class,
    /// A type that is not known here, by the kernel's number.
    Other(u32),
}

impl ControlKind {
    fn from_sys(kind: u32) -> Self {
        match kind {
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER => Self::Integer,
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN => Self::Boolean,
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU => Self::Menu,
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU => Self::IntegerMenu,
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BUTTON => Self::Button,
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER64 => Self::Integer64,
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_STRING => Self::String,
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BITMASK => Self::Bitmask,
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_CTRL_CLASS => Self::Class,
            other => Self::Other(other),
        }
    }
}

/// One entry of a menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuItem {
    /// The value that chooses it.
    pub index: i64,
    /// What it is called; for a menu of numbers, the number.
    pub name: String,
}

/// A control as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The kernel's number of it (`V4L2_CID_*`).
    pub id: u32,
    /// The driver's name of it.
    pub name: String,
    /// The type of its value.
    pub kind: ControlKind,
    /// The smallest value.
    pub min: i64,
    /// The largest value.
    pub max: i64,
    /// The step from value to value.
    pub step: u64,
    /// The value after a reset.
    pub default: i64,
    /// The value now; `None` where it cannot be read or is no number.
    pub value: Option<i64>,
    /// Whether it cannot be set.
    pub read_only: bool,
    /// Whether it has no effect as other controls stand (exposure time while exposure is automatic).
    pub inactive: bool,
    /// The entries of a menu; empty for other kinds.
    pub menu: Vec<MenuItem>,
}

impl Device {
    /// Every control that is not switched off, in the driver's order.
    ///
    /// # Errors
    ///
    /// The kernel's errno; a control that cannot be read has no value and is no error.
    pub fn controls(&self) -> io::Result<Vec<Control>> {
        let mut controls = Vec::new();
        let mut id = 0;
        while controls.len() < CONTROL_LIMIT {
            let mut query: sys::v4l2_query_ext_ctrl = zeroed();
            query.id = id | sys::V4L2_CTRL_FLAG_NEXT_CTRL;
            // SAFETY: the request is made for this struct, which holds no pointers.
            if !more(unsafe { ioctl(self.fd(), vidioc::VIDIOC_QUERY_EXT_CTRL, &mut query) })? || query.id <= id {
                break;
            }
            id = query.id;
            if query.flags & sys::V4L2_CTRL_FLAG_DISABLED == 0 && query.elems <= 1 {
                controls.push(self.describe(&query));
            }
        }
        Ok(controls)
    }

    fn describe(&self, query: &sys::v4l2_query_ext_ctrl) -> Control {
        let kind = ControlKind::from_sys(query.type_);
        Control {
            id: query.id,
            // The field is an array of `c_char`, which has a sign on some machines and none on others.
            name: text(&query.name.map(|character| character.to_ne_bytes()[0])),
            kind,
            min: query.minimum,
            max: query.maximum,
            step: query.step,
            default: query.default_value,
            value: self.value(query.id, kind, query.flags),
            read_only: query.flags & sys::V4L2_CTRL_FLAG_READ_ONLY != 0,
            inactive: query.flags & sys::V4L2_CTRL_FLAG_INACTIVE != 0,
            menu: match kind {
                ControlKind::Menu | ControlKind::IntegerMenu => self.menu(query, kind),
                _ => Vec::new(),
            },
        }
    }

    fn value(&self, id: u32, kind: ControlKind, flags: u32) -> Option<i64> {
        if flags & sys::V4L2_CTRL_FLAG_WRITE_ONLY != 0 {
            return None;
        }
        match kind {
            ControlKind::Integer
            | ControlKind::Boolean
            | ControlKind::Menu
            | ControlKind::IntegerMenu
            | ControlKind::Bitmask => {
                let mut control: sys::v4l2_control = zeroed();
                control.id = id;
                // SAFETY: the request is made for this struct, which holds no pointers.
                unsafe { ioctl(self.fd(), vidioc::VIDIOC_G_CTRL, &mut control) }.ok()?;
                // A set of bits is not a negative number.
                Some(if kind == ControlKind::Bitmask {
                    i64::from(control.value.cast_unsigned())
                } else {
                    i64::from(control.value)
                })
            }
            ControlKind::Integer64 => self.value64(id),
            _ => None,
        }
    }

    fn value64(&self, id: u32) -> Option<i64> {
        let mut control: sys::v4l2_ext_control = zeroed();
        control.id = id;
        let mut list: sys::v4l2_ext_controls = zeroed();
        list.__bindgen_anon_1.which = sys::V4L2_CTRL_WHICH_CUR_VAL;
        list.count = 1;
        list.controls = &raw mut control;
        // SAFETY: the request is made for this struct; its pointer leads to the one control that `count` says.
        unsafe { ioctl(self.fd(), vidioc::VIDIOC_G_EXT_CTRLS, &mut list) }.ok()?;
        // SAFETY: the control is of 64 bits, so that this is the variant the driver filled in; any bytes are valid.
        Some(unsafe { control.__bindgen_anon_1.value64 })
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
