//! Target `canary`: a bug on purpose. If a minute of fuzzing does not find it, the set-up is
//! broken, and no other target proves anything. It is never replayed.

/// What the bug waits for. Found by the dictionary at once, and hardly ever without.
const MAGIC: &[u8; 3] = b"PL!";

/// Panics when the input begins with three certain bytes.
pub fn canary(input: &[u8]) {
    assert!(!input.starts_with(MAGIC), "the canary sings");
}
