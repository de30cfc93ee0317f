//! JSON strings, written.

use alloc::string::String;
use core::fmt::Write as _;

/// Appends `value` as a JSON string.
pub(crate) fn push_quoted(text: &mut String, value: &str) {
    text.push('"');
    if !value.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        text.push_str(value);
        text.push('"');
        return;
    }
    for character in value.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            '\u{0}'..='\u{1f}' => {
                let _infallible = write!(text, "\\u{:04x}", u32::from(character));
            }
            _ => text.push(character),
        }
    }
    text.push('"');
}

/// Bytes of `value` as a JSON string, without the quotes.
pub(crate) fn quoted_len(value: &str) -> usize {
    let len = |byte| match byte {
        b'"' | b'\\' => 2,
        0..=0x1f => 6,
        _ => 1,
    };
    value.bytes().map(len).fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_what_serde_json_reads_back() {
        for text in ["", "plain", "q\"b\\s/", "\u{0}\u{1f}\n\r\t\u{7f}", "äöü\u{1f600}\u{2028}"]
        {
            let mut quoted = String::new();
            push_quoted(&mut quoted, text);
            assert_eq!(serde_json::from_str::<String>(&quoted).ok().as_deref(), Some(text));
            assert_eq!(quoted_len(text), quoted.len() - 2);
        }
    }
}
