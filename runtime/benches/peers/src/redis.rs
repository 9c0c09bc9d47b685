//! Checks on a Redis of its own, against
//!
//! - *pooled*, the usual design: a connection of deadpool-redis' pool, and one `EVALSHA` of a
//!   straightforward GCRA script for each check. That pool asks a connection whether it is alive
//!   (`UNWATCH` and `PING` in one round trip) each time before it gives it out;
//! - *multiplexed*, the same script over one shared connection of the driver, without a pool;
//! - *limitador*, with the feature of that name: its Redis store, a fixed window.
//!
//! 10,000 keys, none ever refused, asked by 1, 16, 64 and 256 callers at a time. The
//! contenders take turns; each figure is the median of its turns.

use std::error::Error;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Script, ScriptInvocation};
use tokio::runtime::Runtime;
use tollgate::{Algorithm, Limiter, Policy, Quota, RedisBackend};

use crate::{median, name};

const KEYS: u64 = 10_000;
const CALLERS: [u64; 4] = [1, 16, 64, 256];
const ROUNDS: usize = 5;
const TURN: Duration = Duration::from_millis(800);
const HOUR: Duration = Duration::from_secs(3600);
/// Never used up.
const LIMIT: u32 = 100_000_000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

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

pub(crate) fn run() -> Result<()> {
    let server = Server::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let contenders = runtime.block_on(contenders(&server.url()))?;
    for callers in CALLERS {
        let medians = measure(&server, &runtime, &contenders, callers)?;
        for (contender, [rate, cpu]) in contenders.iter().zip(&medians) {
            let name = contender.name();
            println!(
                "{name}, {callers} callers: {rate:.0} checks/s, {:.2} us of the server's CPU each",
                cpu * 1e6
            );
        }
        for (contender, [rate, cpu]) in contenders.iter().zip(&medians).skip(1) {
            let name = contender.name();
            println!("ratio redis.{name}.checks.{callers} {:.3}", medians[0][0] / rate);
            println!("ratio redis.{name}.server_cpu.{callers} {:.3}", medians[0][1] / cpu);
        }
    }
    bytes_per_key(&server, &runtime)
}

/// Prints ours alone: checks per second, and microseconds of the server's CPU for each.
pub(crate) fn figures() -> Result<()> {
    let server = Server::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ours = [Arc::new(runtime.block_on(async { ours(&server.url()) })?)];
    for callers in CALLERS {
        for [rate, cpu] in measure(&server, &runtime, &ours, callers)? {
            println!("figure redis.checks.{callers} {rate:.0}");
            println!("figure redis.server_cpu.{callers} {:.3}", cpu * 1e6);
        }
    }
    Ok(())
}

/// Checks per second and the server's CPU for each, in seconds, of each contender: medians.
fn measure(
    server: &Server,
    runtime: &Runtime,
    contenders: &[Arc<Contender>],
    callers: u64,
) -> Result<Vec<[f64; 2]>> {
    let mut samples: Vec<[Vec<f64>; 2]> = contenders.iter().map(|_| Default::default()).collect();
    for round in 0..=ROUNDS {
        for (contender, samples) in contenders.iter().zip(&mut samples) {
            let before = server.cpu()?;
            let (checks, took) = turn(runtime, contender, callers);
            let cpu = (server.cpu()? - before) / checks;
            // The first fills the store.
            if round > 0 {
                samples[0].push(checks / took);
                samples[1].push(cpu);
            }
        }
    }
    Ok(samples.into_iter().map(|[rate, cpu]| [median(rate), median(cpu)]).collect())
}

enum Contender {
    Ours(Limiter, Policy),
    Pooled(deadpool_redis::Pool, Script),
    Multiplexed(MultiplexedConnection, Script),
    #[cfg(feature = "limitador")]
    Limitador(limitador::AsyncRateLimiter),
}

fn ours(url: &str) -> Result<Contender> {
    let backend = RedisBackend::builder(url).deadline(Duration::from_secs(10)).build()?;
    let policy = Policy::new("bench", Quota::new(LIMIT, HOUR)).algorithm(Algorithm::Gcra);
    Ok(Contender::Ours(Limiter::new(backend), policy))
}

