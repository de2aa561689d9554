//! The checksums clients may send beside a body (control-plane-api 2.3).

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// A checksum algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(crate) const ALL: [Algorithm; 5] =
        [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme, Algorithm::Sha1, Algorithm::Sha256];

    /// `CRC32`, as `x-amz-checksum-algorithm` spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "CRC32",
            Algorithm::Crc32c => "CRC32C",
            Algorithm::Crc64Nvme => "CRC64NVME",
            Algorithm::Sha1 => "SHA1",
            Algorithm::Sha256 => "SHA256",
        }
    }

    /// `x-amz-checksum-crc32`.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "x-amz-checksum-crc32",
            Algorithm::Crc32c => "x-amz-checksum-crc32c",
            Algorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Algorithm::Sha1 => "x-amz-checksum-sha1",
            Algorithm::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// `ChecksumCRC32`, the element in XML.
    pub(crate) fn element(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "ChecksumCRC32",
            Algorithm::Crc32c => "ChecksumCRC32C",
            Algorithm::Crc64Nvme => "ChecksumCRC64NVME",
            Algorithm::Sha1 => "ChecksumSHA1",
            Algorithm::Sha256 => "ChecksumSHA256",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(name))
    }

    pub(crate) fn from_header(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|known| known.header().eq_ignore_ascii_case(name))
    }
}

/// A checksum as it is kept and answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    /// [`Algorithm::as_str`].
    pub(crate) algorithm: String,
    /// Base64; of several parts `{base64}-{parts}`.
    pub(crate) value: String,
    /// Made of the checksums of parts.
    pub(crate) composite: bool,
}

impl Checksum {
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::from_name(&self.algorithm)
    }

    /// `COMPOSITE` or `FULL_OBJECT`.
    pub(crate) fn kind(&self) -> &'static str {
        if self.composite { "COMPOSITE" } else { "FULL_OBJECT" }
    }
}

/// A checksum in the making.
pub(crate) enum Hasher {
    Crc32(crc32fast::Hasher),
    Crc32c(u32),
    Crc64Nvme(u64),
    Digest(digest::Context),
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Hasher {
        match algorithm {
            Algorithm::Crc32 => Hasher::Crc32(crc32fast::Hasher::new()),
            Algorithm::Crc32c => Hasher::Crc32c(!0),
            Algorithm::Crc64Nvme => Hasher::Crc64Nvme(!0),
            Algorithm::Sha1 => Hasher::Digest(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            Algorithm::Sha256 => Hasher::Digest(digest::Context::new(&digest::SHA256)),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Crc32(crc) => crc.update(bytes),
            Hasher::Crc32c(crc) => {
                for byte in bytes {
                    *crc = CRC32C[usize::from(*byte ^ *crc as u8)] ^ (*crc >> 8);
                }
            }
            Hasher::Crc64Nvme(crc) => {
                for byte in bytes {
                    *crc = CRC64_NVME[usize::from(*byte ^ *crc as u8)] ^ (*crc >> 8);
                }
            }
            Hasher::Digest(context) => context.update(bytes),
        }
    }

    /// Base64, big-endian.
    pub(crate) fn finish(self) -> String {
        match self {
            Hasher::Crc32(crc) => STANDARD.encode(crc.finalize().to_be_bytes()),
            Hasher::Crc32c(crc) => STANDARD.encode((!crc).to_be_bytes()),
            Hasher::Crc64Nvme(crc) => STANDARD.encode((!crc).to_be_bytes()),
            Hasher::Digest(context) => STANDARD.encode(context.finish()),
        }
    }
}

/// The checksum of `bytes`.
pub(crate) fn of(algorithm: Algorithm, bytes: &[u8]) -> String {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

/// Castagnoli, reflected.
const CRC32C: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

/// The polynomial of the NVM Express specification, reflected.
const CRC64_NVME: [u64; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x9a6c_9329_ac4b_c9b5 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the algorithms: the checksum of `123456789`.
    #[test]
    fn check_values() {
        for (algorithm, wanted) in [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        ] {
            let got = STANDARD.decode(of(algorithm, b"123456789")).unwrap();
            assert_eq!(hex::encode(got), wanted, "{algorithm:?}");
        }
    }
}
