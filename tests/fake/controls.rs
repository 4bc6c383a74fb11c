//! The camera's controls as scripted, and their change events.

use std::ffi::c_ulong;

use v4l::v4l_sys as sys;

use crate::camera::{Answered, Camera, copy, zeroed};
use crate::script::Control;

/// `_IOR('V', 89, struct v4l2_event)` and `_IOW('V', 90, struct v4l2_event_subscription)`, which the v4l crate lacks.
pub const VIDIOC_DQEVENT: c_ulong = libc::_IOR::<sys::v4l2_event>(b'V' as u32, 89);
pub const VIDIOC_SUBSCRIBE_EVENT: c_ulong = libc::_IOW::<sys::v4l2_event_subscription>(b'V' as u32, 90);

impl Camera {
    fn control(&self, id: u32) -> Result<&Control, i32> {
        self.script.controls.iter().find(|control| control.id == id).ok_or(libc::EINVAL)
    }

    /// The requested control, or the next one after it.
    pub fn query_control(&self, query: &mut sys::v4l2_query_ext_ctrl) -> Answered {
        let after = query.id & !(sys::V4L2_CTRL_FLAG_NEXT_CTRL | sys::V4L2_CTRL_FLAG_NEXT_COMPOUND);
        let control = if query.id == after {
            self.control(after)?
        } else if self.script.is_endless("controls") {
            // The same control again and again, with ever-growing IDs.
            let control = self.script.controls.first().ok_or(libc::EINVAL)?;
            &Control { id: after + 1, ..control.clone() }
        } else {
            let later = self.script.controls.iter().filter(|control| control.id > after);
            later.min_by_key(|control| control.id).ok_or(libc::EINVAL)?
        };
        query.id = control.id;
        query.type_ = control.kind;
        let mut name = [0u8; 32];
        copy(&mut name, &control.name);
        query.name = name.map(|byte| byte as std::ffi::c_char);
        (query.minimum, query.maximum, query.step) = (control.min, control.max, control.step);
        (query.default_value, query.flags) = (control.default, control.flags);
        (query.elem_size, query.elems, query.nr_of_dims) = (4, 1, 0);
        Ok(())
    }

    pub fn query_menu(&self, entry: &mut sys::v4l2_querymenu) -> Answered {
        let control = self.control(entry.id)?;
        let (index, id) = (i64::from(entry.index), entry.id);
        if !(control.min..=control.max).contains(&index) {
            return Err(libc::EINVAL);
        }
        if control.kind == sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU {
            entry.__bindgen_anon_1.value = index * 1000;
        } else {
            let mut name = [0; 32];
            copy(&mut name, format!("entry {index} of {id}").as_bytes());
            entry.__bindgen_anon_1.name = name;
        }
        Ok(())
    }

    fn value(&self, id: u32) -> Result<i64, i32> {
        let control = self.control(id)?;
        if control.flags & sys::V4L2_CTRL_FLAG_WRITE_ONLY != 0 {
            return Err(libc::EACCES);
        }
        Ok(self.values.get(&id).copied().unwrap_or(control.default))
    }

    fn set_value(&mut self, id: u32, value: i64) -> Answered {
        let control = self.control(id)?;
        if control.flags & sys::V4L2_CTRL_FLAG_READ_ONLY != 0 {
            return Err(libc::EACCES);
        }
        // The kernel clamps most types to the nearest value and rejects an invalid menu entry.
        let menu = control.kind == sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU;
        if menu && !(control.min..=control.max).contains(&value) {
            return Err(libc::ERANGE);
        }
        let value = value.clamp(control.min, control.max.max(control.min));
        self.values.insert(id, value);
        if self.subscribed.contains(&id) {
            self.events.push_back(id);
        }
        Ok(())
    }

    pub fn subscribe(&mut self, subscription: &sys::v4l2_event_subscription) -> Answered {
        if subscription.type_ != sys::V4L2_EVENT_CTRL {
            return Err(libc::EINVAL);
        }
        self.control(subscription.id)?;
        self.subscribed.insert(subscription.id);
        Ok(())
    }

    /// The next change event of a control. The descriptor's poll does not signal it.
    pub fn dequeue_event(&mut self, event: &mut sys::v4l2_event) -> Answered {
        let endless = self.script.is_endless("events").then(|| self.subscribed.first().copied()).flatten();
        let id = endless.or_else(|| self.events.pop_front()).ok_or(libc::ENOENT)?;
        (event.type_, event.id) = (sys::V4L2_EVENT_CTRL, id);
        event.pending = self.events.len() as u32;
        let mut change: sys::v4l2_event_ctrl = zeroed();
        change.changes = sys::V4L2_EVENT_CTRL_CH_VALUE;
        change.type_ = self.control(id)?.kind;
        change.__bindgen_anon_1.value64 = self.value(id).unwrap_or_default();
        event.u.ctrl = change;
        Ok(())
    }

    pub fn get_control(&self, control: &mut sys::v4l2_control) -> Answered {
        control.value = self.value(control.id)? as i32;
        Ok(())
    }

    pub fn set_control(&mut self, control: &mut sys::v4l2_control) -> Answered {
        self.set_value(control.id, control.value.into())?;
        self.get_control(control).or(Ok(()))
    }

    /// Reads or writes a list of controls.
    ///
    /// # Safety
    ///
    /// The pointer points to as many controls as the list says.
    pub unsafe fn controls(&mut self, list: &mut sys::v4l2_ext_controls, set: bool) -> Answered {
        if list.count == 0 {
            return Ok(());
        }
        // SAFETY: the caller's promise.
        let controls = unsafe { std::slice::from_raw_parts_mut(list.controls, list.count as usize) };
        for control in controls {
            let id = control.id;
            let wide = self.control(id)?.kind == sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER64;
            if set {
                let union = control.__bindgen_anon_1;
                // SAFETY: any bytes are valid integers.
                let value = unsafe { if wide { union.value64 } else { i64::from(union.value) } };
                self.set_value(id, value)?;
            } else if wide {
                control.__bindgen_anon_1.value64 = self.value(id)?;
            } else {
                control.__bindgen_anon_1.value = self.value(id)? as i32;
            }
        }
        Ok(())
    }
}
