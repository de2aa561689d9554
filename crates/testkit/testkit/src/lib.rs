//! Fixtures for tests: booted stacks, temporary directories, simulated time.
