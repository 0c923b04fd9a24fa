//! Bytes of the budget that somebody holds.
//!
//! Invariant: the reservations of a budget sum up to what its state says is held. They are made by the line only; cutting
//! and changing the class keep the sum, and a drop gives it back, on every way out.
//!
//! Trade-off: a reservation is a number, not memory: the two are kept together by whoever allocates.

use super::Class;
use super::line::Inner;
use std::fmt;
use std::sync::Arc;

/// Bytes of the budget; dropping it gives them back and serves who waits.
#[must_use]
pub struct Reservation {
    pub(super) budget: Arc<Inner>,
    pub(super) class: Class,
    pub(super) bytes: u64,
}

impl Reservation {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What they are for.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Keeps `bytes` and gives the rest back; does nothing if it has no more than that.
    pub fn shrink_to(&mut self, bytes: u64) {
        let rest = self.bytes.saturating_sub(bytes);
        if rest > 0 {
            self.bytes -= rest;
            self.budget.release(self.class, rest);
        }
    }

    /// Cuts `bytes` off (all, if it has no more) into a reservation of their own.
    pub fn split(&mut self, bytes: u64) -> Reservation {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Reservation { budget: self.budget.clone(), class: self.class, bytes }
    }

    /// The same bytes for another use, at once: the sum does not change, so that only the class's own limit
    /// counts. The cache gets nothing while anybody waits.
    ///
    /// # Errors
    /// The unchanged reservation, if the class cannot take it now.
    pub fn into_class(mut self, class: Class) -> Result<Reservation, Reservation> {
        if class == self.class {
            return Ok(self);
        }
        let budget = self.budget.clone();
        let mut state = budget.state.lock();
        if class == Class::Cache && !state.line.is_empty() {
            drop(state);
            return Err(self);
        }
        *state.held.of_mut(self.class) -= self.bytes;
        if budget.refusal(&state, class, self.bytes).is_some() {
            *state.held.of_mut(self.class) += self.bytes;
            drop(state);
            return Err(self);
        }
        *state.held.of_mut(class) += self.bytes;
        self.class = class;
        let waiting = !state.line.is_empty();
        drop(state);
        if waiting {
            budget.settle();
        }
        Ok(self)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.release(self.class, self.bytes);
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("class", &self.class).field("bytes", &self.bytes).finish()
    }
}
