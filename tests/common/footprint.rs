//! What the program holds while nobody watches, which clients have to leave as it was.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{LIMIT, POLL_INTERVAL, Porthole, request};

/// Waits until the camera and the microphone are closed, and nobody is listed.
pub async fn until_idle(porthole: &Porthole) -> Result<()> {
    let idle = |status: &Value| {
        status["viewers"] == 0 && status["cameras"][0]["state"] == "idle" && status["audio"]["state"] == "idle"
    };
    porthole.until_status("idle", idle).await?;
    let listed = call(porthole, "session.list", json!({})).await?;
    ensure!(listed["sessions"] == json!([]), "{listed:#}");
    Ok(())
}

/// The result of a command of the control protocol.
pub async fn call(porthole: &Porthole, method: &str, params: Value) -> Result<Value> {
    let body = json!({ "id": 1, "method": method, "params": params }).to_string();
    let headers = [("content-type", "application/json")];
    let answer = request("POST", &format!("{}api/command", porthole.base), &headers, body).await?;
    let mut answer: Value = serde_json::from_str(&answer.body)?;
    ensure!(answer.get("result").is_some(), "{method}: {answer:#}");
    Ok(answer["result"].take())
}

/// Connections, sockets and files, tasks and threads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Footprint {
    descriptors: usize,
    tasks: f64,
    threads: usize,
}

impl Footprint {
    /// What the program holds now.
    pub async fn of(porthole: &Porthole) -> Result<Self> {
        let tasks = porthole.metric("porthole_tasks").await?;
        Ok(Self { descriptors: porthole.descriptors()?, tasks, threads: porthole.threads()? })
    }

    /// Waits until the program holds no more than this.
    pub async fn until_restored(self, porthole: &Porthole) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let now = Self::of(porthole).await?;
            let Self { descriptors, tasks, threads } = now;
            if descriptors <= self.descriptors && tasks <= self.tasks && threads <= self.threads {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "before: {self:?}, after: {now:?}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}
