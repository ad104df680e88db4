// Shows a payment, on the home page and on the page that payers return to. It is a client of the public API. Only the
// server's answer decides that a payment is paid, never the address of the page.
"use strict";

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const addresses = read("addresses");
const texts = read("texts");
const progress = document.getElementById("progress");
const status = document.getElementById("status");
const phoneLink = document.getElementById("phone-link");
const pageLink = document.getElementById("page-link");
const again = document.getElementById("again");
const starters = document.querySelectorAll("[data-starts]");
const receipt = document.getElementById("receipt");
const otpForm = document.getElementById("otp-form");
const otpStep = document.getElementById("otp-step");

class Problem extends Error {
  constructor(answer) {
    const wrong = (answer.errors || []).map((error) => error.message).join(" ");
    super(wrong || answer.detail || answer.title);
    this.code = answer.code;
    this.paymentId = answer.payment_id;
  }
}

// Kept for this tab, also after a reload and after a visit to the provider's page.
const memory = {
  get token() {
    return sessionStorage.getItem("token") || "";
  },
  set token(value) {
    sessionStorage.setItem("token", value);
  },
  get payment() {
    return sessionStorage.getItem("payment") || "";
  },
  set payment(id) {
    sessionStorage.setItem("payment", id);
  },
  // One idempotency key for each purchase, so that the button starts no second payment after a lost answer.
  get key() {
    return sessionStorage.getItem("key") || "";
  },
  set key(value) {
    sessionStorage.setItem("key", value);
  },
  // The id of a pending payment, kept after the tab is closed. Reading the payment needs a sign-in.
  get running() {
    return localStorage.getItem("running") || "";
  },
  set running(id) {
    if (id) localStorage.setItem("running", id);
    else localStorage.removeItem("running");
  },
};

async function call(method, url, body, key) {
  const headers = { Accept: "application/json" };
  if (memory.token) headers.Authorization = `Bearer ${memory.token}`;
  if (body) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  const answer = await response.json();
  if (response.ok) return answer;
  throw new Problem(answer);
}

const readStatus = (id) => call("GET", `${addresses.payments}${id}/status/`);

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const francs = (amount) => `${amount.toLocaleString(document.documentElement.lang)}\u00a0F\u00a0CFA`;

function say(text, kind = "") {
  status.textContent = text;
  progress.className = `progress ${kind}`;
}

// Run `act` with all start buttons disabled. True: the server answered, even with an error.
async function withButtonsDisabled(act) {
  const open = [...starters].filter((starter) => !starter.disabled);
  for (const starter of open) starter.disabled = true;
  again.hidden = true;
  try {
    await act();
    return true;
  } catch (error) {
    const answered = error instanceof Problem;
    say(answered ? error.message : texts.unreachable, "failed");
    progress.querySelector(".now")?.setAttribute("class", "wrong");
    again.hidden = act !== tryAgain;
    return answered;
  } finally {
    for (const starter of open) starter.disabled = false;
  }
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

function show(payment) {
  const waiting = payment.status === "pending";
  const asksForCode = waiting && payment.otp_required;
  const page = waiting && /^https?:/.test(payment.redirect_url || "") ? payment.redirect_url : "";
  say(texts[payment.detail] || payment.detail);
  step(payment.reference || page ? "approve" : "sent");
  pageLink.hidden = !page;
  if (page) pageLink.href = page;
  if (otpStep.hidden === asksForCode) {
    otpStep.hidden = !asksForCode;
    otpForm.reset();
    otpStep.querySelector("[role=alert]").textContent = "";
    if (asksForCode) otpForm.otp.focus();
  }
  phoneLink.hidden = !(waiting && !page && addresses.sandbox && payment.reference);
  phoneLink.href = `${addresses.sandbox}/?payment=${encodeURIComponent(payment.reference || "")}`;
}

async function untilSettled(payment) {
  memory.payment = payment.id;
  memory.running = payment.status === "pending" ? payment.id : "";
  let shown = "";
  while (payment.status === "pending") {
    if (shown !== JSON.stringify(payment)) show(payment);
    shown = JSON.stringify(payment);
    await Promise.race([wait(payment.next_poll_seconds || 2), codeSent.next]);
    try {
      payment = await readStatus(payment.id);
    } catch (error) {
      if (error instanceof Problem) throw error;
      // The shop does not answer now, but the payment continues: poll again.
    }
  }
  if (memory.running === payment.id) memory.running = "";
  show(payment);
  return payment;
}

// Ends the wait between two polls when a code was sent.
const codeSent = {
  arm() {
    this.next = new Promise((resolve) => {
      this.fire = () => {
        this.arm();
        resolve();
      };
    });
  },
};
codeSent.arm();

// One idempotency key for each code, so that the same code is not sent twice after a lost answer.
const codeKeys = new Map();

otpForm.addEventListener("submit", async (event) => {
  event.preventDefault();
  const otp = otpForm.otp.value;
  const complaint = otpStep.querySelector("[role=alert]");
  const button = otpStep.querySelector("button");
  button.disabled = true;
  complaint.textContent = "";
  if (!codeKeys.has(otp)) codeKeys.set(otp, crypto.randomUUID());
  try {
    await call("POST", `${addresses.payments}${memory.payment}/otp/`, { otp }, codeKeys.get(otp));
    otpForm.reset();
  } catch (error) {
    complaint.textContent = error instanceof Problem ? error.message : texts.unreachable;
  } finally {
    button.disabled = false;
    codeSent.fire();
  }
});

async function untilCoinsGiven(payment) {
  for (;;) {
    const balance = await call("GET", addresses.balance);
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
    const cell = receipt.querySelector(`[data-fill=${name}]`);
    cell.textContent = value || "";
    cell.hidden = cell.previousElementSibling.hidden = !value;
  }
  receipt.hidden = false;
  say(texts.coins_given, "paid");
  step("done", "past");
}

// Follow a payment until it is settled and the coins are there.
async function follow(payment) {
  const settled = await untilSettled(payment);
  if (settled.status === "successful") {
    step("done");
    showReceipt(settled, await untilCoinsGiven(settled));
  } else {
    say(settled.reason ? settled.reason.message : texts[settled.detail], "failed");
    step("approve", "wrong");
    again.hidden = !settled.can_retry;
  }
}

// What a retry sends. The home page sets it to its phone number and code.
let retryInput = () => ({});
let retryKey = "";

async function tryAgain() {
  say(texts.starting);
  step("sent");
  retryKey = retryKey || crypto.randomUUID();
  const payment = await call("POST", `${addresses.payments}retry/${memory.payment}/`, retryInput(), retryKey);
  retryKey = "";
  await follow(payment);
}

again.addEventListener("click", async () => {
  if (await withButtonsDisabled(tryAgain)) retryKey = "";
});
