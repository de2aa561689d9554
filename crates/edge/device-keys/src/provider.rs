//! The token: its library, one session that is logged in, and what is found in it.

use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use marram_types::SecretString;

use crate::key::TokenKey;
use crate::settings::Pkcs11Settings;
use crate::uri::{KeyUri, ObjectType};

/// Why a token cannot be used. Callers try again every 5 to 30 s (CR 9.2).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The library, the token or the PIN.
    #[error("{what}: {said}")]
    Token {
        /// What was tried.
        what: &'static str,
        /// What it said.
        said: Said,
    },
    /// A PIN that the token does not take. Tokens lock after a few wrong ones, so it is not tried again: only another PIN is, or another
    /// start of the core.
    #[error(
        "the token refuses the PIN ({0}); it is not tried again, because tokens lock: set userPin, or restart the core"
    )]
    Pin(Arc<Said>),
    /// Nothing there under this label.
    #[error("the token holds no {what} with the label `{label}`")]
    Missing {
        /// `private key`, `certificate`.
        what: &'static str,
        /// Its label.
        label: String,
    },
    /// More than one there.
    #[error("the token holds more than one {what} with the label `{label}`")]
    Ambiguous {
        /// `private key`, `certificate`.
        what: &'static str,
        /// Its label.
        label: String,
    },
    /// The URI names another slot than the configuration.
    #[error("the URI names slot {named}, the provider is configured for slot {configured}")]
    OtherSlot {
        /// In the URI.
        named: u64,
        /// In the configuration.
        configured: u64,
    },
    /// The key is neither RSA nor EC on P-256 or P-384.
    #[error("the key `{0}` is neither RSA nor EC on P-256 or P-384")]
    Kind(String),
    /// Key and certificate have different labels (CC 11).
    #[error("key `{key}` and certificate `{certificate}` have different labels")]
    Labels {
        /// Of the key.
        key: String,
        /// Of the certificate.
        certificate: String,
    },
}

/// What a library or token said: function and return code, without the sentences of the standard.
#[derive(Debug)]
pub struct Said(pub(crate) Error);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Error::Pkcs11(code, function) => {
                write!(f, "C_{function:?} answered CKR")?;
                for letter in format!("{code:?}").chars() {
                    if letter.is_ascii_uppercase() {
                        write!(f, "_")?;
                    }
                    write!(f, "{}", letter.to_ascii_uppercase())?;
                }
                Ok(())
            }
            other => other.fmt(f),
        }
    }
}

/// A PKCS#11 token. A cheap clone; all uses share one session and take turns.
#[derive(Clone)]
pub struct Provider {
    inner: Arc<Inner>,
}

struct Inner {
    library: Pkcs11,
    slot: Slot,
    pin: SecretString,
    session: Mutex<Login>,
}

/// Whether the token let us in.
enum Login {
    Out,
    In(Session),
    Refused(Arc<Said>),
}

