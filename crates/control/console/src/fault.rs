//! What the console itself refuses with. Errors of operations keep their own codes.

use marram_aws_api::ApiError;

/// Something in the body is wrong; `field` names it for the form that shows it.
pub(crate) fn invalid(field: &str, message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", 400, message).with("field", field)
}

/// Nobody is signed in.
pub(crate) fn unauthenticated() -> ApiError {
    ApiError::new("UnauthenticatedException", 401, "Sign in first.")
}

/// One answer for everything that may be wrong with a name, a password or a code (SEC-64).
pub(crate) fn wrong_credentials() -> ApiError {
    ApiError::access_denied("The account, name, password or code is wrong.")
}

/// A code that does not confirm its second factor.
pub(crate) fn wrong_code() -> ApiError {
    ApiError::access_denied("The code is wrong. Check the clock of the device that made it.").with("field", "code")
}

/// One answer for everything that may be wrong with a passkey of somebody who is not known yet.
pub(crate) fn wrong_passkey() -> ApiError {
    ApiError::access_denied("The passkey was not accepted.")
}

/// Nobody shall be locked out by their own hand.
pub(crate) fn last_method() -> ApiError {
    ApiError::new("DeleteConflictException", 409, "This is the last way to sign in. Add another one first.")
}

/// The console's address is none that browsers bind passkeys to, or the page was opened at another one.
pub(crate) fn no_passkeys() -> ApiError {
    ApiError::new(
        "UnsupportedOperationException",
        400,
        "Passkeys need a console with a host name: browsers keep none for an IP address.",
    )
}

/// A link that is unknown, used or too old.
pub(crate) fn wrong_link() -> ApiError {
    ApiError::access_denied("The link is not valid. A link works once and not for long; ask for another one.")
}

/// Too many attempts.
pub(crate) fn throttled(wait_secs: u32) -> ApiError {
    let mut error =
        ApiError::new("ThrottlingException", 429, format!("Too many attempts. Try again in {wait_secs} seconds."));
    error.retry_after_secs = Some(wait_secs);
    error
}

/// The request came from other pages than ours, or without proof that it did not.
pub(crate) fn foreign() -> ApiError {
    ApiError::access_denied("The request did not come from this console's own pages.")
}

/// The CSRF token is missing or not the cookie's.
pub(crate) fn csrf() -> ApiError {
    ApiError::new("InvalidCsrfTokenException", 403, "The request carries no valid CSRF token. Reload the page.")
}

/// What is destroyed needs somebody who proved to be there a moment ago.
pub(crate) fn stale() -> ApiError {
    ApiError::new("ReauthenticationRequiredException", 403, "Prove again that it is you to do this.")
}

/// No verb by that name.
pub(crate) fn unknown_verb() -> ApiError {
    ApiError::new("UnknownOperationException", 404, "The console has no such call.")
}

/// The verb takes another method.
pub(crate) fn wrong_method() -> ApiError {
    ApiError::new("MethodNotAllowedException", 405, "The call takes another method.")
}

/// Bodies are JSON.
pub(crate) fn wrong_content_type() -> ApiError {
    ApiError::new("UnsupportedMediaTypeException", 415, "The body must be application/json.")
}

/// More bytes than the verb takes.
pub(crate) fn too_large(limit: usize) -> ApiError {
    ApiError::new("RequestEntityTooLargeException", 413, format!("The body is larger than {limit} bytes."))
}

/// A session has as many streams as it may.
pub(crate) fn too_many_streams(limit: usize) -> ApiError {
    ApiError::new("LimitExceededException", 429, format!("A session has at most {limit} live streams."))
}

/// The house is starting or stopping.
pub(crate) fn unavailable() -> ApiError {
    ApiError::new("ServiceUnavailableException", 503, "The console is not ready.")
}
