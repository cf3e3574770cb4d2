//! Where the objects behind handles live: tables of slots, each use of a slot with a generation of its own.
//!
//! A lookup takes a read lock of its one slot; making and freeing take the table's short lock for the free list besides. A slot whose generations
//! are used up is never used again, so an old handle can never come to mean a new object.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use once_cell::sync::OnceCell;

use super::process;
use crate::error::{Code, Error, Result};

const INDEX_BITS: u32 = if usize::BITS >= 64 { 32 } else { 18 };
const KIND_BITS: u32 = if usize::BITS >= 64 { 8 } else { 4 };
const GENERATION_BITS: u32 = usize::BITS - INDEX_BITS - KIND_BITS;
const MAX_GENERATION: usize = (1 << GENERATION_BITS) - 1;
const MAX_INDEX: usize = (1 << INDEX_BITS) - 1;
/// The first chunk's size; each further chunk is as large as all before it.
const FIRST: usize = 64;
const CHUNKS: usize = 26;

struct Slot<T> {
    generation: usize,
    value: Option<Arc<T>>,
}

type Chunk<T> = OnceCell<Box<[RwLock<Slot<T>>]>>;

/// The slots of one kind of object.
pub struct Table<T> {
    kind: usize,
    name: &'static str,
    chunks: [Chunk<T>; CHUNKS],
    free: Mutex<Vec<usize>>,
    used: AtomicUsize,
}

impl<T> Table<T> {
    /// An empty table. `kind` is from 1 to 15 and no other table's.
    pub const fn new(kind: usize, name: &'static str) -> Table<T> {
        Table {
            kind,
            name,
            chunks: [const { OnceCell::new() }; CHUNKS],
            free: Mutex::new(Vec::new()),
            used: AtomicUsize::new(0),
        }
    }

    /// Puts an object into a slot and returns its handle.
    pub fn insert(&self, value: Arc<T>) -> Result<usize> {
        process::alive()?;
        let reused = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let index = reused.unwrap_or_else(|| self.used.fetch_add(1, Ordering::Relaxed));
        let slot = self.make(index).ok_or_else(|| {
            Error::new(Code::OutOfMemory, format!("too many {} handles are in use", self.name))
                .with_hint("free what is not needed any more")
        })?;
        let mut slot = slot.write().unwrap_or_else(PoisonError::into_inner);
        slot.value = Some(value);
        Ok((self.kind << (INDEX_BITS + GENERATION_BITS)) | (slot.generation << INDEX_BITS) | index)
    }

    /// The object behind a handle.
    pub fn get(&self, handle: usize) -> Result<Arc<T>> {
        let (slot, generation) = self.find(handle)?;
        let slot = slot.read().unwrap_or_else(PoisonError::into_inner);
        match &slot.value {
            Some(value) if slot.generation == generation => Ok(Arc::clone(value)),
            _ => Err(self.bad()),
        }
    }

    /// Takes the object out; the handle is dead from here on.
    pub fn remove(&self, handle: usize) -> Result<Arc<T>> {
        let (slot, generation) = self.find(handle)?;
        let mut slot = slot.write().unwrap_or_else(PoisonError::into_inner);
        if slot.generation != generation {
            return Err(self.bad());
        }
        let value = slot.value.take().ok_or_else(|| self.bad())?;
        if slot.generation < MAX_GENERATION {
            slot.generation += 1;
            drop(slot);
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(handle & MAX_INDEX);
        }
        Ok(value)
    }

    fn find(&self, handle: usize) -> Result<(&RwLock<Slot<T>>, usize)> {
        if handle >> (INDEX_BITS + GENERATION_BITS) != self.kind {
            return Err(self.bad());
        }
        let (chunk, offset) = place(handle & MAX_INDEX);
        let slot = self.chunks.get(chunk).and_then(OnceCell::get).and_then(|slots| slots.get(offset));
        slot.map(|slot| (slot, (handle >> INDEX_BITS) & MAX_GENERATION))
            .ok_or_else(|| self.bad())
    }

    fn make(&self, index: usize) -> Option<&RwLock<Slot<T>>> {
        if index > MAX_INDEX {
            return None;
        }
        let (chunk, offset) = place(index);
        let slots = self.chunks.get(chunk)?.get_or_init(|| {
            let size = if chunk == 0 { FIRST } else { FIRST << (chunk - 1) };
            (0..size)
                .map(|_| {
                    RwLock::new(Slot {
                        generation: 0,
                        value: None,
                    })
                })
                .collect()
        });
        slots.get(offset)
    }

    fn bad(&self) -> Error {
        Error::new(Code::BadHandle, format!("this is not a live {} handle", self.name))
            .with_hint("it was freed already, belongs to another kind, or was never made")
    }
}

/// Chunk and offset of a slot: 64, 64, 128, 256, ...
fn place(index: usize) -> (usize, usize) {
    let power = (index / FIRST).checked_ilog2().map_or(0, |log| log + 1);
    let chunk = usize::try_from(power).unwrap_or(CHUNKS);
    let start = if chunk == 0 { 0 } else { FIRST << (chunk - 1) };
    (chunk, index - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_foreign_and_made_up_handles_are_refused() {
        let (a, b) = (Table::<u32>::new(1, "a"), Table::<u32>::new(2, "b"));
        let first = a.insert(Arc::new(7)).unwrap();
        assert_eq!(*a.get(first).unwrap(), 7);
        assert_eq!(b.get(first).unwrap_err().code(), Code::BadHandle);
        let held = a.get(first).unwrap();
        assert_eq!(*a.remove(first).unwrap(), 7);
        assert_eq!(*held, 7);
        assert!(a.remove(first).is_err());
        let second = a.insert(Arc::new(8)).unwrap();
        assert_eq!(second & MAX_INDEX, first & MAX_INDEX);
        assert!(a.get(first).is_err());
        for made_up in [0, 1, usize::MAX, second + 1, second | (1 << INDEX_BITS) << 3] {
            assert!(a.get(made_up).is_err(), "{made_up:#x}");
        }
    }

    #[test]
    fn many_slots_spread_over_chunks() {
        let table = Table::<usize>::new(3, "t");
        let handles: Vec<usize> = (0..5000).map(|n| table.insert(Arc::new(n)).unwrap()).collect();
        assert!(handles.iter().enumerate().all(|(n, handle)| *table.get(*handle).unwrap() == n));
    }

    #[test]
    fn a_slot_out_of_generations_is_retired() {
        let table = Table::<u32>::new(1, "t");
        let first = table.insert(Arc::new(1)).unwrap();
        table.find(first).unwrap().0.write().unwrap().generation = MAX_GENERATION;
        let last = first | (MAX_GENERATION << INDEX_BITS);
        assert!(table.remove(last).is_ok());
        assert_ne!(table.insert(Arc::new(2)).unwrap() & MAX_INDEX, first & MAX_INDEX);
    }
}
