//! A body on its way to the content store: framing, hashes and checksums, all checked before anything is acknowledged.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_aws_api::ApiError;
use marram_http::{BodyError, RequestBody};
use marram_sigv4::{BodyCheck, Streaming};
use tokio::task::spawn_blocking;

use crate::blob::{Blobs, Received};
use crate::checksum::Algorithm;
use crate::chunked::{ChunkError, ChunkSigner, Decoder};
use crate::fault;

/// Bytes gathered before they are hashed and written.
const BLOCK: usize = 1 << 20;

/// What a body was announced to be.
pub(crate) struct Announced {
    /// What the signature says.
    pub(crate) check: BodyCheck,
    /// For signed chunks.
    pub(crate) signer: Option<ChunkSigner>,
    /// `x-amz-decoded-content-length`.
    pub(crate) decoded_length: Option<u64>,
    /// `Content-MD5`.
    pub(crate) md5: Option<String>,
    /// Checksums in headers.
    pub(crate) checksums: Vec<(Algorithm, String)>,
    /// Checksums that come as trailers, or that the upload wants.
    pub(crate) wanted: Vec<Algorithm>,
}

fn broken(error: BodyError) -> ApiError {
    match error {
        BodyError::Broken => fault::incomplete_body(),
        BodyError::Stalled => ApiError::new(
            "RequestTimeout",
            400,
            "Your socket connection to the server was not read from or written to.",
        ),
    }
}

fn refused(error: ChunkError) -> ApiError {
    match error {
        ChunkError::Malformed => fault::invalid_request("The aws-chunked body cannot be read"),
        ChunkError::Signature => fault::chunk_signature(),
        ChunkError::Incomplete => fault::incomplete_body(),
    }
}

/// Reads a body into the content store, at most `limit` bytes of content.
pub(crate) async fn receive(
    blobs: &Blobs,
    body: &mut RequestBody,
    announced: Announced,
    limit: u64,
) -> Result<Received, ApiError> {
    if announced.decoded_length.or(body.announced()).is_some_and(|length| length > limit) {
        return Err(fault::entity_too_large());
    }
    let mut algorithms: Vec<Algorithm> = announced.wanted.clone();
    algorithms.extend(announced.checksums.iter().map(|(algorithm, _)| *algorithm));
    let mut decoder = match announced.check {
        BodyCheck::Chunked(kind) => Some(Decoder::new(kind, announced.signer)),
        _ => None,
    };
    let opened = blobs.clone();
    let mut incoming = blocking(move || opened.incoming(&algorithms)).await?;
    let mut block = Vec::with_capacity(64 << 10);
    while let Some(piece) = body.next().await.map_err(broken)? {
        match &mut decoder {
            Some(decoder) => decoder.push(&piece, &mut block).map_err(refused)?,
            None => block.extend_from_slice(&piece),
        }
        if incoming.size() + block.len() as u64 > limit {
            return Err(fault::entity_too_large());
        }
        if block.len() >= BLOCK {
            (incoming, block) = blocking(move || {
                incoming.write(&block)?;
                block.clear();
                Ok((incoming, block))
            })
            .await?;
        }
    }
    let trailers = decoder.map(Decoder::finish).transpose().map_err(refused)?.unwrap_or_default();
    let received = blocking(move || {
        incoming.write(&block)?;
        Ok(incoming.finish())
    })
    .await?;
    let mut checksums = announced.checksums;
    for (name, value) in trailers {
        if let Some(algorithm) = Algorithm::from_header(&name) {
            checksums.push((algorithm, value));
        }
    }
    if announced.decoded_length.is_some_and(|length| length != received.size) {
        return Err(fault::incomplete_body());
    }
    if let BodyCheck::MustHash(wanted) = announced.check
        && hex::encode(wanted) != received.sha256
    {
        return Err(fault::sha256_mismatch());
    }
    if let Some(md5) = announced.md5 {
        let wanted = STANDARD.decode(md5.trim()).ok().filter(|bytes| bytes.len() == 16);
        if wanted.ok_or_else(fault::invalid_digest)? != received.md5 {
            return Err(fault::bad_digest());
        }
    }
    for (algorithm, wanted) in &checksums {
        let got = received.checksums.iter().find(|(known, _)| known == algorithm).map(|(_, value)| value);
        if got != Some(wanted) {
            return Err(fault::bad_digest());
        }
    }
    Ok(received)
}

/// Reads a small body into memory: documents, and the nothing that most requests carry.
pub(crate) async fn small(
    body: &mut RequestBody,
    check: BodyCheck,
    signer: Option<ChunkSigner>,
    md5: Option<&str>,
    limit: usize,
) -> Result<Vec<u8>, ApiError> {
    let mut decoder = match check {
        BodyCheck::Chunked(kind) => Some(Decoder::new(kind, signer)),
        _ => None,
    };
    let mut whole = Vec::new();
    while let Some(piece) = body.next().await.map_err(broken)? {
        match &mut decoder {
            Some(decoder) => decoder.push(&piece, &mut whole).map_err(refused)?,
            None => whole.extend_from_slice(&piece),
        }
        if whole.len() > limit {
            return Err(ApiError::new("MaxMessageLengthExceeded", 400, "Your request was too big."));
        }
    }
    decoder.map(Decoder::finish).transpose().map_err(refused)?;
    if let BodyCheck::MustHash(wanted) = check
        && aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &whole).as_ref() != wanted
    {
        return Err(fault::sha256_mismatch());
    }
    if let Some(md5) = md5 {
        use md5::{Digest, Md5};
        let wanted = STANDARD.decode(md5.trim()).ok().filter(|bytes| bytes.len() == 16);
        let got: [u8; 16] = Md5::digest(&whole).into();
        if wanted.ok_or_else(fault::invalid_digest)? != got {
            return Err(fault::bad_digest());
        }
    }
    Ok(whole)
}

/// Whether the chunks of a body are signed.
pub(crate) fn needs_signer(check: BodyCheck) -> bool {
    matches!(check, BodyCheck::Chunked(Streaming::Signed | Streaming::SignedTrailer))
}

/// Runs work on files where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    match spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| fault::storage(&error)),
        Err(_) => Err(fault::internal()),
    }
}
