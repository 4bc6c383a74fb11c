//! The test pattern.
use super::*;
pub struct Pattern;
impl Pattern {
    pub fn open(_: &Config) -> Self {
        todo!()
    }
}
impl VideoSource for Pattern {
    fn format(&self) -> VideoFormat {
        todo!()
    }
    fn label(&self) -> &str {
        todo!()
    }
    fn is_pattern(&self) -> bool {
        true
    }
    fn next(&mut self, _: Duration) -> Result<Option<RawFrame>, Error> {
        todo!()
    }
    fn dropped(&self) -> Dropped {
        todo!()
    }
}
