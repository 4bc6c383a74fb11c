//! Names of sessions that nobody can guess.

/// 128 random bits in hexadecimal: nobody can guess a session's id and end it.
pub fn random_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
