//! Diagnostics: code, severity, span, help; plain data and its renderings.
