//! What is counted at `e` into a window: previous × (period − e) ÷ period + current.

use tollgate::Algorithm;

use super::{follow, per};

#[test]
fn follows_what_was_worked_out() {
    follow(
        Algorithm::SlidingWindowCounter,
        &[
            (
                // In the next window 10 × (10 − e) ÷ 10 + 1 ≤ 10 from e = 1 s on, + 2 from 2 s on.
                "after a full window, a unit comes back each second",
                &[per(10, "10s")],
                "
                0s            take 10  => yes | 0 11s 20s
                10s+999999us  take 1   => wait 1us | !0 1us 9s+1us
                11s           take 1   => yes | 0 1s 19s
                15s           take 4   => yes | 0 1s 15s
                15s           take 1   => wait 1s | !0 1s 15s
                ",
            ),
            (
                // 3 × (10 − e) + 10 ≤ 30 from 3 1/3 s on, + 20 from 6 2/3 s on.
                "thirds of a second are rounded up to the microsecond",
                &[per(3, "10s")],
                "
                0s          take 3  => yes | 0 13333334us 20s
                13333333us  take 1  => wait 1us | !0 1us 6666667us
                13333334us  take 1  => yes | 0 3333333us 16666666us
                ",
            ),
            (
                // 6 × (10 − e) + 50 ≤ 100 from 1 2/3 s on, + 80 from 6 2/3 s on.
                "part of a window comes back bit by bit",
                &[per(10, "10s")],
                "
                5s   take 6   => yes | 4 6666667us 15s
                15s  peek 7   => yes | 7 1666667us 5s
                15s  take 8   => wait 1666667us | !7 1666667us 5s
                20s  take 10  => yes | 0 11s 20s
                ",
            ),
            (
                "nothing is always admitted, too much never",
                &[per(2, "1s")],
                "
                0s      take 0           => yes | 2 0 0
                0s      take 3           => never | !2 0 0
                0s      take 4294967295  => never | !2 0 0
                0s      take 2           => yes | 0 1500ms 2s
                1500ms  take 2           => wait 500ms | !1 500ms 500ms
                1500ms  take 0           => yes | 1 500ms 500ms
                2s      take 2           => yes | 0 1500ms 2s
                ",
            ),
            (
                // (1 − e) + 1 ≤ 1 only when the next window has passed as well.
                "a limit of one waits for a whole empty window",
                &[per(1, "1s")],
                "
                999ms      take 1  => yes | 0 1001ms 1001ms
                1999999us  take 1  => wait 1us | !0 1us 1us
                2s         take 1  => yes | 0 2s 2s
                ",
            ),
            (
                // 10 units at the end of a window weigh 2 millionths of a second × 10 there.
                "19 within 10 s: late in a window, and late in the next",
                &[per(10, "10s")],
                "
                9s+999999us   take 10  => yes | 0 1s+1us 10s+1us
                19s+999998us  take 9   => yes | 0 2us 10s+2us
                20s           take 2   => wait 1111112us | !1 1111112us 10s
                ",
            ),
            (
                "a refund takes from the window of the charge, this or the one before",
                &[per(10, "10s")],
                "
                1s   take 4 a  => yes | 6 11500ms 19s
                2s   take 6 b  => yes | 0 9s 18s
                3s   back a    => yes
                3s   peek 4    => yes | 4 8666667us 17s
                12s  back b    => yes
                12s  peek 10   => yes | 10 0 0
                ",
            ),
            (
                // At 20 s `a` is two windows back; `b` is in the one before until 30 s.
                "what no counter holds any more is not given back",
                &[per(10, "10s")],
                "
                9s   take 5 a  => yes | 5 3s 11s
                12s  take 6 b  => yes | 0 2s 18s
                20s  back a    => no
                20s  peek 4    => yes | 4 1666667us 10s
                29s  back b    => yes
                29s  peek 0    => yes | 10 0 0
                ",
            ),
            (
                // `a` came in the last microsecond of its window, `b` in the first of the next:
                // at 20 s `a` is gone and `b` weighs in full.
                "a refund knows on which side of the edge the charge was",
                &[per(10, "10s")],
                "
                9s+999999us   take 2 a  => yes | 8 5s+1us 10s+1us
                10s           take 5 b  => yes | 3 5s 20s
                20s           back a    => no
                20s           peek 5    => yes | 5 2s 10s
                29s+999999us  back b    => yes
                29s+999999us  peek 0    => yes | 10 0 0
                ",
            ),
            (
                "a reset forgets both counters",
                &[per(5, "10s")],
                "
                0s  take 3 a  => yes | 2 13333334us 20s
                1s  reset
                1s  peek 5    => yes | 5 0 0
                1s  back a    => no
                1s  take 5    => yes | 0 11s 19s
                ",
            ),
            (
                // The first holds 2 × ½ + 1 at 1.5 s and 1 × 1 at 2 s, the second 3 then.
                "two quotas admit together or not at all",
                &[per(2, "1s"), per(3, "10s")],
                "
                0s      take 2  => yes | 0 1500ms 2s | 1 15s 20s
                500ms   take 1  => wait 1s | !0 1s 1500ms | 1 14500ms 19500ms
                1500ms  take 1  => yes | 0 500ms 1500ms | 0 11833334us 18500ms
                2s      take 1  => wait 11333334us | 1 1s 1s | !0 11333334us 18s
                ",
            ),
            (
                // A window begins 2781731940 µs after the beginning. A microsecond into the next
                // one, 4294967295 × 4294967294 ÷ 4294967295 + 1 is just the limit.
                "the largest limit",
                &[per(4_294_967_295, "4294967295us")],
                "
                2781731940us  take 4294967295  => yes | 0 4294967296us 8589934590us
                7076699235us  take 1           => wait 1us | !0 1us 4294967295us
                7076699236us  take 1           => yes | 0 1us 8589934589us
                7076699236us  take 2           => wait 2us | !0 1us 8589934589us
                ",
            ),
            (
                // A window begins 130 days after the beginning (54 × 366 − 20,000 + 366).
                "the longest period",
                &[per(1, "366d")],
                "
                130d  take 1  => yes | 0 732d 732d
                496d  take 1  => wait 366d | !0 366d 366d
                862d  take 1  => yes | 0 732d 732d
                ",
            ),
        ],
    );
}
