//! Cards that are full, read-only or not mounted any more: real file systems in a namespace of their own. Live video does not
//! notice, what is wrong is said once, and recording goes on by itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::common::{LIMIT, Options, Porthole, Viewer, missing, numbers};
use crate::{config, files, namespace, until_listed, until_recorded};

/// Runs a scenario with mounts of its own.
fn with_mounts<S: FnOnce() -> Result<()>>(scenario: S) {
    namespace::isolated_with::<S>(&["--mount", "--pid"], || scenario().expect("the scenario should pass"));
}

fn run(line: &str) -> Result<()> {
    let status = Command::new("sh").args(["-c", line]).status()?;
    ensure!(status.success(), "{line}: {status}");
    Ok(())
}

/// Mounts a card of so many megabytes.
fn mount(directory: &Path, megabytes: u32) -> Result<()> {
    run(&format!("mount -t tmpfs -o size={megabytes}m card {}", directory.display()))
}

fn block_on(scenario: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(scenario)
}

/// Waits until the status says that recordings cannot be stored; why.
async fn until_failed(porthole: &Porthole) -> Result<String> {
    let status = porthole.until_status("a fault", |status| status["recording"]["failed"] == true).await?;
    Ok(status["recording"]["fault"].as_str().context("no reason")?.to_owned())
}

async fn until_recovered(porthole: &Porthole) -> Result<()> {
    let works = |status: &serde_json::Value| {
        status["recording"]["failed"] == false && status["recording"]["cameras"][0]["recording"] == true
    };
    porthole.until_status("recording goes on", works).await.map(drop)
}

/// Whether the log says why recording has stopped, once.
fn check_log(log: &str) -> Result<()> {
    ensure!(log.matches("recording stops, and is tried again").count() == 1, "{log}");
    ensure!(log.matches("recordings can be stored again").count() == 1, "{log}");
    Ok(())
}

#[test]
fn a_full_card_costs_recordings_and_no_frame() {
    with_mounts(|| {
        let folder = tempfile::tempdir()?;
        let card = folder.path().join("card");
        fs::create_dir(&card)?;
        mount(&card, 2)?;
        // Somebody else's.
        fs::write(card.join("other"), vec![0; 1_600_000])?;
        block_on(async {
            let porthole = Porthole::start(&config(&card, "mode = \"always\"\nkeep_bytes = \"\"\nsync = 1"))?;
            let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
            let watched = tokio::spawn(async move { numbers(&mut viewer, 300).await });
            let fault = until_failed(&porthole).await?;
            ensure!(fault.contains("No space left on device"), "{fault}");
            missing(&watched.await??, &porthole).await?;
            fs::remove_file(card.join("other"))?;
            until_recovered(&porthole).await?;
            let written = porthole.metric("porthole_recorded_bytes_total").await?;
            until_recorded(&porthole, written + 60_000.0).await?;
            ensure!(porthole.metric("porthole_recording_failures_total").await? > 0.0);
            porthole.signal("TERM")?;
            let (code, _, log) = porthole.wait()?;
            ensure!(code == Some(0), "{log}");
            check_log(&log)?;
            let all = files::all(&card)?;
            ensure!(all.len() >= 2, "{all:?}");
            for file in all {
                files::numbers(&file, (320, 180))?;
            }
            Ok(())
        })
    });
}

#[test]
fn a_card_that_is_taken_out_is_noticed_and_used_again() {
    with_mounts(|| {
        let folder = tempfile::tempdir()?;
        let card = folder.path().join("card");
        fs::create_dir(&card)?;
        mount(&card, 8)?;
        block_on(async {
            let directory = card.join("porthole");
            let porthole = Porthole::start(&config(&directory, "mode = \"always\"\nsync = 1"))?;
            let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
            until_recorded(&porthole, 60_000.0).await?;
            let watched = tokio::spawn(async move { numbers(&mut viewer, 200).await });
            run(&format!("umount -l {}", card.display()))?;
            until_failed(&porthole).await?;
            missing(&watched.await??, &porthole).await?;
            ensure!(!directory.exists(), "recordings go to the file system below");
            mount(&card, 8)?;
            until_recovered(&porthole).await?;
            let grown = |all: &[serde_json::Value]| all.iter().any(|one| one["bytes"].as_u64() > Some(60_000));
            until_listed(&porthole, "a file on the card", grown).await?;
            porthole.signal("TERM")?;
            let (_, _, log) = porthole.wait()?;
            check_log(&log)?;
            files::numbers(&files::only(&directory)?, (320, 180))?;
            Ok(())
        })
    });
}

#[test]
fn a_card_that_is_read_only_is_used_once_it_can_be_written() {
    with_mounts(|| {
        let folder = tempfile::tempdir()?;
        let card = folder.path().join("card");
        fs::create_dir(&card)?;
        mount(&card, 8)?;
        run(&format!("mount -o remount,ro {}", card.display()))?;
        block_on(async {
            let porthole = Porthole::start(&config(&card, "mode = \"always\""))?;
            let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
            let watched = tokio::spawn(async move { numbers(&mut viewer, 100).await });
            let fault = until_failed(&porthole).await?;
            ensure!(fault.contains("Read-only file system"), "{fault}");
            missing(&watched.await??, &porthole).await?;
            run(&format!("mount -o remount,rw {}", card.display()))?;
            until_recovered(&porthole).await?;
            until_recorded(&porthole, 60_000.0).await?;
            porthole.signal("TERM")?;
            let (_, _, log) = porthole.wait()?;
            check_log(&log)?;
            files::numbers(&files::only(&card)?, (320, 180))?;
            Ok(())
        })
    });
}

#[test]
fn the_oldest_recordings_make_room() {
    with_mounts(|| {
        let folder = tempfile::tempdir()?;
        let card = folder.path().join("card");
        fs::create_dir(&card)?;
        mount(&card, 16)?;
        block_on(async {
            // A file of a quarter of it, but at least 1 MB.
            let lines = "mode = \"always\"\nkeep_bytes = \"4 MB\"\nsync = 1";
            let fast = config(&card, lines).replace("bitrate = 300000", "bitrate = 2000000");
            let porthole = Porthole::start(&fast.replace("width = 320", "width = 640").replace("= 180", "= 360"))?;
            let third = |all: &[serde_json::Value]| all.iter().any(|one| one["id"].as_u64() >= Some(2));
            let listed = until_listed(&porthole, "a second file", third).await?;
            ensure!(listed[0]["id"] == 1, "{listed:#?}");
            let url = format!("{}api/recordings/1/protected", porthole.base);
            let answer = crate::common::request("PUT", &url, &[], String::new()).await?;
            ensure!(answer.status == 204, "{answer:?}");
            let later = |all: &[serde_json::Value]| all.iter().any(|one| one["id"].as_u64() >= Some(6));
            let deadline = std::time::Instant::now() + 3 * LIMIT;
            loop {
                let listed = crate::list(&porthole).await?;
                let total: u64 = listed.iter().filter_map(|one| one["bytes"].as_u64()).sum();
                // What is written between two looks at the directory.
                ensure!(total < 5_000_000, "{total}: {listed:#?}");
                ensure!(listed[0]["id"] == 1 && listed[0]["protected"] == true, "{listed:#?}");
                if later(&listed) {
                    ensure!(listed[1]["id"].as_u64() > Some(2), "{listed:#?}");
                    return Ok(());
                }
                ensure!(std::time::Instant::now() < deadline, "{listed:#?}");
                tokio::time::sleep(crate::common::POLL_INTERVAL).await;
            }
        })
    });
}
