"use strict";
// Replaces the parts of the page that update themselves, each second.
const state = document.getElementById("state");

async function refresh() {
  if (!document.hidden) {
    try {
      const url = new URL(location.href);
      url.searchParams.set("live", "1");
      const response = await fetch(url, { redirect: "error", signal: AbortSignal.timeout(10000) });
      if (!response.ok) throw new Error(response.status);
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      for (const old of document.querySelectorAll("[data-live]")) {
        const now = fresh.getElementById(old.id);
        if (now) old.replaceWith(now);
      }
      state.textContent = "live";
      state.className = "good";
    } catch {
      state.textContent = "not live: no answer, still trying";
      state.className = "bad";
    }
  }
  setTimeout(refresh, 1000);
}

refresh();
