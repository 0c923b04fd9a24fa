//! `parking_lot`'s lock and condition, scheduled by the model checker.

use shuttle::rand::{RngCore, thread_rng};
use std::{
    cell::Cell,
    ops::{Deref, DerefMut},
    time::Instant,
};

thread_local! {
    /// How many of [`Condvar::notify_one`] get lost, of 256: for the test that proves that it would be noticed.
    static LOST_WAKE_UPS: Cell<u32> = const { Cell::new(0) };
}

/// From now on, `of_256` of the wake-ups of this test's conditions are lost.
pub fn lose_wake_ups(of_256: u32) {
    LOST_WAKE_UPS.set(of_256);
}

#[derive(Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { of: self, guard: Some(self.take()) }
    }

    // As in parking_lot there is no poison: who panicked fails the test anyway.
    fn take(&self) -> shuttle::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

pub struct MutexGuard<'a, T> {
    of: &'a Mutex<T>,
    /// `None` only while it is unlocked or waits.
    guard: Option<shuttle::sync::MutexGuard<'a, T>>,
}

impl<'a, T> MutexGuard<'a, T> {
    pub fn unlocked<R>(this: &mut MutexGuard<'a, T>, f: impl FnOnce() -> R) -> R {
        this.guard = None;
        let result = f();
        this.guard = Some(this.of.take());
        result
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_ref().expect("the lock is held")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().expect("the lock is held")
    }
}

#[derive(Default)]
pub struct Condvar(shuttle::sync::Condvar);

pub struct Waited(bool);

impl Waited {
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.guard.take().expect("the lock is held");
        guard.guard = Some(self.0.wait(held).unwrap_or_else(|poisoned| poisoned.into_inner()));
    }

    /// Either the time is over as soon as others had a turn, or it never is: then only a wake-up helps.
    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _: Instant) -> Waited {
        let timed_out = thread_rng().next_u32() & 3 == 0;
        if timed_out {
            MutexGuard::unlocked(guard, shuttle::thread::yield_now);
        } else {
            self.wait(guard);
        }
        Waited(timed_out)
    }

    pub fn notify_one(&self) {
        if thread_rng().next_u32() & 255 >= LOST_WAKE_UPS.get() {
            self.0.notify_one();
        }
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}
