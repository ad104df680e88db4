"use strict";

// Polls the version of this page every 1.5 s, and loads the next page when it has changed.
(() => {
  const shown = document.querySelector("[data-version]");
  if (!shown) return;
  const pin = document.getElementById("pin");
  const news = document.getElementById("news");

  async function hasChanged() {
    try {
      const answer = await fetch(shown.dataset.state, { cache: "no-store" });
      return answer.ok && (await answer.json()).version !== shown.dataset.version;
    } catch {
      return false; // the sandbox is restarting
    }
  }

  function loadNext() {
    const next = shown.dataset.next;
    if (next === location.pathname + location.search) location.reload(); // keeps the scroll position
    else location.replace(next);
  }

  async function poll() {
    const changed = await hasChanged();
    const typing = pin !== null && pin.value !== "";
    if (changed && !typing) return loadNext();
    if (news) news.hidden = !changed; // a reload would erase the PIN being typed: show a notice instead
    setTimeout(poll, 1500);
  }

  setTimeout(poll, 1500);
})();
