//! Commands that start and stop publishing cameras to servers.
//!
//! Publishing itself is in `publish`, which follows the switches that are set here.

use super::{Caller, Dispatcher};
use crate::model::protocol::{Code, Error, Reply};

impl Dispatcher {
    /// Starts or stops publishing a camera, or all that have a `[[publish]]` section.
    pub(super) fn publish(&self, caller: &Caller, camera: Option<&str>, on: bool) -> Result<Reply, Error> {
        if !self.0.deps.publish.set(camera, on) {
            let of = camera.map_or(String::new(), |camera| format!(" of the camera {camera:?}"));
            let message = format!("no [[publish]] section{of} in the configuration; add one with its url");
            return Err(Error::new(Code::NotFound, message));
        }
        let done = if on { "started" } else { "stopped" };
        let what = camera.map_or("all cameras".into(), |camera| format!("the camera {camera:?}"));
        tracing::info!("{} has {done} publishing {what}", self.name(caller));
        Ok(Reply::Done {})
    }
}
