//! What the HTTP server asks of the door, for one connection.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use marram_http::{Handler, Head, Refusal, RequestBody, Response, StreamResponse};
use marram_tls::{PeerInfo, UnauthenticatedPermit};

use crate::browser::tame;
use crate::door::{FrontDoor, Peer};

/// The door as one connection sees it.
pub(crate) struct Connection {
    door: Arc<FrontDoor>,
    peer: Peer,
    /// Held until the first request with a good signature: strangers are counted (security 12.2).
    permit: Mutex<Option<UnauthenticatedPermit>>,
}

impl Connection {
    pub(crate) fn new(
        door: Arc<FrontDoor>,
        source_ip: IpAddr,
        peer: &PeerInfo,
        permit: UnauthenticatedPermit,
    ) -> Connection {
        let peer = Peer { source_ip, tls_version: peer.version, cipher_suite: peer.cipher_suite };
        Connection { door, peer, permit: Mutex::new(Some(permit)) }
    }
}

impl Handler for Connection {
    fn body_limit(&self, head: &Head) -> usize {
        self.door.body_limit(head)
    }

    async fn handle(&self, head: &Head, body: Bytes) -> Response {
        let mut answer = self.door.answer(head, &body, &self.peer).await;
        tame(answer.response.headers_mut());
        if answer.authenticated {
            self.permit.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        answer.response
    }

    fn streams(&self, head: &Head) -> bool {
        self.door.streams(head)
    }

    async fn stream(&self, head: &Head, body: RequestBody) -> StreamResponse {
        let (mut response, authenticated) = self.door.stream(head, body, &self.peer).await;
        if authenticated {
            self.permit.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        tame(response.headers_mut());
        response
    }

    fn refuse(&self, head: &Head, refusal: Refusal) -> Response {
        let mut response = self.door.refuse(head, refusal);
        tame(response.headers_mut());
        response
    }
}
