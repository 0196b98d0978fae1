//! What an index may be called.
//!
//! The cluster wants lower case, none of `\ / * ? " < > | , # :`, no space, none of `-`, `_` and `+` first,
//! not `.` or `..`, and at most 255 bytes of UTF-8. A name that begins with `.` would be hidden or a
//! system's own: no event gets there.

/// Longest name of an index, in bytes.
pub const NAME_BYTES: usize = 255;

/// What no name begins with.
pub(crate) const NEVER_FIRST: [char; 4] = ['-', '_', '+', '.'];

/// A text of an event as part of an index name: letters and digits of every script in lower case, `_`
/// and `.`, and one `-` for each run of anything else, none at the ends.
#[must_use]
pub fn sanitised(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    push_sanitised(&mut name, text);
    name
}

/// Appends [`sanitised`] text.
pub(crate) fn push_sanitised(name: &mut String, text: &str) {
    let start = name.len();
    let mut gap = false;
    for character in text.chars().flat_map(char::to_lowercase) {
        if character.is_alphanumeric() && !character.is_uppercase() || matches!(character, '_' | '.') {
            if gap && name.len() > start {
                name.push('-');
            }
            gap = false;
            name.push(character);
        } else {
            gap = true;
        }
    }
}

/// What is in a piece of a name that cannot be in one, in words.
pub(crate) fn misfit(piece: &str) -> Option<&'static str> {
    let forbidden = |character: char| "\\/*?\"<>|, #:".contains(character);
    piece.chars().find_map(|character| match character {
        _ if character.is_control() || character.is_whitespace() => Some("white space or control characters"),
        _ if forbidden(character) => Some("any of `\\ / * ? \" < > | , # :`"),
        _ if character.to_lowercase().ne([character]) => Some("upper-case letters"),
        _ => None,
    })
}

/// Whether an index can have this name.
#[must_use]
pub fn is_sound(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES && !name.starts_with(NEVER_FIRST) && misfit(name).is_none()
}

/// Whether `name` fits `pattern`, in which `*` stands for any run of characters.
#[must_use]
pub fn fits(name: &str, pattern: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut last = None;
    for piece in pieces {
        if let Some(between) = last.replace(piece) {
            match rest.split_once(between) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_become_lower_case_words_joined_by_dashes() {
        for (text, expected) in [
            ("Staten Island", "staten-island"),
            ("N/A", "n-a"),
            ("../secrets", "..-secrets"),
            ("  a,b  ", "a-b"),
            ("Trip_v1.2", "trip_v1.2"),
            ("São Paulo", "são-paulo"),
            ("---", ""),
            ("İ", "i"),
        ] {
            assert_eq!(sanitised(text), expected, "{text:?}");
        }
    }

    #[test]
    fn stars_stand_for_any_run_of_characters() {
        for (name, pattern, expected) in [
            ("trips-queens", "trips-*", true),
            ("trips-", "trips-*", true),
            ("trip", "trips-*", false),
            ("trips", "trips", true),
            ("trips2", "trips", false),
            ("a-b-c", "a-*-c", true),
            ("a-c", "a-*-c", false),
            ("abcabc", "*bc", true),
            ("abab", "a*b*b", true),
            ("ab", "a*b*b", false),
            ("anything", "*", true),
        ] {
            assert_eq!(fits(name, pattern), expected, "{name} {pattern}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_value_is_it_brings_nothing_forbidden_into_a_name(text in any::<String>()) {
            let name = sanitised(&text);
            prop_assert!(misfit(&name).is_none(), "{name}");
            prop_assert!(!name.starts_with('-') && !name.contains("--"));
            prop_assert_eq!(sanitised(&name), name);
        }
    }
}
