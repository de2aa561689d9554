//! One request of a browser: page, or cookie, proof of origin, session, verb, answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, SET_COOKIE};
use hyper::{Method, StatusCode};
use marram_aws_api::{ApiError, ServiceId};
use marram_front::{Peer, StreamService};
use marram_http::{Head, RequestBody, ResponseBody, StreamResponse};
use marram_identity::{BoxFuture, Principal};
use serde_json::{Map, Value, json};

use crate::console::Console;
use crate::fault;
use crate::header::secure;
use crate::language::LANGUAGE_BODY;
use crate::request::{Asked, COOKIE_NAME, object, read_body};
use crate::session::{Session, State};
use crate::site;
use crate::token::Token;

/// Where verbs are.
const API: &str = "/console/api/";
/// Where the verbs of the language service are, below that.
const LANGUAGE: &str = "tdm/";
/// Largest body of somebody who is not signed in, in bytes.
const STRANGERS_BODY: usize = 16 << 10;
/// Largest body of a call: the largest of any operation and what is around it, in bytes.
const CALL_BODY: usize = 13 << 20;
/// Largest other body, in bytes.
const SMALL_BODY: usize = 256 << 10;

/// What a verb answers.
pub(crate) enum Reply {
    /// A document.
    Json(Value),
    /// A document and the token of the session it begins.
    Begin(Value, Token),
    /// Events.
    Events(ResponseBody),
}

/// Somebody who is signed in.
pub(crate) struct Person {
    pub(crate) session: Arc<Session>,
    pub(crate) principal: Principal,
}

impl StreamService for Console {
    fn claims(&self, head: &Head) -> bool {
        let path = head.uri.path();
        let ours = match path {
            "/" => head.uri.query().is_none() && matches!(head.method, Method::GET | Method::HEAD),
            _ => path == "/console" || path.starts_with(site::ROOT),
        };
        ours && !is_signed(head)
    }

    fn counts_as(&self) -> Option<ServiceId> {
        None
    }

    fn serves_pages(&self) -> bool {
        true
    }

    fn answer<'a>(
        &'a self,
        head: &'a Head,
        body: RequestBody,
        peer: &'a Peer,
    ) -> BoxFuture<'a, (StreamResponse, bool)> {
        Box::pin(async move {
            let asked = Asked::of(head, peer, self.now());
            match head.uri.path().strip_prefix(API) {
                Some(verb) => self.api(&asked, verb, body).await,
                None => {
                    let known = self.session(&asked).is_some();
                    (site::answer(&*self.inner.options.files, head).map(ResponseBody::whole), known)
                }
            }
        })
    }
}

/// Whether a request bears a signature, which makes it the API's or the object store's.
fn is_signed(head: &Head) -> bool {
    let query = head.uri.query().unwrap_or("");
    head.headers.contains_key("authorization")
        || query.split('&').any(|pair| {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            name.starts_with("X-Amz-") || name == "AWSAccessKeyId"
        })
}

impl Console {
    /// The session of the request's cookie.
    pub(crate) fn session(&self, asked: &Asked<'_>) -> Option<Arc<Session>> {
        self.inner.sessions.find(asked.token.as_ref()?, asked.now)
    }

    async fn api(&self, asked: &Asked<'_>, verb: &str, body: RequestBody) -> (StreamResponse, bool) {
        let session = self.session(asked);
        let known = session.as_ref().is_some_and(|session| session.state == State::SignedIn);
        let work = AssertUnwindSafe(self.verb(asked, verb, session, body)).catch_unwind();
        let outcome = work.await.unwrap_or_else(|_| {
            tracing::error!(verb, request = %asked.request_id, "a call of the console panicked");
            Err(ApiError::internal())
        });
        (respond(outcome), known)
    }

    /// Everything before the verb: origin, method, CSRF, size, syntax.
    async fn verb(
        &self,
        asked: &Asked<'_>,
        verb: &str,
        session: Option<Arc<Session>>,
        body: RequestBody,
    ) -> Result<Reply, ApiError> {
        let is_read = verb == "session" || verb.starts_with("live/");
        let expected = if is_read { Method::GET } else { Method::POST };
        let signed_in = session.as_ref().is_some_and(|session| session.state == State::SignedIn);
        let limit = match verb {
            _ if !signed_in => STRANGERS_BODY,
            "call" => CALL_BODY,
            verb if verb.starts_with(LANGUAGE) => LANGUAGE_BODY,
            _ => SMALL_BODY,
        };
        // Read first: a client that is still sending would not read the refusal.
        let body = read_body(body, limit).await?;
        asked.check_origin(verb == "session")?;
        if asked.head.method != expected {
            return Err(fault::wrong_method());
        }
        if is_read {
            return self.read_verb(asked, verb, session).await;
        }
        asked.check_content_type()?;
        self.check_csrf(asked)?;
        let members = object(&body)?;
        match verb {
            "sign-in/link" => self.sign_in_with_link(asked, &members).await,
            "sign-in/password" => self.sign_in_with_password(asked, &members).await,
            "enrol" => self.enrol(asked, session, &members).await,
            "sign-out" => self.sign_out(asked, session).await,
            "passkey/challenge" => self.challenge(asked, session, &members).map(Reply::Json),
            "sign-in/passkey" => self.sign_in_with_passkey(asked, &members).await,
            "enrol/passkey" => self.enrol_passkey(asked, session, &members).await,
            "reauthenticate/passkey" => self.reauthenticate_with_passkey(asked, &self.person(session)?, &members).await,
            "reauthenticate" => self.reauthenticate(asked, &self.person(session)?, &members).await,
            _ => {
                let person = self.person(session)?;
                self.person_verb(asked, &person, verb, members).await.map(Reply::Json)
            }
        }
    }

