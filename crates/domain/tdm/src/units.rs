//! Units of measurement of namespace `aws` (TG 1.5). They are metadata: nothing converts by them.

/// Paths after `urn:tdm:aws:uom:`.
pub const UNITS: [&str; 23] = [
    "base/length",
    "base/mass",
    "base/time",
    "base/current",
    "base/temperature",
    "base/amount",
    "base/luminosity",
    "derived/area",
    "derived/volume",
    "derived/speed",
    "derived/acceleration",
    "derived/force",
    "derived/pressure",
    "derived/energy",
    "derived/power",
    "derived/voltage",
    "derived/resistance",
    "derived/frequency",
    "derived/illuminance",
    "derived/humidity",
    "derived/angle",
    "derived/concentration",
    "derived/flow",
];

/// Whether `path` is one of [`UNITS`], ignoring case.
pub fn is_unit(path: &str) -> bool {
    UNITS.iter().any(|unit| unit.eq_ignore_ascii_case(path))
}
