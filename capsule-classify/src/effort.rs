//! How much is done for a verdict, counted for the tests that hold it against the length of what is judged: a clock would say
//! something else on each machine. Outside of tests nothing is counted.

#[cfg(test)]
thread_local! {
    static DONE: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// So many bytes or steps were gone through.
#[inline]
pub(crate) fn spent(amount: usize) {
    #[cfg(test)]
    DONE.with(|done| done.set(done.get() + amount as u64));
    #[cfg(not(test))]
    let _ = amount;
}

/// What `work` took.
#[cfg(test)]
pub(crate) fn of(work: impl FnOnce()) -> u64 {
    DONE.with(|done| done.set(0));
    work();
    DONE.with(std::cell::Cell::get)
}

#[cfg(test)]
mod tests;
