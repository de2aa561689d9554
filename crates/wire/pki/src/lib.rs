//! X.509: keys, certificates, CSRs, fingerprints, CRLs.
