"use strict";

// Looks every 1.5 s whether the server would show something else by now, and goes there.
(() => {
  const shown = document.querySelector("[data-version]");
  if (!shown) return;
  const pin = document.getElementById("pin");
  const news = document.getElementById("news");

  async function isOld() {
    try {
      const answer = await fetch(shown.dataset.state, { cache: "no-store" });
      return answer.ok && (await answer.json()).version !== shown.dataset.version;
    } catch {
      return false; // the sandbox is restarting
    }
  }

  function goOn() {
    const next = shown.dataset.next;
    if (next === location.pathname + location.search) location.reload(); // keeps the scroll position
    else location.replace(next);
  }

  async function look() {
    const old = await isOld();
    const typing = pin !== null && pin.value !== "";
    if (old && !typing) return goOn();
    if (news) news.hidden = !old; // a PIN is being typed: say it, wipe nothing
    setTimeout(look, 1500);
  }

  setTimeout(look, 1500);
})();
