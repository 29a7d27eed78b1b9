//! The memory limit of a sandbox.

use crate::failure::error::LimitReached;
use walnut_policy::{Limit, Limits};

/// Sum of all memories and tables of a sandbox, in bytes.
pub(super) struct MemoryLimit {
    pub used: u64,
    /// Growth since the start. Guests rarely grow a memory without writing to it.
    pub grown: u64,
    pub most: u64,
}

/// Growth, in bytes, that takes about a millisecond to unmap.
pub(super) const GROWN: u64 = 16 << 20;

impl MemoryLimit {
    pub fn new(limits: &Limits) -> Self {
        MemoryLimit { used: 0, grown: 0, most: limits.memory }
    }

    pub fn left(&self) -> u64 {
        self.most.saturating_sub(self.used).min(4 << 30)
    }

    /// Grows a memory or a table whose elements have `size` bytes. Growth beyond the limit ends the
    /// sandbox: a guest whose allocation fails seldom says so in words.
    pub fn grow(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
        size: u64,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|most| desired > most) && desired as u64 * size <= self.most {
            // The maximum of the module itself: the growth fails, as the WebAssembly specification
            // says.
            return Ok(false);
        }
        let used = self.used.saturating_add((desired - current) as u64 * size);
        if used > self.most {
            return Err(LimitReached(Limit::Memory).into());
        }
        if current > 0 {
            self.grown += used - self.used;
        }
        self.used = used;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initial_size_of_a_memory_is_no_growth() {
        let mut memory = MemoryLimit { used: 0, grown: 0, most: 100 };
        for (current, desired, grown) in [(0, 60, 0), (60, 70, 10), (70, 90, 30)] {
            assert!(memory.grow(current, desired, None, 1).unwrap());
            assert_eq!((memory.used, memory.grown), (desired as u64, grown));
        }
        assert!(memory.grow(90, 101, None, 1).is_err());
    }
}
