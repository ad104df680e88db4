"""The client without a window: all payment rules, and no drawing.

A screen needs four things, all from one `session.Session(folder, tokens)`:

    session.preferences.value   server, country, language, theme, …      .change(theme="dark")
    session.texts("key")        texts; .subscribe(listener) when the language changes
    session.catalogue           .providers, .countries(), .in_country(code), await .refresh()
    session.flow                one payer's payments, while signed in (None before)

`await session.start()` → True: signed in, and `session.flow.state` already shows the payment that was open.
`await session.sign_in(server, username, password)` raises ValueError (address) or errors.ApiError.
`session.on_change` is called after signing in or out, and when the session ended: then `session.signed_in`
is False while `session.flow` stays: show sign-in, then the same screen again.

`flow.state` is one frozen `states.State`; `flow.subscribe(listener)` calls `listener` with each new state, on the loop.
`state.phase` chooses the screen:

    EDITING QUOTING READY   the form; flow.edit(Draft(...)) at each change, state.quote when it is there,
                            state.problems beside the fields, flow.pay() if state.can_pay
    SUBMITTING UNKNOWN      "sending" / "searching whether it arrived"; flow.cancel() if state.can_cancel
    WAITING CHECKING        the ring: state.seconds_left(flow.now()), state.overdue(flow.now()); flow.check_now()
    OTP                     flow.enter_otp(code); state.problems when it was wrong; state.busy meanwhile
    REDIRECT                the page opened by itself once; flow.open_page() again
    SUCCEEDED FAILED        state.payment, its reason; flow.retry(state.payment.id, …) if state.can_retry; flow.new()

`state.notice` (code, the server's message, request_id) is a banner: `texts("notice." + code)`; `state.online` False
is the offline banner. Methods of the flow return at once and do nothing in a phase where they do not apply, so a
screen may
call them at any time. Payments in `history.History`, receipts in `receipts`, amounts in `money`, numbers in `phone`.

Nothing in here imports Kivy (a test walks the imports). The rules are in `machine`, as a pure function.
"""

from __future__ import annotations
