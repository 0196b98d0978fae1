//! A plan: bytes that are used up one decision after another.

/// An input that begins so is a plan.
pub const BUILT: u8 = 0;

/// What is left of a plan. At its end everything is zero or empty.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'i>(&'i [u8]);

impl<'i> Plan<'i> {
    /// The plan that an input is, if it is one.
    #[must_use]
    pub fn of(input: &'i [u8]) -> Option<Self> {
        input.split_first().filter(|&(&first, _)| first == BUILT).map(|(_, rest)| Self(rest))
    }

    /// Whether it is used up.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// A number below `bound`, at most 65,536.
    pub fn below(&mut self, bound: usize) -> usize {
        let high = if bound > 256 { usize::from(self.byte()) << 8 } else { 0 };
        (high | usize::from(self.byte())) % bound.max(1)
    }

    /// One of several.
    pub fn choice<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[self.below(choices.len())]
    }

    /// Up to 31 bytes as they stand.
    pub fn bytes(&mut self) -> &'i [u8] {
        let length = usize::from(self.byte() % 32).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    /// A JSON value that may be none.
    pub fn json(&mut self, usual: &str) -> Vec<u8> {
        let text = |bytes: &[u8]| serde_json::to_vec(&String::from_utf8_lossy(bytes)).unwrap_or_default();
        match self.byte() % 16 {
            0..=6 => usual.as_bytes().to_vec(),
            7 => self.bytes().to_vec(),
            8 | 9 => text(self.bytes()),
            10 => i64::from_le_bytes(std::array::from_fn(|_| self.byte())).to_string().into_bytes(),
            11 => format!("{}.{}e{}", self.byte(), self.byte(), self.byte() as i8).into_bytes(),
            12 => format!("\"{}\"", usual.trim_matches('"')).into_bytes(),
            13 => [b"{\"a\":[", self.bytes(), b"]}"].concat(),
            14 => self
                .choice(&["null", "true", "false", "[]", "{}", "\"\"", "-0.0", "\"\\ud83d\\ude95\""])
                .as_bytes()
                .to_vec(),
            _ => escaped(usual).into_bytes(),
        }
    }

    /// A key, perhaps spelled with escapes.
    pub fn key(&mut self, name: &str) -> Vec<u8> {
        let plain = format!("\"{name}\"");
        if self.byte().is_multiple_of(16) { escaped(&plain).into_bytes() } else { plain.into_bytes() }
    }
}

/// A JSON text whose first letter within quotes is spelled as an escape.
fn escaped(json: &str) -> String {
    match json.strip_prefix('"').and_then(|rest| rest.chars().next().zip(rest.get(1..))) {
        Some((first @ ('a'..='z' | 'A'..='Z'), rest)) => format!("\"\\u{:04x}{rest}", u32::from(first)),
        _ => json.to_owned(),
    }
}
