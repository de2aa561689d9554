//! Accounts, iam, sts, the SigV4 gate and the authorizer.
