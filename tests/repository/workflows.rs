//! The workflows run what a contributor runs, and name nothing that is not there.

use std::fs;
use std::path::Path;

use support::ROOT;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

fn workflows() -> String {
    let folder = Path::new(ROOT).join(".github/workflows");
    let files = fs::read_dir(folder).unwrap();
    files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn run_the_same_command_and_all_scripts() {
    assert!(read(".github/workflows/ci.yml").contains("- run: .ci/run\n"));
    let (run, workflows) = (read(".ci/run"), workflows());
    let mut scripts = 0;
    for entry in fs::read_dir(Path::new(ROOT).join("tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".sh") {
            let is_run = run.contains(&name) || workflows.contains(&name);
            assert!(is_run, "neither .ci/run nor a workflow runs tests/{name}");
            scripts += 1;
        }
    }
    assert!(scripts > 3);
}

/// Each tool of CONTRIBUTING's table, by the words that no option can change.
#[test]
fn run_the_tools_that_contributors_are_told_of() {
    let contributing = read("CONTRIBUTING.md");
    let (_, table) = contributing.split_once("| command | what it finds |").unwrap();
    let rows = table.lines().filter_map(|row| row.strip_prefix("| `")?.split_once('`'));
    let commands: Vec<&str> = rows.map(|(command, _)| command).collect();
    assert!(commands.len() > 5, "{commands:?}");
    let workflows = workflows().replace("${{ matrix.toolchain }}", "1.89");
    for command in commands {
        let is_run = match command {
            "cargo deny check" => workflows.contains("cargo-deny-action"),
            _ if command.starts_with("findings/") => continue,
            _ if command.contains("--manifest-path") => {
                workflows.contains(command.split_once("--manifest-path").unwrap().1)
            }
            _ => {
                let words: Vec<&str> = command.split(' ').take(4).collect();
                workflows.contains(&words.join(" "))
            }
        };
        assert!(is_run, "no workflow runs {command}");
    }
}

/// `tests/run.sh` tells what it is about to do before it does anything.
#[test]
fn the_runner_of_tests_says_first_what_it_takes() {
    let script = read("tests/run.sh");
    let (before, after) =
        script.split_once("\ncommand -v redis-server >/dev/null || install").unwrap();
    for said in ["Nothing has to be installed", "This installs", "minutes on two cores", "hours"] {
        assert!(before.contains(said), "{said}");
        assert!(!after.contains(said), "{said}");
    }
    // Nothing but functions and what is said comes before.
    assert!(!before.contains("\ninstall ") && !before.contains("\ncargo "), "{before}");
}
