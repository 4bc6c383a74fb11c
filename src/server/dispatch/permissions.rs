//! Who asks, and whether they may: the one place where permissions of commands are judged, whichever way a request came.

use crate::model::protocol::{Error, Method};
use crate::server::auth::{Principal, Role};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub(super) role: Role,
    /// The viewer's own session, where the request came over its data channel.
    pub(super) session: Option<String>,
    /// What one is called who does not watch.
    pub(super) name: String,
    /// Tells one caller from the other: no secret.
    pub(super) rate_limit_key: String,
}

impl Caller {
    /// The viewer of a session.
    pub fn viewer(session: &str, role: Role) -> Self {
        Self { role, session: Some(session.into()), name: role.to_string(), rate_limit_key: session.into() }
    }

    /// Whoever makes a request over HTTP.
    pub fn principal(principal: &Principal) -> Self {
        // A token has a name that its owner gave it; of a browser only its role is known.
        let token = principal.id.strip_prefix("token/").and_then(|rest| rest.split('/').next());
        let name = token.map_or_else(|| principal.role.to_string(), str::to_owned);
        Self { role: principal.role, session: None, name, rate_limit_key: principal.id.clone() }
    }

    /// Whoever may open the socket on the board.
    pub fn shell() -> Self {
        Self { role: Role::Operator, session: None, name: "the board".into(), rate_limit_key: "shell".into() }
    }

    /// A button on the board: whoever stands there could pull the plug as well.
    pub fn button() -> Self {
        Self { role: Role::Operator, session: None, name: "a button".into(), rate_limit_key: "button".into() }
    }

    /// Judges whether they may ask for the method at all.
    pub(super) fn authorize(&self, method: &Method) -> Result<(), Error> {
        self.authorize_role(method)?;
        if method.session && self.session.is_none() {
            return Err(Error::session(method.name));
        }
        Ok(())
    }

    /// Judges whether their role suffices for the method.
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
    fn a_program_is_called_as_its_token_is() {
        let name = |id: &str| Caller::principal(&Principal { role: Role::Viewer, id: id.into() }).name;
        assert_eq!((name("token/door/ab").as_str(), name("session/ab").as_str()), ("door", "viewer"));
    }
}
