//! `bulkhead policy test`: what policies say of themselves is tried, in a process that is locked down as a worker is.

mod likeness;
mod policies;
mod standing_in;
