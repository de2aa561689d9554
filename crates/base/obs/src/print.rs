//! Printing: data on standard output, words on standard error, for readers who may be gone (`status | head -2`).
//!
//! The standard macros panic when nobody reads any more. With these a program that only prints ends without a word, and one that has
//! something to do is not kept from it by words that nobody hears.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};

/// Exit code of a program whose reader is gone: the one a shell shows for SIGPIPE (128 + 13), so that what could not be told does not look
/// like success.
const READER_GONE: i32 = 141;

/// Prints to standard output, as `print!`. Ends the program when nobody reads any more.
#[macro_export]
macro_rules! out {
    ($($text:tt)*) => { $crate::print::out(::std::format_args!($($text)*)) };
}

/// Prints a line to standard output, as `println!`. Ends the program when nobody reads any more.
#[macro_export]
macro_rules! outln {
    () => { $crate::out!("\n") };
    ($($text:tt)*) => { $crate::out!("{}\n", ::std::format_args!($($text)*)) };
}

/// Prints to standard error, as `eprint!`. What nobody reads is lost.
#[macro_export]
macro_rules! err {
    ($($text:tt)*) => { $crate::print::err(::std::format_args!($($text)*)) };
}

/// Prints a line to standard error, as `eprintln!`. What nobody reads is lost.
#[macro_export]
macro_rules! errln {
    ($($text:tt)*) => { $crate::err!("{}\n", ::std::format_args!($($text)*)) };
}

#[doc(hidden)]
pub fn out(text: Arguments<'_>) {
    if let Err(error) = write(io::stdout().lock(), text) {
        if error.kind() == ErrorKind::BrokenPipe {
            std::process::exit(READER_GONE);
        }
        err(format_args!("cannot write to standard output: {error}\n"));
        std::process::exit(1);
    }
}

#[doc(hidden)]
pub fn err(text: Arguments<'_>) {
    let _ = write(io::stderr().lock(), text);
}

fn write(mut to: impl Write, text: Arguments<'_>) -> io::Result<()> {
    to.write_fmt(text)?;
    to.flush()
}
