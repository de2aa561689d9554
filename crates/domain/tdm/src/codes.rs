//! The diagnostic codes of TG 2.5, and the bounded list findings are collected in.

use marram_diag::{Diagnostic, Severity, Span};

/// Findings kept per document (TG 2.5).
pub const MAX_DIAGNOSTICS: usize = 100;

macro_rules! codes {
    ($($code:ident $meaning:literal,)+) => {
        $(#[doc = $meaning] pub const $code: &str = stringify!($code);)+

        /// Every code with its meaning, in the order of TG 2.5.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($code), $meaning),)+];
    };
}

codes! {
    TDM1001 "illegal character",
    TDM1002 "unterminated string",
    TDM1003 "bad escape",
    TDM1004 "typographic quote",
    TDM1005 "size or depth limit",
    TDM2001 "unexpected token, wrong block",
    TDM2002 "unsupported definition keyword",
    TDM2003 "wrapper brace mismatch",
    TDM2004 "anonymous selection set",
    TDM2005 "wrong number of definitions for this operation",
    TDM3001 "id outside the caller's namespace",
    TDM3002 "malformed URN",
    TDM3003 "directive and metatype do not agree",
    TDM3004 "unresolved reference",
    TDM3005 "same id or member twice",
    TDM3006 "missing required argument",
    TDM3007 "unknown argument or directive",
    TDM3008 "capability not implemented completely",
    TDM3009 "signature mismatch with the capability",
    TDM3010 "facet not applicable or inconsistent",
    TDM3011 "enum member with a duplicate name or value",
    TDM3012 "mapping gap",
    TDM3013 "mapping overlap",
    TDM3014 "unmapped field",
    TDM3015 "inheritance cycle",
    TDM3016 "unknown protocol, operation or block",
    TDM3017 "bad MQTT topic, URL, ARN or Modbus address",
    TDM3018 "expression syntax",
    TDM3019 "expression type or scope",
    TDM4001 "step name duplicate or missing",
    TDM4002 "step without exactly one activity, choice without default",
    TDM4003 "event that nothing emits",
    TDM4004 "loop without choice",
    TDM4005 "unknown action or argument",
    TDM4006 "undeclared variable",
    TDM5001 "role unbound or unknown",
    TDM5002 "thing missing or not associated",
    TDM5003 "trigger malformed or nested",
    TDM5004 "unknown flow or wrong arguments to startFlow",
    TDM5005 "deprecated or deleted dependency",
    TDM5006 "protocol not available on the target",
}

/// Collects findings up to [`MAX_DIAGNOSTICS`]. When it is full an error still displaces a warning, so a document
/// with an error never ends up with warnings only.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Diagnostic>,
    errors: usize,
    source: u32,
    entity: Option<String>,
}

impl Findings {
    /// The source later findings belong to.
    pub fn set_source(&mut self, source: u32) {
        self.source = source;
    }

    /// What later findings are about, unless they say it themselves.
    pub fn set_entity(&mut self, entity: Option<String>) {
        self.entity = entity;
    }

    pub fn push(&mut self, mut diagnostic: Diagnostic) {
        diagnostic.source = self.source;
        if diagnostic.entity.is_none() {
            diagnostic.entity.clone_from(&self.entity);
        }
        self.errors += usize::from(diagnostic.is_error());
        if self.list.len() < MAX_DIAGNOSTICS {
            self.list.push(diagnostic);
        } else if diagnostic.is_error()
            && let Some(warning) = self.list.iter_mut().rfind(|kept| kept.severity == Severity::Warning)
        {
            *warning = diagnostic;
        }
    }

    pub fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::error(code, span, message));
    }

    pub fn warning(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::warning(code, span, message));
    }

    /// Errors so far, those that found no room included.
    pub fn error_count(&self) -> usize {
        self.errors
    }

    /// The findings by source, then by position.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|found| (found.source, found.span.start));
        self.list
    }
}
