//! Reads JSON as it is nearly always written, in one pass over the text.
//!
//! `None` says that there is something in it that is rare: numbers of many digits, `NaN`, half of a surrogate pair, a mark
//! by which objects are read back, nesting without an end, or that it is no JSON. Others read it then, from the beginning.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyString};

use crate::gil::Guarded;

/// The key that marks objects to be read back as `SimpleNamespace`.
pub(crate) const MARKER: &[u8] = b"__durabletask_autoobject__";
/// How deep values may stand in values.
const DEPTH: usize = 64;
/// Whole numbers of so many digits fit into 64 bits.
const DIGITS: usize = 18;

/// Reads a text that is a value and nothing else.
pub(crate) fn read<'py>(py: Python<'py>, json: &str) -> Option<Bound<'py, PyAny>> {
    let mut text = Text { py, json, at: 0 };
    text.pass_space();
    let value = text.value(DEPTH)?;
    text.pass_space();
    (text.at == json.len()).then_some(value)
}

struct Text<'a, 'py> {
    py: Python<'py>,
    json: &'a str,
    at: usize,
}

impl<'a, 'py> Text<'a, 'py> {
    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.json.as_bytes().get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn next(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn pass_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.next() {
            self.at += 1;
        }
    }

    /// Passes over a byte, if it comes next.
    #[inline]
    fn passes(&mut self, byte: u8) -> bool {
        let comes = self.next() == Some(byte);
        self.at += usize::from(comes);
        comes
    }

    fn value(&mut self, depth: usize) -> Option<Bound<'py, PyAny>> {
        match self.next()? {
            b'"' => self.string().map(Bound::into_any),
            b'{' => self.object(depth.checked_sub(1)?).map(Bound::into_any),
            b'[' => self.array(depth.checked_sub(1)?).map(Bound::into_any),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true", PyBool::new(self.py, true).to_owned().into_any()),
            b'f' => self.word(b"false", PyBool::new(self.py, false).to_owned().into_any()),
            b'n' => self.word(b"null", self.py.None().into_bound(self.py)),
            _ => None,
        }
    }

    #[inline]
    fn word(&mut self, word: &[u8], value: Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        self.at += word.len();
        let before = self.at - word.len();
        (self.json.as_bytes().get(before..self.at)? == word).then_some(value)
    }

    fn object(&mut self, depth: usize) -> Option<Bound<'py, PyDict>> {
        let object = PyDict::new(self.py);
        self.at += 1;
        self.pass_space();
        if self.passes(b'}') {
            return Some(object);
        }
        loop {
            let key = self.key()?;
            self.pass_space();
            if !self.passes(b':') {
                return None;
            }
            self.pass_space();
            let value = self.value(depth)?;
            object.set_item(key, value).ok()?;
            self.pass_space();
            if self.passes(b'}') {
                return Some(object);
            }
            if !self.passes(b',') {
                return None;
            }
            self.pass_space();
        }
    }

    fn array(&mut self, depth: usize) -> Option<Bound<'py, PyList>> {
        let array = PyList::empty(self.py);
        self.at += 1;
        self.pass_space();
        if self.passes(b']') {
            return Some(array);
        }
        loop {
            let value = self.value(depth)?;
            array.append(value).ok()?;
            self.pass_space();
            if self.passes(b']') {
                return Some(array);
            }
            if !self.passes(b',') {
                return None;
            }
            self.pass_space();
        }
    }

    /// A key; the same few come again and again.
    #[inline]
    fn key(&mut self) -> Option<Bound<'py, PyString>> {
        if self.next()? != b'"' {
            return None;
        }
        let begin = self.at + 1;
        let (length, is_ascii) = plain_length(self.json.as_bytes().get(begin..)?)?;
        let end = begin + length;
        if self.json.as_bytes().get(end)? != &b'"' {
            return self.string();
        }
        let text = self.json.get(begin..end)?;
        if text.as_bytes() == MARKER {
            return None;
        }
        self.at = end + 1;
        match Words::of(text.as_bytes()) {
            Some(words) if is_ascii => Some(KEYS.lock(self.py).get(self.py, words, text)),
            _ => Some(PyString::new(self.py, text)),
        }
    }

    #[inline]
    #[allow(unsafe_code, reason = "Python has no safe way to be told that text is ASCII")]
    fn string(&mut self) -> Option<Bound<'py, PyString>> {
        let begin = self.at + 1;
        let (length, is_ascii) = plain_length(self.json.as_bytes().get(begin..)?)?;
        let end = begin + length;
        if self.json.as_bytes().get(end)? != &b'"' {
            return self.with_escapes(begin, end);
        }
        let text = self.json.get(begin..end)?;
        self.at = end + 1;
        Some(if is_ascii {
            // SAFETY: every byte is ASCII, as was just seen.
            unsafe { jiter::pystring_ascii_new(self.py, text) }
        } else {
            PyString::new(self.py, text)
        })
    }

    /// A string that begins at `begin`, with the first character that does not stand for itself at `end`.
    #[cold]
    fn with_escapes(&mut self, begin: usize, end: usize) -> Option<Bound<'py, PyString>> {
        let mut text = self.json.get(begin..end)?.to_owned();
        self.at = end;
        loop {
            match self.next()? {
                b'"' => {
                    self.at += 1;
                    return (text.as_bytes() != MARKER).then(|| PyString::new(self.py, &text));
                }
                b'\\' => {
                    let escaped = *self.rest().get(1)?;
                    self.at += 2;
                    text.push(match escaped {
                        b'"' | b'\\' | b'/' => char::from(escaped),
                        b'b' => '\x08',
                        b'f' => '\x0c',
                        b'n' => '\n',
                        b'r' => '\r',
                        b't' => '\t',
                        b'u' => self.code_point()?,
                        _ => return None,
                    });
                }
                _ => return None,
            }
            let (length, _) = plain_length(self.rest())?;
            text.push_str(self.json.get(self.at..self.at + length)?);
            self.at += length;
        }
    }

    /// What `\u` stands for; a pair of surrogates for one character.
    fn code_point(&mut self) -> Option<char> {
        let unit = self.code_unit()?;
        if !(0xd800..0xdc00).contains(&unit) {
            return char::from_u32(unit);
        }
        if !self.rest().starts_with(b"\\u") {
            return None;
        }
        self.at += 2;
        let low = self.code_unit().filter(|low| (0xdc00..0xe000).contains(low))?;
        char::from_u32(0x10000 + ((unit - 0xd800) << 10 | (low - 0xdc00)))
    }

    fn code_unit(&mut self) -> Option<u32> {
        let digits = self.rest().first_chunk::<4>()?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
    }

    fn number(&mut self) -> Option<Bound<'py, PyAny>> {
        let begin = self.at;
        let negative = self.passes(b'-');
        let first = self.at;
        let mut number = 0_i64;
        while let Some(digit @ b'0'..=b'9') = self.next() {
            number = number.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - first;
        // No digit at all is no number, nor is one that begins with a zero.
        if digits == 0 || (digits > 1 && self.json.as_bytes().get(first) == Some(&b'0')) {
            return None;
        }
        if let Some(b'.' | b'e' | b'E') = self.next() {
            return self.float(begin);
        }
        if digits > DIGITS {
            return None;
        }
        let number = if negative { -number } else { number };
        number.into_pyobject(self.py).ok().map(Bound::into_any)
    }

    fn float(&mut self, begin: usize) -> Option<Bound<'py, PyAny>> {
        if self.passes(b'.') {
            self.some_digits()?;
        }
        if self.passes(b'e') || self.passes(b'E') {
            if !self.passes(b'-') {
                self.passes(b'+');
            }
            self.some_digits()?;
        }
        let number: f64 = self.json.get(begin..self.at)?.parse().ok()?;
        Some(PyFloat::new(self.py, number).into_any())
    }

    fn some_digits(&mut self) -> Option<()> {
        let first = self.at;
        while let Some(b'0'..=b'9') = self.next() {
            self.at += 1;
        }
        (self.at > first).then_some(())
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// How many bytes stand for themselves before the first quote, backslash or control character, and whether all of them
/// are ASCII; `None` if there is no such character.
#[inline]
fn plain_length(text: &[u8]) -> Option<(usize, bool)> {
    let (words, rest) = text.as_chunks::<8>();
    let (mut length, mut high) = (0, 0);
    for word in words {
        let word = u64::from_le_bytes(*word);
        let (quote, backslash) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5c));
        // The lowest high bit that is set is that of the first such byte; those above it say nothing.
        let ends = (quote.wrapping_sub(ONES) & !quote
            | backslash.wrapping_sub(ONES) & !backslash
            | word.wrapping_sub(ONES * 0x20) & !word)
            & HIGH;
        if ends != 0 {
            let before = (ends & ends.wrapping_neg()) - 1;
            length += ends.trailing_zeros() as usize / 8;
            return Some((length, (high | word & before) & HIGH == 0));
        }
        high |= word;
        length += 8;
    }
    for byte in rest {
        if matches!(byte, b'"' | b'\\' | ..0x20) {
            return Some((length, high & HIGH == 0));
        }
        high |= u64::from(*byte);
        length += 1;
    }
    None
}

