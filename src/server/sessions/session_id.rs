//! Random session ids, which cannot be guessed.

/// 128 random bits in hexadecimal, so that nobody can guess a session's id and end it.
pub fn random_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
