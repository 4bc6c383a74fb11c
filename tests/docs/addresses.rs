//! The addresses of the board in the pages for players: each is used as the program there uses it, with a token in the place that
//! the page gives it.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;

use crate::common::{OFFER, Porthole, SMALL, request, token};
use crate::rtsp;

/// The board in the documents, without a port.
const BOARD: &str = "192.168.1.20";

/// The pages for programs, and how many addresses each has at least.
const PAGES: [(&str, usize); 9] = [
    ("frigate", 2),
    ("go2rtc", 2),
    ("home-assistant", 4),
    ("mainsail-and-fluidd", 5),
    ("mediamtx", 3),
    ("obs", 3),
    ("octoprint", 3),
    ("players", 4),
    ("vlc-and-ffmpeg", 7),
];

/// The addresses in a text, as they are there.
fn addresses(markdown: &str) -> Vec<&str> {
    let words = markdown.split(|c: char| c.is_whitespace() || matches!(c, '`' | '"' | '|' | ',' | ';'));
    let words = words.map(|word| word.strip_prefix("location=").unwrap_or(word));
    words.filter(|word| word.contains("://") && word.contains(BOARD)).collect()
}

/// An address taken apart.
#[derive(Debug)]
struct Address {
    /// The last of its schemes, as some programs put their own before it.
    scheme: String,
    /// The user and the password.
    credentials: Option<String>,
    /// What follows the slash behind the host.
    path: String,
}

impl Address {
    fn of(text: &str, token: &str) -> Result<Self> {
        let text = text.replace("$TOKEN", "TOKEN").replace("TOKEN", token);
        let (scheme, rest) = text.split_once("://").context("no scheme")?;
        let (credentials, rest) = match rest.split_once('@') {
            Some((credentials, rest)) => (Some(credentials.to_owned()), rest),
            None => (None, rest),
        };
        let path = rest.split_once('/').map_or("", |(_, path)| path).split('#').next().unwrap_or_default();
        let scheme = scheme.rsplit([':', '=']).next().unwrap_or_default().to_owned();
        // The name stands for one that the reader has.
        Ok(Self { scheme, credentials, path: path.replace("garden", "door").replace("NAME", "door") })
    }

    /// The header that the program sends, if its secret is not in the query: in the pages without one it is entered beside.
    fn authorization(&self, token: &str) -> String {
        let pair = self.credentials.clone().unwrap_or_else(|| format!("any:{token}"));
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    }

    async fn describe(&self, porthole: &Porthole, token: &str) -> Result<()> {
        let mut client = rtsp::Client::new(porthole).await?;
        let refused = client.request("DESCRIBE", &self.path, &[]).await?;
        ensure!(refused.status == 401, "without a token: {refused:?}");
        let described =
            client.request("DESCRIBE", &self.path, &[("Authorization", &self.authorization(token))]).await?;
        let is_silent = self.path.contains("audio=off");
        ensure!(described.status == 200 && described.body.contains("m=audio") != is_silent, "{described:?}");
        Ok(())
    }

    /// A request as the program sends it.
    async fn fetch(&self, porthole: &Porthole, token: &str) -> Result<()> {
        let (method, path, media, body, status) = match self.path.split('?').next().unwrap_or_default() {
            "webrtc" => ("POST", self.path.clone(), "application/json", "{\"type\":\"request\"}", 200),
            path if path.starts_with("whep") => ("POST", self.path.clone(), "application/sdp", OFFER, 201),
            // What follows has no end.
            _ => ("HEAD", self.path.clone(), "", "", 200),
        };
        let url = format!("{}{path}", porthole.base);
        let authorization = self.authorization(token);
        let mut headers = vec![("content-type", media)];
        if !path.contains("token=") {
            let refused = request(method, &url, &headers, body.into()).await?;
            ensure!(refused.status == if path.is_empty() { 200 } else { 401 }, "without a token: {refused:?}");
            headers.push(("authorization", &authorization));
        }
        let answer = request(method, &url, &headers, body.into()).await?;
        ensure!(answer.status == status, "{answer:?}");
        let kind = answer.header("content-type").unwrap_or_default();
        let expected = match () {
            () if path.contains("stream") => "multipart/x-mixed-replace",
            () if path.contains("snapshot") => "image/jpeg",
            () if status == 201 => "application/sdp",
            () if path.starts_with("webrtc") => "application/json",
            () => "text/html",
        };
        ensure!(kind.starts_with(expected), "{kind} and not {expected}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_of_a_player_works() -> Result<()> {
    let state = tempfile::tempdir()?;
    let config = SMALL.replace("device = \"pattern\"", "device = \"pattern\"\nname = \"door\"");
    let config = format!("{config}\n[auth]\nmode = \"password\"\n[rtsp]\nlisten = \"127.0.0.1:0\"\n");
    let porthole = Porthole::start_with(&config, &[("STATE_DIRECTORY", state.path().into())])?;
    let secret = token(state.path(), &["add", "player", "--role", "viewer"])?;
    for (page, least) in PAGES {
        let text = crate::read(&format!("docs/{page}.md"));
        let addresses = addresses(&text);
        ensure!(addresses.len() >= least, "{page}: {addresses:?}");
        for text in addresses {
            let address = Address::of(text, &secret).context(text.to_owned())?;
            let used = match address.scheme.as_str() {
                "rtsp" => address.describe(&porthole, &secret).await,
                "http" | "whep" | "webrtc" => address.fetch(&porthole, &secret).await,
                // Of another program.
                _ => continue,
            };
            used.with_context(|| format!("{page}: {text}"))?;
        }
    }
    Ok(())
}
