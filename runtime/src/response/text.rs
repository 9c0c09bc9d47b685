//! The text of a field or of a body while it is put together.

use std::cell::Cell;

use axum::body::Bytes;
use axum::http::HeaderValue;

/// The most bytes that a thread keeps for its next text.
const MAX_KEPT: usize = 4096;

thread_local! {
    /// The memory of the last text of this thread.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A text of which a field or a body takes a copy of the very length, while the memory in which it
/// was put together is kept for the next one. [`Bytes`] with room behind their end, such as those of
/// a growing vector or of a number, take one more allocation.
#[derive(Debug)]
pub(super) struct Text(Vec<u8>);

impl Text {
    #[inline]
    pub(super) fn new() -> Self {
        Self(SPARE.try_with(Cell::take).unwrap_or_default())
    }

    #[inline]
    pub(super) fn push(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Appends a number in decimal. It runs for every request, so it avoids `fmt`.
    #[inline]
    pub(super) fn push_number(&mut self, number: u64) {
        self.push(itoa::Buffer::new().format(number));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(super) fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }

    /// Returns the text as the value of a field; `None` if it has characters that a field may not
    /// contain.
    #[inline]
    pub(super) fn to_field(&self) -> Option<HeaderValue> {
        HeaderValue::from_maybe_shared(self.to_bytes()).ok()
    }

    pub(super) fn to_text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl Drop for Text {
    #[inline]
    fn drop(&mut self) {
        let mut spare = std::mem::take(&mut self.0);
        if spare.capacity() <= MAX_KEPT {
            spare.clear();
            // A thread that ends keeps nothing.
            let _ = SPARE.try_with(|kept| kept.set(spare));
        }
    }
}

/// Returns a number as the value of a field.
#[inline]
pub(super) fn number_field(number: u64) -> HeaderValue {
    let mut buffer = itoa::Buffer::new();
    // Digits are what a field may contain, so the other way is never taken.
    HeaderValue::from_str(buffer.format(number)).unwrap_or_else(|_| number.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_at_the_same_time_do_not_meet() {
        let (mut outer, mut inner) = (Text::new(), Text::new());
        outer.push("t=");
        inner.push("never");
        outer.push_number(u64::MAX);
        drop(inner);
        let mut last = Text::new();
        last.push("0");
        assert_eq!(outer.to_bytes(), "t=18446744073709551615");
        assert_eq!((outer.to_text().len(), last.to_text()), (22, "0".to_owned()));
    }

    #[test]
    fn a_thread_keeps_memory_for_a_text_of_usual_length_only() {
        let mut long = Text::new();
        long.push(&"x".repeat(MAX_KEPT + 1));
        drop(long);
        assert_eq!(SPARE.take().capacity(), 0);
        let mut usual = Text::new();
        usual.push("usual");
        drop(usual);
        let kept = SPARE.take();
        assert!(kept.is_empty() && kept.capacity() >= 5);
    }

    #[test]
    fn only_what_a_field_may_contain_becomes_one() {
        let mut text = Text::new();
        assert!(text.is_empty());
        text.push("a\tb");
        assert_eq!(text.to_field().unwrap(), "a\tb");
        text.push("\n");
        assert_eq!(text.to_field(), None);
        assert_eq!(number_field(0), "0");
        assert_eq!(number_field(u64::MAX), "18446744073709551615");
    }
}
