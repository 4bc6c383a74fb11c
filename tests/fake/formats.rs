//! The camera's capabilities, and the negotiation of format and frame rate.

use v4l::v4l_sys as sys;

use crate::camera::{Answered, Camera, copy, zeroed};
use crate::frame::{row_bytes, strides};
use crate::script::Size;

/// The current format.
#[derive(Debug, Clone)]
pub struct Current {
    pub fourcc: [u8; 4],
    pub width: u32,
    pub height: u32,
    /// Stride of the first plane in bytes.
    pub stride: u32,
    /// Size and stride of each memory plane, in bytes.
    pub planes: Vec<(u32, u32)>,
    /// The folder with the frame files.
    pub files: Option<std::path::PathBuf>,
}

impl Camera {
    pub fn querycap(&self, answer: &mut sys::v4l2_capability) -> Answered {
        copy(&mut answer.driver, &self.script.driver);
        copy(&mut answer.card, &self.script.card);
        copy(&mut answer.bus_info, &self.script.bus);
        let kind = if self.script.multi { sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE } else { sys::V4L2_CAP_VIDEO_CAPTURE };
        answer.device_caps = self.script.capabilities.unwrap_or(kind | sys::V4L2_CAP_STREAMING);
        answer.capabilities = answer.device_caps | sys::V4L2_CAP_DEVICE_CAPS;
        Ok(())
    }

    pub fn enum_fmt(&self, entry: &mut sys::v4l2_fmtdesc) -> Answered {
        self.check_type(entry.type_)?;
        let endless = self.script.is_endless("formats");
        let at = if endless { 0 } else { entry.index as usize };
        let format = self.script.formats.get(at).ok_or(libc::EINVAL)?;
        entry.pixelformat = u32::from_le_bytes(format.fourcc);
        copy(&mut entry.description, &format.fourcc);
        Ok(())
    }

    fn sizes(&self, fourcc: u32) -> &[Size] {
        let found = self.script.formats.iter().find(|format| u32::from_le_bytes(format.fourcc) == fourcc);
        found.map_or(&[], |format| &format.sizes)
    }

    pub fn enum_sizes(&self, entry: &mut sys::v4l2_frmsizeenum) -> Answered {
        let at = if self.script.is_endless("sizes") { 0 } else { entry.index as usize };
        let size = self.sizes(entry.pixel_format).get(at).ok_or(libc::EINVAL)?;
        if size.min == size.max {
            entry.type_ = sys::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE;
            entry.__bindgen_anon_1.discrete = sys::v4l2_frmsize_discrete { width: size.min.0, height: size.min.1 };
        } else {
            entry.type_ = sys::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_STEPWISE;
            entry.__bindgen_anon_1.stepwise = sys::v4l2_frmsize_stepwise {
                min_width: size.min.0,
                max_width: size.max.0,
                step_width: 2,
                min_height: size.min.1,
                max_height: size.max.1,
                step_height: 2,
            };
        }
        Ok(())
    }

    pub fn enum_intervals(&self, entry: &mut sys::v4l2_frmivalenum) -> Answered {
        let at = if self.script.is_endless("intervals") { 0 } else { entry.index as usize };
        let holds = |size: &&Size| {
            (size.min.0..=size.max.0).contains(&entry.width) && (size.min.1..=size.max.1).contains(&entry.height)
        };
        let size = self.sizes(entry.pixel_format).iter().find(holds).ok_or(libc::EINVAL)?;
        let rate = *size.rates.get(at).ok_or(libc::EINVAL)?;
        entry.type_ = sys::v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE;
        entry.__bindgen_anon_1.discrete = sys::v4l2_fract { numerator: 1, denominator: rate };
        Ok(())
    }

    /// The format nearest to a request: its fourcc or the first one, the nearest size, overridden by the script.
    fn nearest(&self, fourcc: u32, width: u32, height: u32) -> Result<Current, i32> {
        let formats = &self.script.formats;
        let named = formats.iter().find(|format| u32::from_le_bytes(format.fourcc) == fourcc);
        let format = named.or(formats.first()).ok_or(libc::EINVAL)?;
        let fit = |size: &Size| (width.clamp(size.min.0, size.max.0), height.clamp(size.min.1, size.max.1));
        let far = |(w, h): &(u32, u32)| w.abs_diff(width) + h.abs_diff(height);
        let (width, height) = format.sizes.iter().map(fit).min_by_key(far).unwrap_or((width, height));
        let answer = &self.script.answer;
        let (fourcc, width, height) =
            (answer.fourcc.unwrap_or(format.fourcc), answer.width.unwrap_or(width), answer.height.unwrap_or(height));
        let row = row_bytes(&fourcc, width as usize).unwrap_or(0) as u32;
        // A driver may report 0 for no padding, and the report may be wrong.
        let stride = answer.stride.unwrap_or(row).max(row);
        let planes = plane_sizes(&fourcc, stride, width, height);
        Ok(Current { fourcc, width, height, stride, planes, files: format.files.clone() })
    }

