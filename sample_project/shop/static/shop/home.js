// The form of the home page: a client of the public API like any other. The server's word alone says "paid".
"use strict";

const wiring = JSON.parse(document.getElementById("wiring").textContent);
const totals = JSON.parse(document.getElementById("totals").textContent);
const texts = JSON.parse(document.getElementById("texts").textContent);
const form = document.getElementById("buy");
const progress = document.getElementById("progress");
const status = document.getElementById("status");
const phoneLink = document.getElementById("phone-link");
const receipt = document.getElementById("receipt");
const button = form.querySelector("button[type=submit]");

let token = "";
let signedInAs = "";
// One key for one wish: pressing again after a lost answer asks for the same payment, not for a second one.
let idempotencyKey = "";

class Problem extends Error {}

async function call(method, url, body) {
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  if (body && url.startsWith(wiring.payments)) headers["Idempotency-Key"] = idempotencyKey;
  const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  const answer = await response.json();
  if (response.ok) return answer;
  const wrong = (answer.errors || []).map((error) => error.message).join(" ");
  throw new Problem(wrong || answer.detail || answer.title);
}

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const francs = (amount) => `${amount.toLocaleString(document.documentElement.lang)}\u00a0F\u00a0CFA`;
const chosenPack = () => form.querySelector("input[name=pack]:checked");

function say(text, kind = "") {
  status.textContent = text;
  progress.className = `progress ${kind}`;
}

function step(name, kind = "now") {
  let state = "past";
  for (const item of progress.querySelectorAll("[data-step]")) {
    if (item.dataset.step === name) {
      item.className = kind;
      state = "";
    } else {
      item.className = state;
    }
  }
}

async function signIn() {
  const who = { username: form.username.value, password: form.password.value };
  if (token && signedInAs === JSON.stringify(who)) return;
  token = "";
  token = (await call("POST", wiring.token, who)).token;
  signedInAs = JSON.stringify(who);
}

async function start() {
  const pack = chosenPack();
  idempotencyKey = idempotencyKey || crypto.randomUUID();
  const payment = await call("POST", `${wiring.payments}initiate/`, {
    provider: form.provider.value,
    amount: Number(pack.dataset.price),
    phone: form.phone.value,
    metadata: { pack: pack.value },
  });
  idempotencyKey = "";
  return payment;
}

function show(payment) {
  say(texts[payment.detail] || payment.detail);
  step(payment.reference ? "approve" : "sent");
  phoneLink.hidden = !(wiring.sandbox && payment.reference && payment.status === "pending");
  phoneLink.href = `${wiring.sandbox}/?payment=${encodeURIComponent(payment.reference || "")}`;
}

async function untilSettled(payment) {
  while (payment.status === "pending") {
    show(payment);
    await wait(payment.next_poll_seconds || 2);
    try {
      payment = await call("GET", `${wiring.payments}${payment.id}/status/`);
    } catch (error) {
      if (error instanceof Problem) throw error;
      // The shop is away for a moment; the payment goes on without us.
    }
  }
  show(payment);
  return payment;
}

async function untilCoinsGiven(payment) {
  for (;;) {
    const balance = await call("GET", wiring.balance);
    if (balance.entries.some((entry) => entry.payment_id === payment.id)) return balance;
    await wait(1);
  }
}

function showReceipt(payment, balance) {
  const values = {
    amount: francs(payment.charged_amount),
    provider: payment.provider_name,
    phone: payment.phone,
    reference: payment.reference,
    balance: `${balance.coins.toLocaleString(document.documentElement.lang)} ${texts.coins}`,
  };
  for (const [name, value] of Object.entries(values)) {
    receipt.querySelector(`[data-fill=${name}]`).textContent = value;
  }
  receipt.hidden = false;
  say(texts.coins_given, "paid");
  step("done", "past");
}

async function buy() {
  say(texts.signing_in);
  step("sent");
  await signIn();
  say(texts.starting);
  const payment = await untilSettled(await start());
  if (payment.status === "successful") {
    step("done");
    showReceipt(payment, await untilCoinsGiven(payment));
  } else {
    say(payment.reason ? payment.reason.message : texts[payment.detail], "failed");
    step("approve", "wrong");
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  progress.hidden = false;
  receipt.hidden = phoneLink.hidden = true;
  progress.scrollIntoView({ block: "nearest", behavior: "smooth" });
  try {
    await buy();
  } catch (error) {
    if (error instanceof Problem) idempotencyKey = "";
    say(error instanceof Problem ? error.message : texts.unreachable, "failed");
  } finally {
    button.disabled = false;
  }
});

form.addEventListener("input", () => {
  idempotencyKey = "";
});

form.provider.addEventListener("change", () => {
  form.phone.value = form.provider.selectedOptions[0].dataset.phone;
});

// What will be charged, fee and all, before anybody agrees to it.
function showPrice() {
  const pack = chosenPack();
  const quote = (pack && totals[form.provider.value]?.[pack.value]) || { total: Number(pack?.dataset.price), fee: 0 };
  const fee = document.getElementById("fee");
  document.getElementById("price").textContent = pack ? francs(quote.total) : "";
  fee.textContent = texts.fee.replace("{fee}", francs(quote.fee));
  fee.hidden = !quote.fee;
}
form.addEventListener("change", showPrice);
showPrice();
