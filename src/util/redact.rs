//! Removes credentials from text that others may read, such as command lines and what programs write about their work.
//! When in doubt it removes too much.

/// What stands in the place of a credential.
const REDACTED: &str = "***";

/// A name that contains one of these has a secret value.
const SECRET_PARTS: [&str; 9] =
    ["password", "passwd", "passphrase", "secret", "token", "credential", "signature", "authorization", "cookie"];

/// A name whose last word is one of these has a secret value: `user-pw`, but not `pass-through`.
const SECRET_WORDS: [&str; 6] = ["pass", "pw", "pwd", "auth", "sig", "psk"];

/// A name with this end has a secret value: `api_key` and `streamKey`, but not `key-int-max`.
const SECRET_END: &str = "key";

/// Names whose value is a user, which a password may follow after a colon (curl).
const USERS: [&str; 3] = ["u", "user", "proxy-user"];

/// Schemes of an `Authorization` header, which stand before the credential.
const SCHEMES: [&str; 4] = ["basic", "bearer", "digest", "token"];

/// What the next word is.
#[derive(Clone, Copy)]
enum Next {
    Any,
    /// An equals sign, perhaps, and then the value of a secret.
    Equals,
    /// The value of a secret.
    Secret,
    /// A user, and after a colon a password.
    User,
}

/// The text without credentials: user and password in URLs, and the values of parameters, options and headers whose
/// names are those of secrets.
pub fn redact(text: &str) -> String {
    let mut next = Next::Any;
    each_word(text, |word, out| next = redact_word(word, next, out))
}

/// The text without user and password in URLs: for text with names of its own, such as those of the configuration.
pub fn redact_urls(text: &str) -> String {
    each_word(text, |word, out| out.push_str(&redact_user(word)))
}

/// Replaces each word by what `append` appends for it.
fn each_word(text: &str, mut append: impl FnMut(&str, &mut String)) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (blank, from_word) = rest.split_at(rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len()));
        let (word, after) = from_word.split_at(word_length(from_word));
        replaced.push_str(blank);
        append(word, &mut replaced);
        rest = after;
    }
    replaced
}

/// The length of the word that the text begins with. White space ends it unless it is quoted, as in a shell. An apostrophe
/// inside a word is no quote.
fn word_length(text: &str) -> usize {
    let (mut quote, mut before) = (None, None);
    for (index, c) in text.char_indices() {
        match quote {
            Some(open) if c == open && before != Some('\\') => quote = None,
            Some(_) => {}
            None if c.is_whitespace() && before != Some('\\') => return index,
            None if matches!(c, '"' | '\'') && before.is_none_or(|before: char| "=:,([{".contains(before)) => {
                quote = Some(c);
            }
            None => {}
        }
        before = Some(c);
    }
    text.len()
}

/// Appends one word; what the word after it is.
fn redact_word(word: &str, is: Next, out: &mut String) -> Next {
    match is {
        _ if word.is_empty() => return is,
        Next::Equals if word == "=" => {
            out.push_str(word);
            return Next::Secret;
        }
        Next::Secret if SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) => {
            out.push_str(word);
            return Next::Secret;
        }
        Next::Secret => {
            out.push_str(REDACTED);
            return Next::Any;
        }
        Next::User if word.contains(':') => {
            out.push_str(REDACTED);
            return Next::Any;
        }
        Next::Equals | Next::User | Next::Any => {}
    }
    let word = redact_user(word);
    let mut next = Next::Any;
    for (index, piece) in word.split('&').enumerate() {
        if index > 0 {
            out.push('&');
        }
        next = redact_value(piece, out);
    }
    let name = word.trim_start_matches('-');
    match next {
        Next::Any if name.contains(['=', ':']) => Next::Any,
        Next::Any if is_secret(name) => {
            if name.len() < word.len() {
                Next::Secret
            } else {
                Next::Equals
            }
        }
        Next::Any if is_user(name) && name.len() < word.len() => Next::User,
        next => next,
    }
}

