//! Containers that hold on to the room that they once needed.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

/// A container with room for so few is left as it is: the next turn needs it again.
const LITTLE_ROOM: usize = 64;

/// Something that holds on to the room that it once needed.
pub(crate) trait Roomy {
    /// Gives room back, if much of it is empty.
    fn shrink(&mut self);
    /// What it takes in bytes, without what its elements point to.
    fn bytes(&self) -> usize;
}

fn much_is_empty(length: usize, capacity: usize) -> bool {
    capacity > LITTLE_ROOM && length < capacity / 2
}

impl<T> Roomy for VecDeque<T> {
    fn shrink(&mut self) {
        if much_is_empty(self.len(), self.capacity()) {
            self.shrink_to_fit();
        }
    }

    fn bytes(&self) -> usize {
        self.capacity() * size_of::<T>()
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> Roomy for HashMap<K, V, S> {
    fn shrink(&mut self) {
        if much_is_empty(self.len(), self.capacity()) {
            self.shrink_to_fit();
        }
    }

    fn bytes(&self) -> usize {
        self.capacity() * size_of::<(K, V)>()
    }
}
