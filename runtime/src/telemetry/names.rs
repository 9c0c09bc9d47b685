//! The names of the metrics, and their descriptions.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(super) const DECISIONS: &str = "tollgate_decisions_total";
pub(super) const NEAR_LIMIT: &str = "tollgate_near_limit_total";
pub(super) const CHECK_SECONDS: &str = "tollgate_check_seconds";
pub(super) const WAIT_SECONDS: &str = "tollgate_wait_seconds";

pub(super) const IN_FLIGHT: &str = "tollgate_in_flight";

pub(super) const BREAKER_STATE: &str = "tollgate_breaker_state";
pub(super) const BREAKER_OPENINGS: &str = "tollgate_breaker_openings_total";
pub(super) const BREAKER_PROBES: &str = "tollgate_breaker_probes_total";
pub(super) const BREAKER_REJECTED: &str = "tollgate_breaker_rejected_total";

pub(super) const MEMORY_KEYS: &str = "tollgate_memory_keys";
pub(super) const MEMORY_EVICTED: &str = "tollgate_memory_evicted_total";
pub(super) const MEMORY_OVERFLOWED: &str = "tollgate_memory_overflowed_total";
pub(super) const MEMORY_BANS_LIFTED: &str = "tollgate_memory_bans_lifted_total";

pub(super) const REDIS_ROUND_TRIPS: &str = "tollgate_redis_round_trips_total";
pub(super) const REDIS_CHECKS: &str = "tollgate_redis_checks_total";
pub(super) const REDIS_ROUND_TRIP_SECONDS: &str = "tollgate_redis_round_trip_seconds";
pub(super) const REDIS_BATCH_SIZE: &str = "tollgate_redis_batch_size";
pub(super) const REDIS_CONNECT_SECONDS: &str = "tollgate_redis_connect_seconds";
pub(super) const REDIS_QUEUED: &str = "tollgate_redis_queued";
pub(super) const REDIS_POOL_SIZE: &str = "tollgate_redis_pool_size";
pub(super) const REDIS_CONNECTIONS: &str = "tollgate_redis_connections";
pub(super) const REDIS_POOL_WAITING: &str = "tollgate_redis_pool_waiting";

pub(super) const SERVER_MEMORY: &str = "tollgate_redis_server_memory_bytes";
pub(super) const SERVER_MAX_MEMORY: &str = "tollgate_redis_server_max_memory_bytes";
pub(super) const SERVER_CLIENTS: &str = "tollgate_redis_server_clients";
pub(super) const SERVER_EVICTED: &str = "tollgate_redis_server_evicted_keys";

/// Registers the descriptions of all metrics with the recorder.
pub(super) fn describe() {
    describe_counter!(DECISIONS, Unit::Count, "Checks, by outcome and by the part that decided");
    describe_counter!(NEAR_LIMIT, Unit::Count, "Admissions that left little of a quota");
    describe_histogram!(CHECK_SECONDS, Unit::Seconds, "Durations of checks");
    describe_histogram!(WAIT_SECONDS, Unit::Seconds, "Durations of waits in a queue");
    describe_gauge!(IN_FLIGHT, Unit::Count, "Permits that requests in flight hold");

    describe_gauge!(BREAKER_STATE, Unit::Count, "1 for the circuit breaker's state, else 0");
    describe_counter!(BREAKER_OPENINGS, Unit::Count, "Times that the circuit breaker opened");
    describe_counter!(BREAKER_PROBES, Unit::Count, "Operations let through as probes");
    describe_counter!(BREAKER_REJECTED, Unit::Count, "Operations rejected by the breaker");

    describe_gauge!(MEMORY_KEYS, Unit::Count, "Keys in memory");
    describe_counter!(MEMORY_EVICTED, Unit::Count, "Keys evicted while in use");
    describe_counter!(MEMORY_OVERFLOWED, Unit::Count, "Checks that found no room for their key");

    describe_counter!(REDIS_ROUND_TRIPS, Unit::Count, "Calls sent to Redis");
    describe_counter!(REDIS_CHECKS, Unit::Count, "Operations in calls to Redis");
    describe_histogram!(REDIS_ROUND_TRIP_SECONDS, Unit::Seconds, "Durations of calls to Redis");
    describe_histogram!(REDIS_BATCH_SIZE, Unit::Count, "Operations in one call to Redis");
    describe_histogram!(REDIS_CONNECT_SECONDS, Unit::Seconds, "Durations of getting a connection");
    describe_gauge!(REDIS_QUEUED, Unit::Count, "Operations that wait to be sent to Redis");
    describe_gauge!(REDIS_POOL_SIZE, Unit::Count, "Largest number of connections allowed");
    describe_gauge!(REDIS_CONNECTIONS, Unit::Count, "Connections to Redis, used and idle");
    describe_gauge!(REDIS_POOL_WAITING, Unit::Count, "Tasks that wait for a connection");

    describe_gauge!(SERVER_MEMORY, Unit::Bytes, "Memory that a Redis server uses");
    describe_gauge!(
        SERVER_MAX_MEMORY,
        Unit::Bytes,
        "Memory that a Redis server may use; 0: no limit"
    );
    describe_gauge!(SERVER_CLIENTS, Unit::Count, "Clients connected to a Redis server");
    describe_gauge!(
        SERVER_EVICTED,
        Unit::Count,
        "Keys evicted by a Redis server for want of memory"
    );
}
