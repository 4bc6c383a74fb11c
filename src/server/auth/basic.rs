//! Basic authentication (RFC 7617), in which programs send the secret of an address such as `rtsp://user:TOKEN@board/`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The secret in the value of an `Authorization` header: a bearer token (RFC 6750 section 2.1), or the password of Basic
/// authentication, whatever the user's name. Anything else yields an empty one, which is never valid.
pub fn secret(authorization: &str) -> Cow<'_, str> {
    let (scheme, rest) = authorization.split_once(' ').unwrap_or((authorization, ""));
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => rest.trim().into(),
        "basic" => password(rest.trim()).unwrap_or_default().into(),
        _ => "".into(),
    }
}

/// The password in the credentials of Basic authentication; the user's name if there is none, as in `http://TOKEN@board/`.
fn password(credentials: &str) -> Option<String> {
    let decoded = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(if password.is_empty() { user } else { password }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_a_bearer_token_or_the_password_of_basic_authentication() {
        for (value, expected) in [
            ("Bearer pht_abc", "pht_abc"),
            ("bearer  pht_abc ", "pht_abc"),
            // a:b, a:pht_abc, :pht_abc, pht_abc: and pht_abc.
            ("Basic YTpi", "b"),
            ("basic  YTpwaHRfYWJj ", "pht_abc"),
            ("Basic OnBodF9hYmM=", "pht_abc"),
            ("Basic cGh0X2FiYzo=", "pht_abc"),
            ("Basic cGh0X2FiYw==", ""),
            ("Basic pht_abc", ""),
            ("Basic", ""),
            ("Digest username=a", ""),
            ("pht_abc", ""),
            ("", ""),
        ] {
            assert_eq!(secret(value), expected, "{value}");
        }
    }
}
