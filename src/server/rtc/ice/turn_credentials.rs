//! The STUN and TURN servers for one viewer, with credentials of its own where we share a secret with the TURN server
//! (draft-uberti-behave-turn-rest, `use-auth-secret` of coturn). Pure: time and names are arguments.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;

use crate::server::rtc::config::IceServer;

/// How long a viewer's credentials are valid. The server checks them again when the viewer refreshes its allocation,
/// and an ICE restart allocates anew with the credentials that the page was given at its start: they have to last as
/// long as somebody watches. The draft recommends a day.
const CREDENTIAL_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The servers for one viewer, called `name` in the TURN server's log.
pub fn for_viewer(servers: &[IceServer], now: SystemTime, name: &str) -> Vec<IceServer> {
    servers
        .iter()
        .map(|server| match &server.secret {
            None => server.clone(),
            Some(secret) => {
                // With a clock before 1970 the credentials would be wrong anyway.
                let expiry = (now + CREDENTIAL_LIFETIME).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                let username = format!("{expiry}:{name}");
                let credential = Some(credential(secret, &username));
                IceServer { urls: server.urls.clone(), username: Some(username), credential, secret: None }
            }
        })
        .collect()
}

/// The password that the TURN server computes for a username.
fn credential(secret: &str, username: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    BASE64_STANDARD.encode(hmac::sign(&key, username.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_secret_makes_credentials_that_expire() {
        let server = IceServer {
            urls: vec!["turn:turn.example.org:3478?transport=udp".into()],
            secret: Some("north".into()),
            ..IceServer::default()
        };
        let servers = for_viewer(&[server], UNIX_EPOCH + Duration::from_secs(1_700_000_000), "0a1b");
        let [servers] = servers.as_slice() else { panic!("one server should be one server") };
        assert_eq!(servers.urls, ["turn:turn.example.org:3478?transport=udp"]);
        assert_eq!(servers.username.as_deref(), Some("1700086400:0a1b"));
        // printf %s 1700086400:0a1b | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(servers.credential.as_deref(), Some("driOKMZBUOfdJ+8+gPRg5yM1VWc="));
        assert_eq!(servers.secret, None, "the secret stays here");
    }

    #[test]
    fn the_digest_is_that_of_rfc_2202() {
        // Test case 2 of section 3.
        assert_eq!(credential("Jefe", "what do ya want for nothing?"), "7/zfauXrL6LSdBbV8YTfnCWafHk=");
    }

    #[test]
    fn other_servers_stay_as_they_are() {
        let servers = [
            IceServer { urls: vec!["stun:stun.example.org".into()], ..IceServer::default() },
            IceServer {
                urls: vec!["turn:turn.example.org".into()],
                username: Some("board".into()),
                credential: Some("word".into()),
                secret: None,
            },
        ];
        assert_eq!(for_viewer(&servers, UNIX_EPOCH, "0a1b"), servers);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let server =
            IceServer { credential: Some("hidden".into()), secret: Some("hidden".into()), ..IceServer::default() };
        assert!(!format!("{server:?}").contains("hidden"));
    }
}
