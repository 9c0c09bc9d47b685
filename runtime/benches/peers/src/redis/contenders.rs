//! Those that are compared:
//!
//! - *tollgate*, ours, by one algorithm;
//! - *pooled*, the usual design: a connection of deadpool-redis' pool, and one `EVALSHA` of a
//!   straightforward GCRA script for each check. That pool asks a connection whether it is alive
//!   (`UNWATCH` and `PING` in one round trip) each time before it gives it out;
//! - *multiplexed*, the same script over one shared connection of the driver, without a pool;
//! - *limitador*, with the feature of that name: its Redis store, a fixed window.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, IntoConnectionInfo as _, Script, ScriptInvocation};
use tollgate::{Limiter, Policy, RedisBackend};

use super::{HOUR, LIMIT, Result};

/// The algorithm as it is usually written down.
const GCRA: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local new = tat + interval
local allow_at = new - interval * burst
if allow_at > now then
  return {0, 0, math.ceil(allow_at - now), math.ceil(tat - now)}
end
redis.call('SET', KEYS[1], string.format('%.17g', new), 'PX', math.ceil((new - now) / 1000))
return {1, math.floor((now - allow_at) / interval), 0, math.ceil(new - now)}
";

pub(super) enum Contender {
    Ours(Limiter, Policy),
    Pooled(deadpool_redis::Pool, Script),
    Multiplexed(MultiplexedConnection, Script),
    #[cfg(feature = "limitador")]
    Limitador(limitador::AsyncRateLimiter),
}

impl Contender {
    pub(super) fn ours(url: &str, policy: Policy) -> Result<Self> {
        let backend = RedisBackend::builder(url).deadline(Duration::from_secs(10)).build()?;
        Ok(Self::Ours(Limiter::new(backend), policy))
    }

    pub(super) fn pooled(url: &str) -> Result<Self> {
        let mut config = deadpool_redis::Config::from_url(url);
        config.pool = Some(deadpool_redis::PoolConfig::new(16));
        let pool = config.create_pool(Some(deadpool_redis::Runtime::Tokio1))?;
        Ok(Self::Pooled(pool, Script::new(GCRA)))
    }

    pub(super) async fn multiplexed(url: &str) -> Result<Self> {
        let connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        Ok(Self::Multiplexed(connection, Script::new(GCRA)))
    }

    /// The shared connection, which sends each call at once. The driver leaves that off by itself.
    pub(super) async fn multiplexed_nodelay(url: &str) -> Result<Self> {
        let server = url.into_connection_info()?;
        let server = server.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let client = redis::Client::open(server)?;
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Self::Multiplexed(connection, Script::new(GCRA)))
    }

    #[cfg(feature = "limitador")]
    pub(super) async fn limitador(url: &str) -> Result<Self> {
        use limitador::limit::Limit;
        use limitador::storage::redis::AsyncRedisStorage;
        let storage = AsyncRedisStorage::new(url).await?;
        let limiter = limitador::AsyncRateLimiter::new_with_storage(Box::new(storage));
        let subject = "subject".try_into()?;
        limiter.add_limit(Limit::new("bench", LIMIT.into(), HOUR.as_secs(), [], [subject]));
        Ok(Self::Limitador(limiter))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Ours(..) => "tollgate",
            Self::Pooled(..) => "pooled",
            Self::Multiplexed(..) => "multiplexed",
            #[cfg(feature = "limitador")]
            Self::Limitador(_) => "limitador",
        }
    }

    /// Checks a key; an error or a refusal ends the comparison.
    pub(super) async fn check(&self, key: &str) -> Result<()> {
        let allowed = match self {
            Self::Ours(limiter, policy) => limiter.check(policy, key).await?.is_allowed(),
            Self::Pooled(pool, gcra) => {
                let mut connection = pool.get().await?;
                let [allowed, ..]: [i64; 4] =
                    usual(gcra, key).invoke_async(&mut connection).await?;
                allowed == 1
            }
            Self::Multiplexed(connection, gcra) => {
                let mut connection = connection.clone();
                let [allowed, ..]: [i64; 4] =
                    usual(gcra, key).invoke_async(&mut connection).await?;
                allowed == 1
            }
            #[cfg(feature = "limitador")]
            Self::Limitador(limiter) => {
                let subject = std::collections::HashMap::from([("subject".into(), key.to_owned())]);
                let asked = limiter
                    .check_rate_limited_and_update(&"bench".into(), &subject.into(), 1)
                    .await?;
                if asked.counters.is_empty() {
                    return Err("limitador does not count it".into());
                }
                !asked.limited
            }
        };
        if allowed { Ok(()) } else { Err("a check was refused".into()) }
    }
}

/// One check of the usual script.
fn usual<'a>(script: &'a Script, key: &str) -> ScriptInvocation<'a> {
    let interval = HOUR.as_micros() as f64 / f64::from(LIMIT);
    let mut invocation = script.prepare_invoke();
    invocation.key(format!("usual:{key}")).arg(interval).arg(LIMIT);
    invocation
}
