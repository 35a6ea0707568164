//! Secrets out of texts that leave the container (R37).

use std::borrow::Cow;
use std::fmt::Write as _;

/// What stands for a secret.
const PLACEHOLDER: &str = "***";
/// Secrets shorter than this are replaced only where they stand alone: `a` within a word says nothing.
const MIN_LEN: usize = 3;
/// A line of a secret of several lines counts by itself from this length on.
const MIN_LINE: usize = 6;
/// A piece of a secret counts by itself from this length on.
const MIN_PIECE: usize = 4;

/// Knows the secrets of one run in every form in which an error may quote them.
#[derive(Debug, Default)]
pub struct Redactor {
    forms: Vec<String>,
}

impl Redactor {
    /// A redactor for these values. Empty ones are no secrets.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms: Vec<String> = values.into_iter().flat_map(forms_of).collect();
        forms.sort();
        forms.dedup();
        Self { forms }
    }

    /// The text as one line without any of the secrets. `cut` says that the text is the head of a longer one, which may
    /// end within a secret.
    #[must_use]
    pub fn redact(&self, text: &str, cut: bool) -> String {
        let text = one_line(text);
        let mut secret = vec![false; text.len()];
        for form in &self.forms {
            for (at, found) in text.match_indices(form.as_str()).chain(overlapping(&text, form)) {
                let end = at + found.len();
                if form.len() >= MIN_LEN || stands_alone(&text, at, end) {
                    secret.iter_mut().take(end).skip(at).for_each(|byte| *byte = true);
                }
            }
            if cut && let Some(at) = begun_at(&text, form) {
                secret.iter_mut().skip(at).for_each(|byte| *byte = true);
            }
        }
        let mut redacted = String::with_capacity(text.len());
        let mut within = false;
        for (at, letter) in text.char_indices() {
            let hidden = secret.get(at).copied().unwrap_or(true);
            match (hidden, within) {
                (true, false) => redacted.push_str(PLACEHOLDER),
                (true, true) => {}
                (false, _) => redacted.push(letter),
            }
            within = hidden;
        }
        redacted
    }
}

/// `match_indices` steps over a match; a secret such as `aXa` in `aXaXa` is there twice.
fn overlapping<'t>(text: &'t str, form: &str) -> Vec<(usize, &'t str)> {
    let first = form.chars().next();
    let repeats = first.is_some_and(|first| form.chars().skip(1).any(|letter| letter == first));
    if !repeats {
        return Vec::new();
    }
    let starts = text.char_indices().map(|(at, _)| at);
    starts.filter_map(|at| text.get(at..at + form.len()).filter(|part| *part == form).map(|part| (at, part))).collect()
}

/// Where the end of the text may be the beginning of a secret.
fn begun_at(text: &str, form: &str) -> Option<usize> {
    let from = text.len().saturating_sub(form.len().saturating_sub(1));
    (from..text.len()).find(|at| text.get(*at..).is_some_and(|end| form.starts_with(end)))
}

fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let before = text.get(..start).and_then(|text| text.chars().next_back());
    let after = text.get(end..).and_then(|text| text.chars().next());
    [before, after].into_iter().flatten().all(|letter| !letter.is_alphanumeric())
}

