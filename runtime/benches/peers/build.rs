//! Finds out which function of the library's generated code decides about a check, so that the
//! comparisons measure the same thing at commits in which it has another name.

use std::error::Error;
use std::fs;

const DOOR: &str = "../../src/private.rs";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={DOOR}");
    println!("cargo::rustc-check-cfg=cfg(decide_now, rule_now)");
    let source = fs::read_to_string(DOOR)?;
    for name in ["decide_now", "rule_now"] {
        if source.contains(&format!("pub fn {name}(")) {
            println!("cargo::rustc-cfg={name}");
            return Ok(());
        }
    }
    Err("the library has no function by which a handler's guard decides without waiting".into())
}
