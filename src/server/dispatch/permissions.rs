//! Callers and their permissions: the one place where command permissions are checked, whichever way a request came.

use crate::model::protocol::{Error, Method};
use crate::server::auth::{Principal, Role};

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub(super) role: Role,
    /// The viewer's own session, if the request came over its data channel.
    pub(super) session: Option<String>,
    /// Display name of a caller without a session.
    pub(super) name: String,
    /// Identifies the caller for rate limits; not a secret.
    pub(super) rate_limit_key: String,
}

impl Caller {
    /// The viewer of a session.
    pub fn viewer(session: &str, role: Role) -> Self {
        Self { role, session: Some(session.into()), name: role.to_string(), rate_limit_key: session.into() }
    }

    /// A client of the HTTP API.
    pub fn principal(principal: &Principal) -> Self {
        // A token has a name that its owner chose; of a browser only the role is known.
        let token = principal.id.strip_prefix("token/").and_then(|rest| rest.split('/').next());
        let name = token.map_or_else(|| principal.role.to_string(), str::to_owned);
        Self { role: principal.role, session: None, name, rate_limit_key: principal.id.clone() }
    }

    /// A process that can open the control socket.
    pub fn shell() -> Self {
        Self { role: Role::Operator, session: None, name: "the device".into(), rate_limit_key: "shell".into() }
    }

    /// A button on the device: whoever can press it could also pull the plug.
    pub fn button() -> Self {
        Self { role: Role::Operator, session: None, name: "a button".into(), rate_limit_key: "button".into() }
    }

    /// Whoever may publish to the command topic at the MQTT broker of the configuration, which the broker decides. Which
    /// commands are taken from there is configured too.
    pub fn mqtt() -> Self {
        Self { role: Role::Operator, session: None, name: "MQTT".into(), rate_limit_key: "mqtt".into() }
    }

    /// Checks whether the caller may use the method.
    pub(super) fn authorize(&self, method: &Method) -> Result<(), Error> {
        self.authorize_role(method)?;
        if method.session && self.session.is_none() {
            return Err(Error::session(method.name));
        }
        Ok(())
    }

    /// Checks whether the caller's role suffices for the method.
    pub(super) fn authorize_role(&self, method: &Method) -> Result<(), Error> {
        if method.operator && self.role < Role::Operator { Err(Error::forbidden(method.name)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::protocol::{Code, METHODS};

    #[test]
    fn a_viewer_may_watch_and_an_operator_may_do_everything() {
        let principal = |role, id: &str| Caller::principal(&Principal { role, id: id.into() });
        let viewers = [Caller::viewer("1", Role::Viewer), principal(Role::Viewer, "token/door/ab")];
        let operators = [
            Caller::viewer("1", Role::Operator),
            principal(Role::Operator, "session/x"),
            Caller::shell(),
            Caller::button(),
            Caller::mqtt(),
        ];
        for method in METHODS {
            for caller in viewers.iter().chain(&operators) {
                let code = caller.authorize(method).err().map(|error| error.code);
                let expected = match (method.operator, method.session) {
                    (true, _) if caller.role == Role::Viewer => Some(Code::Forbidden),
                    (_, true) if caller.session.is_none() => Some(Code::SessionRequired),
                    _ => None,
                };
                assert_eq!(code, expected, "{method} {caller:?}");
            }
        }
    }

    #[test]
    fn a_program_has_the_name_of_its_token() {
        let name = |id: &str| Caller::principal(&Principal { role: Role::Viewer, id: id.into() }).name;
        assert_eq!((name("token/door/ab").as_str(), name("session/ab").as_str()), ("door", "viewer"));
    }
}
