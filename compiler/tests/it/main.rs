//! The compiler's steps as one function, without a process around it.

mod bounds;
mod components;
mod mapping;
mod modules;
mod native;
mod proposals;
mod random;
mod recognise;
mod support;
mod truncation;
