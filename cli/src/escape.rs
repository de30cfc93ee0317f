//! Text from others, made harmless for a terminal.
//!
//! Decides which characters are shown as they are. Control characters could command the terminal,
//! and marks that turn the writing direction or take no room could make a line look like another
//! one; all of these are shown as escapes. Nothing that a peer chose is printed by any other way.

use std::fmt::Write;

/// The longest text shown, in characters; more is counted, not shown.
pub(crate) const MOST_TEXT: usize = 2000;

/// The longest name shown, in characters.
pub(crate) const MOST_NAME: usize = 64;

/// Whether a character could do something else to a terminal than to fill a place on the line.
/// The joiners U+200C and U+200D stay as they are: scripts and emoji need them.
fn is_harmful(character: char) -> bool {
    let is_invisible = matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}'
        | '\u{200b}' | '\u{200e}' | '\u{200f}' // marks of direction
        | '\u{2028}'..='\u{202e}' // line ends, embeddings, overrides
        | '\u{2060}'..='\u{206f}' // isolates and what is deprecated
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' // tags
    );
    character.is_control() || is_invisible
}

/// One line of text, harmless, and cut to so many characters with a note of how many are missing.
pub(crate) fn text(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most));
    for character in text.chars().take(most) {
        if is_harmful(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    let missing = text.chars().skip(most).count();
    if missing > 0 {
        // Writing to a string does not fail.
        write!(shown, "… ({missing} more characters)").ok();
    }
    shown
}

/// JSON text that means the same, with nothing harmful left as it is: there such characters occur
/// only inside strings, where they may be written as `\u`.
pub(crate) fn json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if is_harmful(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(shown, "\\u{unit:04x}").ok();
            }
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_shown_as_an_escape() {
        for (given, expected) in [
            ("plain, ä, 漢, 👍", "plain, ä, 漢, 👍"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("bell\u{7}", "bell\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\r\nb\tc", "a\\u{d}\\u{a}b\\u{9}c"),
            ("\u{7f}", "\\u{7f}"),
        ] {
            assert_eq!(text(given, MOST_TEXT), expected);
        }
    }

    #[test]
    fn what_turns_or_hides_writing_is_shown_as_an_escape() {
        let marks = "\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{feff}\u{e0041}";
        let expected = "\\u{202e}\\u{2066}\\u{200f}\\u{61c}\\u{2028}\\u{feff}\\u{e0041}";
        assert_eq!(text(marks, MOST_TEXT), expected);
    }

    #[test]
    fn nothing_harmful_is_left_of_any_character() {
        for character in '\0'..=char::MAX {
            let given = character.to_string();
            for shown in [text(&given, 1), json(&given)] {
                assert!(!shown.chars().any(is_harmful), "{character:?} gives {shown:?}");
            }
        }
    }

    #[test]
    fn a_long_text_is_cut_with_a_note() {
        assert_eq!(text("abcdef", 4), "abcd… (2 more characters)");
        assert_eq!(text("abcd", 4), "abcd");
    }

    #[test]
    fn escaped_json_means_the_same() {
        let body = "{\"a\u{9b}\":[\"\u{e0041}\u{202e}x\"]}";
        let shown = json(body);
        assert_eq!(shown, "{\"a\\u009b\":[\"\\udb40\\udc41\\u202ex\"]}");
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(&shown), parse(body));
    }
}
