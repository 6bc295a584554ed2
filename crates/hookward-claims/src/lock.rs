//! The lock of this crate: a `parking_lot` mutex that tests can schedule.
//!
//! In a test build every acquisition is a point at which `shuttle` may run another thread, so the
//! tests race the same code that ships.

/// A mutex that does not poison.
#[derive(Debug, Default)]
pub(super) struct Mutex<T>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    #[cfg(not(test))]
    pub(super) fn lock(&self) -> parking_lot::MutexGuard<'_, T> {
        self.0.lock()
    }

    /// Takes the lock where no other thread may be scheduled: under a lock of another crate.
    pub(super) fn lock_at_once(&self) -> parking_lot::MutexGuard<'_, T> {
        self.0.lock()
    }

    #[cfg(test)]
    pub(super) fn lock(&self) -> parking_lot::MutexGuard<'_, T> {
        if !racing::scheduled() {
            return self.0.lock();
        }
        loop {
            shuttle::thread::yield_now();
            if let Some(guard) = self.0.try_lock() {
                return guard;
            }
        }
    }
}

/// Runs a test under `shuttle`'s scheduler.
#[cfg(test)]
pub(super) mod racing {
    use std::cell::Cell;

    thread_local! {
        static SCHEDULED: Cell<bool> = const { Cell::new(false) };
    }

    pub(super) fn scheduled() -> bool {
        SCHEDULED.get()
    }

    /// Runs `test` under `schedules` random interleavings of its `shuttle` threads.
    pub(crate) fn check(test: impl Fn() + Send + Sync + 'static, schedules: usize) {
        let raced = move || {
            // The threads of a schedule all run on this thread of the system.
            SCHEDULED.set(true);
            test();
        };
        shuttle::check_random(raced, schedules);
        SCHEDULED.set(false);
    }
}
