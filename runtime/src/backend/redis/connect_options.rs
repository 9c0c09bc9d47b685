//! Options for the connections to all servers of a backend.

use std::time::Duration;

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion,
    RedisConnectionInfo, RedisResult, TlsCertificates,
};

use super::credentials::Credentials;

#[derive(Clone)]
pub(super) struct ConnectOptions {
    pub(super) credentials: Credentials,
    pub(super) database: i64,
    pub(super) tls: bool,
    /// A certificate authority to trust instead of the machine's, in PEM.
    pub(super) ca_certificate: Option<Vec<u8>>,
    pub(super) pool_size: usize,
    /// The age at which a connection is replaced.
    pub(super) max_age: Duration,
}

impl ConnectOptions {
    pub(super) fn address(&self, host: &str, port: u16) -> ConnectionAddr {
        let host = host.to_owned();
        if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    pub(super) fn certificates(&self) -> Option<TlsCertificates> {
        let root_cert = Some(self.ca_certificate.clone().filter(|_| self.tls)?);
        Some(TlsCertificates { client_tls: None, root_cert })
    }

    /// Returns the driver's description of a connection to `address`.
    pub(super) fn connection_info(&self, address: &ConnectionAddr) -> RedisResult<ConnectionInfo> {
        let info = address.clone().into_connection_info()?.set_redis_settings(self.settings());
        match self.certificates() {
            Some(certificates) => {
                Ok(Client::build_with_tls(info, certificates)?.get_connection_info().clone())
            }
            None => Ok(info),
        }
    }

    fn settings(&self) -> RedisConnectionInfo {
        let mut settings = RedisConnectionInfo::default()
            // RESP3, so that a lost connection is noticed even while no request is in progress.
            .set_protocol(ProtocolVersion::RESP3)
            // Without `CLIENT SETINFO`: servers before 7.2 count it as an error, and users with few
            // rights may not use it.
            .set_skip_set_lib_name()
            .set_db(self.database);
        if let Some(username) = &self.credentials.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.credentials.password {
            settings = settings.set_password(password);
        }
        settings
    }
}
