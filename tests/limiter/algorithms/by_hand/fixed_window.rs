//! The first charge opens a window; when it ends, all is back.

use tollgate::Algorithm;

use super::{follow, per};

#[test]
fn follows_what_was_worked_out() {
    follow(
        Algorithm::FixedWindow,
        &[
            (
                "a window of 10 s from the first charge on, half-open",
                &[per(3, "10s")],
                "
                4s             take 1  => yes | 2 10s 10s
                9s             take 2  => yes | 0 5s 5s
                9s             take 1  => wait 5s | !0 5s 5s
                13s+999999us   take 1  => wait 1us | !0 1us 1us
                14s            take 3  => yes | 0 10s 10s
                ",
            ),
            (
                "a cost of 0 opens nothing",
                &[per(2, "1s")],
                "
                0s      take 0  => yes | 2 0 0
                500ms   take 1  => yes | 1 1s 1s
                1s      take 0  => yes | 1 500ms 500ms
                1500ms  take 2  => yes | 0 1s 1s
                ",
            ),
            (
                "too much is never admitted, just enough is",
                &[per(5, "1s")],
                "
                0s     take 6           => never | !5 0 0
                0s     take 5           => yes | 0 1s 1s
                100ms  take 4294967295  => never | !0 900ms 900ms
                100ms  take 5           => wait 900ms | !0 900ms 900ms
                100ms  take 0           => yes | 0 900ms 900ms
                ",
            ),
            (
                "what does not fit waits for the end, what fits does not",
                &[per(10, "60s")],
                "
                0s   take 7   => yes | 3 60s 60s
                20s  take 4   => wait 40s | !3 40s 40s
                20s  take 3   => yes | 0 40s 40s
                60s  peek 10  => yes | 10 0 0
                ",
            ),
            (
                "19 within two microseconds, where two windows meet",
                &[per(10, "10s")],
                "
                0s           take 1   => yes | 9 10s 10s
                9s+999999us  take 9   => yes | 0 1us 1us
                10s          take 10  => yes | 0 10s 10s
                ",
            ),
            (
                "giving back all there is closes the window",
                &[per(3, "10s")],
                "
                0s   take 2 a  => yes | 1 10s 10s
                5s   back a    => yes
                5s   peek 0    => yes | 3 0 0
                7s   take 3    => yes | 0 10s 10s
                10s  take 1    => wait 7s | !0 7s 7s
                ",
            ),
            (
                "a later charge is given back, and the window stays",
                &[per(3, "10s")],
                "
                0s   take 1    => yes | 2 10s 10s
                4s   take 2 b  => yes | 0 6s 6s
                5s   back b    => yes
                5s   take 2    => yes | 0 5s 5s
                10s  peek 3    => yes | 3 0 0
                ",
            ),
            (
                // Otherwise `b` would be in a window that opened at 3 s.
                "what opened the window stays while others are in it",
                &[per(5, "10s")],
                "
                0s  take 2 a  => yes | 3 10s 10s
                3s  take 1 b  => yes | 2 7s 7s
                4s  back a    => no
                4s  peek 0    => yes | 2 6s 6s
                5s  back b    => yes
                5s  peek 0    => yes | 3 5s 5s
                ",
            ),
            (
                // `b` keeps it open for `c`, so it is `b` that stays.
                "of several that opened it, all but the last are given back",
                &[per(5, "10s")],
                "
                0s  take 2 a  => yes | 3 10s 10s
                0s  take 1 b  => yes | 2 10s 10s
                6s  take 2 c  => yes | 0 4s 4s
                7s  back a    => yes
                7s  peek 0    => yes | 2 3s 3s
                7s  back b    => no
                7s  back c    => yes
                7s  peek 0    => yes | 4 3s 3s
                ",
            ),
            (
                "what was charged in a window that is over is not given back",
                &[per(2, "10s")],
                "
                0s   take 1 a  => yes | 1 10s 10s
                3s   take 1 b  => yes | 0 7s 7s
                10s  back b    => no
                10s  take 1    => yes | 1 10s 10s
                11s  back a    => no
                11s  peek 0    => yes | 1 9s 9s
                ",
            ),
            (
                "a reset closes the window, and what it forgot is not given back",
                &[per(1, "60s")],
                "
                0s  take 1 a  => yes | 0 60s 60s
                1s  reset
                1s  take 1    => yes | 0 60s 60s
                2s  back a    => no
                2s  take 1    => wait 59s | !0 59s 59s
                ",
            ),
            (
                // Each quota opens its own windows: the first at 0, 2 and 10 s.
                "two quotas admit together or not at all",
                &[per(2, "1s"), per(3, "10s")],
                "
                0s   take 2  => yes | 0 1s 1s | 1 10s 10s
                1s   take 2  => wait 9s | 2 0 0 | !1 9s 9s
                2s   take 1  => yes | 1 1s 1s | 0 8s 8s
                2s   take 2  => wait 8s | !1 1s 1s | !0 8s 8s
                3s   take 1  => wait 7s | 2 0 0 | !0 7s 7s
                10s  take 2  => yes | 0 1s 1s | 1 10s 10s
                ",
            ),
            (
                "the largest limit",
                &[per(4_294_967_295, "4294967295us")],
                "
                0s            take 4294967294  => yes | 1 4294967295us 4294967295us
                4294967294us  take 2           => wait 1us | !1 1us 1us
                4294967295us  take 4294967295  => yes | 0 4294967295us 4294967295us
                ",
            ),
            (
                "the longest period",
                &[per(1, "366d")],
                "
                1s         take 1  => yes | 0 366d 366d
                366d       take 1  => wait 1s | !0 1s 1s
                366d+1s    take 1  => yes | 0 366d 366d
                ",
            ),
        ],
    );
}
