//! Prints the name of every policy, without any reference to the handlers that have them.

use strict_2021 as _;
use strict_2024 as _;

fn main() {
    for policy in tollgate::Limiter::policies() {
        println!("{}", policy.name());
    }
}
