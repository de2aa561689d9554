//! Identities through their public door: the gate, iam, sts, decisions and their traces.

mod bench;
mod gate;
mod iam;
mod sts;