async fn contenders(url: &str) -> Result<Vec<Arc<Contender>>> {
    let mut config = deadpool_redis::Config::from_url(url);
    config.pool = Some(deadpool_redis::PoolConfig::new(16));
    let pool = config.create_pool(Some(deadpool_redis::Runtime::Tokio1))?;
    let connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    Ok([
        ours(url)?,
        Contender::Pooled(pool, Script::new(GCRA)),
        Contender::Multiplexed(connection, Script::new(GCRA)),
        #[cfg(feature = "limitador")]
        Contender::Limitador(limitador(url).await?),
    ]
    .into_iter()
    .map(Arc::new)
    .collect())
}

#[cfg(feature = "limitador")]
async fn limitador(url: &str) -> Result<limitador::AsyncRateLimiter> {
    use limitador::limit::Limit;
    use limitador::storage::redis::AsyncRedisStorage;
    let storage = AsyncRedisStorage::new(url).await?;
    let limiter = limitador::AsyncRateLimiter::new_with_storage(Box::new(storage));
    let subject = "subject".try_into()?;
    limiter.add_limit(Limit::new("bench", LIMIT.into(), HOUR.as_secs(), [], [subject]));
    Ok(limiter)
}

impl Contender {
    fn name(&self) -> &'static str {
        match self {
            Self::Ours(..) => "tollgate",
            Self::Pooled(..) => "pooled",
            Self::Multiplexed(..) => "multiplexed",
            #[cfg(feature = "limitador")]
            Self::Limitador(_) => "limitador",
        }
    }

    /// Checks a key; an error or a refusal ends the comparison.
    async fn check(&self, key: &str) -> Result<()> {
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

/// How many checks were made, and in how many seconds.
fn turn(runtime: &Runtime, contender: &Arc<Contender>, callers: u64) -> (f64, f64) {
    let checks = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    runtime.block_on(async {
        let callers: tokio::task::JoinSet<()> = (0..callers)
            .map(|caller| {
                let (contender, checks) = (Arc::clone(contender), Arc::clone(&checks));
                async move {
                    let mut key = caller * 7_919;
                    while began.elapsed() < TURN {
                        // Coprime with the number of keys: all of them, in no simple order.
                        key = (key + 3_937) % KEYS;
                        if let Err(error) = contender.check(&key.to_string()).await {
                            panic!("{}: {error}", contender.name());
                        }
                        checks.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
            .collect();
        callers.join_all().await;
    });
    (checks.load(Ordering::Relaxed) as f64, began.elapsed().as_secs_f64())
}

/// What a key takes on the server, by its own word, the key's name of 15 bytes included.
fn bytes_per_key(server: &Server, runtime: &Runtime) -> Result<()> {
    let backend = RedisBackend::builder(&server.url()).key_prefix("").build()?;
    let limiter = Limiter::new(backend);
    let mut connection = server.connection()?;
    for &algorithm in Algorithm::ALL {
        let policy = Policy::named(name(algorithm), Quota::new(100, HOUR)).algorithm(algorithm);
        let key = format!("{}:{}:key", name(algorithm).len(), name(algorithm));
        let mut bytes = Vec::new();
        for checks in 1..=100 {
            assert!(runtime.block_on(limiter.check(&policy, "key"))?.is_allowed());
            if [1, 10, 100].contains(&checks) {
                let used: u64 =
                    redis::cmd("MEMORY").arg("USAGE").arg(&key).query(&mut connection)?;
                bytes.push(format!("{used} after {checks}"));
            }
        }
        println!("bytes per key, {}: {}", name(algorithm), bytes.join(", "));
    }
    Ok(())
}

/// A server of its own, ended with it.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start() -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start redis-server: {error}; install it"))?;
        let server = Self { process, port };
        let since = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if since.elapsed() > Duration::from_secs(10) {
                return Err("redis-server does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn connection(&self) -> Result<redis::Connection> {
        Ok(redis::Client::open(self.url())?.get_connection()?)
    }

    /// The seconds of CPU that it has used, by its own count.
    fn cpu(&self) -> Result<f64> {
        let info: String = redis::cmd("INFO").arg("cpu").query(&mut self.connection()?)?;
        let field = |name: &str| -> Result<f64> {
            let line = info.lines().find_map(|line| line.strip_prefix(name));
            Ok(line.ok_or("INFO says nothing of the CPU")?.trim().parse()?)
        };
        Ok(field("used_cpu_sys:")? + field("used_cpu_user:")?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
