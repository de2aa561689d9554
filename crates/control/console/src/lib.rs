//! The server side of the web console: pages, sessions, calls, live streams, the security desk.
//!
//! Everything lives below `/console/` on the API port, claimed by [`Console`] before the services that want signatures. A
//! person is an IAM user of an account who proved a password and a second factor, or gave a passkey that checked its person; what the pages may do is what the
//! policies of that user say, because every call goes through the front door's own [`marram_front::FrontDoor::call_as`].
//!
//! ```text
//! GET  /console/..            pages (site), strict headers on every answer (header)
//! GET  /console/api/session   who am I, and the CSRF token of my cookie (sign_in)
//! POST /console/api/..        cookie -> Origin, Sec-Fetch-Site, content type, CSRF -> session -> verb (door)
//! GET  /console/api/live/..   events (live)
//! ```
//!
//! What is believed of a request: nothing until the cookie names a session that lives and the CSRF token was made for that
//! very cookie. A session's token is rotated whenever what it may do changes; only hashes of tokens are kept (SEC-64, SEC-97,
//! MA-IAM-14).

mod call;
mod console;
mod credential;
mod desk;
mod door;
mod fault;
mod header;
mod invite;
mod language;
mod link;
mod live;
mod methods;
mod passkey;
mod password;
mod request;
mod schema;
mod series;
mod session;
mod sign_in;
mod site;
mod throttle;
mod token;
mod totp;

pub use console::{Console, ConsoleOptions, Endpoints};
pub use desk::{Devices, Reasons, SurveyedDevices};
pub use language::Language;
pub use link::FirstLink;
pub use passkey::fuzz_passkey;
pub use request::fuzz_request;
pub use schema::MIGRATIONS;
pub use site::{Embedded, Files};
