//! The console as browsers and strangers meet it: HTTP over TLS, real accounts, policies and audit log, a clock of its own.

mod authenticator;
mod calls;
mod desk;
mod invitations;
mod live;
mod pages;
mod passkeys;
mod sessions;
mod support;
