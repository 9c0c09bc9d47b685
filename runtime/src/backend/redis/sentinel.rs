//! Asking sentinels for the address of the master.

use std::time::Duration;

use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{ConnectionAddr, TlsMode};

use super::connect_options::ConnectOptions;
use super::failure::RequestError;

/// Returns the address that `sentinels` report for the master called `master`.
pub(super) async fn master_address(
    options: &ConnectOptions,
    sentinels: &[ConnectionAddr],
    master: &str,
    timeout: Duration,
) -> Result<ConnectionAddr, RequestError> {
    let lookup = async {
        let mut client = SentinelClientBuilder::new(
            sentinels.iter().cloned(),
            master,
            SentinelServerType::Master,
        )?
        .set_client_to_redis_db(options.database);
        if let Some(username) = &options.username {
            client = client.set_client_to_redis_username(username);
        }
        if let Some(password) = &options.password {
            client = client.set_client_to_redis_password(password);
        }
        if options.tls {
            client = client.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = options.certificates() {
            client = client
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
        let client = client.build()?.async_get_client().await?;
        Ok(client.get_connection_info().addr().clone())
    };
    let failed = |reason: String| {
        RequestError::Unconnected(format!("no sentinel names a master `{master}`: {reason}"))
    };
    match tokio::time::timeout(timeout, lookup).await {
        Ok(found) => found.map_err(|error: redis::RedisError| failed(error.to_string())),
        Err(_) => Err(failed("none answers".to_owned())),
    }
}
