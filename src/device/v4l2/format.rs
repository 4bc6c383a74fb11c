//! Gets and sets the pixel format, size and frame rate of a V4L2 node (`VIDIOC_S_FMT`, `VIDIOC_G_PARM`,
//! `VIDIOC_S_PARM`), single- and multi-planar.
//!
//! What a node supports is in `enumerate.rs`.

use std::fmt;
use std::io;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use super::device::{BufferType, Device};
use super::ioctl::{ioctl, zeroed};

/// A pixel format as a four-character code, packed as V4L2 does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub u32);

impl FourCc {
    /// From the four characters given in the kernel's documentation.
    pub const fn new(characters: &[u8; 4]) -> Self {
        Self(u32::from_le_bytes(*characters))
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The highest bit marks a big-endian variant (`v4l2_fourcc_be`).
        for byte in (self.0 & 0x7fff_ffff).to_le_bytes() {
            let shown = if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' };
            write!(f, "{shown}")?;
        }
        if self.0 & 0x8000_0000 != 0 { write!(f, "-BE") } else { Ok(()) }
    }
}

/// A frame interval as V4L2 reports it: a fraction of seconds per frame. The denominator may be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction {
    /// The numerator.
    pub numerator: u32,
    /// The denominator.
    pub denominator: u32,
}

impl Fraction {
    /// Frames per second; `None` if the driver reported a zero.
    pub fn rate(self) -> Option<f64> {
        (self.numerator != 0 && self.denominator != 0).then(|| f64::from(self.denominator) / f64::from(self.numerator))
    }

    pub(super) const fn from_sys(fraction: sys::v4l2_fract) -> Self {
        Self { numerator: fraction.numerator, denominator: fraction.denominator }
    }
}

/// Whether a frame is progressive or consists of fields (`enum v4l2_field`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldOrder {
    /// All rows captured at the same time, in order.
    Progressive,
    /// Two interleaved fields: a complete frame that shows combing in motion.
    Interlaced,
    /// Separate fields, alternating or stacked: not a complete frame.
    Split(u32),
}

impl FieldOrder {
    fn from_sys(field: u32) -> Self {
        match field {
            // Drivers must not return `ANY`, but some leave the field unset and mean progressive.
            sys::v4l2_field_V4L2_FIELD_NONE | sys::v4l2_field_V4L2_FIELD_ANY => Self::Progressive,
            sys::v4l2_field_V4L2_FIELD_INTERLACED
            | sys::v4l2_field_V4L2_FIELD_INTERLACED_TB
            | sys::v4l2_field_V4L2_FIELD_INTERLACED_BT => Self::Interlaced,
            other => Self::Split(other),
        }
    }
}

/// The fields of a format that say what its sample values mean, as the driver filled them in: `enum v4l2_colorspace`,
/// `v4l2_ycbcr_encoding`, `v4l2_quantization` and `v4l2_xfer_func`. Zero leaves the choice to the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ColorFields {
    /// The primaries, and defaults of the others.
    pub colorspace: u32,
    /// From red, green and blue to luma and chroma.
    pub ycbcr_encoding: u32,
    /// Full or limited range.
    pub quantization: u32,
    /// From signal to light.
    pub transfer: u32,
}

/// A frame format as set by the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedFormat {
    /// Layout of the bytes.
    pub fourcc: FourCc,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Progressive, or which kind of fields.
    pub field: FieldOrder,
    /// Bytes per row of each memory plane: one for all planes of the frame, or one each. Zero for compressed formats.
    pub strides: Vec<u32>,
    /// What the sample values mean.
    pub color: ColorFields,
}

impl Device {
    /// Requests a format and returns the one that the driver set, which may differ in every field.
    ///
    /// # Errors
    ///
    /// The kernel's errno; `EBUSY` while another program streams.
    pub fn set_format(
        &self,
        kind: BufferType,
        fourcc: FourCc,
        width: u32,
        height: u32,
    ) -> io::Result<NegotiatedFormat> {
        let mut format = zeroed::<sys::v4l2_format>();
        format.type_ = kind.raw();
        let field = sys::v4l2_field_V4L2_FIELD_NONE;
        if kind.is_multi_planar() {
            // SAFETY: the struct was zeroed, and zero is valid for each of its integers.
            let rest = unsafe { format.fmt.pix_mp };
            format.fmt.pix_mp = sys::v4l2_pix_format_mplane { width, height, pixelformat: fourcc.0, field, ..rest };
        } else {
            // SAFETY: as above.
            let rest = unsafe { format.fmt.pix };
            format.fmt.pix = sys::v4l2_pix_format { width, height, pixelformat: fourcc.0, field, ..rest };
        }
        // SAFETY: the request is made for this struct; the capture variants hold no pointers.
        unsafe { ioctl(self.fd(), vidioc::VIDIOC_S_FMT, &mut format) }?;
        Ok(negotiated(kind, &format))
    }

    /// The current frame interval of the node; `None` if the driver reports none.
    ///
    /// # Errors
    ///
    /// The kernel's errno; `ENOTTY` if the driver does not support the call.
    pub fn frame_interval(&self, kind: BufferType) -> io::Result<Option<Fraction>> {
        let mut parameters: sys::v4l2_streamparm = zeroed();
        parameters.type_ = kind.raw();
        // SAFETY: the request is made for this struct; the capture variant holds no pointers.
        unsafe { ioctl(self.fd(), vidioc::VIDIOC_G_PARM, &mut parameters) }?;
        Ok(interval(&parameters))
    }

