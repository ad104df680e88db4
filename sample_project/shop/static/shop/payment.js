// A payment on a page: shared by the form and by the page that payers come back to. A client of the public API like any
// other: the server's word alone says "paid", never an address or a button.
"use strict";

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const wiring = read("wiring");
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

// This tab's memory: it outlives a reload and the way to the provider's page and back, and ends with the tab.
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
  // One key for one wish: pressing again after a lost answer asks for the same payment, not for a second one.
  get key() {
    return sessionStorage.getItem("key") || "";
  },
  set key(value) {
    sessionStorage.setItem("key", value);
  },
  // That a payment is under way outlives the tab. Nothing but its id is kept: to see it, one signs in.
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

const look = (id) => call("GET", `${wiring.payments}${id}/status/`);

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const francs = (amount) => `${amount.toLocaleString(document.documentElement.lang)}\u00a0F\u00a0CFA`;

function say(text, kind = "") {
  status.textContent = text;
  progress.className = `progress ${kind}`;
}

// What a press that may start a payment does; meanwhile no other can. True: the server answered, for good or ill.
async function attend(act) {
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
  phoneLink.hidden = !(waiting && !page && wiring.sandbox && payment.reference);
  phoneLink.href = `${wiring.sandbox}/?payment=${encodeURIComponent(payment.reference || "")}`;
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
      payment = await look(payment.id);
    } catch (error) {
      if (error instanceof Problem) throw error;
      // The shop is away for a moment; the payment goes on without us.
    }
  }
  if (memory.running === payment.id) memory.running = "";
  show(payment);
  return payment;
}

// Wakes the waiting page when a code was sent.
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

// One key a code: pressed again after a lost answer, the same code is not sent a second time.
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
    await call("POST", `${wiring.payments}${memory.payment}/otp/`, { otp }, codeKeys.get(otp));
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
    const cell = receipt.querySelector(`[data-fill=${name}]`);
    cell.textContent = value || "";
    cell.hidden = cell.previousElementSibling.hidden = !value;
  }
  receipt.hidden = false;
  say(texts.coins_given, "paid");
  step("done", "past");
}

// To the end of a payment, whatever way it takes.
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

// What another attempt may say anew. The form of the home page knows a number and a code.
let anew = () => ({});
let retryKey = "";

async function tryAgain() {
  say(texts.starting);
  step("sent");
  retryKey = retryKey || crypto.randomUUID();
  const payment = await call("POST", `${wiring.payments}retry/${memory.payment}/`, anew(), retryKey);
  retryKey = "";
  await follow(payment);
}

again.addEventListener("click", async () => {
  if (await attend(tryAgain)) retryKey = "";
});
