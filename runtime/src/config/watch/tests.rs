//! Looks at files that change behind links, one look at a time, without waiting.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::{Override, Policy, Quota};

/// A folder of one test, which is gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("tollgate-watch-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(limit: usize) -> String {
    format!("[policies.orders]\nlimit = {limit}\n")
}

fn follower(path: &Path) -> Follower {
    let orders = Policy::new("orders", Quota::new(1, Duration::from_secs(60)));
    let config = Config::load_with(path, []).unwrap().declare(orders);
    let limiter = Limiter::from_config(&config).unwrap();
    Follower::new(config, limiter, Arc::default()).unwrap()
}

/// The limit in force.
fn limit(follower: &Follower) -> Option<usize> {
    let overrides = follower.limiter.overrides();
    let found = overrides.get("orders")?;
    (0..=100).find(|limit| *found == Override::new().limit(*limit)).map(|limit| limit as usize)
}

fn looks(follower: &mut Follower) {
    assert!(follower.look(|| true));
}

/// Links of a folder to a folder, one behind the other, and then of a file to a file: each of them is
/// repointed in turn, by a rename, as deployments do. What it pointed to stays.
#[cfg(unix)]
#[test]
fn every_link_on_the_way_is_followed() {
    use std::os::unix::fs::symlink;

    let mut changes = 0;
    for (folders, files) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (0, 2), (2, 2), (3, 1)] {
        for absolute in [false, true] {
            let folder = Folder::new(&format!("links-{folders}-{files}-{absolute}"));
            let to = |name: &str| if absolute { folder.at(name) } else { name.into() };
            // The releases: folders of their own, each with the file.
            let release = |number: usize| {
                let at = folder.at(&format!("release-{number}"));
                fs::create_dir(&at).unwrap();
                fs::write(at.join("f0.toml"), text(number)).unwrap();
                for file in 1..=files {
                    let target = format!("f{}.toml", file - 1);
                    symlink(target, at.join(format!("f{file}.toml"))).unwrap();
                }
                format!("release-{number}")
            };
            let link = |name: &str, target: &str| {
                let next = folder.at("next");
                symlink(to(target), &next).unwrap();
                fs::rename(&next, folder.at(name)).unwrap();
            };
            let mut target = release(1);
            for number in 0..folders {
                let name = format!("current-{number}");
                link(&name, &target);
                target = name;
            }
            let path = folder.at(&target).join(format!("f{files}.toml"));
            let mut follower = follower(&path);
            assert_eq!(limit(&follower), Some(1));
            let mut next = 2;
            let mut follows = |follower: &mut Follower, next: &mut usize| {
                looks(follower);
                assert_eq!(limit(follower), Some(*next), "{folders} {files} {absolute}");
                *next += 1;
                changes += 1;
            };
            for number in 0..folders {
                let target = release(next);
                link(&format!("current-{number}"), &target);
                follows(&mut follower, &mut next);
            }
            // The links to the file, in the folder that is read now.
            for file in 1..=files {
                let now = fs::canonicalize(path.parent().unwrap()).unwrap();
                fs::write(now.join("other.toml"), text(next)).unwrap();
                symlink("other.toml", now.join("next")).unwrap();
                fs::rename(now.join("next"), now.join(format!("f{file}.toml"))).unwrap();
                follows(&mut follower, &mut next);
            }
            // And the file itself, replaced and rewritten.
            let now = fs::canonicalize(&path).unwrap();
            fs::write(folder.at("whole"), text(next)).unwrap();
            fs::rename(folder.at("whole"), &now).unwrap();
            follows(&mut follower, &mut next);
            fs::write(&now, text(next)).unwrap();
            follows(&mut follower, &mut next);
        }
    }
    println!("{changes} changes");
}

/// A folder on the way is no link, and another takes its place.
#[test]
fn a_folder_that_is_replaced_is_followed() {
    let folder = Folder::new("folder");
    for (name, limit) in [("live", 1), ("next", 2)] {
        fs::create_dir_all(folder.at(name).join("etc")).unwrap();
        fs::write(folder.at(name).join("etc/limits.toml"), text(limit)).unwrap();
    }
    let mut follower = follower(&folder.at("live/etc/limits.toml"));
    fs::rename(folder.at("live"), folder.at("old")).unwrap();
    looks(&mut follower);
    assert_eq!(limit(&follower), Some(1), "without the file the last limit stays");
    let error = lock(&follower.broken).clone().unwrap().to_string();
    assert!(error.contains("cannot read it"), "{error}");
    fs::rename(folder.at("next"), folder.at("live")).unwrap();
    looks(&mut follower);
    assert_eq!(limit(&follower), Some(2));
    assert!(lock(&follower.broken).is_none());
    // A file that is gone and comes back as it was is no error either.
    fs::rename(folder.at("live"), folder.at("next")).unwrap();
    looks(&mut follower);
    assert!(lock(&follower.broken).is_some());
    fs::rename(folder.at("next"), folder.at("live")).unwrap();
    looks(&mut follower);
    assert!(lock(&follower.broken).is_none());
}

/// A file that is being written is not read before it stays the same for a pause.
#[test]
fn a_file_that_is_being_written_is_waited_for() {
    let folder = Folder::new("written");
    let path = folder.at("limits.toml");
    fs::write(&path, text(1)).unwrap();
    let mut follower = follower(&path);
    let whole = text(22);
    fs::write(&path, &whole[..whole.len() - 2]).unwrap();
    let mut steps = vec![&whole[..whole.len() - 1], &whole];
    assert!(follower.look(|| {
        if !steps.is_empty() {
            fs::write(&path, steps.remove(0)).unwrap();
        }
        true
    }));
    assert_eq!(limit(&follower), Some(22));
    assert!(lock(&follower.broken).is_none(), "no half of it was taken");
    // One that never rests is taken in the end, and whoever stops is obeyed.
    let mut count = 0;
    fs::write(&path, text(30)).unwrap();
    assert!(follower.look(|| {
        count += 1;
        fs::write(&path, text(30 + count)).unwrap();
        true
    }));
    assert_eq!((count, limit(&follower)), (MAX_QUIETS as usize, Some(40)));
    fs::write(&path, text(50)).unwrap();
    assert!(!follower.look(|| false));
    assert_eq!(limit(&follower), Some(40));
}

#[test]
fn too_many_open_files_are_explained() {
    let error = text_of_error(24);
    assert!(error.contains("os error 24") && error.contains("`ulimit -n`"), "{error}");
    assert!(!text_of_error(2).contains("ulimit"), "{}", text_of_error(2));
}

fn text_of_error(code: i32) -> String {
    super::super::configuration::unreadable(
        Path::new("limits.toml"),
        &std::io::Error::from_raw_os_error(code),
    )
    .to_string()
}
