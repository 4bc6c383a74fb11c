//! How connections to the broker begin and end: its will, a broker that is away for a while, wrong passwords, TLS, changed
//! configurations, and those that the documentation shows.

use std::path::Path;

use anyhow::{Result, ensure};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use crate::broker::{Broker, Listener, free_port};
use crate::common::{Options, Porthole, SMALL, Viewer, request};
use crate::{config, online};

async fn set_privacy(porthole: &Porthole, on: bool) -> Result<()> {
    let body = json!({ "id": 1, "method": "privacy.set", "params": { "on": on } }).to_string();
    let headers = [("Content-Type", "application/json")];
    let answer = request("POST", &format!("{}api/command", porthole.base), &headers, body).await?;
    ensure!(serde_json::from_str::<Value>(&answer.body)?["result"]["on"] == on, "{}", answer.body);
    Ok(())
}

async fn connected(porthole: &Porthole) -> Result<()> {
    porthole.until_status("the broker is connected", |status| status["mqtt"]["connected"] == true).await.map(drop)
}

/// Waits until there is no connection; why.
async fn fault(porthole: &Porthole, words: &str) -> Result<String> {
    let has_fault = |status: &Value| status["mqtt"]["fault"].as_str().is_some_and(|fault| fault.contains(words));
    let status = porthole.until_status(&format!("a fault: {words}"), has_fault).await?;
    ensure!(status["mqtt"]["connected"] == false, "{status:#}");
    Ok(status["mqtt"]["fault"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_tells_that_the_device_is_gone() -> Result<()> {
    let broker = Broker::start()?;
    for (signal, code) in [("KILL", None), ("TERM", Some(0))] {
        let listener = broker.listen()?;
        let porthole = Porthole::start(&config(&broker, ""))?;
        // Other devices were online before.
        let status = status_topic(&listener).await?;
        porthole.signal(signal)?;
        assert_eq!(porthole.wait()?.0, code);
        ensure!(listener.last(&status, "offline").await?.retained, "{status}");
    }
    Ok(())
}

/// The topic of the only device that is online.
async fn status_topic(listener: &Listener) -> Result<String> {
    listener
        .until("a device is online", |messages| {
            let mut topics = messages.iter().filter(|message| message.is_device_status());
            topics.rfind(|message| message.text() == "online").map(|message| message.topic.clone())
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_is_told_the_newest_state() -> Result<()> {
    let mut broker = Broker::start()?;
    let porthole = Porthole::start(&config(&broker, "privacy = \"set\""))?;
    connected(&porthole).await?;
    broker.stop()?;
    fault(&porthole, "broker").await?;
    let _viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    for on in [true, false, true] {
        set_privacy(&porthole, on).await?;
    }
    // It is not to connect before somebody listens to all of it.
    porthole.signal("STOP")?;
    broker.restart()?;
    let listener = broker.listen()?;
    porthole.signal("CONT")?;
    let base = online(&listener).await?;
    listener.last(&format!("{base}viewers"), "1").await?;
    listener.last(&format!("{base}watched"), "ON").await?;
    // Only the newest, and no others before it.
    assert_eq!(listener.payloads(&format!("{base}privacy")), ["ON"]);
    broker.publish(&format!("{base}privacy/set"), b"OFF", &[])?;
    listener.last(&format!("{base}privacy"), "OFF").await?;
    assert_eq!(porthole.metric("porthole_mqtt_connections_total").await?, 2.0);
    porthole.signal("TERM")?;
    let (_, _, log) = porthole.wait()?;
    assert_eq!(log.matches("trying again").count(), 1, "{log}");
    assert_eq!(log.matches("MQTT: connected to mqtt://127.0.0.1").count(), 2, "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_tried_again() -> Result<()> {
    let broker = Broker::start_with_user("porthole", "right-secret", &|_| String::new())?;
    let file = broker.folder.path().join("password");
    std::fs::write(&file, "wrong-secret\n")?;
    let lines = format!("username = \"porthole\"\npassword_file = \"{}\"", file.display());
    let porthole = Porthole::start(&config(&broker, &lines))?;
    let words = fault(&porthole, "password").await?;
    ensure!(words.contains("check [mqtt] username and password"), "{words}");
    // The file is read again at the next attempt.
    std::fs::write(&file, "right-secret\n")?;
    connected(&porthole).await?;
    porthole.signal("TERM")?;
    let (_, _, log) = porthole.wait()?;
    assert_eq!(log.matches("rejects the user or the password").count(), 1, "{log}");
    ensure!(!log.contains("secret"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_watches_a_device_that_has_stopped() -> Result<()> {
    let broker = Broker::start()?;
    let listener = broker.listen()?;
    let porthole = Porthole::start(&config(&broker, ""))?;
    let base = online(&listener).await?;
    let _viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    listener.last(&format!("{base}viewers"), "1").await?;
    porthole.signal("TERM")?;
    let (code, duration, _) = porthole.wait()?;
    ensure!(code == Some(0) && duration.as_secs() < 5, "it should stop soon: {duration:?}");
    listener.last(&format!("{base}status"), "offline").await?;
    for (topic, payload) in [("watched", "OFF"), ("viewers", "0")] {
        listener.last(&format!("{base}{topic}"), payload).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_refuses_is_told_once() -> Result<()> {
    let broker = Broker::start_with_user("porthole", "right-secret", &|folder| {
        let acl = folder.join("acl");
        std::fs::write(&acl, "user porthole\ntopic read #\n").expect("the folder should be writable");
        format!("acl_file {}\n", acl.display())
    })?;
    let lines = "username = \"porthole\"\npassword = \"right-secret\"";
    let porthole = Porthole::start(&config(&broker, lines))?;
    let has_fault = |status: &Value| {
        let fault = status["mqtt"]["fault"].as_str().is_some_and(|fault| fault.contains("may this user publish?"));
        fault && status["mqtt"]["connected"] == true
    };
    porthole.until_status("a refused message", has_fault).await?;
    porthole.until_metric("porthole_mqtt_published_total", |published| published >= 5.0).await?;
    porthole.signal("TERM")?;
    let (_, _, log) = porthole.wait()?;
    assert_eq!(log.matches("refuses").count(), 1, "{log}");
    ensure!(!log.contains("PubAck Pkid"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_broker_is_told() -> Result<()> {
    // It accepts connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let url = format!("url = \"mqtt://127.0.0.1:{}\"", silent.local_addr()?.port());
    let porthole = Porthole::start(&format!("{SMALL}\n[mqtt]\n{url}\n"))?;
    fault(&porthole, "is it a broker").await?;
    assert_eq!(porthole.metric("porthole_mqtt_connected").await?, 0.0);
    porthole.signal("TERM")?;
    let (code, duration, _) = porthole.wait()?;
    ensure!(code == Some(0) && duration.as_secs() < 5, "it should stop at once: {duration:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_turns_it_on_changes_it_and_turns_it_off() -> Result<()> {
    let (broker, folder) = (Broker::start()?, tempfile::tempdir()?);
    let file = folder.path().join("porthole.toml");
    let common = format!("{SMALL}\n[auth]\nmode = \"none\"\n[rtc]\nudp_port = 0\n");
    std::fs::write(&file, &common)?;
    let porthole = Porthole::start_file(&file, &[])?;
    assert_eq!(porthole.status().await?["mqtt"], Value::Null);
    let listener = broker.listen()?;
    let reload = |section: &str| {
        std::fs::write(&file, format!("{common}{section}"))?;
        porthole.signal("HUP")
    };
    reload(&format!("[mqtt]\nurl = \"{}\"\n", broker.url()))?;
    let base = online(&listener).await?;
    reload(&format!("[mqtt]\nurl = \"{}\"\ntopic = \"other\"\n", broker.url()))?;
    listener.last(&format!("{base}status"), "offline").await?;
    let other = base.replacen("porthole", "other", 1);
    listener.last(&format!("{other}status"), "online").await?;
    reload("")?;
    listener.last(&format!("{other}status"), "offline").await?;
    porthole.until_status("MQTT is off", |status| status["mqtt"].is_null()).await?;
    Ok(())
}

/// The configurations that the documentation shows, in order.
fn documented() -> Result<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/home-assistant.md");
    let text = std::fs::read_to_string(path)?;
    let blocks = text.split("```toml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()));
    Ok(blocks.collect())
}

/// A certificate for localhost and its key, in PEM.
fn certificate() -> Result<(String, String)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[tokio::test(flavor = "multi_thread")]
async fn documented_configurations_work() -> Result<()> {
    let documented = documented()?;
    let [plain, encrypted] = &documented[..] else { panic!("two configurations: {documented:?}") };
    let password = "the password of that user";
    let (tls_port, pem) = (free_port()?, certificate()?);
    let broker = Broker::start_with_user("porthole", password, &|folder| {
        let path = |name: &str| folder.join(name).display().to_string();
        std::fs::write(path("ca.pem"), &pem.0).expect("the folder should be writable");
        std::fs::write(path("key.pem"), &pem.1).expect("the folder should be writable");
        format!("listener {tls_port} 127.0.0.1\ncertfile {}\nkeyfile {}\n", path("ca.pem"), path("key.pem"))
    })?;
    let listener = broker.listen()?;
    let file = |name: &str| broker.folder.path().join(name).display().to_string();
    std::fs::write(file("password"), format!("{password}\n"))?;
    let plain = plain
        .replace("mqtt://192.168.1.10:1883", &broker.url())
        .replace("/etc/porthole/mqtt-password", &file("password"));
    ensure!(plain.contains(&broker.url()) && plain.contains(&file("password")), "{plain}");
    let porthole = Porthole::start(&format!("{SMALL}\n{plain}"))?;
    connected(&porthole).await?;
    let base = online(&listener).await?;
    let picture = format!("{base}camera/camera/picture");
    listener.until("a picture", |messages| messages.iter().find(|m| m.topic == picture).map(|_| ())).await?;
    drop(porthole);

    let lines = encrypted
        .replace("mqtts://homeassistant.local:8883", &format!("mqtts://localhost:{tls_port}"))
        .replace("/run/credentials/porthole.service/mqtt", &file("password"));
    let trusted = lines.replace("/etc/porthole/ca.pem", &file("ca.pem"));
    ensure!(trusted.matches(&file("")).count() == 2, "{trusted}");
    let porthole = Porthole::start(&format!("{SMALL}\n{trusted}"))?;
    connected(&porthole).await?;
    // The certificate is for another name.
    let porthole = Porthole::start(&format!("{SMALL}\n{}", trusted.replace("//localhost:", "//127.0.0.1:")))?;
    let words = fault(&porthole, "certificate").await?;
    ensure!(words.contains("write the name in [mqtt] url"), "{words}");
    // A certificate of an authority that is not trusted.
    std::fs::write(file("other.pem"), certificate()?.0)?;
    let porthole = Porthole::start(&format!("{SMALL}\n{}", lines.replace("/etc/porthole/ca.pem", &file("other.pem"))))?;
    let words = fault(&porthole, "certificate").await?;
    ensure!(words.contains("[mqtt] ca"), "{words}");
    Ok(())
}
