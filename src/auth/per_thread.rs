use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::padded::Padded;

/// A value, and a copy of it for each thread.
///
/// The identity of a request refers to the configuration of its layer. Of one shared configuration, all threads would count
/// the references in the same memory, and each request would wait for the others twice.
pub(super) struct PerThread<T> {
    value: T,
    copies: [OnceLock<Arc<Padded<T>>>; THREADS],
}

/// With more threads than this, some of them share a copy.
const THREADS: usize = 64;

impl<T: Clone> PerThread<T> {
    pub(super) const fn new(value: T) -> Self {
        Self { value, copies: [const { OnceLock::new() }; THREADS] }
    }

    /// Returns the value, for another purpose than a request.
    pub(super) const fn get(&self) -> &T {
        &self.value
    }

    /// Returns the value to change it. The copies are made again.
    pub(super) fn get_mut(&mut self) -> &mut T {
        self.copies = [const { OnceLock::new() }; THREADS];
        &mut self.value
    }

    /// Returns the copy of this thread.
    #[inline]
    pub(super) fn mine(&self) -> &Arc<Padded<T>> {
        self.copies[thread_number() % THREADS].get_or_init(|| Arc::new(Padded(self.value.clone())))
    }
}

impl<T: Clone> Clone for PerThread<T> {
    fn clone(&self) -> Self {
        Self::new(self.value.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for PerThread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// Returns a number that other threads do not have.
#[inline]
fn thread_number() -> usize {
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let number = NUMBER.get();
    if number == usize::MAX { NUMBER.with(first_number) } else { number }
}

#[cold]
fn first_number(number: &Cell<usize>) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    number.set(NEXT.fetch_add(1, Ordering::Relaxed));
    number.get()
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn each_thread_has_a_copy_of_the_latest_value() {
        let mut values = PerThread::new(1);
        assert_eq!(values.mine().0, 1);
        *values.get_mut() = 2;
        let mine = Arc::clone(values.mine());
        assert!(Arc::ptr_eq(&mine, values.mine()));
        let other = thread::scope(|threads| threads.spawn(|| Arc::clone(values.mine())).join().unwrap());
        assert!(!Arc::ptr_eq(&mine, &other));
        assert_eq!((mine.0, other.0, values.clone().mine().0), (2, 2, 2));
    }
}
