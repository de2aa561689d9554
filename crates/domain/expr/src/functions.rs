//! The function library `tdm.lib` (TG 4.5): which functions exist and how many arguments they take.

/// A library function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LibraryFn(usize);

/// Group, name, least and greatest number of arguments. String functions take their subject first.
const TABLE: &[(&str, &str, usize, usize)] = &[
    ("Math", "abs", 1, 1),
    ("Math", "acos", 1, 1),
    ("Math", "asin", 1, 1),
    ("Math", "atan", 1, 1),
    ("Math", "atan2", 2, 2),
    ("Math", "cbrt", 1, 1),
    ("Math", "ceil", 1, 1),
    ("Math", "cos", 1, 1),
    ("Math", "cosh", 1, 1),
    ("Math", "exp", 1, 1),
    ("Math", "expm1", 1, 1),
    ("Math", "floor", 1, 1),
    ("Math", "floorDiv", 2, 2),
    ("Math", "floorMod", 2, 2),
    ("Math", "hypot", 2, 2),
    ("Math", "log", 1, 1),
    ("Math", "log10", 1, 1),
    ("Math", "log1p", 1, 1),
    ("Math", "max", 2, 8),
    ("Math", "min", 2, 8),
    ("Math", "pow", 2, 2),
    ("Math", "rint", 1, 1),
    ("Math", "round", 1, 1),
    ("Math", "signum", 1, 1),
    ("Math", "sin", 1, 1),
    ("Math", "sinh", 1, 1),
    ("Math", "sqrt", 1, 1),
    ("Math", "tan", 1, 1),
    ("Math", "tanh", 1, 1),
    ("Math", "toDegrees", 1, 1),
    ("Math", "toRadians", 1, 1),
    ("String", "length", 1, 1),
    ("String", "charAt", 2, 2),
    ("String", "substring", 2, 3),
    ("String", "indexOf", 2, 3),
    ("String", "lastIndexOf", 2, 3),
    ("String", "startsWith", 2, 3),
    ("String", "endsWith", 2, 2),
    ("String", "contains", 2, 2),
    ("String", "equalsIgnoreCase", 2, 2),
    ("String", "compareTo", 2, 2),
    ("String", "concat", 2, 2),
    ("String", "replace", 3, 3),
    ("String", "trim", 1, 1),
    ("String", "toLowerCase", 1, 1),
    ("String", "toUpperCase", 1, 1),
    ("String", "isEmpty", 1, 1),
    ("String", "valueOf", 1, 1),
    ("", "getDate", 0, 0),
    ("", "getTime", 0, 0),
    ("", "fileSize", 1, 1),
];

impl LibraryFn {
    /// Every function, by group.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TABLE.len()).map(Self)
    }

    /// The function `name` of `group` (`Math`, `String` or empty), ignoring ASCII case.
    pub fn find(group: &str, name: &str) -> Option<Self> {
        let found = |(known_group, known, ..): &(&str, &str, usize, usize)| {
            known_group.eq_ignore_ascii_case(group) && known.eq_ignore_ascii_case(name)
        };
        TABLE.iter().position(found).map(Self)
    }

    /// `Math`, `String` or empty.
    pub fn group(self) -> &'static str {
        TABLE[self.0].0
    }

    /// The function's name within its group.
    pub fn name(self) -> &'static str {
        TABLE[self.0].1
    }

    /// Least and greatest number of arguments.
    pub fn arity(self) -> (usize, usize) {
        (TABLE[self.0].2, TABLE[self.0].3)
    }
}
