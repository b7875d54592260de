//! What must hold of a plan from a file before it may run.
//!
//! A step asserts the sizes of its operands when it runs, so that a wrong plan cannot read or write
//! out of bounds; but a file is somebody's input, and a mistake in it must be an error and no panic.
//! So each step says what it needs, from the same fields that its run hands to the kernel.

use edgecut_kernels::ConvShape;
use edgecut_kernels::arena::{ALIGN, Span};

use crate::plan::{Element, Place, Slot};

/// What is found, or what is wrong with it.
pub(crate) type Checked<T = ()> = Result<T, String>;

/// Most buffers that a step may hold at the same time, as [`edgecut_kernels::arena::Views`] says.
const MAX_TAKEN: usize = 8;

/// The places of a plan, and what the step at hand has taken of them so far.
pub(crate) struct Check<'a> {
    places: &'a [Place],
    arena_bytes: usize,
    taken: Vec<(Span, bool)>,
}

impl<'a> Check<'a> {
    pub fn new(places: &'a [Place], arena_bytes: usize) -> Check<'a> {
        Check { places, arena_bytes, taken: vec![] }
    }

    /// Elements of the buffer or constant `slot`, which holds elements of type `T`.
    pub fn len<T: Element>(&self, slot: Slot) -> Checked<usize> {
        match self.places.get(slot.index()) {
            None => Err(format!("there is no buffer {}", slot.0)),
            Some(Place::Constant(constant)) => T::of(constant)
                .map(<[T]>::len)
                .ok_or_else(|| format!("constant {} has another type", slot.0)),
            Some(Place::Arena(span)) => {
                let fits =
                    span.bytes.checked_add(span.offset).is_some_and(|e| e <= self.arena_bytes);
                let whole = span.bytes.is_multiple_of(size_of::<T>());
                ensure(fits && whole && span.offset.is_multiple_of(ALIGN), || {
                    format!("buffer {} does not lie in the arena", slot.0)
                })?;
                Ok(span.bytes / size_of::<T>())
            }
        }
    }

    /// A step reads `len` elements of type `T`, the whole of `slot`.
    pub fn read<T: Element>(&mut self, slot: Slot, len: usize) -> Checked {
        self.sized::<T>(slot, len)?;
        self.take(slot, false)
    }

    /// As [`Check::read`] for steps that look at their inputs one after the other.
    pub fn peek<T: Element>(&mut self, slot: Slot, len: usize) -> Checked {
        self.sized::<T>(slot, len)?;
        self.free(slot, false).map(drop)
    }

    /// A step writes `len` elements of type `T`, the whole of `slot`, which must not be empty.
    pub fn write<T: Element>(&mut self, slot: Slot, len: usize) -> Checked {
        self.sized::<T>(slot, len)?;
        ensure(len > 0, || format!("buffer {} is empty and yet computed", slot.0))?;
        self.take(slot, true)
    }

    /// A step reads `x` and writes `y`, which may be the same bytes; the number of elements.
    pub fn map<T: Element>(&mut self, x: Slot, y: Slot) -> Checked<usize> {
        let len = self.len::<T>(x)?;
        match (self.places.get(x.index()), self.places.get(y.index())) {
            (Some(Place::Arena(a)), Some(Place::Arena(b))) if a == b => {}
            _ => self.read::<T>(x, len)?,
        }
        self.write::<T>(y, len)?;
        Ok(len)
    }

    fn sized<T: Element>(&self, slot: Slot, len: usize) -> Checked {
        let found = self.len::<T>(slot)?;
        ensure(found == len, || format!("buffer {} has {found} elements, needs {len}", slot.0))
    }

    fn take(&mut self, slot: Slot, written: bool) -> Checked {
        if let Some(span) = self.free(slot, written)? {
            self.taken.push((span, written));
            ensure(self.taken.len() <= MAX_TAKEN, || "a step takes too many buffers".into())?;
        }
        Ok(())
    }

    /// The place of `slot` in the arena, where no other buffer of the step is in its way.
    fn free(&self, slot: Slot, written: bool) -> Checked<Option<Span>> {
        match self.places.get(slot.index()) {
            Some(Place::Arena(span)) => {
                let clash =
                    |&(other, theirs): &(Span, bool)| (written || theirs) && span.overlaps(other);
                ensure(!self.taken.iter().any(clash), || {
                    format!("buffer {} overlaps another of its step", slot.0)
                })?;
                Ok(Some(*span))
            }
            _ => ensure(!written, || format!("{} is no buffer to write to", slot.0)).map(|()| None),
        }
    }
}

pub(crate) fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(problem()) }
}

/// The number of elements of these extents.
pub(crate) fn product(extents: &[usize]) -> Checked<usize> {
    let product = extents.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    product.ok_or_else(|| format!("extents {extents:?} are too large"))
}

/// Checks that kernels can walk this shape.
pub(crate) fn valid(shape: &ConvShape) -> Checked {
    ensure(shape.is_valid(), || format!("{shape:?} is no window over an image"))
}
