use std::num::NonZeroU8;

use super::{Scope, avala};

/// Which of the documented scopes are in a set.
///
/// Bit `n` stands for `avala::ALL[n]`. The highest bit stands for nothing and is always set, so that whoever holds a set
/// has a value to spare, and a record of a key is smaller.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Documented(NonZeroU8);

impl Documented {
    pub(super) const EMPTY: Self = Self(NonZeroU8::new(1 << 7).unwrap());

    pub(super) const fn is_empty(self) -> bool {
        self.bits() == 0
    }

    pub(super) const fn len(self) -> usize {
        self.bits().count_ones() as usize
    }

    pub(super) const fn contains_all(self, other: Self) -> bool {
        other.bits() & !self.bits() == 0
    }

    pub(super) const fn contains_any(self, other: Self) -> bool {
        other.bits() & self.bits() != 0
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set of this one scope, if it is a documented one.
    pub(super) fn of(scope: &Scope) -> Option<Self> {
        all().iter().position(|documented| documented == scope).map(Self::nth)
    }

    pub(super) fn iter<'a>(self) -> impl Iterator<Item = &'a Scope> {
        all().iter().enumerate().filter(move |(n, _)| self.contains_any(Self::nth(*n))).map(|(_, scope)| scope)
    }

    fn nth(n: usize) -> Self {
        Self(Self::EMPTY.0 | 1 << n)
    }

    const fn bits(self) -> u8 {
        self.0.get() & !Self::EMPTY.0.get()
    }
}

impl Default for Documented {
    fn default() -> Self {
        Self::EMPTY
    }
}

fn all() -> &'static [Scope; 5] {
    static ALL: [Scope; 5] = avala::ALL;
    &ALL
}