/// A text of up to 24 bytes: its length and its bytes, some of them twice.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Words {
    length: usize,
    words: [u64; 3],
}

impl Words {
    #[inline]
    fn of(text: &[u8]) -> Option<Self> {
        let words = match text.len() {
            length @ 8..=24 => {
                let (first, last) = (text.first_chunk::<8>()?, text.last_chunk::<8>()?);
                let middle = if length > 16 { *text.get(8..)?.first_chunk::<8>()? } else { [0; 8] };
                [*first, middle, *last].map(u64::from_le_bytes)
            }
            4..8 => {
                let (first, last) = (text.first_chunk::<4>()?, text.last_chunk::<4>()?);
                [u64::from(u32::from_le_bytes(*first)), 0, u64::from(u32::from_le_bytes(*last))]
            }
            0..4 => [text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0, 0],
            _ => return None,
        };
        Some(Self { length: text.len(), words })
    }

    #[inline]
    fn place(&self) -> usize {
        const FACTORS: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9];
        let products = self.words.iter().zip(FACTORS).map(|(word, factor)| word.wrapping_mul(factor));
        let hash = products.fold(self.length as u64, |hash, product| hash.rotate_left(5) ^ product);
        usize::try_from(hash >> (64 - PLACES.trailing_zeros())).unwrap_or(0)
    }
}

/// How many keys are remembered, at most.
const PLACES: usize = 256;

/// Keys that were met before, as Python has them.
static KEYS: Guarded<Keys> = Guarded::new(Keys([const { None }; PLACES]));

struct Keys([Option<(Words, Py<PyString>)>; PLACES]);

impl Keys {
    /// No Python code runs here: texts are not tracked by the collector.
    #[inline]
    fn get<'py>(&mut self, py: Python<'py>, words: Words, text: &str) -> Bound<'py, PyString> {
        match self.0.get_mut(words.place()) {
            Some(Some((known, key))) if *known == words => key.bind(py).clone(),
            Some(place) => {
                let key = PyString::new(py, text);
                *place = Some((words, key.clone().unbind()));
                key
            }
            None => PyString::new(py, text),
        }
    }
}
