//! Commands that start and stop recordings on this machine.
//!
//! Recording itself is in `pipeline::recorder`.

use super::{Caller, Dispatcher};
use crate::model::protocol::{Code, Error, Reply};
use crate::pipeline::recorder::RecordError;

/// After how many milliseconds a command may be repeated of which there were too many.
const RETRY_AFTER_MS: u64 = 200;

impl Dispatcher {
    /// Starts or stops recording a camera.
    pub(super) fn record(&self, caller: &Caller, camera: Option<&str>, on: bool) -> Result<Reply, Error> {
        let camera = self.camera(caller, camera)?;
        let (recorder, index) = (&self.0.deps.recorder, self.index(&camera.name)?);
        if on && self.0.deps.privacy.is_on() {
            let message = "nothing is recorded while the privacy switch is on; privacy.set turns it off";
            return Err(Error::new(Code::Unavailable, message));
        }
        let done = if on { recorder.start(index) } else { recorder.stop(index) };
        done.map_err(|error| match error {
            RecordError::Busy => Error::busy(RETRY_AFTER_MS, error.to_string()),
            RecordError::Stopping => Error::new(Code::Unavailable, error.to_string()),
            RecordError::Off | RecordError::Always => Error::new(Code::Refused, error.to_string()),
        })?;
        Ok(Reply::Record { camera: camera.name.clone(), on })
    }
}