    async fn read_verb(&self, asked: &Asked<'_>, verb: &str, session: Option<Arc<Session>>) -> Result<Reply, ApiError> {
        match verb {
            "session" => self.describe(asked, session),
            "live/mqtt" => self.live_mqtt(asked, &self.person(session)?).map(Reply::Events),
            "live/executions" => self.live_executions(asked, &self.person(session)?).map(Reply::Events),
            _ => {
                let _person = self.person(session)?;
                Err(fault::unknown_verb())
            }
        }
    }

    /// What somebody who is signed in may ask.
    async fn person_verb(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        verb: &str,
        members: Map<String, Value>,
    ) -> Result<Value, ApiError> {
        match verb {
            "call" => self.call(asked, person, members).await,
            "may" => self.may(asked, person, &members),
            "who-can" => self.who_can(asked, person, &members).await,
            "can" => self.can(asked, person, &members),
            "audit" => self.audit(asked, person, &members).await,
            "series" => self.series(asked, person, &members),
            "invitations/list" => self.invitations(asked, person),
            "invitations/make" => self.invite(asked, person, &members).await,
            "invitations/withdraw" => self.withdraw(asked, person, &members).await,
            "my/methods" => self.methods(person),
            "my/passkey-add" => self.add_passkey(asked, person, &members).await,
            "my/passkey-rename" => self.rename_passkey(asked, person, &members).await,
            "my/passkey-remove" => self.remove_passkey(asked, person, &members).await,
            "my/password-begin" => self.begin_password(asked, person),
            "my/password-set" => self.set_password(asked, person, &members).await,
            "my/password-remove" => self.remove_password(asked, person).await,
            _ => match verb.strip_prefix(LANGUAGE) {
                Some(verb) => self.language(asked, person, verb, members).await,
                None => Err(fault::unknown_verb()),
            },
        }
    }

    fn check_csrf(&self, asked: &Asked<'_>) -> Result<(), ApiError> {
        let given = asked.csrf().unwrap_or("");
        let holds = asked.token.as_ref().is_some_and(|token| token.is_csrf(&self.inner.csrf_key, given));
        if holds { Ok(()) } else { Err(fault::csrf()) }
    }

    /// Who is behind a session that is signed in; a user who is gone is nobody.
    ///
    /// # Errors
    /// `UnauthenticatedException`.
    pub(crate) fn person(&self, session: Option<Arc<Session>>) -> Result<Person, ApiError> {
        let session = session.filter(|session| session.state == State::SignedIn).ok_or_else(fault::unauthenticated)?;
        let principal = session.principal(&self.inner.identity).ok_or_else(fault::unauthenticated)?;
        Ok(Person { session, principal })
    }
}

fn respond(outcome: Result<Reply, ApiError>) -> StreamResponse {
    let mut response = match outcome {
        Ok(Reply::Json(document)) => whole(StatusCode::OK, &document),
        Ok(Reply::Begin(document, token)) => {
            let mut response = whole(StatusCode::OK, &document);
            response.headers_mut().insert(SET_COOKIE, cookie(&token));
            response
        }
        Ok(Reply::Events(events)) => {
            let mut response = StreamResponse::new(events);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            response
        }
        Err(error) => refuse(&error),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    secure(headers);
    response
}

fn whole(status: StatusCode, document: &Value) -> StreamResponse {
    let mut response = StreamResponse::new(ResponseBody::whole(Bytes::from(document.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An error as pages read it.
pub(crate) fn error_document(error: &ApiError) -> Value {
    let mut document = error.members.clone();
    if !document.contains_key("field")
        && let Some(field) = field_of(&error.message)
    {
        document.insert("field".to_owned(), field.into());
    }
    document.insert("code".to_owned(), error.code.as_ref().into());
    document.insert("message".to_owned(), error.message.as_str().into());
    json!({ "error": document })
}

/// The member a constraint's message is about.
fn field_of(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("Value at '")?;
    rest.split_once('\'').map(|(field, _)| field)
}

fn refuse(error: &ApiError) -> StreamResponse {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = whole(status, &error_document(error));
    let headers: &mut HeaderMap = response.headers_mut();
    if let Some(seconds) = error.retry_after_secs {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A cookie for as long as the browser is open; the server decides how long it opens anything.
fn cookie(token: &Token) -> HeaderValue {
    let text = format!("{COOKIE_NAME}={}; Path=/; Secure; HttpOnly; SameSite=Strict", *token.text());
    let mut value = HeaderValue::from_str(&text).expect("tokens are ASCII");
    value.set_sensitive(true);
    value
}
