// The form of the home page: a client of the public API like any other. The server's word alone says "paid".
"use strict";

const totals = read("totals");
const form = document.getElementById("buy");

let signedInAs = "";
// One key for one wish: pressing again after a lost answer asks for the same payment, not for a second one.
let idempotencyKey = "";

const chosenPack = () => form.querySelector("input[name=pack]:checked");

const chosenProvider = () => form.provider.selectedOptions[0];

async function signIn() {
  const who = { username: form.username.value, password: form.password.value };
  if (memory.token && signedInAs === JSON.stringify(who)) return;
  memory.token = "";
  memory.token = (await call("POST", wiring.token, who)).token;
  signedInAs = JSON.stringify(who);
}

// Over http the server takes an address to come back to on this very machine only.
const mayComeBack = () => location.protocol === "https:" || /^(localhost|127\.0\.0\.1|\[::1\])$/.test(location.hostname);

function whoPays() {
  const payer = {};
  if (!form.phone.closest(".field").hidden) payer.phone = form.phone.value;
  if (!form.otp.closest(".field").hidden && form.otp.value) payer.otp = form.otp.value;
  return payer;
}

anew = whoPays;

async function start() {
  const pack = chosenPack();
  const wish = { provider: form.provider.value, amount: Number(pack.dataset.price), metadata: { pack: pack.value } };
  if (chosenProvider().dataset.page && mayComeBack()) {
    wish.return_url = wish.cancel_url = new URL(wiring.comeBack, location).href;
  }
  Object.assign(wish, whoPays());
  idempotencyKey = idempotencyKey || crypto.randomUUID();
  const payment = await call("POST", `${wiring.payments}initiate/`, wish, idempotencyKey);
  idempotencyKey = "";
  form.otp.value = "";
  return payment;
}

async function buy() {
  say(texts.signing_in);
  step("sent");
  await signIn();
  say(texts.starting);
  await follow(await start());
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  progress.hidden = false;
  receipt.hidden = phoneLink.hidden = pageLink.hidden = otpStep.hidden = true;
  progress.scrollIntoView({ block: "nearest", behavior: "smooth" });
  if (await attend(buy)) idempotencyKey = "";
});

form.addEventListener("input", (event) => {
  idempotencyKey = retryKey = "";
  // Another number or code may be tried for the same payment; another pack or provider makes another one.
  if (event.target !== form.phone && event.target !== form.otp) again.hidden = true;
});

// What this provider asks for: a number, a code dialled for first, or neither.
function showFields() {
  const { phone, otp } = chosenProvider().dataset;
  form.phone.closest(".field").hidden = !phone;
  form.phone.required = Boolean(phone);
  form.phone.value = phone;
  form.otp.closest(".field").hidden = !otp;
  form.otp.required = Boolean(otp);
}

form.provider.addEventListener("change", showFields);

// What will be charged, fee and all, before anybody agrees to it.
function showPrice() {
  const pack = chosenPack();
  const quote = (pack && totals[form.provider.value]?.[pack.value]) || { total: Number(pack?.dataset.price), fee: 0 };
  const fee = document.getElementById("fee");
  document.getElementById("price").textContent = pack ? francs(quote.total) : "";
  fee.textContent = texts.fee.replace("{fee}", francs(quote.fee));
  fee.hidden = !quote.fee;
  // The code to dial holds the sum: "*144*4*6*amount#".
  const says = chosenProvider().dataset.says.replace(/\*(amount|montant)#/, `*${quote.total}#`);
  document.getElementById("says").textContent = says;
}
form.addEventListener("change", showPrice);
if (form.provider.options.length) {
  showFields();
  showPrice();
}
