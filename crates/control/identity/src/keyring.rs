//! The installation's master key and what is sealed with it: secret access keys, session tokens, page tokens.
//!
//! One random key in a file that only its owner can read; a key of its own is derived for each purpose, so that a text
//! sealed for one never opens as another. Sealing is AES-256-GCM with a random nonce in front.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_types::{SecretString, random_bytes};
use zeroize::Zeroizing;

/// File of the master key below the data directory.
const KEY_FILE: &str = "identity/master.key";
const KEY_BYTES: usize = 32;
/// Characters of a secret access key (control-plane-api.md section 3.1).
const SECRET_CHARS: usize = 40;

/// What a text is sealed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Secret access keys in the database.
    AccessKey,
    /// Session tokens.
    Session,
    /// Page tokens.
    Page,
    /// Values of secrets that services keep.
    Secret,
    /// Second factors of people at the console.
    Factor,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Purpose::AccessKey => b"marram identity: access keys",
            Purpose::Session => b"marram identity: session tokens",
            Purpose::Page => b"marram identity: page tokens",
            Purpose::Secret => b"marram secrets: values",
            Purpose::Factor => b"marram console: second factors",
        }
    }
}

/// Why the master key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file cannot be read or made.
    #[error("cannot open the master key {path}: {error}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The file does not hold 64 hex digits, or others can read it.
    #[error("the master key {path} is damaged or readable by others")]
    Damaged {
        /// Which file.
        path: String,
    },
}

/// Keys derived from the master key. Prints nothing of them.
pub(crate) struct Keyring {
    access_keys: LessSafeKey,
    sessions: LessSafeKey,
    pages: LessSafeKey,
    secrets: LessSafeKey,
    factors: LessSafeKey,
    session_secrets: hmac::Key,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyring(..)")
    }
}

struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

impl Keyring {
    /// Reads the master key of a data directory, making it on the first start.
    pub(crate) fn open(data_dir: &Path, may_create: bool) -> Result<Keyring, KeyringError> {
        let path = data_dir.join(KEY_FILE);
        let name = path.display().to_string();
        let fail = |error| KeyringError::File { path: name.clone(), error };
        let text = match fs::read_to_string(&path) {
            Ok(text) => {
                let mode = fs::metadata(&path).map_err(fail)?.permissions().mode();
                if mode & 0o077 != 0 {
                    return Err(KeyringError::Damaged { path: name });
                }
                Zeroizing::new(text)
            }
            // A fresh key would leave every stored access key sealed for good, without a word.
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_create => create(&path).map_err(fail)?,
            Err(error) => return Err(fail(error)),
        };
        let mut master = Zeroizing::new([0_u8; KEY_BYTES]);
        if !decode_hex(text.trim(), &mut master) {
            return Err(KeyringError::Damaged { path: name });
        }
        Ok(Keyring::from_master(&master))
    }

    pub(crate) fn from_master(master: &[u8; KEY_BYTES]) -> Keyring {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"marram").extract(master);
        let derive = |label: &[u8]| {
            let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
            let info = [label];
            let expanded = root.expand(&info, Length).and_then(|okm| okm.fill(key.as_mut()));
            expanded.expect("32 bytes are within what HKDF-SHA256 gives");
            key
        };
        let aead = |label: &[u8]| {
            let key = UnboundKey::new(&AES_256_GCM, derive(label).as_ref()).expect("AES-256 keys have 32 bytes");
            LessSafeKey::new(key)
        };
        Keyring {
            access_keys: aead(Purpose::AccessKey.label()),
            sessions: aead(Purpose::Session.label()),
            pages: aead(Purpose::Page.label()),
            secrets: aead(Purpose::Secret.label()),
            factors: aead(Purpose::Factor.label()),
            session_secrets: hmac::Key::new(hmac::HMAC_SHA256, derive(b"marram identity: session secrets").as_ref()),
        }
    }

    /// Seals `plain`; `bound` must be the same when it is opened.
    pub(crate) fn seal(&self, purpose: Purpose, bound: &[u8], plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random_bytes();
        let mut sealed = plain.to_vec();
        self.key(purpose)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), &mut sealed)
            .expect("inputs are far below the limit of AES-GCM");
        let mut out = nonce.to_vec();
        out.append(&mut sealed);
        out
    }

    /// Opens what [`Keyring::seal`] made for the same purpose and bound data; `None` for anything else.
    pub(crate) fn open_sealed(&self, purpose: Purpose, bound: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = Zeroizing::new(body.to_vec());
        let length = self.key(purpose).open_in_place(nonce, Aad::from(bound), &mut body).ok()?.len();
        body.truncate(length);
        Some(body)
    }

    /// The secret of a temporary key: derived, so that it is kept nowhere.
    pub(crate) fn session_secret(&self, access_key_id: &str) -> SecretString {
        let tag = hmac::sign(&self.session_secrets, access_key_id.as_bytes());
        let mut text = STANDARD.encode(tag.as_ref());
        text.truncate(SECRET_CHARS);
        SecretString::new(text)
    }

    fn key(&self, purpose: Purpose) -> &LessSafeKey {
        match purpose {
            Purpose::AccessKey => &self.access_keys,
            Purpose::Session => &self.sessions,
            Purpose::Page => &self.pages,
            Purpose::Secret => &self.secrets,
            Purpose::Factor => &self.factors,
        }
    }
}

fn create(path: &Path) -> io::Result<Zeroizing<String>> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let text = Zeroizing::new(marram_types::random_hex(KEY_BYTES));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(text)
}

fn decode_hex(text: &str, out: &mut [u8; KEY_BYTES]) -> bool {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let Some(digits) = digits.map(Zeroizing::new) else { return false };
    if digits.len() != KEY_BYTES * 2 {
        return false;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (pair[0] << 4) | pair[1];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-172: what is sealed opens only whole, for its purpose and its owner; the file is for its owner's eyes.
    #[test]
    fn sealed_texts_open_only_as_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let ring = Keyring::open(dir.path(), true).unwrap();
        let sealed = ring.seal(Purpose::Session, b"a", b"text");
        let again = Keyring::open(dir.path(), true).unwrap();
        assert_eq!(again.open_sealed(Purpose::Session, b"a", &sealed).unwrap().as_slice(), b"text");
        assert!(again.open_sealed(Purpose::Page, b"a", &sealed).is_none());
        assert!(again.open_sealed(Purpose::Session, b"b", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(again.open_sealed(Purpose::Session, b"a", &changed).is_none(), "byte {at}");
        }
        assert!(again.open_sealed(Purpose::Session, b"a", &sealed[..8]).is_none());
        assert_eq!(ring.session_secret("ASIA1").expose(), again.session_secret("ASIA1").expose());
        assert_eq!(ring.session_secret("ASIA1").len(), 40);
        let file = dir.path().join(KEY_FILE);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Keyring::open(dir.path(), true), Err(KeyringError::Damaged { .. })));
        fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
        assert!(
            matches!(Keyring::open(dir.path(), false), Err(KeyringError::File { .. })),
            "a lost key is not replaced"
        );
    }
}
