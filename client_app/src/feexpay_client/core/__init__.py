"""The client without a window: all payment rules, no drawing.

A screen needs four objects, all from one `session.Session(folder, tokens)`:

    session.preferences.value   server, country, language, theme, …      .change(theme="dark")
    session.texts("key")        texts; .subscribe(listener) when the language changes
    session.catalogue           .providers, .countries(), .in_country(code), await .refresh()
    session.flow                the signed-in payer's payments (None before a sign-in and after a sign-out)

`await session.start()` returns True if the stored session is usable; `session.flow.state` then shows the open payment.
`await session.sign_in(server, username, password)` raises ValueError (address) or errors.ApiError.
`session.on_change` is called after signing in or out, and when the session ends. In the last case `session.signed_in`
is False and `session.flow` stays: show the sign-in screen, then the same screen again.

`flow.state` is a frozen `states.State`; `flow.subscribe(listener)` calls `listener` with each new state, on the loop.
`state.phase` chooses the screen:

    EDITING QUOTING READY   the form; flow.edit(Draft(...)) at each change, state.quote once it has come,
                            state.problems beside the fields, flow.pay() if state.can_pay
    SUBMITTING UNKNOWN      "sending" / "checking whether it arrived"; flow.cancel() if state.can_cancel
    WAITING CHECKING        the countdown: state.seconds_left(flow.now()), state.overdue(flow.now()); flow.check_now()
    OTP                     flow.enter_otp(code); state.problems when it was wrong; state.busy meanwhile
    REDIRECT                the page was opened once; flow.open_page() opens it again
    SUCCEEDED FAILED        state.payment, its reason; flow.retry(state.payment.id, …) if state.can_retry; flow.new()

`state.notice` (code, the server's message, request_id) is shown as a banner with `texts("notice." + code)`. Show an
offline banner while `state.online` is False. The flow's methods return at once and do nothing in a phase where they do
not apply, so a screen may call them at any time.

This package does not import Kivy (a test checks the imports). The rules are a pure function in `machine`.
"""

from __future__ import annotations
