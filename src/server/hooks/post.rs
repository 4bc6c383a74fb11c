//! Posts events to a server. Each is posted once: a server that was away would get a heap of old events, and could not tell one
//! that is repeated from another one.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::time::timeout;

use super::config::{HookHeader, HookTarget};
use super::failure::HookFailure;
use crate::server::client::{ClientRequest, HttpClient, Method, header};

/// The largest file with headers.
const MAX_FILE: u64 = 16 * 1024;

/// The client's own limit is this much longer than ours, so that ours is what ends a request.
const MARGIN: Duration = Duration::from_secs(1);

/// Posts JSON, and waits for the response for `limit` at most.
///
/// # Errors
///
/// [`HookFailure`] when the server does not take it.
pub async fn post(client: &HttpClient, target: &HookTarget, json: String, limit: Duration) -> Result<(), HookFailure> {
    let posted = timeout(limit, exchange(client, target, json, limit + MARGIN)).await;
    posted.unwrap_or_else(|_| Err(HookFailure::TimedOut(format!("no response within {} s", limit.as_secs()))))
}

async fn exchange(client: &HttpClient, target: &HookTarget, json: String, limit: Duration) -> Result<(), HookFailure> {
    let mut headers = target.headers.clone();
    if let Some(path) = target.headers_file.clone() {
        // A file may be slow.
        let read = tokio::task::spawn_blocking(move || read_headers(&path)).await;
        let read = read.unwrap_or_else(|stopped| Err(anyhow!("headers_file: {stopped}")));
        headers.extend(read.map_err(|error| HookFailure::Failed(format!("{error:#}")))?);
    }
    let own = (header::CONTENT_TYPE, "application/json".to_owned());
    let headers = headers.into_iter().map(|HookHeader { name, value }| (name, value)).chain([own]).collect();
    let (method, url, body) = (Method::POST, &target.url, json.into());
    let request = ClientRequest { method, url, headers, body, public_only: false };
    let response = client.send(request, limit).await.map_err(|error| HookFailure::Failed(error.to_string()))?;
    refusal(response.status).map_or(Ok(()), |words| Err(HookFailure::Failed(words)))
}

/// What a status means; `None` when the server has taken the event.
fn refusal(status: u16) -> Option<String> {
    let meaning = match status {
        200..=299 => return None,
        300..=399 => "the server redirects, which is not followed; use the URL that it redirects to",
        401 | 403 => "the server refuses; check the token in headers or headers_file",
        404 | 405 | 410 => "the server has nothing for it there; check the path in url",
        429 => "the server is asked too often",
        500.. => "the server failed",
        _ => "the server refuses",
    };
    Some(format!("{meaning} (status {status})"))
}

/// The headers in a file, one a line. Blocks.
///
/// # Errors
///
/// When it cannot be read, or something else is in it.
pub fn read_headers(path: &Path) -> anyhow::Result<Vec<HookHeader>> {
    let shown = path.display();
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    read.with_context(|| format!("read {shown}; check the path and who may read it"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let headers: Option<Vec<HookHeader>> = lines.map(HookHeader::parse).collect();
    let headers = headers.filter(|headers| !headers.is_empty());
    headers.ok_or_else(|| anyhow!("{shown}: not a header on each line, such as Authorization: Bearer TOKEN"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_header_on_each_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("headers");
        std::fs::write(&path, "Authorization: Bearer geheim\r\n\nX-Tag: door\n").unwrap();
        let headers = read_headers(&path).unwrap();
        assert_eq!(headers.iter().map(|header| header.value.as_str()).collect::<Vec<_>>(), ["Bearer geheim", "door"]);
        for text in ["", "\n", "geheim", "Authorization: Bearer geheim\ngeheim"] {
            std::fs::write(&path, text).unwrap();
            let wrong = format!("{:#}", read_headers(&path).unwrap_err());
            assert!(wrong.contains("not a header on each line") && !wrong.contains("geheim"), "{wrong}");
        }
        let missing = format!("{:#}", read_headers(&folder.path().join("missing")).unwrap_err());
        assert!(missing.contains("check the path and who may read it"), "{missing}");
    }

    #[test]
    fn only_success_is_no_refusal() {
        for status in 100..=999 {
            let is_taken = (200..300).contains(&status);
            assert_eq!(refusal(status).is_none(), is_taken, "{status}");
            assert!(is_taken || refusal(status).is_some_and(|words| words.contains(&format!("(status {status})"))));
        }
    }
}
