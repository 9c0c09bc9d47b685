//! A certificate authority of the test's own, and the certificates that it signed.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

pub struct Certificates {
    /// The authority's certificate, in PEM.
    pub ca: String,
    certificate: String,
    key: String,
    /// A certificate for a client, and its key.
    pub client_certificate: String,
    pub client_key: String,
}

impl Certificates {
    /// For `localhost` and `127.0.0.1`.
    pub fn new() -> Self {
        Self::of(&["localhost", "127.0.0.1"])
    }

    /// For servers of these names.
    pub fn of(names: &[&str]) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        // A certificate with the name of its authority would be taken for one that it signed itself.
        authority.distinguished_name.push(DnType::CommonName, "authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate().unwrap();
        let ca = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(authority, authority_key);
        let signed = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(names.clone()).unwrap();
            params.distinguished_name.push(DnType::CommonName, names.concat());
            (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
        };
        let (certificate, key) = signed(names);
        let (client_certificate, client_key) = signed(&["client"]);
        Self { ca, certificate, key, client_certificate, client_key }
    }

    /// Writes them where a server reads them, and gives the options that say so: names and values,
    /// without dashes. Clients must have a certificate if `clients` is `true`.
    pub fn options(&self, directory: &Path, port: u16, clients: bool) -> Vec<(String, String)> {
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let options = [
            ("tls-port", port.to_string()),
            ("tls-cert-file", write("cert.pem", &self.certificate)),
            ("tls-key-file", write("key.pem", &self.key)),
            ("tls-ca-cert-file", write("ca.pem", &self.ca)),
            ("tls-auth-clients", if clients { "yes" } else { "no" }.to_owned()),
        ];
        options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Writes what a client has into a folder.
    pub fn write_for_client(&self, directory: &Path) -> ClientFiles {
        let files = ClientFiles {
            ca: directory.join("client-ca.pem"),
            certificate: directory.join("client-cert.pem"),
            key: directory.join("client-key.pem"),
        };
        std::fs::write(&files.ca, &self.ca).unwrap();
        std::fs::write(&files.certificate, &self.client_certificate).unwrap();
        std::fs::write(&files.key, &self.client_key).unwrap();
        files
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

/// The files of a client.
pub struct ClientFiles {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl ClientFiles {
    /// The parameters of a URL that name them.
    pub fn parameters(&self) -> String {
        let Self { ca, certificate, key } = self;
        format!(
            "ca_file={}&client_certificate_file={}&client_key_file={}",
            ca.display(),
            certificate.display(),
            key.display()
        )
    }
}
