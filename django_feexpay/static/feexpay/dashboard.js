/* Refreshes the figures every 30 seconds while the page is in view. Without this file the page works; reload it. */
(() => {
    "use strict";
    const EVERY_MS = 30000;

    const refresh = async () => {
        const live = document.getElementById("feexpay-live");
        if (!live || document.hidden || live.contains(document.activeElement)) {
            return;
        }
        try {
            const answer = await fetch(window.location.href, { credentials: "same-origin" });
            if (!answer.ok || answer.redirected) {
                return;
            }
            const page = new DOMParser().parseFromString(await answer.text(), "text/html");
            const fresh = page.getElementById("feexpay-live");
            if (fresh) {
                live.replaceChildren(...fresh.childNodes);
            }
        } catch {
            // The network is away: the next round tries again.
        }
    };

    window.setInterval(refresh, EVERY_MS);
})();
