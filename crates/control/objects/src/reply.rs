//! Answers of the object store on their way to the wire.

use std::io::{Read, Seek, SeekFrom};

use bytes::Bytes;
use marram_aws_api::ApiError;
use marram_aws_api::s3::error_body;
use marram_http::{HeaderName, HeaderValue, ResponseBody, StatusCode, StreamResponse, header};
use tokio::sync::mpsc;

use crate::blob::{Blobs, Segment};

/// Bytes read from a file at a time.
const PIECE: usize = 256 << 10;
/// Pieces that may wait for the client.
const WAITING_PIECES: usize = 2;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) content: Content,
}

/// Its body.
#[derive(Debug)]
pub(crate) enum Content {
    Empty,
    Xml(String),
    Json(String),
    /// `length` bytes from `offset` of these segments.
    Segments {
        account: String,
        segments: Vec<Segment>,
        offset: u64,
        length: u64,
    },
}

impl Reply {
    pub(crate) fn empty(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), content: Content::Empty }
    }

    pub(crate) fn xml(text: String) -> Reply {
        Reply { status: 200, headers: Vec::new(), content: Content::Xml(text) }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// As it goes to the wire. The answer to HEAD has no body.
    pub(crate) fn into_response(self, blobs: &Blobs, request_id: &str, is_head: bool) -> StreamResponse {
        let (body, content_type, length) = match self.content {
            Content::Empty => (ResponseBody::whole(Bytes::new()), None, None),
            Content::Xml(text) => (ResponseBody::whole(text.into()), Some("application/xml"), None),
            Content::Json(text) => (ResponseBody::whole(text.into()), Some("application/json"), None),
            Content::Segments { length, .. } if is_head => (ResponseBody::whole(Bytes::new()), None, Some(length)),
            Content::Segments { account, segments, offset, length } => {
                (stream(blobs.clone(), account, segments, offset, length), None, None)
            }
        };
        let body = if is_head { ResponseBody::whole(Bytes::new()) } else { body };
        let mut response = StreamResponse::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let ids = [("x-amz-request-id", request_id), ("x-amz-id-2", request_id), ("x-amzn-requestid", request_id)];
        let all = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(ids);
        for (name, value) in all {
            // A stored value that no header can hold is left out rather than failing the whole answer.
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// The `<Error>` answer.
pub(crate) fn error(error: &ApiError, resource: &str, request_id: &str) -> Reply {
    let (code, status) = match error.code.as_ref() {
        "AccessDeniedException" => ("AccessDenied", 403),
        "InternalFailureException" => ("InternalError", 500),
        "ServiceUnavailableException" | "ThrottlingException" => ("SlowDown", 503),
        code => (code, error.status),
    };
    let mut text = String::new();
    error_body(code, &error.message, resource, request_id, &mut text);
    let content = if status == 304 { Content::Empty } else { Content::Xml(text) };
    Reply { status, headers: Vec::new(), content }
}

/// A body that a task reads from the files, at the pace of the client.
fn stream(blobs: Blobs, account: String, segments: Vec<Segment>, offset: u64, length: u64) -> ResponseBody {
    let (send, receive) = mpsc::channel(WAITING_PIECES);
    tokio::spawn(async move {
        let mut skip = offset;
        let mut left = length;
        for segment in segments {
            if left == 0 {
                return;
            }
            if skip >= segment.size {
                skip -= segment.size;
                continue;
            }
            let opened = blobs.read(&account, &segment.sha256).and_then(|mut file| {
                file.seek(SeekFrom::Start(skip))?;
                Ok(file)
            });
            let mut file = match opened {
                Ok(file) => file,
                Err(error) => {
                    tracing::error!(%error, sha256 = segment.sha256, "a content of the object store cannot be read");
                    let _ = send.send(Err(error)).await;
                    return;
                }
            };
            let mut here = left.min(segment.size - skip);
            skip = 0;
            left -= here;
            while here > 0 {
                let want = usize::try_from(here).unwrap_or(PIECE).min(PIECE);
                let read = tokio::task::spawn_blocking(move || {
                    let mut piece = vec![0; want];
                    file.read_exact(&mut piece).map(|()| (file, piece))
                });
                match read.await.map_err(std::io::Error::other).and_then(|read| read) {
                    Ok((reopened, piece)) => {
                        file = reopened;
                        here -= piece.len() as u64;
                        if send.send(Ok(piece.into())).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        let _ = send.send(Err(error)).await;
                        return;
                    }
                }
            }
        }
    });
    ResponseBody::pieces(length, receive)
}
