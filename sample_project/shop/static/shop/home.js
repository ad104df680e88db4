// The form of the home page, a client of the public API. Only the server's answer decides that a payment is paid.
"use strict";

const totals = read("totals");
const form = document.getElementById("buy");

const resumeButton = document.getElementById("resume");

let signedInAs = "";

const chosenPack = () => form.querySelector("input[name=pack]:checked");

const chosenProvider = () => form.provider.selectedOptions[0];

async function signIn() {
  const who = { username: form.username.value, password: form.password.value };
  if (memory.token && signedInAs === JSON.stringify(who)) return;
  memory.token = "";
  memory.token = (await call("POST", addresses.token, who)).token;
  signedInAs = JSON.stringify(who);
}

// Over plain http the server accepts a return URL on localhost only.
const returnUrlIsAllowed = () => location.protocol === "https:" || /^(localhost|127\.0\.0\.1|\[::1\])$/.test(location.hostname);

function payerFields() {
  const payer = {};
  if (!form.phone.closest(".field").hidden) payer.phone = form.phone.value;
  if (!form.otp.closest(".field").hidden && form.otp.value) payer.otp = form.otp.value;
  return payer;
}

retryInput = payerFields;

// The shop keeps one open order for each pack. If the order has a payment, follow that payment and start none.
// A top-up in dollars has no order: the server refuses the same request within a minute.
async function start() {
  const pack = chosenPack();
  const request = { provider: form.provider.value };
  if (pack.dataset.currency) {
    Object.assign(request, { amount: Number(pack.dataset.amount), currency: pack.dataset.currency });
  } else {
    const order = await call("POST", addresses.orders, { pack: pack.value });
    if (order.payment_id) return readStatus(order.payment_id);
    Object.assign(request, { amount: Number(pack.dataset.price), metadata: { pack: pack.value } });
    request.merchant_reference = order.id;
  }
  if (chosenProvider().dataset.page && returnUrlIsAllowed()) {
    request.return_url = request.cancel_url = new URL(addresses.returnPage, location).href;
  }
  Object.assign(request, payerFields());
  memory.key = memory.key || crypto.randomUUID();
  const payment = await call("POST", `${addresses.payments}initiate/`, request, memory.key).catch(followOpenPayment);
  memory.key = "";
  form.otp.value = "";
  return payment;
}

// The payment was started in another tab or before a reload: follow that one.
async function followOpenPayment(error) {
  if (error.code === "duplicate_payment") return readStatus(error.paymentId);
  if (error.code === "idempotency_mismatch") memory.key = ""; // the form has changed since
  else if (error.code === "idempotency_conflict") await wait(2); // the first request is still running
  else throw error;
  return start();
}

async function buy() {
  say(texts.signing_in);
  step("sent");
  await signIn();
  say(texts.starting);
  await follow(await start());
}

function openProgress() {
  progress.hidden = false;
  receipt.hidden = phoneLink.hidden = pageLink.hidden = otpStep.hidden = resumeButton.hidden = true;
  progress.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  openProgress();
  if (await withButtonsDisabled(buy)) memory.key = "";
});

// Follow the payment that was pending when this page was left or reloaded. False: there is none.
async function resume() {
  const [order] = await call("GET", addresses.orders);
  memory.running = order ? order.payment_id : "";
  if (!order) return false;
  const pack = form.querySelector(`input[name=pack][value="${CSS.escape(order.pack)}"]`);
  if (pack) pack.checked = true;
  showPrice();
  openProgress();
  say(texts.checking);
  await withButtonsDisabled(async () => follow(await readStatus(order.payment_id)));
  return true;
}

// The session has ended: show that a payment is pending, and ask the player to sign in.
function offerToResume() {
  openProgress();
  say(texts.under_way);
  resumeButton.hidden = false;
}

async function resumeAtLoad() {
  try {
    if (memory.token) await resume();
    else if (memory.running) offerToResume();
  } catch (error) {
    if (error.code === "not_authenticated") memory.token = "";
    if (memory.running) offerToResume();
  }
}

resumeButton.addEventListener("click", async () => {
  let found = false;
  const answered = await withButtonsDisabled(async () => {
    say(texts.signing_in);
    await signIn();
    found = true;
  });
  again.hidden = true;
  if (!found) resumeButton.hidden = false;
  else if (answered && !(await resume())) progress.hidden = true;
});

form.addEventListener("input", (event) => {
  memory.key = retryKey = "";
  // A retry may use another number or code. Another pack or provider needs a new payment.
  if (event.target !== form.phone && event.target !== form.otp) again.hidden = true;
});

// Show the fields that this provider needs: a phone number, a code that the payer gets by dialling, or neither.
function showFields() {
  const { phone, otp } = chosenProvider().dataset;
  form.phone.closest(".field").hidden = !phone;
  form.phone.required = Boolean(phone);
  form.phone.value = phone;
  form.otp.closest(".field").hidden = !otp;
  form.otp.required = Boolean(otp);
}

form.provider.addEventListener("change", showFields);

// Show what will be charged, fee included.
function showPrice() {
  const pack = chosenPack();
  const quote = (pack && totals[form.provider.value]?.[pack.value]) || { total: Number(pack?.dataset.price), fee: 0 };
  const fee = document.getElementById("fee");
  document.getElementById("price").textContent = pack ? francs(quote.total) : "";
  fee.textContent = texts.fee.replace("{fee}", francs(quote.fee));
  fee.hidden = !quote.fee;
  // The code to dial contains the amount: "*144*4*6*amount#".
  const says = chosenProvider().dataset.says.replace(/\*(amount|montant)#/, `*${quote.total}#`);
  document.getElementById("says").textContent = says;
}
form.addEventListener("change", showPrice);
if (form.provider.options.length) {
  showFields();
  showPrice();
}
resumeAtLoad();
