//! The loader: runs the core from `alts/current` and goes back to `alts/old` when an update does not hold (core-runtime 4.10).
//!
//! The loader is the program that was installed with the system; updates bring cores, never loaders. A core that updates
//! itself installs the new program beside the old one, leaves `alts/new`, and ends with exit code 100. The loader turns the
//! links and keeps a *trial* on disk until the new core confirms itself. A core that ends, hangs, or is cut off together
//! with the machine spends the trial, and the loader turns the links back. Every step is one rename, and each can be
//! repeated, so that power may go at any of them.
//!
//! ```text
//! alts/init/                 links to the installed program, made anew at each start
//! alts/<version>-<digest>/   programs of updates
//! alts/current, old, broken  links to these
//! alts/new                   link: what to turn to; `alts/limit` holds the seconds it has for its confirmation
//! alts/trial                 name, seconds and starts so far of a program that did not confirm itself yet
//! alts/returned              name and reason of the program that was given up last
//! ```
//!
//! Not here: what makes a core confident of itself (`marram-deployer`).

// The standard macros panic when the reader is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod alts;
mod run;

pub use alts::{Alts, PROGRAM, Trial};
pub use run::{LOADER_VARIABLE, Loader, run};
