//! One file per layer, the same entry points in each: `apply` makes it hold, `probe` tries it and says in words what was
//! seen. Neither trusts the other.

pub mod capabilities;
pub mod core_scheduling;
pub mod descriptors;
pub mod hostname;
pub mod inherited_state;
pub mod landlock_fs;
pub mod landlock_scope;
pub mod landlock_tcp;
pub mod mdwe;
pub mod nested;
pub mod net_namespace;
pub mod no_new_privs;
pub mod not_dumpable;
pub mod pid_namespace;
pub mod rlimits;
pub mod root;
pub mod seccomp;
pub mod speculation;
