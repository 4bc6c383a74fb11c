//! STUN and TURN servers as `Link` headers, in the form that WHIP and WHEP share (RFC 9725 section 4.6, RFC 8288). Pure.

use warp::http::HeaderValue;

use crate::server::rtc::IceServer;

/// One header for each URL. A server whose credentials contain control characters, which no header can carry, is left
/// out.
pub fn headers<'s>(servers: impl Iterator<Item = &'s IceServer>) -> Vec<HeaderValue> {
    let urls = servers.flat_map(|server| server.urls.iter().map(move |url| (server, url)));
    urls.filter_map(|(server, url)| header(server, url)).collect()
}

fn header(server: &IceServer, url: &str) -> Option<HeaderValue> {
    let mut text = format!("<{url}>; rel=\"ice-server\"");
    if let (Some(username), Some(credential)) = (&server.username, &server.credential) {
        let (username, credential) = (quoted(username), quoted(credential));
        text += &format!("; username={username}; credential={credential}; credential-type=\"password\"");
    }
    // As bytes, so that characters beyond ASCII are sent as UTF-8.
    let mut value = HeaderValue::from_bytes(text.as_bytes()).ok()?;
    value.set_sensitive(server.credential.is_some());
    Some(value)
}

/// A quoted string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(urls: &[&str], login: Option<(&str, &str)>) -> IceServer {
        IceServer {
            urls: urls.iter().map(ToString::to_string).collect(),
            username: login.map(|(name, _)| name.into()),
            credential: login.map(|(_, password)| password.into()),
            secret: Some("shared".into()),
        }
    }

    fn texts(servers: &[IceServer]) -> Vec<String> {
        headers(servers.iter()).iter().map(|value| String::from_utf8(value.as_bytes().to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_header_for_each_url() {
        let servers = [
            server(&["stun:stun.example.org:3478"], None),
            server(
                &["turn:turn.example.org?transport=udp", "turns:turn.example.org"],
                Some(("1700000000:x", "cGFzcw==")),
            ),
        ];
        let login = "username=\"1700000000:x\"; credential=\"cGFzcw==\"; credential-type=\"password\"";
        assert_eq!(
            texts(&servers),
            [
                "<stun:stun.example.org:3478>; rel=\"ice-server\"".to_owned(),
                format!("<turn:turn.example.org?transport=udp>; rel=\"ice-server\"; {login}"),
                format!("<turns:turn.example.org>; rel=\"ice-server\"; {login}"),
            ]
        );
    }

    #[test]
    fn quotes_are_escaped_and_lines_cannot_be_broken() {
        let value = texts(&[server(&["turn:a"], Some(("a\"b\\c; d", "p,ß")))]).remove(0);
        assert!(value.contains(r#"username="a\"b\\c; d"; credential="p,ß";"#), "{value}");
        assert_eq!(texts(&[server(&["turn:a"], Some(("a", "b\r\nSet-Cookie: c")))]), [""; 0]);
    }
}
