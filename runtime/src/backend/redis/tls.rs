//! TLS: whom to trust, how to identify oneself, and the name that the server's certificate has.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore};
use tokio_rustls::TlsConnector;

use super::credentials::unreadable;
use crate::without_secrets::{shown, shown_path};

/// Text in PEM, or the file that contains it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Pem {
    Text(Vec<u8>),
    File(PathBuf),
}

impl Pem {
    fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => std::fs::read(path).map_err(|error| unreadable(path, &error)),
        }
    }

    /// Returns the name of the text for messages.
    fn place(&self) -> String {
        match self {
            Self::Text(_) => "the PEM text".to_owned(),
            Self::File(path) => format!("the file {}", shown_path(path)),
        }
    }
}

/// The settings of TLS. Parts that are not given are `None`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct TlsSettings {
    /// The authorities to trust; those of the system by default.
    pub(super) authority: Option<Pem>,
    pub(super) client_certificate: Option<Pem>,
    pub(super) client_key: Option<Pem>,
    /// The name in the server's certificate; the host by default.
    pub(super) server_name: Option<String>,
}

impl TlsSettings {
    /// Returns these settings, and for parts that are not given those of `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            authority: self.authority.or(other.authority),
            client_certificate: self.client_certificate.or(other.client_certificate),
            client_key: self.client_key.or(other.client_key),
            server_name: self.server_name.or(other.server_name),
        }
    }

    fn have_files(&self) -> bool {
        let pems = [&self.authority, &self.client_certificate, &self.client_key];
        pems.into_iter().any(|pem| matches!(pem, Some(Pem::File(_))))
    }

    /// Reads the files and returns the driver's configuration.
    fn load(&self) -> Result<ClientConfig, String> {
        // The cryptography that the program has chosen for its process, or ring, which is used by
        // these connections alone: nothing is chosen for the rest of the program.
        let provider = CryptoProvider::get_default().cloned();
        let provider = provider.unwrap_or_else(|| Arc::new(ring::default_provider()));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be used: {error}"))?
            .with_root_certificates(self.roots()?);
        match (&self.client_certificate, &self.client_key) {
            (None, None) => Ok(config.with_no_client_auth()),
            (Some(certificate), Some(key)) => config
                .with_client_auth_cert(
                    certificates(certificate, "client certificate")?,
                    private_key(key)?,
                )
                .map_err(|error| unusable(&error, certificate, key)),
            (Some(_), None) => Err("a client certificate comes with its key: give \
                                    `client_key_file`, too"
                .to_owned()),
            (None, Some(_)) => Err("a client's key comes with its certificate: give \
                                    `client_certificate_file`, too"
                .to_owned()),
        }
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        if let Some(authority) = &self.authority {
            let what = "certificate of an authority";
            for certificate in certificates(authority, what)? {
                roots.add(certificate).map_err(|error| {
                    format!("{} contains no usable {what}: {error}", authority.place())
                })?;
            }
            return Ok(roots);
        }
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let reason = found.errors.first().map(|error| format!(" ({error})"));
            return Err(format!(
                "the system trusts no certificate authorities{}: install them (the package is often \
                 called ca-certificates), or name one by `ca_file`",
                reason.unwrap_or_default()
            ));
        }
        Ok(roots)
    }
}

/// Returns the error of a client certificate and key that cannot be used.
fn unusable(error: &rustls::Error, certificate: &Pem, key: &Pem) -> String {
    let (certificate, key) = (certificate.place(), key.place());
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => format!(
            "the key in {key} does not match the client certificate in {certificate}: give the key \
             with which that certificate was made"
        ),
        error => format!("the client certificate in {certificate} cannot be used: {error}"),
    }
}

/// Reads certificates; `what` says in messages which ones.
fn certificates(pem: &Pem, what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = pem.read()?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!(
            "{} contains no {what} in PEM: it begins with `-----BEGIN CERTIFICATE-----`",
            pem.place()
        )),
        Err(_) => Err(format!("{} is not PEM that can be read", pem.place())),
    }
}

fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, String> {
    let text = pem.read()?;
    let place = pem.place();
    // No error repeats a part of the text, because it is a secret.
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        PemError::NoItemsFound if text.windows(9).any(|word| word == b"ENCRYPTED") => {
            format!("the key in {place} is encrypted: give it without a passphrase")
        }
        PemError::NoItemsFound => format!(
            "{place} contains no private key in PEM: it begins with `-----BEGIN PRIVATE KEY-----`"
        ),
        _ => format!("{place} is not PEM that can be read"),
    })
}

/// The client side of TLS, for all connections with the same settings.
#[derive(Clone)]
pub(super) struct TlsClient {
    settings: TlsSettings,
    server_name: Option<ServerName<'static>>,
    /// The configuration that was read last.
    config: Arc<Mutex<Arc<ClientConfig>>>,
}

impl TlsClient {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or its content cannot be used. The error names the file.
    pub(super) fn new(settings: TlsSettings) -> Result<Self, String> {
        let server_name =
            settings.server_name.clone().map(|name| server_name(&name)).transpose()?;
        let config = Arc::new(Mutex::new(Arc::new(settings.load()?)));
        Ok(Self { settings, server_name, config })
    }

    pub(super) fn has_client_certificate(&self) -> bool {
        self.settings.client_certificate.is_some()
    }

    /// Returns the name that the certificate of the server at `host` must have.
    pub(super) fn name(&self, host: &str) -> Result<ServerName<'static>, String> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => server_name(host),
        }
    }

    /// Returns the connector for a new connection. Files are read anew, because certificates are
    /// renewed while the program runs. If they cannot be used at the moment, perhaps because only one
    /// of them has been replaced yet, the former ones are used.
    pub(super) async fn connector(&self) -> TlsConnector {
        if self.settings.have_files() {
            let settings = self.settings.clone();
            match tokio::task::spawn_blocking(move || settings.load()).await {
                Ok(Ok(config)) => *self.lock() = Arc::new(config),
                Ok(Err(error)) => tracing::warn!(
                    %error,
                    "the files for TLS with Redis have changed and cannot be used; the former ones \
                     are used"
                ),
                // The runtime ends, and with it the connection.
                Err(_) => {}
            }
        }
        Arc::clone(&*self.lock()).into()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<ClientConfig>> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| format!("`{}` is neither the name of a host nor an address", shown(name)))
}
