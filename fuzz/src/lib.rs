//! What fuzz targets share: memory that is counted, messages and values that a fuzzer makes, and a peer's memory that lies.

pub mod counted_unsafe;
pub mod hostile;
pub mod message;
pub mod policy;
pub mod text;
pub mod value;
