//! URLs of Redis: each is read or refused, and no error repeats a password.

use tollgate::RedisBackend;

const PASSWORD: &str = "s3cr3t-4711";

/// Reads the text as a URL, alone and behind a name and a password.
pub fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let with_password = format!("redis://user:{PASSWORD}@{text}");
    crate::run(async {
        for url in [text, &with_password] {
            if let Err(error) = RedisBackend::from_url(url).await {
                let said = format!("{error} {error:?}");
                assert!(!said.contains(PASSWORD), "{url:?}: {said}");
            }
        }
    });
}
