// The page that payers return to. It ignores its query string and asks the server.
"use strict";

async function showPayment() {
  if (!memory.token || !memory.payment) {
    say(texts.forgotten);
    return;
  }
  say(texts.checking);
  step("approve");
  try {
    await follow(await readStatus(memory.payment));
  } catch (error) {
    say(error instanceof Problem ? error.message : texts.unreachable, "failed");
  }
}

showPayment();
