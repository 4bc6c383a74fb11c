//! Join time: from the POST to the first decoded frame.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::CONFIG;
use crate::common::{LIMIT, Porthole};
use crate::table::{Table, spread};
use crate::viewers::{Join, Viewers, join};

/// Joins to a running camera: the number in the requirement.
const WATCHED: usize = 20;

/// Joins to an idle camera.
const IDLE: usize = 10;

/// Interval for polling whether the camera is closed: too long to slow down the join.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Measures and adds the rows.
pub async fn measure(table: &mut Table) -> Result<()> {
    let porthole = Porthole::start(CONFIG)?;
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        closed(&porthole).await?;
        idle.push(join(&porthole.base).await?);
    }
    let other = Viewers::start(&porthole.base, 1)?;
    let mut watched = Vec::new();
    for _ in 0..WATCHED {
        // At a random phase to the camera's frames, and after the minimum key frame interval.
        tokio::time::sleep(Duration::from_millis(rand::random_range(400..500))).await;
        watched.push(join(&porthole.base).await?);
    }
    other.leave()?;
    for (what, joins, aim) in
        [("while another watches", &watched, "150 ms"), ("the first viewer of an idle camera", &idle, "")]
    {
        let part = |time: fn(&Join) -> f64| -> Vec<f64> { joins.iter().map(time).collect() };
        let figure = spread(&part(|join| join.decoded), 0, " ms");
        let [connected, arrived] = [part(|join| join.connected), part(|join| join.arrived)];
        table.row(format!("e. POST to first decoded frame, {what}, {} joins", joins.len()), figure, aim);
        let figure =
            format!("connected {}, first frame complete {}", spread(&connected, 0, " ms"), spread(&arrived, 0, " ms"));
        table.row("e. On the way", figure, "");
    }
    table.raw("join", serde_json::json!({ "watched": watched, "idle": idle }))
}

/// Waits until there are no viewers and the camera is closed.
pub async fn closed(porthole: &Porthole) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while porthole.metric("porthole_viewers").await? + porthole.metric("porthole_cameras_open").await? > 0.0 {
        anyhow::ensure!(Instant::now() < deadline, "the camera did not close within {LIMIT:?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}
