//! A certificate authority of the test's own, and a server's certificate that it signed.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};

pub struct Certificates {
    /// The authority's certificate, in PEM.
    pub ca: String,
    certificate: String,
    key: String,
}

impl Certificates {
    /// For `localhost` and `127.0.0.1`.
    pub fn new() -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate().unwrap();
        let ca = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(authority, authority_key);
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = CertificateParams::new(names).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = server.signed_by(&key, &issuer).unwrap().pem();
        Self { ca, certificate, key: key.serialize_pem() }
    }

    /// Writes them where a server reads them, and gives the options that say so.
    pub fn options(&self, directory: &Path, port: u16) -> Vec<String> {
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (cert, key, ca) = (
            write("cert.pem", &self.certificate),
            write("key.pem", &self.key),
            write("ca.pem", &self.ca),
        );
        ["--tls-port", &port.to_string(), "--tls-cert-file", &cert, "--tls-key-file", &key]
            .into_iter()
            .chain(["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"])
            .map(str::to_owned)
            .collect()
    }
}
