//! V4L2 capture.
use super::*;
pub struct Capture;
pub fn first_capture_device() -> Option<String> {
    None
}
impl Capture {
    pub fn open(_: &Config, _: &str) -> Result<Self, Error> {
        todo!()
    }
}
impl VideoSource for Capture {
    fn format(&self) -> VideoFormat {
        todo!()
    }
    fn label(&self) -> &str {
        todo!()
    }
    fn is_pattern(&self) -> bool {
        false
    }
    fn next(&mut self, _: Duration) -> Result<Option<RawFrame>, Error> {
        todo!()
    }
    fn dropped(&self) -> Dropped {
        todo!()
    }
}
