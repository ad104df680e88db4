// The web checkout, live. Every page works without this script; the server alone decides what a page shows.
"use strict";

(() => {
  const LONGEST_SECONDS = 60;
  const STREAM_SECONDS = 30;
  const main = () => document.getElementById("main");

  // --- forms ------------------------------------------------------------------------------------------

  // One press sends a form once. A page that comes back from the browser's history may be sent again.
  function sendOnce(event) {
    const form = event.target;
    if (!form.dataset.once) return;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
    const button = event.submitter || form.querySelector("button");
    button.textContent = form.dataset.once;
    button.setAttribute("aria-busy", "true");
  }
  document.addEventListener("submit", sendOnce);
  addEventListener("pageshow", (event) => event.persisted && location.reload());

  // Say which operator the typed number looks like if the payer has chosen another one; choose it if there is none.
  let guessed = null;
  function guess(event) {
    if (event.target.id !== "phone") return;
    const hint = document.getElementById("guess");
    if (!hint) return;
    const code = document.getElementById("calling-code").textContent;
    const digits = event.target.value.replace(/[^0-9+]/g, "").replace(/^00/, "+").replace(code, "");
    const ways = [...document.querySelectorAll("[data-prefixes]")];
    const found = digits.length < 4 ? [] : ways.filter((way) => way.dataset.prefixes.split(" ").some((start) => start && digits.startsWith(start)));
    const chosen = document.querySelector("[name=provider]:checked");
    hint.hidden = found.length !== 1 || (chosen === found[0] && chosen !== guessed);
    if (hint.hidden) return;
    hint.textContent = hint.dataset.text.replace("{name}", found[0].labels[0].querySelector("span").textContent.trim());
    if (!chosen) (guessed = found[0]).checked = true;
  }
  document.addEventListener("input", guess);

  // --- the time that is left --------------------------------------------------------------------------

  let ends = 0;
  function tick() {
    const ring = document.querySelector(".ring");
    if (!ring) return;
    const left = Math.max(0, Math.round((ends - Date.now()) / 1000));
    ring.querySelector(".clock").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    ring.querySelector(".left").setAttribute("stroke-dasharray", `${(100 * left) / ring.dataset.all} 100`);
  }
  setInterval(tick, 1000);
  function startClock() {
    const ring = document.querySelector(".ring");
    if (ring) ends = Date.now() + 1000 * ring.dataset.left;
  }

  // --- the status -------------------------------------------------------------------------------------

  let timer = 0;
  function later(seconds) {
    clearTimeout(timer);
    if (seconds) timer = setTimeout(look, 1000 * Math.min(seconds, LONGEST_SECONDS));
  }

  // Ask whether the page would show something else; if so, load it and put its content here.
  async function look() {
    const shown = main();
    try {
      const answer = await fetch(shown.dataset.status, { headers: { Accept: "application/json" } });
      const now = await answer.json();
      if (answer.ok && now.tag !== shown.dataset.tag) await replace();
      else later(source && source.readyState === EventSource.OPEN ? STREAM_SECONDS : now.next_poll_seconds);
    } catch {
      later(5); // no network at the moment: the payment goes on
    }
  }

  async function replace() {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("main");
    if (!answer.ok || !fresh) return later(5);
    const hadFocus = main().contains(document.activeElement);
    const summary = document.querySelector(".summary");
    if (summary && !page.querySelector(".summary")) summary.remove();
    main().replaceWith(document.adoptNode(fresh));
    document.title = page.title;
    const heading = main().querySelector("h1");
    document.getElementById("news").textContent = heading.textContent;
    if (hadFocus) heading.focus();
    const field = main().querySelector("[autofocus]");
    if (field) field.focus();
    follow();
  }

  // Where the server sends events, read them, and poll only now and then or when the stream is broken.
  let source = null;
  function listen() {
    if (source) source.close();
    source = null;
    const { events, seconds } = main().dataset;
    if (!events || !seconds || !window.EventSource) return;
    source = new EventSource(events);
    source.onopen = () => later(STREAM_SECONDS);
    source.onmessage = (event) => {
      if (JSON.parse(event.data).tag !== main().dataset.tag) replace().catch(() => later(5));
    };
    source.onerror = () => later(Number(seconds));
  }

  // Follow the payment of this page.
  function follow() {
    startClock();
    if (main().dataset.status) later(Number(main().dataset.seconds));
    listen();
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && main().dataset.status && main().dataset.seconds) look();
  });
  follow();
})();