impl Provider {
    /// Loads the library and logs in.
    ///
    /// # Errors
    /// [`TokenError::Token`].
    pub fn open(settings: &Pkcs11Settings) -> Result<Self, TokenError> {
        let failed = |what| move |error| TokenError::Token { what, said: Said(error) };
        let library = Pkcs11::new(&settings.library).map_err(failed("cannot load the PKCS#11 library"))?;
        match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another provider of this process uses the same library.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(failed("cannot start the PKCS#11 library")(error)),
        }
        let slot = Slot::try_from(settings.slot).map_err(failed("the slot is out of range"))?;
        let inner = Inner { library, slot, pin: settings.user_pin.clone(), session: Mutex::new(Login::Out) };
        let provider = Self { inner: Arc::new(inner) };
        provider.with_session("cannot open a session", |_| Ok(()))?;
        tracing::info!(name = settings.name, slot = settings.slot, "the PKCS#11 token is open");
        Ok(provider)
    }

    /// The private key a URI names.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn key(&self, uri: &KeyUri) -> Result<TokenKey, TokenError> {
        self.check_slot(uri)?;
        TokenKey::find(self.clone(), uri)
    }

    /// The certificate a URI names, PEM.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn certificate_pem(&self, uri: &KeyUri) -> Result<String, TokenError> {
        self.check_slot(uri)?;
        let der = self.find("certificate", uri, |session, object| {
            let attributes = session.get_attributes(object, &[AttributeType::Value])?;
            let der = attributes.into_iter().find_map(|attribute| match attribute {
                Attribute::Value(der) => Some(der),
                _ => None,
            });
            Ok(der.unwrap_or_default())
        })?;
        Ok(marram_pki::pem::encode_certificate(&der))
    }

    /// Key and certificate of a device: both in the token, their labels equal (CC 11).
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn identity(&self, key: &KeyUri, certificate: &KeyUri) -> Result<(TokenKey, String), TokenError> {
        if key.label != certificate.label {
            return Err(TokenError::Labels { key: key.label.clone(), certificate: certificate.label.clone() });
        }
        Ok((self.key(key)?, self.certificate_pem(certificate)?))
    }

    /// Runs `read` on the one object a URI names.
    pub(crate) fn find<T>(
        &self,
        what: &'static str,
        uri: &KeyUri,
        read: impl Fn(&Session, ObjectHandle) -> Result<T, Error>,
    ) -> Result<T, TokenError> {
        let class = match uri.kind {
            ObjectType::Private => ObjectClass::PRIVATE_KEY,
            ObjectType::Certificate => ObjectClass::CERTIFICATE,
        };
        let mut template = vec![Attribute::Class(class), Attribute::Label(uri.label.clone().into_bytes())];
        template.extend(uri.id.clone().map(Attribute::Id));
        let found =
            self.with_session("cannot use the token", |session| match session.find_objects(&template)?.as_slice() {
                [object] => Ok(Ok(read(session, *object)?)),
                objects => Ok(Err(objects.is_empty())),
            })?;
        let label = uri.label.clone();
        found.map_err(|is_missing| match is_missing {
            true => TokenError::Missing { what, label },
            false => TokenError::Ambiguous { what, label },
        })
    }

    /// Runs `work` in the session; once more in a new one when the session or the token was lost meanwhile.
    pub(crate) fn with_session<T>(
        &self,
        what: &'static str,
        work: impl Fn(&Session) -> Result<T, Error>,
    ) -> Result<T, TokenError> {
        let failed = |error| TokenError::Token { what, said: Said(error) };
        let mut guard = self.inner.session.lock().unwrap_or_else(PoisonError::into_inner);
        match self.logged_in(what, &mut guard).map(&work)? {
            Err(Error::Pkcs11(
                RvError::SessionClosed
                | RvError::SessionHandleInvalid
                | RvError::UserNotLoggedIn
                | RvError::DeviceRemoved
                | RvError::TokenNotPresent
                | RvError::ObjectHandleInvalid
                | RvError::KeyHandleInvalid,
                _,
            )) => {
                *guard = Login::Out;
                self.logged_in(what, &mut guard).map(work)?.map_err(failed)
            }
            outcome => outcome.map_err(failed),
        }
    }

    fn logged_in<'s>(&self, what: &'static str, login: &'s mut Login) -> Result<&'s Session, TokenError> {
        let failed = |error| TokenError::Token { what, said: Said(error) };
        if let Login::Out = login {
            let session = self.inner.library.open_ro_session(self.inner.slot).map_err(failed)?;
            let pin = AuthPin::new(self.inner.pin.expose().into());
            *login = match session.login(UserType::User, Some(&pin)) {
                // The login belongs to the process, not to the session.
                Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Login::In(session),
                Err(
                    error @ Error::Pkcs11(
                        RvError::PinIncorrect
                        | RvError::PinInvalid
                        | RvError::PinLenRange
                        | RvError::PinLocked
                        | RvError::PinExpired,
                        _,
                    ),
                ) => Login::Refused(Arc::new(Said(error))),
                Err(error) => return Err(failed(error)),
            };
        }
        match login {
            Login::In(session) => Ok(session),
            Login::Refused(error) => Err(TokenError::Pin(Arc::clone(error))),
            Login::Out => Err(failed(Error::InvalidValue)),
        }
    }

    fn check_slot(&self, uri: &KeyUri) -> Result<(), TokenError> {
        let configured = self.inner.slot.id();
        match uri.slot {
            Some(named) if named != configured => Err(TokenError::OtherSlot { named, configured }),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("slot", &self.inner.slot.id()).finish_non_exhaustive()
    }
}
