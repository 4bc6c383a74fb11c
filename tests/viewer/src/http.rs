//! Plain HTTP requests for tests.

use std::time::Duration;

use anyhow::Context as _;

use super::Boxed;

/// An HTTP response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// As text; bytes of an image that are none are replaced.
    pub body: String,
}

impl Answer {
    /// The value of a header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Sends an HTTP request; any status is a response, not an error.
pub fn request<'a>(
    method: &'a str,
    url: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: String,
) -> Boxed<'a, Answer> {
    Box::pin(async move {
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let url = url.to_owned();
        tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .allow_non_standard_methods(true)
                .timeout_global(Some(Duration::from_secs(15)))
                .build()
                .into();
            let mut response = if body.is_empty() && request.method_ref().is_some_and(|method| method != "POST") {
                agent.run(request.body(())?)
            } else {
                agent.run(request.body(body)?)
            }
            .with_context(|| url)?;
            let headers = response.headers().iter();
            Ok(Answer {
                status: response.status().as_u16(),
                headers: headers.map(|(key, value)| (key.to_string(), value.to_str().unwrap_or("").into())).collect(),
                body: String::from_utf8_lossy(&response.body_mut().read_to_vec()?).into_owned(),
            })
        })
        .await?
    })
}
