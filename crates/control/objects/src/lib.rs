//! The object store: the S3 operations that clients of Marram use.
