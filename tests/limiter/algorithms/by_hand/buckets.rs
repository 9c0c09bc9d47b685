//! Token bucket, leaky bucket and GCRA: three ways to put one rule, so one table for the three.
//!
//! In the comments, the *level* is what is missing from a token bucket, what a leaky bucket
//! holds, and how far the arrival time is ahead, in intervals of period ÷ limit.

use tollgate::Algorithm;

use super::{follow, per};

#[test]
fn token_bucket_follows_what_was_worked_out() {
    follow_all(Algorithm::TokenBucket);
}

#[test]
fn leaky_bucket_follows_what_was_worked_out() {
    follow_all(Algorithm::LeakyBucket);
}

#[test]
fn gcra_follows_what_was_worked_out() {
    follow_all(Algorithm::Gcra);
}

fn follow_all(algorithm: Algorithm) {
    follow(
        algorithm,
        &[
            (
                // The level is 10 at 0, 1 and (8 + 2) at 3 s.
                "a full bucket, then one unit a second",
                &[per(10, "10s")],
                "
                0s        take 10  => yes | 0 1s 10s
                999999us  take 1   => wait 1us | !0 1us 9s+1us
                1s        take 1   => yes | 0 1s 10s
                3s        take 3   => wait 1s | !2 1s 8s
                3s        take 2   => yes | 0 1s 10s
                13s       peek 10  => yes | 10 0 0
                ",
            ),
            (
                // At 1.5 s the level is 1.5, then 2.5; at 2 s it is 2, then 3.
                "half units count, though they admit nothing",
                &[per(1, "1s").burst(3)],
                "
                0s      take 3  => yes | 0 1s 3s
                500ms   take 1  => wait 500ms | !0 500ms 2500ms
                1500ms  take 1  => yes | 0 500ms 2500ms
                1500ms  take 2  => wait 1500ms | !0 500ms 2500ms
                2s      take 1  => yes | 0 1s 3s
                ",
            ),
            (
                // An interval is 3 1/3 s. What is rounded up at one unit is not lost for the
                // next: the fourth to the sixth come at 3 1/3, 6 2/3 and 10 s, rounded up.
                "intervals that are no whole microseconds do not drift",
                &[per(3, "10s")],
                "
                0s         take 1  => yes | 2 3333334us 3333334us
                0s         take 1  => yes | 1 3333334us 6666667us
                0s         take 1  => yes | 0 3333334us 10s
                3333333us  take 1  => wait 1us | !0 1us 6666667us
                3333334us  take 1  => yes | 0 3333333us 10s
                6666667us  take 1  => yes | 0 3333333us 10s
                10s        take 1  => yes | 0 3333334us 10s
                ",
            ),
            (
                "however long nobody comes, no more than the burst",
                &[per(10, "10s").burst(2)],
                "
                0s    take 2  => yes | 0 1s 2s
                100s  take 2  => yes | 0 1s 2s
                100s  take 1  => wait 1s | !0 1s 2s
                100s  take 3  => never | !0 1s 2s
                ",
            ),
            (
                "nothing is always admitted, too much never",
                &[per(5, "1s")],
                "
                0s  take 0           => yes | 5 0 0
                0s  take 6           => never | !5 0 0
                0s  take 4294967295  => never | !5 0 0
                0s  take 5           => yes | 0 200ms 1s
                0s  take 0           => yes | 0 200ms 1s
                ",
            ),
            (
                "a burst above the limit is admitted at once, and made up for at its rate",
                &[per(1, "1s").burst(100)],
                "
                0s   take 100  => yes | 0 1s 100s
                10s  take 11   => wait 1s | !10 1s 90s
                11s  take 11   => yes | 0 1s 100s
                ",
            ),
            (
                // At 2 s two of the four have drained; the level falls from 7 to 5. At 6 s all
                // five of `b` have.
                "a refund gives back what the charge still takes",
                &[per(10, "10s")],
                "
                0s  take 4 a  => yes | 6 1s 4s
                1s  take 5 b  => yes | 2 1s 8s
                2s  back a    => yes
                2s  peek 0    => yes | 5 1s 5s
                6s  back b    => no
                6s  peek 0    => yes | 9 1s 1s
                6s  take 1 c  => yes | 8 1s 2s
                6s  back c    => yes
                6s  peek 0    => yes | 9 1s 1s
                ",
            ),
            (
                // An interval is 500 ms: at 200 ms, 300 ms of `a` are left, of 800 ms in all.
                "also in parts of a unit",
                &[per(2, "1s")],
                "
                0s     take 1 a  => yes | 1 500ms 500ms
                100ms  take 1 b  => yes | 0 400ms 900ms
                200ms  back a    => yes
                200ms  peek 0    => yes | 1 500ms 500ms
                450ms  back b    => yes
                450ms  peek 0    => yes | 1 100ms 100ms
                ",
            ),
            (
                // Of `a` four are left at 1 s, but the bucket holds only two.
                "a reset empties, and a refund after it never goes below empty",
                &[per(10, "10s")],
                "
                0s  take 5 a  => yes | 5 1s 5s
                0s  take 1 b  => yes | 4 1s 6s
                1s  reset
                1s  back b    => no
                1s  take 2    => yes | 8 1s 2s
                1s  back a    => yes
                1s  peek 0    => yes | 10 0 0
                ",
            ),
            (
                // Intervals of 0.5 s and 3 1/3 s: at 0.5 s the levels are 1 and 1.85, then 2 and
                // 2.85; at 1 s they are 1 and 2.7.
                "two quotas admit together or not at all",
                &[per(2, "1s"), per(3, "10s")],
                "
                0s     take 2  => yes | 0 500ms 1s | 1 3333334us 6666667us
                500ms  take 2  => wait 2833334us | !1 500ms 500ms | !1 2833334us 6166667us
                500ms  take 1  => yes | 0 500ms 1s | 0 2833334us 9500ms
                1s     take 1  => wait 2333334us | 1 500ms 500ms | !0 2333334us 9s
                1s     take 3  => never | !1 500ms 500ms | !0 2333334us 9s
                ",
            ),
            (
                "a million per second: one each microsecond",
                &[per(1_000_000, "1s")],
                "
                0s   take 1000000  => yes | 0 1us 1s
                1us  take 1        => yes | 0 1us 1s
                3us  take 3        => wait 1us | !2 1us 999998us
                3us  take 2        => yes | 0 1us 1s
                ",
            ),
            (
                // An interval is 1.000017… µs; after the charge at 2 µs the level is short of
                // full by 0.99998… µs.
                "a prime number per second",
                &[per(999_983, "1s")],
                "
                0s   take 999983  => yes | 0 2us 1s
                1us  take 1       => wait 1us | !0 1us 999999us
                2us  take 1       => yes | 0 1us 1s
                3us  take 1       => yes | 0 1us 1s
                ",
            ),
            (
                "the longest period and the longest burst: ten years",
                &[per(1, "366d").burst(10)],
                "
                0s    take 10  => yes | 0 366d 3660d
                366d  take 2   => wait 366d | !1 366d 3294d
                366d  take 1   => yes | 0 366d 3660d
                ",
            ),
            (
                "the largest limit and the largest burst",
                &[per(4_294_967_295, "4294967295us")],
                "
                0s   take 4294967295  => yes | 0 1us 4294967295us
                1us  take 2           => wait 1us | !1 1us 4294967294us
                2us  take 2           => yes | 0 1us 4294967295us
                ",
            ),
        ],
    );
}
