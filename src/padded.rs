//! Memory that one thread writes and no other one has to wait for.

use std::ops::Deref;

/// A value that shares no cache line with another one, nor a pair of lines that processors fetch together.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> Deref for Padded<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}
