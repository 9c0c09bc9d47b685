//! Each admission counts for one period; above a limit of 1024, those of a granule together.

use tollgate::Algorithm;

use super::{follow, per};

#[test]
fn follows_what_was_worked_out() {
    follow(
        Algorithm::SlidingWindow,
        &[
            (
                "each admission comes back by itself, one period after it",
                &[per(3, "10s")],
                "
                0s          take 1  => yes | 2 10s 10s
                4s          take 1  => yes | 1 6s 10s
                5s          take 1  => yes | 0 5s 10s
                6s          take 1  => wait 4s | !0 4s 9s
                9999999us   take 1  => wait 1us | !0 1us 5s+1us
                10s         take 1  => yes | 0 4s 10s
                25s         peek 0  => yes | 3 0 0
                ",
            ),
            (
                // 4 leave at 60 s, 5 at 70 s.
                "a cost waits until as much as it needs has left",
                &[per(10, "60s")],
                "
                0s   take 4  => yes | 6 60s 60s
                10s  take 5  => yes | 1 50s 60s
                20s  take 2  => wait 40s | !1 40s 50s
                20s  take 6  => wait 50s | !1 40s 50s
                60s  take 6  => wait 10s | !5 10s 10s
                60s  take 5  => yes | 0 10s 60s
                ",
            ),
            (
                "nothing is always admitted, too much never",
                &[per(2, "1s")],
                "
                0s     take 0           => yes | 2 0 0
                0s     take 3           => never | !2 0 0
                0s     take 4294967295  => never | !2 0 0
                0s     take 2           => yes | 0 1s 1s
                0s     take 0           => yes | 0 1s 1s
                500ms  take 3           => never | !0 500ms 500ms
                1s     take 2           => yes | 0 1s 1s
                ",
            ),
            (
                // After `a` is gone, `b` leaves at 13 s and `c` at 15 s.
                "the admission that is given back goes, and no other",
                &[per(2, "10s")],
                "
                0s   take 1 a  => yes | 1 10s 10s
                3s   take 1 b  => yes | 0 7s 10s
                4s   take 1    => wait 6s | !0 6s 9s
                5s   back a    => yes
                5s   peek 1    => yes | 1 8s 8s
                5s   take 1 c  => yes | 0 8s 10s
                13s  back b    => no
                13s  peek 0    => yes | 1 2s 2s
                14s  back c    => yes
                14s  peek 0    => yes | 2 0 0
                ",
            ),
            (
                "a reset forgets all, and what it forgot is not given back",
                &[per(1, "60s")],
                "
                0s  take 1 a  => yes | 0 60s 60s
                1s  back a    => yes
                1s  peek 1    => yes | 1 0 0
                2s  take 1 b  => yes | 0 60s 60s
                3s  reset
                3s  take 1    => yes | 0 60s 60s
                4s  back b    => no
                4s  take 1    => wait 59s | !0 59s 59s
                ",
            ),
            (
                // At 1 s the second holds 2 of 3 until 10 s; then 3, and one of them until 11 s.
                "two quotas admit together or not at all",
                &[per(2, "1s"), per(3, "10s")],
                "
                0s   take 2  => yes | 0 1s 1s | 1 10s 10s
                0s   take 1  => wait 1s | !0 1s 1s | 1 10s 10s
                1s   take 2  => wait 9s | 2 0 0 | !1 9s 9s
                1s   take 1  => yes | 1 1s 1s | 0 9s 10s
                1s   take 2  => wait 9s | !1 1s 1s | !0 9s 10s
                1s   take 3  => never | !1 1s 1s | !0 9s 10s
                10s  take 2  => yes | 0 1s 1s | 0 1s 10s
                ",
            ),
            (
                "the longest period",
                &[per(1, "366d")],
                "
                0s                      take 1  => yes | 0 366d 366d
                31622399s+999999us      take 1  => wait 1us | !0 1us 1us
                366d                    take 1  => yes | 0 366d 366d
                ",
            ),
            (
                "a limit of 1024 is still exact",
                &[per(1_024, "1024ms")],
                "
                0s      take 1000  => yes | 24 1024ms 1024ms
                500us   take 24    => yes | 0 1023500us 1024ms
                1024ms  take 1001  => wait 500us | !1000 500us 500us
                1024ms  take 1000  => yes | 0 500us 1024ms
                ",
            ),
            (
                // Granules of 1 ms: the first 2000 leave with the 48 that came 0.5 ms later.
                "above 1024 a granule leaves with its newest",
                &[per(2_048, "1024ms")],
                "
                0s            take 2000  => yes | 48 1024ms 1024ms
                500us         take 48    => yes | 0 1024ms 1024ms
                1024ms        take 1     => wait 500us | !0 500us 500us
                1024ms+499us  take 1     => wait 1us | !0 1us 1us
                1024ms+500us  take 2048  => yes | 0 1024ms 1024ms
                ",
            ),
            (
                // One in the last microsecond of its granule, one in the first of the next.
                "neighbours in two granules leave apart",
                &[per(2_048, "1024ms")],
                "
                999us         take 1     => yes | 2047 1024ms 1024ms
                1ms           take 1     => yes | 2046 1023999us 1024ms
                1024ms+999us  peek 2048  => wait 1us | !2047 1us 1us
                1025ms        take 2048  => yes | 0 1024ms 1024ms
                ",
            ),
            (
                // What stays of the granule stays as long as `b` would have.
                "a refund takes from its granule, which goes when it is empty",
                &[per(2_048, "1024ms")],
                "
                100us  take 1000 a  => yes | 1048 1024ms 1024ms
                200us  take 1000 b  => yes | 48 1024ms 1024ms
                300us  back b       => yes
                300us  peek 0       => yes | 1048 1023900us 1023900us
                400us  back a       => yes
                400us  peek 0       => yes | 2048 0 0
                500us  take 2048 c  => yes | 0 1024ms 1024ms
                1024ms+500us  back c  => no
                ",
            ),
            (
                // Granules of 2^22 µs; the beginning is no edge of one, nor is the microsecond after.
                "the largest limit",
                &[per(4_294_967_295, "4294967295us")],
                "
                0s            take 4294967294  => yes | 1 4294967295us 4294967295us
                1us           take 1           => yes | 0 4294967295us 4294967295us
                1us           take 1           => wait 4294967295us | !0 4294967295us 4294967295us
                4294967295us  take 1           => wait 1us | !0 1us 1us
                4294967296us  take 4294967295  => yes | 0 4294967295us 4294967295us
                ",
            ),
        ],
    );
}
