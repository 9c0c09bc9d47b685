//! The log of trusted proxies that do not name their clients.

use std::net::IpAddr;

use axum::http::HeaderName;

use crate::once_each::OnceEach;

/// The number of bytes of a header that the log shows.
const SHOWN: usize = 60;

/// The reason why a trusted proxy's header names no client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault<'a> {
    /// The header is absent, or its list ends with a trusted proxy.
    Absent,
    /// This text is no address.
    Unreadable(&'a [u8]),
}

/// Logs each proxy and kind of fault once. All clients behind such a proxy are one subject, which
/// otherwise looks like a limit that is too low.
#[derive(Debug, Default)]
pub(crate) struct SilentProxies(OnceEach);

impl SilentProxies {
    #[cold]
    pub(super) fn tell(&self, proxy: IpAddr, header: &HeaderName, fault: &Fault<'_>) {
        let is_absent = matches!(fault, Fault::Absent);
        if !self.0.is_first(&(proxy, is_absent)) {
            return;
        }
        let Fault::Unreadable(sent) = fault else {
            tracing::warn!(
                "{proxy} is a trusted proxy, but its request names no client in `{header}`: all \
                 clients that it does not name are counted together. Let the proxy add that \
                 header (the guide's page `behind_a_proxy` shows how), or name another by \
                 `HttpOptions::forwarded_header` or `HttpOptions::client_header`"
            );
            return;
        };
        let shown = sent.get(..SHOWN).unwrap_or(sent).escape_ascii();
        let more = if sent.len() > SHOWN { "…" } else { "" };
        tracing::warn!(
            "{proxy} is a trusted proxy, but what it says in `{header}` is no address: \
             \"{shown}\"{more}. All clients that it names like this are counted together. The \
             guide's page `behind_a_proxy` shows how to set up the proxy"
        );
    }
}