/// Control characters become blanks, so that no line can pose as another and every form of JSON stays short.
fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        Cow::Owned(text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// A value as it may stand in a message: as it is, without blanks at its ends, quoted as Go and JSON do, in a URL, and
/// line by line.
fn forms_of(value: &str) -> Vec<String> {
    let mut forms = vec![one_line(value).into_owned(), one_line(&plain(value)).into_owned()];
    let mut parts: Vec<&str> = value.lines().map(str::trim).filter(|line| line.len() >= MIN_LINE).collect();
    parts.push(value.trim());
    for part in parts {
        forms.push(one_line(part).into_owned());
        if let Ok(quoted) = serde_json::to_string(part) {
            forms.push(quoted.trim_matches('"').to_owned());
        }
        for plus in [false, true] {
            forms.push(url_encoded(part, plus));
        }
    }
    forms.extend(pieces_of(value.trim()).map(str::to_owned));
    forms.retain(|form| !form.trim().is_empty());
    forms
}

/// Whoever puts a password into a URL as it is, and fails to read that URL, quotes the piece of it that was taken for a port
/// or a host. Of a secret that is a URL itself only user and password are secret.
fn pieces_of(value: &str) -> impl Iterator<Item = &str> {
    let secret = match value.split_once("://") {
        Some((_, rest)) => rest.rsplit_once('@').map_or("", |(user, _)| user),
        None => value,
    };
    let is_plain = !secret.contains(['\n', '{']);
    let pieces = secret.split(['/', '?', '#', '@', ':', '%', '&', '\\', '"', '\'']).filter(move |_| is_plain);
    pieces.filter(|piece| piece.len() >= MIN_PIECE)
}

/// Without the escape sequences that are taken out of output too.
fn plain(value: &str) -> String {
    let (mut lines, mut text) = (super::lines::Lines::default(), String::new());
    lines.feed(value.as_bytes(), |line| text.push_str(&line.text));
    lines.finish(|line| text.push_str(&line.text));
    text
}

fn url_encoded(text: &str, plus: bool) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            b' ' if plus => encoded.push('+'),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // R37
    #[test]
    fn secrets_go_in_every_form() {
        for (secrets, text, wanted) in [
            (&["hunter2"][..], "auth failed for hunter2!", "auth failed for ***!"),
            (&["p@ss w\"rd"], "postgres://u:p%40ss%20w%22rd@db", "postgres://u:***@db"),
            (&["p@ss w\"rd"], "q=p%40ss+w%22rd", "q=***"),
            (&["p@ss w\"rd"], r#"bad "p@ss w\"rd""#, r#"bad "***""#),
            (&["line one\nline two"], "got line two", "got ***"),
            (&["line one\nline two"], "got line one\nline two", "got ***"),
            (&["padded \n"], "x padded y", "x *** y"),
            // Two that overlap leave nothing of either.
            (&["abcd", "cdef"], "abcdef", "***"),
            (&["aXa"], "aXaXa", "***"),
            // Short ones only where they stand alone.
            (&["a"], "a banana, 'a'", "*** banana, '***'"),
            (&["", " "], "nothing to hide", "nothing to hide"),
            (&["\u{1b}[31mred-hot\u{1b}[0m"], "got red-hot", "got ***"),
            (&["größe"], "die größe", "die ***"),
            // As Go quotes a URL that it cannot read.
            (&["S3cretAbc/def"], r#"(invalid port ":S3cretAbc" after host)"#, r#"(invalid port ":***" after host)"#),
            (&["pg://u:S3cret/x@db.example.com"], r#"db.example.com: port "S3cret""#, r#"db.example.com: port "***""#),
        ] {
            assert_eq!(Redactor::new(secrets.iter().copied()).redact(text, false), wanted, "{secrets:?}");
        }
    }

    // R37: the head of a line that was too long may end within a secret.
    #[test]
    fn a_cut_text_does_not_end_with_half_a_secret() {
        let redactor = Redactor::new(["hunter2"]);
        assert_eq!(redactor.redact("password hunt", true), "password ***");
        assert_eq!(redactor.redact("password hunt", false), "password hunt");
        assert_eq!(redactor.redact("password hunter2", true), "password ***");
    }

    proptest! {
        // R37: no text brings a secret out.
        #[test]
        fn nothing_gets_through(secret in "[^*\\s]{3,12}", before in ".{0,20}", after in ".{0,20}", cut: bool) {
            let redacted = Redactor::new([secret.as_str()]).redact(&format!("{before}{secret}{after}"), cut);
            prop_assert!(!redacted.contains(&secret), "{secret:?} in {redacted:?}");
        }
    }
}
