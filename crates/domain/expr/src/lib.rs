//! TDM expressions: values, parser, typed evaluator, templates.
