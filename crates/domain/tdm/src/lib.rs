//! The TDM language: lexer to checked model, formatter, public library.
