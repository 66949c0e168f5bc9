//! Redaction of secrets in the answer of a host or the output of a program, before an error, and so a log, quotes it.
//!
//! A host may echo a request: raw, percent-encoded (once or twice), JSON-escaped, wrapped into lines or truncated. So
//! secret and text are compared in a canonical form: escapes are decoded, and characters that encodings represent
//! differently are left out.

use gce_metadata_routes::token::Secret;
use std::collections::HashSet;
use std::ops::Range;
use zeroize::Zeroizing;

/// The maximum length of a quote.
const MAX_QUOTED_CHARS: usize = 300;
/// A longer text is not quoted.
const MAX_BYTES: usize = 16 * 1024;
/// The minimum length of a part of a secret, in canonical form, that is redacted by itself, because a host may truncate
/// its echo.
const MIN_PART: usize = 16;
/// The minimum length of a secret to redact. A shorter secret may be part of ordinary words: a text that contains it is
/// not quoted.
const MIN_SECRET: usize = 8;
/// The minimum length of a run of characters that looks like a token.
const MIN_TOKEN: usize = 32;

const REDACTED: &str = "[redacted]";

/// The secrets of one request, which are redacted in quotes of its answer.
#[derive(Debug, Clone, Default)]
#[must_use]
pub(super) struct Redactions {
    secrets: Vec<Secret>,
    tokens: bool,
}

impl Redactions {
    /// Redacts this secret, and every part of it of at least [`MIN_PART`] bytes.
    pub(super) fn secret(mut self, secret: &Secret) -> Self {
        self.secrets.push(secret.clone());
        self
    }

    /// Redacts a text that may contain secrets, such as a header's value or a URL's query, and each of its words. Words
    /// shorter than [`MIN_SECRET`] are not redacted.
    pub(super) fn text(mut self, text: &str) -> Self {
        let words = text.split(|char: char| char.is_whitespace() || "&=,;".contains(char));
        let all = std::iter::once(text).chain(words);
        self.secrets.extend(all.filter(|word| word.len() >= MIN_SECRET).map(Secret::from));
        self
    }

    /// Redacts words that look like tokens, for programs that may print unknown tokens.
    pub(super) fn tokens(self) -> Self {
        Self { tokens: true, ..self }
    }

    /// Quotes the text: one printable line without the secrets, of at most [`MAX_QUOTED_CHARS`] characters.
    pub(super) fn quote(&self, text: &str) -> String {
        if text.len() > MAX_BYTES {
            return "[too long to be quoted]".to_owned();
        }
        let mut hidden = vec![false; text.len()];
        let canonical = Canonical::of(text);
        for secret in &self.secrets {
            let secret = Canonical::of(secret.expose());
            let length = secret.bytes.len().min(MIN_PART);
            let parts: HashSet<&[u8]> = secret.bytes.windows(length.max(1)).collect();
            let found = canonical.bytes.windows(length.max(1)).enumerate().filter(|(_, part)| parts.contains(part));
            for (start, _) in found {
                if length < MIN_SECRET {
                    return REDACTED.to_owned();
                }
                hidden[canonical.source(start..start + length)].fill(true);
            }
        }
        if self.tokens {
            words_like_tokens(text).for_each(|word| hidden[word].fill(true));
        }
        let mut quoted = String::new();
        for (at, char) in text.char_indices() {
            match hidden[at] {
                true if at == 0 || !hidden[at - 1] => quoted.push_str(REDACTED),
                false if !char.is_control() => quoted.push(char),
                _ => {}
            }
        }
        quoted.chars().take(MAX_QUOTED_CHARS).collect()
    }
}

/// Words with a run of at least [`MIN_TOKEN`] characters of base64 or hex. In URLs, e-mails and names separators
/// interrupt such runs.
fn words_like_tokens(text: &str) -> impl Iterator<Item = Range<usize>> {
    let is_token = |word: &str| {
        let mut run = 0;
        word.chars().filter(|char| !char.is_control()).any(|char| {
            run = if char.is_ascii_alphanumeric() || "-_+%".contains(char) { run + 1 } else { 0 };
            run >= MIN_TOKEN
        })
    };
    let words = text.split(|char: char| char.is_whitespace() || "\"'`()[]{}<>,;".contains(char));
    let start = move |word: &str| word.as_ptr().addr() - text.as_ptr().addr();
    words.filter(move |word| is_token(word)).map(move |word| start(word)..start(word) + word.len())
}

/// The canonical form of a text: percent-encoding and JSON escapes are decoded repeatedly; white space, control
/// characters, `+` (a space in forms) and `\` are left out.
#[derive(Default)]
struct Canonical {
    bytes: Zeroizing<Vec<u8>>,
    /// The range of the text that each byte was decoded from.
    sources: Vec<Range<usize>>,
}

impl Canonical {
    fn of(text: &str) -> Self {
        let mut decoded = Self::default();
        for (at, char) in text.char_indices() {
            // `quote` leaves out control characters, so they must not split a secret here.
            if char.is_control() || char.is_whitespace() {
                continue;
            }
            for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                decoded.push(byte, at..at + char.len_utf8());
                while decoded.decode_end() {}
            }
        }
        decoded.without_backslashes()
    }

    fn push(&mut self, byte: u8, source: Range<usize>) {
        if !byte.is_ascii_control() && !b" +".contains(&byte) {
            self.bytes.push(byte);
            self.sources.push(source);
        }
    }

    /// Decodes an escape at the end, if there is one.
    fn decode_end(&mut self) -> bool {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let decoded = match self.bytes[..] {
            [.., b'%', a, b] => digit(a).zip(digit(b)).map(|(a, b)| (3, vec![(a << 4 | b) as u8])),
            [.., b'\\', b'u', a, b, c, d] => {
                let number = [a, b, c, d].into_iter().try_fold(0, |number, byte| Some(number << 4 | digit(byte)?));
                number.and_then(char::from_u32).map(|char| (6, char.to_string().into_bytes()))
            }
            _ => None,
        };
        let Some((length, bytes)) = decoded else { return false };
        let escape = self.bytes.len() - length;
        let source = self.source(escape..self.bytes.len());
        self.bytes.truncate(escape);
        self.sources.truncate(escape);
        bytes.into_iter().for_each(|byte| self.push(byte, source.clone()));
        true
    }

    /// Removes the remaining backslashes of JSON escapes, with the letter of escaped control characters (`\n`).
    fn without_backslashes(self) -> Self {
        let mut kept = Self::default();
        let mut bytes = self.bytes.iter().copied().zip(self.sources).peekable();
        while let Some((byte, source)) = bytes.next() {
            match byte {
                b'\\' => _ = bytes.next_if(|(next, _)| b"bfnrt".contains(next)),
                byte => kept.push(byte, source),
            }
        }
        kept
    }

    /// The range of the text that these bytes were decoded from, with the characters left out between them.
    fn source(&self, bytes: Range<usize>) -> Range<usize> {
        self.sources[bytes.start].start..self.sources[bytes.end - 1].end
    }
}

#[cfg(test)]
mod tests;
