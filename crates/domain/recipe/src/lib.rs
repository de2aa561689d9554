//! Component recipes: reading, checking, platform choice, lifecycle selection, variables.
