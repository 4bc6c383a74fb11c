//! The tone.
use super::*;
pub struct Tone;
impl Tone {
    pub fn open(_: u16) -> Self {
        todo!()
    }
}
impl PcmSource for Tone {
    fn label(&self) -> &str {
        todo!()
    }
    fn channels(&self) -> u16 {
        todo!()
    }
    fn next(&mut self, _: Duration) -> Result<Option<PcmFrame>, Error> {
        todo!()
    }
}
