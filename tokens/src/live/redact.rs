//! Redaction of secrets in the words of a host or a program before they are quoted in an error, and so in a log.
//!
//! A host may echo what it was sent: raw, percent-encoded (once or twice), JSON-escaped, wrapped into lines or cut short. So
//! both the secret and the text are compared in a canonical form, in which escapes are decoded and the characters that
//! encodings disagree on are left out.

use gce_metadata_routes::token::Secret;
use std::collections::HashSet;
use std::ops::Range;
use zeroize::Zeroizing;

/// As much as a log line quotes.
const MAX_QUOTED_CHARS: usize = 300;
/// A longer text is not quoted at all.
const MAX_BYTES: usize = 16 * 1024;
/// So many bytes of a secret, in canonical form, are redacted without the rest of it. A host may cut its echo short.
const MIN_PART: usize = 16;
/// A shorter secret may be part of ordinary words. A text that contains it is not quoted at all.
const MIN_SECRET: usize = 8;
/// A run of so many characters looks like a token.
const MIN_TOKEN: usize = 32;

const REDACTED: &str = "[redacted]";

/// The secrets of one request, to be redacted in what is quoted of its answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Redactions {
    secrets: Vec<Secret>,
    tokens: bool,
}

impl Redactions {
    /// Redacts this secret, and every part of it that is long enough.
    pub(super) fn secret(mut self, secret: &Secret) -> Self {
        self.secrets.push(secret.clone());
        self
    }

    /// Redacts a text that may hold secrets, such as a header's value or a URL's query, and each of its words. What is short
    /// is not redacted.
    pub(super) fn text(mut self, text: &str) -> Self {
        let words = text.split(|char: char| char.is_whitespace() || "&=,;".contains(char));
        let all = std::iter::once(text).chain(words);
        self.secrets.extend(all.filter(|word| word.len() >= MIN_SECRET).map(Secret::from));
        self
    }

    /// Redacts words that look like tokens, for a program that makes tokens which are not known here.
    pub(super) fn tokens(self) -> Self {
        Self { tokens: true, ..self }
    }

    /// One printable line of the text, without the secrets, of 300 characters at most.
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

/// Words in which enough characters of base64 or hex stand in a row. URLs, e-mails and names have separators in between.
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

/// A text with its percent-encoding and JSON's escapes decoded as often as they were applied, and without white space, control
/// characters, `+` (a space in forms) and `\`.
#[derive(Default)]
struct Canonical {
    bytes: Zeroizing<Vec<u8>>,
    /// Where in the text each byte comes from.
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

    /// The same without JSON's other escapes, of which those of control characters are a letter longer.
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

    /// Where in the text these bytes come from, with all that is left out between them.
    fn source(&self, bytes: Range<usize>) -> Range<usize> {
        self.sources[bytes.start].start..self.sources[bytes.end - 1].end
    }
}

#[cfg(test)]
mod tests;
