//! Fuzz targets: one plain function per parser, replayed over the stored corpus by the test suite.