/// Removes user and password of a URL, or of a host without a scheme. They end at the last `@`, since a password may
/// contain anything.
fn redact_user(word: &str) -> String {
    let (head, rest) = match word.find("://") {
        Some(at) => word.split_at(at + "://".len()),
        None => word.split_at(word.find('=').map_or(0, |equals| equals + 1)),
    };
    let is_url = !head.is_empty() && head.ends_with('/');
    match rest.rfind('@') {
        Some(at) if is_url || rest[..at].contains(':') => format!("{head}{REDACTED}{}", &rest[at..]),
        // The line was cut off before the host.
        None if is_url && !ends_with_port(rest) => format!("{head}{REDACTED}"),
        _ => word.to_owned(),
    }
}

/// Whether what follows the first colon in a URL's host and port is a port, or there is none.
fn ends_with_port(rest: &str) -> bool {
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // An IPv6 address has colons of its own.
    let after = if host.starts_with('[') { host.rsplit(']').next().unwrap_or_default() } else { host };
    let after = after.trim_end_matches(|c: char| c.is_ascii_punctuation());
    after.split_once(':').is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Appends `name=value` or `name: value`, without the value if it is secret; what the next word is.
fn redact_value(piece: &str, out: &mut String) -> Next {
    for (at, separator) in piece.match_indices(['=', ':']) {
        let (name, value) = (name_at_end(&piece[..at]), &piece[at + 1..]);
        let secret = is_secret(name) || (is_user(name) && value.contains(':'));
        if !secret || value.starts_with("//") {
            continue;
        }
        if value.trim_matches(['"', '\'']).is_empty() {
            // After a colon, only what hardly occurs in other sentences, or is JSON.
            let next = separator == "=" || !ends_with_secret_word(name) || piece[..at].ends_with('"');
            out.push_str(piece);
            return if next { Next::Secret } else { Next::Any };
        }
        out.push_str(&piece[..=at]);
        out.push_str(REDACTED);
        return Next::Any;
    }
    out.push_str(piece);
    Next::Any
}

/// The name that the text ends with, which may be quoted.
fn name_at_end(text: &str) -> &str {
    let text = text.trim_end_matches(['"', '\'']);
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let begin = text.char_indices().rev().take_while(|(_, c)| is_name(*c)).last();
    begin.map_or("", |(at, _)| text[at..].trim_start_matches('-'))
}

/// Whether a value of this name is a credential.
pub fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    SECRET_PARTS.iter().any(|part| lower.contains(part)) || lower.ends_with(SECRET_END) || ends_with_secret_word(&lower)
}

fn ends_with_secret_word(name: &str) -> bool {
    let last = name.rsplit(['-', '_', '.']).next().unwrap_or_default();
    SECRET_WORDS.iter().any(|word| last.eq_ignore_ascii_case(word))
}