    pub fn set_format(&mut self, format: &mut sys::v4l2_format, keep: bool) -> Answered {
        self.check_type(format.type_)?;
        if keep && self.has_buffers() {
            return Err(libc::EBUSY);
        }
        // SAFETY: both variants begin with width, height and pixel format, and any bytes are valid integers.
        let requested = unsafe { format.fmt.pix };
        let current = self.nearest(requested.pixelformat, requested.width, requested.height)?;
        self.answer_format(format, &current);
        if keep {
            self.current = Some(current);
        }
        Ok(())
    }

    pub fn get_format(&mut self, format: &mut sys::v4l2_format) -> Answered {
        self.check_type(format.type_)?;
        let current = match self.current.clone() {
            Some(current) => current,
            None => self.nearest(0, 0, 0)?,
        };
        self.answer_format(format, &current);
        Ok(())
    }

    fn answer_format(&self, format: &mut sys::v4l2_format, current: &Current) {
        let answer = &self.script.answer;
        let field = answer.field.unwrap_or(sys::v4l2_field_V4L2_FIELD_NONE);
        let pixelformat = u32::from_le_bytes(current.fourcc);
        let reported_stride = answer.stride.unwrap_or(current.stride);
        let colorspace = answer.colorspace.unwrap_or(sys::v4l2_colorspace_V4L2_COLORSPACE_SRGB);
        if self.script.multi {
            let mut pix: sys::v4l2_pix_format_mplane = zeroed();
            (pix.width, pix.height, pix.pixelformat) = (current.width, current.height, pixelformat);
            (pix.field, pix.colorspace, pix.num_planes) = (field, colorspace, current.planes.len() as u8);
            pix.__bindgen_anon_1.ycbcr_enc = answer.encoding as u8;
            (pix.quantization, pix.xfer_func) = (answer.quantization as u8, answer.transfer as u8);
            let mut planes = pix.plane_fmt;
            for (plane, (size, stride)) in planes.iter_mut().zip(&current.planes) {
                (plane.sizeimage, plane.bytesperline) = (answer.size.unwrap_or(*size), *stride);
            }
            if answer.stride == Some(0) {
                planes.iter_mut().for_each(|plane| plane.bytesperline = 0);
            }
            pix.plane_fmt = planes;
            format.fmt.pix_mp = pix;
        } else {
            let mut pix: sys::v4l2_pix_format = zeroed();
            (pix.width, pix.height, pix.pixelformat) = (current.width, current.height, pixelformat);
            (pix.field, pix.colorspace, pix.bytesperline) = (field, colorspace, reported_stride);
            // Without the magic number the fields after it hold nothing (`struct v4l2_pix_format`).
            pix.priv_ = sys::V4L2_PIX_FMT_PRIV_MAGIC;
            pix.__bindgen_anon_1.ycbcr_enc = answer.encoding;
            (pix.quantization, pix.xfer_func) = (answer.quantization, answer.transfer);
            pix.sizeimage = answer.size.unwrap_or(current.planes[0].0);
            format.fmt.pix = pix;
        }
    }

    pub fn get_parameters(&self, parameters: &mut sys::v4l2_streamparm) -> Answered {
        self.check_type(parameters.type_)?;
        parameters.parm.capture = sys::v4l2_captureparm {
            capability: sys::V4L2_CAP_TIMEPERFRAME,
            timeperframe: sys::v4l2_fract { numerator: 1, denominator: self.rate },
            ..zeroed()
        };
        Ok(())
    }

    /// Uses the requested frame rate if the current format has it, otherwise the first one.
    pub fn set_parameters(&mut self, parameters: &mut sys::v4l2_streamparm) -> Answered {
        self.check_type(parameters.type_)?;
        // SAFETY: any bytes are valid integers.
        let requested = unsafe { parameters.parm.capture }.timeperframe;
        let rate = requested.denominator / requested.numerator.max(1);
        let rates = self.current.as_ref().map(|current| {
            let sizes = self.sizes(u32::from_le_bytes(current.fourcc));
            sizes.iter().flat_map(|size| size.rates.iter().copied()).collect::<Vec<_>>()
        });
        let rates = rates.unwrap_or_default();
        self.rate = if rates.contains(&rate) { rate } else { rates.first().copied().unwrap_or(rate) }.max(1);
        self.get_parameters(parameters)
    }
}

/// Size and stride of each memory plane.
fn plane_sizes(fourcc: &[u8; 4], stride: u32, width: u32, height: u32) -> Vec<(u32, u32)> {
    let half = height.div_ceil(2);
    let each = strides(fourcc, stride as usize);
    let size = |at: usize, line: u32| match (fourcc, at) {
        (b"MJPG" | b"JPEG" | b"H264", _) => (width * height * 2).max(4096),
        (b"YU12" | b"YV12", _) => line * height + 2 * (line.div_ceil(2) * half),
        (b"NV12" | b"NV21", _) => line * height + line.next_multiple_of(2) * half,
        (b"NM12" | b"NM21" | b"YM12" | b"YM21", 1..) => line.next_multiple_of(2) * half,
        _ => line * height,
    };
    each.iter().enumerate().map(|(at, line)| (size(at, *line as u32), *line as u32)).collect()
}