    /// Requests a frame interval and returns the nearest supported one, which the driver set.
    ///
    /// # Errors
    ///
    /// The kernel's errno; `ENOTTY` if the driver cannot change its rate.
    pub fn set_frame_interval(&self, kind: BufferType, requested: Fraction) -> io::Result<Option<Fraction>> {
        let mut parameters: sys::v4l2_streamparm = zeroed();
        parameters.type_ = kind.raw();
        parameters.parm.capture = sys::v4l2_captureparm {
            timeperframe: sys::v4l2_fract { numerator: requested.numerator, denominator: requested.denominator },
            // SAFETY: the struct was zeroed, and zero is valid for each of its integers.
            ..unsafe { parameters.parm.capture }
        };
        // SAFETY: the request is made for this struct; the capture variant holds no pointers.
        unsafe { ioctl(self.fd(), vidioc::VIDIOC_S_PARM, &mut parameters) }?;
        Ok(interval(&parameters))
    }
}

fn negotiated(kind: BufferType, format: &sys::v4l2_format) -> NegotiatedFormat {
    if kind.is_multi_planar() {
        // SAFETY: every variant of the union consists of integers, so any bytes are valid; by the type field, this is
        // the variant that the driver filled in.
        let pix = unsafe { format.fmt.pix_mp };
        // The struct is packed, so its fields are copied, never borrowed.
        let planes = pix.plane_fmt;
        NegotiatedFormat {
            fourcc: FourCc(pix.pixelformat),
            width: pix.width,
            height: pix.height,
            field: FieldOrder::from_sys(pix.field),
            strides: planes.into_iter().take(pix.num_planes.into()).map(|plane| plane.bytesperline).collect(),
            color: ColorFields {
                colorspace: pix.colorspace,
                // SAFETY: both names of the union are one byte.
                ycbcr_encoding: unsafe { pix.__bindgen_anon_1.ycbcr_enc }.into(),
                quantization: pix.quantization.into(),
                transfer: pix.xfer_func.into(),
            },
        }
    } else {
        // SAFETY: as above.
        let pix = unsafe { format.fmt.pix };
        NegotiatedFormat {
            fourcc: FourCc(pix.pixelformat),
            width: pix.width,
            height: pix.height,
            field: FieldOrder::from_sys(pix.field),
            strides: vec![pix.bytesperline],
            color: single_planar_color(&pix),
        }
    }
}

/// The fields after `priv` hold something only where it has the magic number (`struct v4l2_pix_format`).
fn single_planar_color(pix: &sys::v4l2_pix_format) -> ColorFields {
    if pix.priv_ != sys::V4L2_PIX_FMT_PRIV_MAGIC {
        return ColorFields { colorspace: pix.colorspace, ..ColorFields::default() };
    }
    ColorFields {
        colorspace: pix.colorspace,
        // SAFETY: both names of the union are one integer of 32 bits.
        ycbcr_encoding: unsafe { pix.__bindgen_anon_1.ycbcr_enc },
        quantization: pix.quantization,
        transfer: pix.xfer_func,
    }
}

fn interval(parameters: &sys::v4l2_streamparm) -> Option<Fraction> {
    // SAFETY: as in `picture`.
    let capture = unsafe { parameters.parm.capture };
    let fraction = Fraction::from_sys(capture.timeperframe);
    fraction.rate().map(|_| fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_fourcc_is_displayable() {
        assert_eq!(FourCc::new(b"YUYV").to_string(), "YUYV");
        assert_eq!(FourCc(u32::from_le_bytes(*b"Y16 ") | 0x8000_0000).to_string(), "Y16 -BE");
        assert_eq!(FourCc(0x0102_00ff).to_string(), "????");
    }

    #[test]
    fn plane_count_is_taken_from_the_driver_and_bounded() {
        let mut format = zeroed::<sys::v4l2_format>();
        let plane = |bytesperline, sizeimage| sys::v4l2_plane_pix_format { sizeimage, bytesperline, reserved: [0; 6] };
        // SAFETY: the struct was zeroed, and zero is valid for each of its integers.
        let mut pix = unsafe { format.fmt.pix_mp };
        (pix.width, pix.height, pix.num_planes) = (640, 480, 2);
        pix.plane_fmt = [plane(704, 704 * 480); 8];
        format.fmt.pix_mp = pix;
        let answer = negotiated(BufferType::VideoCaptureMplane, &format);
        assert_eq!((answer.width, answer.height), (640, 480));
        assert_eq!(answer.strides, [704, 704]);
        pix.num_planes = 255;
        format.fmt.pix_mp = pix;
        assert_eq!(negotiated(BufferType::VideoCaptureMplane, &format).strides.len(), 8, "bounded by the array");
        assert_eq!(negotiated(BufferType::VideoCapture, &format).strides.len(), 1);
    }

    #[test]
    fn fraction_with_a_zero_has_no_rate() {
        assert_eq!(Fraction { numerator: 1, denominator: 30 }.rate(), Some(30.0));
        assert_eq!(Fraction { numerator: 0, denominator: 30 }.rate(), None);
        assert_eq!(Fraction { numerator: 1, denominator: 0 }.rate(), None);
    }
}