fn is_user(name: &str) -> bool {
    USERS.iter().any(|user| name.eq_ignore_ascii_case(user))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_are_removed_and_the_rest_stays() {
        for (text, expected) in [
            ("rtsp://admin:hunter2@10.0.0.5:554/live", "rtsp://***@10.0.0.5:554/live"),
            ("ffmpeg -i rtsp://a:b@c/d -f mjpeg -", "ffmpeg -i rtsp://***@c/d -f mjpeg -"),
            ("ffmpeg -i 'rtsp://a:b c@d/e' -y", "ffmpeg -i 'rtsp://***@d/e' -y"),
            ("src location=\"rtsp://a:b c@d\" ! x", "src location=\"rtsp://***@d\" ! x"),
            (r"ffmpeg -i rtsp://a:b\ c@d -y", "ffmpeg -i rtsp://***@d -y"),
            ("http://a@b", "http://***@b"),
            ("rtsp://a:p@s/w?o@h", "rtsp://***@h"),
            ("rtsp://admin:hun", "rtsp://***"),
            ("rtsp://cam:8554/a", "rtsp://cam:8554/a"),
            ("can't open rtsp://cam:8554: refused", "can't open rtsp://cam:8554: refused"),
            ("rtsp://[fe80::1]:554/a rtsp://[fe80::1]", "rtsp://[fe80::1]:554/a rtsp://[fe80::1]"),
            ("connect to admin:hunter2@cam failed", "connect to ***@cam failed"),
            ("location=admin:hunter2@cam", "location=***@cam"),
            ("http://h/a?user=x&password=y&b=1", "http://h/a?user=x&password=***&b=1"),
            ("http://h/a?token=y", "http://h/a?token=***"),
            ("rtspsrc user-id=a user-pw=b latency=0", "rtspsrc user-id=a user-pw=*** latency=0"),
            ("srt://h:9?passphrase=abc&mode=listener", "srt://h:9?passphrase=***&mode=listener"),
            ("x --api-key abc --rate 3 --streamKey=z", "x --api-key *** --rate 3 --streamKey=***"),
            ("x264enc key-int-max=30 pass-through=1", "x264enc key-int-max=30 pass-through=1"),
            ("curl -u a:b -H 'Authorization: Basic eA==' h", "curl -u *** -H 'Authorization:*** h"),
            ("Authorization: Bearer abc def", "Authorization: Bearer *** def"),
            ("password = abc, keys = 3", "password = *** keys = 3"),
            ("curl --user=a:b -u a h", "curl --user=*** -u a h"),
            (r#"{"password": "a b", "rate": 3}"#, r#"{"password": *** "rate": 3}"#),
            (r#"{"password":"x"}"#, r#"{"password":***"#),
            ("[rtsp @ 0x5] DESCRIBE failed: 401 auth: no", "[rtsp @ 0x5] DESCRIBE failed: 401 auth: no"),
            ("12:30:01 frame=  7 q=-0.0  ", "12:30:01 frame=  7 q=-0.0  "),
        ] {
            assert_eq!(redact(text), expected);
        }
    }

    /// A secret that occurs nowhere else in the text.
    fn secret() -> impl Strategy<Value = String> {
        r#"S[a-z0-9@:/?#%+!~.,;*-]{6,20}S"#
    }

    proptest! {
        #[test]
        fn no_credential_of_a_url_remains(
            before in "[0-9 =/,.'-]{0,20}", scheme in "(rtsp|http|srt|rtmps)", user in "[a-z]{1,8}", secret in secret(),
            after in "[a-z0-9 /.:-]{0,20}",
        ) {
            let redacted = redact(&format!("{before} {scheme}://{user}:{secret}@host/{after}"));
            prop_assert!(!redacted.contains(&secret), "{redacted}");
            prop_assert!(redacted.contains(&format!("{scheme}://***@host/")), "{redacted}");
        }

        #[test]
        fn no_value_of_a_secret_name_remains(
            before in "[a-z0-9 /?.-]{0,20}", name in "(password|PASSWORD|access_token|api-key|user-pw|secret|sig|x-auth)",
            secret in secret(), separator in "( --NAME=| --NAME |[?&]NAME=| NAME=\"| \"NAME\": \")",
        ) {
            let text = format!("{before}{}{secret} rest", separator.replace("NAME", &name));
            let redacted = redact(&text);
            prop_assert!(!redacted.contains(&secret), "{text}: {redacted}");
        }

        #[test]
        fn a_url_that_was_cut_off_shows_no_password(user in "[a-z]{1,8}", secret in "[a-z][a-z0-9]{5,20}", cut in 1usize..6) {
            let text = format!("open rtsp://{user}:{}", &secret[..secret.len() - cut]);
            prop_assert_eq!(redact(&text), "open rtsp://***");
        }

        #[test]
        fn other_text_stays_and_nothing_is_redacted_twice(plain in "[a-z0-9 /.-]{0,60}", any in "\\PC{0,80}") {
            prop_assume!(!plain.split([' ', '-', '.', '/']).any(|word| is_secret(word) || is_user(word)));
            prop_assert_eq!(redact(&plain), plain.as_str());
            let once = redact(&any);
            prop_assert_eq!(redact(&once), once.as_str());
        }
    }
}
