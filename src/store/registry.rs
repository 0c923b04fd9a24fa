//! What all users of one place in an engine share, for as long as there are any.

use parking_lot::Mutex;
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Weak},
};

/// Values by key, each kept by its users and not from here.
pub(super) struct Registry<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for Registry<K, V> {
    fn default() -> Self {
        Registry(Mutex::default())
    }
}

impl<K: Eq + Hash, V> Registry<K, V> {
    /// The value of `key`, made if nobody has it.
    pub(super) fn of(&self, key: K, make: impl FnOnce(&K) -> V) -> Arc<V> {
        let mut all = self.0.lock();
        if let Some(value) = all.get(&key).and_then(Weak::upgrade) {
            return value;
        }
        all.retain(|_, value| value.strong_count() > 0);
        let value = Arc::new(make(&key));
        all.insert(key, Arc::downgrade(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shared_while_somebody_has_it_and_then_forgotten() {
        let registry = Registry::default();
        let first = registry.of("a", |_| 1);
        assert_eq!((*registry.of("a", |_| 2), *registry.of("b", |_| 3)), (1, 3));
        drop(first);
        assert_eq!(*registry.of("a", |_| 4), 4);
        assert_eq!(registry.0.lock().len(), 1, "what nobody has takes no room");
    }
}
