from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_feexpay.gateway import signatures
from django_feexpay.gateway.errors import GatewayError, WebhookRejectedError
from django_feexpay.gateway.signatures import (
    MODES,
    HmacScheme,
    WebhookSecret,
    headers_read,
    key_bytes,
    parse_secrets,
    verify,
)

NOW = 1_800_000_000.0
BODY = b'{"reference": "REF", "status": "SUCCESSFUL", "amount": 5000}'
SECRET = "a-long-secret-for-the-tests-only"
OLD_SECRET = "the-secret-of-the-month-before"

# Computed by `printf BODY | openssl dgst -sha256 -hmac SECRET`, independently of our code.
HEX_SIGNATURE = "aed9b2310ff7091630603218bdbd57d06a0d733f56574a23e921b3f5636ff3b2"
STAMPED_SIGNATURE = "1659daf98f8ac017591c25cc41b7ee0e9a21c0ec1a7f1004c4490e4b543c77f3"

# The vector of Standard Webhooks 1.0.0, recomputed the same way over `id.timestamp.body`.
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD_HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def rejection(
    mode: str,
    *,
    secrets: list[str] | None = None,
    body: bytes = BODY,
    headers: dict[str, str] | None = None,
    url_token: str = "",
    now: float = NOW,
    scheme: HmacScheme | None = None,
) -> str | None:
    """The cause of the rejection, None if the request passed."""
    try:
        verify(
            modes=mode.split(","),
            secrets=parse_secrets([SECRET] if secrets is None else secrets),
            body=body,
            headers=headers or {},
            url_token=url_token,
            now=now,
            scheme=scheme or HmacScheme(),
        )
    except WebhookRejectedError as error:
        return error.cause_code
    return None


def signed(key: str, content: bytes) -> bytes:
    return hmac.new(key.encode(), content, hashlib.sha256).digest()


# --- secrets --------------------------------------------------------------------------------------


def test_headers_of_every_mode_are_named() -> None:
    scheme = HmacScheme(header="X-Signature", timestamp_header="X-Time")

    named = {name.lower() for name in headers_read(scheme)}

    standard = {"webhook-id", "webhook-timestamp", "webhook-signature"}
    assert named == {"authorization", *standard, "x-signature", "x-time"}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("plain", ("plain", None)),
        ("  plain ", ("plain", None)),
        ("header:Bearer abc", ("Bearer abc", "header")),
        ("header: Bearer a:b", ("Bearer a:b", "header")),
        ("Bearer x:y", ("Bearer x:y", None)),
        ("Basic dXNlcjpwYXNz", ("Basic dXNlcjpwYXNz", None)),
        ("hmac:k:k", ("k:k", "hmac")),
        ("url_token:abc", ("abc", "url_token")),
        ("standard_webhooks:whsec_abc", ("whsec_abc", "standard_webhooks")),
        ("HMAC:abc", ("HMAC:abc", None)),
        ("unknown:abc", ("unknown:abc", None)),
        (":abc", (":abc", None)),
        ("None:abc", ("None:abc", None)),
    ],
)
def test_only_a_known_mode_is_read_as_a_prefix(entry: str, expected: tuple[str, str | None]) -> None:
    (secret,) = parse_secrets([entry])

    assert (secret.value, secret.mode) == expected


def test_blank_secrets_are_left_out() -> None:
    assert parse_secrets(["", "   ", "hmac:", "header:  "]) == ()


def test_secret_is_not_in_its_repr() -> None:
    assert repr(WebhookSecret(SECRET, "hmac")) == "WebhookSecret(mode='hmac', until=None)"


def test_secret_is_a_key_of_its_own_mode_only() -> None:
    assert key_bytes(WebhookSecret("abc", "hmac"), "hmac") == b"abc"
    assert key_bytes(WebhookSecret("abc", "hmac"), "header") is None
    assert key_bytes(WebhookSecret("abc"), "header") == b"abc"
    assert key_bytes(WebhookSecret("\ud800"), "header") is None


@pytest.mark.parametrize("value", ["whsec_", "whsec_!!!", "whsec_abc", "é", "whsec_whsec_"])
def test_standard_secret_that_is_not_base64_is_unusable(value: str) -> None:
    assert key_bytes(WebhookSecret(value), "standard_webhooks") is None


# --- every mode -----------------------------------------------------------------------------------


def test_status_mode_checks_nothing() -> None:
    assert rejection("status", secrets=[]) is None


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "status"])
def test_mode_without_a_secret_rejects(mode: str) -> None:
    headers = {"Authorization": "", "X-FeexPay-Signature": "", **STANDARD_HEADERS}

    assert rejection(mode, secrets=[], headers=headers) == f"{mode}_no_secret"
    assert rejection(mode, secrets=["status:x"], headers=headers) == f"{mode}_no_secret"


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in ("status", "standard_webhooks")])
def test_request_without_credentials_is_rejected(mode: str) -> None:
    assert rejection(mode) == f"{mode}_missing"


def test_unknown_mode_rejects() -> None:
    assert rejection("none") == "unknown_mode"
    assert rejection("status,Header", headers={"Authorization": SECRET}) == "unknown_mode"


def test_every_listed_mode_must_pass() -> None:
    headers, secrets = {"Authorization": SECRET}, [f"header:{SECRET}", "url_token:url-token-1"]
    modes = "status,header,url_token"

    assert rejection(modes, secrets=secrets, headers=headers, url_token="url-token-1") is None
    assert rejection(modes, secrets=secrets, headers=headers, url_token="x") == "url_token_mismatch"
    assert rejection("url_token,header", secrets=secrets, url_token="url-token-1") == "header_missing"


@pytest.mark.parametrize("modes", ["header", "status,header", "header,status,header"])
def test_secret_without_a_mode_is_used_if_one_mode_needs_a_secret(modes: str) -> None:
    assert rejection(modes, headers={"Authorization": SECRET}) is None


@pytest.mark.parametrize("modes", ["header,hmac", "status,hmac,header", "header,url_token", "hmac,no_such_mode"])
def test_secret_without_a_mode_is_not_used_for_several_modes(modes: str) -> None:
    """Otherwise anyone who reads the unencrypted header has the signing key."""
    headers = {"Authorization": SECRET, "X-FeexPay-Signature": HEX_SIGNATURE}
    first = next(mode for mode in modes.split(",") if mode != "status")

    assert rejection(modes, headers=headers, url_token=SECRET) == f"{first}_no_secret"


def test_secret_without_a_mode_is_not_added_to_the_secrets_of_a_mode() -> None:
    headers = {"Authorization": SECRET, "X-FeexPay-Signature": HEX_SIGNATURE}

    assert rejection("header,hmac", secrets=[SECRET, f"hmac:{SECRET}"], headers=headers) == "header_no_secret"


def test_rejection_has_one_public_message_and_is_not_a_gateway_error() -> None:
    messages = {str(WebhookRejectedError(cause)) for cause in ("header_missing", "hmac_mismatch")}

    assert messages == {"This request could not be authenticated."}
    assert not issubclass(WebhookRejectedError, GatewayError)


# --- header and url_token -------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["Bearer s3cret-value", "Basic dXNlcjpwYXNz"])
def test_header_must_be_the_whole_value(value: str) -> None:
    secrets = [value]

    assert rejection("header", secrets=secrets, headers={"authorization": value}) is None
    assert rejection("header", secrets=secrets, headers={"AUTHORIZATION": value}) is None
    for other in (value.split()[1], value.lower(), value + " ", value[:-1], f"{value},{value}"):
        assert rejection("header", secrets=secrets, headers={"Authorization": other}) == "header_mismatch"


@pytest.mark.parametrize("value", ["é", "Bearer \u0661", "\ud800", "\xff"])
def test_header_beyond_ascii_is_malformed(value: str) -> None:
    assert rejection("header", headers={"Authorization": value}) == "header_malformed"


def test_header_given_twice_is_malformed() -> None:
    headers = {"Authorization": SECRET, "authorization": SECRET}

    assert rejection("header", headers=headers) == "header_malformed"


@pytest.mark.parametrize(
    ("token", "cause"),
    [(SECRET, None), ("", "url_token_missing"), ("x", "url_token_mismatch"), ("\ud800", "url_token_missing")],
)
def test_url_token_must_be_the_secret(token: str, cause: str | None) -> None:
    assert rejection("url_token", url_token=token) == cause


def test_url_token_may_be_any_text() -> None:
    assert rejection("url_token", secrets=["jeton-é"], url_token="jeton-é") is None


@pytest.mark.parametrize("mode", ["header", "url_token"])
def test_old_and_new_secret_are_valid_during_a_rotation(mode: str) -> None:
    secrets = [SECRET, OLD_SECRET]
    for value in secrets:
        assert rejection(mode, secrets=secrets, headers={"Authorization": value}, url_token=value) is None
    given_old = {"headers": {"Authorization": OLD_SECRET}, "url_token": OLD_SECRET}
    assert rejection(mode, secrets=[SECRET], **given_old) == f"{mode}_mismatch"  # type: ignore[arg-type]  # one dict for two parameters


@pytest.mark.parametrize("mode", ["header", "url_token"])
def test_secret_ends_at_its_moment(mode: str) -> None:
    """NOW is 2027-01-15 08:00 UTC."""
    secrets = [f"{mode}:{SECRET} until 2027-01-15T09:00:00+01:00"]
    headers = {"Authorization": SECRET}

    assert rejection(mode, secrets=secrets, headers=headers, url_token=SECRET, now=NOW - 0.001) is None
    assert rejection(mode, secrets=secrets, headers=headers, url_token=SECRET, now=NOW) == f"{mode}_no_secret"


def test_every_key_is_compared_after_a_match_too(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    real = hmac.compare_digest

    def counted(left: bytes, right: bytes) -> bool:
        compared.append(right)
        return real(left, right)

    monkeypatch.setattr(hmac, "compare_digest", counted)

    assert rejection("url_token", secrets=["first-secret", "other-secret"], url_token="first-secret") is None
    assert compared == [b"first-secret", b"other-secret"]


# --- hmac -----------------------------------------------------------------------------------------


def test_hmac_is_sha256_over_the_raw_body() -> None:
    assert rejection("hmac", headers={"x-feexpay-signature": HEX_SIGNATURE}) is None
    assert rejection("hmac", headers={"X-FeexPay-Signature": HEX_SIGNATURE.upper()}) is None


@pytest.mark.parametrize("body", [BODY + b" ", BODY.replace(b"5000", b"5001"), b"", b"\xff"])
def test_hmac_of_another_body_is_rejected(body: bytes) -> None:
    assert rejection("hmac", body=body, headers={"X-FeexPay-Signature": HEX_SIGNATURE}) == "hmac_mismatch"


def test_hmac_with_an_older_listed_key_passes() -> None:
    headers = {"X-FeexPay-Signature": signed(OLD_SECRET, BODY).hex()}

    assert rejection("hmac", secrets=[SECRET, OLD_SECRET], headers=headers) is None
    assert rejection("hmac", secrets=[SECRET], headers=headers) == "hmac_mismatch"


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "sha256=" + HEX_SIGNATURE,
        HEX_SIGNATURE[:-1],
        HEX_SIGNATURE + "0",
        HEX_SIGNATURE + "\n",
        " " + HEX_SIGNATURE,
        f"{HEX_SIGNATURE},{HEX_SIGNATURE}",
        HEX_SIGNATURE[:-1] + "é",
    ],
)
def test_hmac_header_in_another_format_is_malformed(value: str) -> None:
    assert rejection("hmac", headers={"X-FeexPay-Signature": value}) == "hmac_malformed"


def test_hmac_scheme_sets_header_prefix_and_encoding() -> None:
    scheme = HmacScheme(header="X-Relay", prefix="v0=", encoding="base64")
    signature = base64.b64encode(signed(SECRET, BODY)).decode()

    assert rejection("hmac", headers={"X-Relay": "v0=" + signature}, scheme=scheme) is None
    assert rejection("hmac", headers={"X-Relay": signature}, scheme=scheme) == "hmac_malformed"
    assert rejection("hmac", headers={"X-Relay": "v0=" + signature[:-1]}, scheme=scheme) == "hmac_malformed"
    assert rejection("hmac", headers={"X-Relay": "v0=AAAA"}, scheme=scheme) == "hmac_mismatch"
    assert rejection("hmac", headers={"X-FeexPay-Signature": signature}, scheme=scheme) == "hmac_missing"


STAMPED = HmacScheme(timestamp_header="X-FeexPay-Timestamp")


@pytest.mark.parametrize(
    ("offset_seconds", "cause"),
    [(0, None), (300, None), (-300, None), (301, "hmac_stale"), (-301, "hmac_stale"), (10**9, "hmac_stale")],
)
def test_hmac_timestamp_may_differ_by_300_seconds(offset_seconds: int, cause: str | None) -> None:
    headers = {"X-FeexPay-Signature": STAMPED_SIGNATURE, "X-FeexPay-Timestamp": "1800000000"}

    assert rejection("hmac", headers=headers, now=NOW + offset_seconds, scheme=STAMPED) == cause


def test_hmac_covers_the_timestamp() -> None:
    headers = {"X-FeexPay-Signature": STAMPED_SIGNATURE, "X-FeexPay-Timestamp": "1800000001"}

    assert rejection("hmac", headers=headers, scheme=STAMPED) == "hmac_mismatch"
    without = {"X-FeexPay-Signature": HEX_SIGNATURE}
    assert rejection("hmac", headers=without, scheme=STAMPED) == "hmac_missing"


@pytest.mark.parametrize("stamp", ["now", "-1", "1e9", "1800000000.0", "1800000000 ", "٣", "9" * 13])
def test_hmac_timestamp_in_another_format_is_malformed(stamp: str) -> None:
    headers = {"X-FeexPay-Signature": STAMPED_SIGNATURE, "X-FeexPay-Timestamp": stamp}

    assert rejection("hmac", headers=headers, scheme=STAMPED) == "hmac_malformed"


# --- standard webhooks ----------------------------------------------------------------------------


def standard(now: float = 1_614_265_330, secret: str = STANDARD_SECRET, **changed: str) -> str | None:
    headers = STANDARD_HEADERS | {f"webhook-{name}": value for name, value in changed.items()}
    return rejection("standard_webhooks", secrets=[secret], body=STANDARD_BODY, headers=headers, now=now)


def test_standard_vector_passes() -> None:
    assert standard() is None
    assert standard(secret=STANDARD_SECRET.removeprefix("whsec_")) is None
    assert standard(secret="standard_webhooks:" + STANDARD_SECRET) is None


@pytest.mark.parametrize("offset_seconds", [300, -300])
def test_standard_timestamp_may_differ_by_300_seconds(offset_seconds: int) -> None:
    assert standard(now=1_614_265_330 + offset_seconds) is None


@pytest.mark.parametrize("offset_seconds", [301, -301, 31 * 365 * 86_400, -31 * 365 * 86_400])
def test_standard_timestamp_that_differs_more_is_stale(offset_seconds: int) -> None:
    assert standard(now=1_614_265_330 + offset_seconds) == "standard_webhooks_stale"


def test_standard_signature_covers_id_and_timestamp() -> None:
    assert standard(id="msg_other") == "standard_webhooks_mismatch"
    assert standard(timestamp="1614265331") == "standard_webhooks_mismatch"
    assert standard(timestamp="01614265330") == "standard_webhooks_mismatch"


def test_standard_list_passes_if_any_v1_matches() -> None:
    good = STANDARD_HEADERS["webhook-signature"]

    assert standard(signature=f"v1,{'A' * 43}= {good}") is None
    assert standard(signature=f"v2,whatever v1a,x nonsense {good}") is None
    assert standard(signature=f"v1,A,B v1,*** {good}") is None


def test_standard_signature_of_another_version_is_ignored() -> None:
    downgraded = STANDARD_HEADERS["webhook-signature"].replace("v1,", "v0,")

    assert standard(signature=downgraded) == "standard_webhooks_malformed"


def test_standard_list_is_bounded() -> None:
    good = STANDARD_HEADERS["webhook-signature"]

    assert standard(signature=f"{'v0,x ' * 16}{good}") == "standard_webhooks_malformed"


@pytest.mark.parametrize("signature", ["", "v1", "v1,", "v1,a,b", "v1,é", "v1,***", ",", " ", "v1, AAAA", "v1,AAA"])
def test_standard_signature_in_another_format_is_rejected(signature: str) -> None:
    assert standard(signature=signature) in {"standard_webhooks_malformed", "standard_webhooks_missing"}


@pytest.mark.parametrize("identifier", ["a.b", "a b", "x" * 257, "é", "a\n"])
def test_standard_id_in_another_format_is_malformed(identifier: str) -> None:
    assert standard(id=identifier) == "standard_webhooks_malformed"


@pytest.mark.parametrize("missing", sorted(STANDARD_HEADERS))
def test_standard_needs_all_three_headers(missing: str) -> None:
    headers = {name: value for name, value in STANDARD_HEADERS.items() if name != missing}

    cause = rejection("standard_webhooks", secrets=[STANDARD_SECRET], headers=headers, now=1_614_265_330)
    assert cause == "standard_webhooks_missing"


def test_standard_mode_without_a_usable_key_rejects() -> None:
    assert standard(secret="whsec_!!!") == "standard_webhooks_no_secret"


@pytest.mark.parametrize("separator", ["\t", ",", "\n"])
def test_standard_signatures_are_separated_by_spaces_only(separator: str) -> None:
    good = STANDARD_HEADERS["webhook-signature"]

    assert standard(signature=f"v0,x{separator}{good}") == "standard_webhooks_malformed"


@pytest.mark.parametrize("noise", ["*", " ", "\n", "-"])
def test_signature_with_a_character_outside_base64_is_malformed(noise: str) -> None:
    """Python's decoder skips such characters unless it is told not to."""
    value = STANDARD_HEADERS["webhook-signature"].removeprefix("v1,")
    headers = {"X-FeexPay-Signature": value[:9] + noise + value[9:]}

    assert rejection("hmac", headers=headers, scheme=HmacScheme(encoding="base64")) == "hmac_malformed"


# --- defaults, and what a report may show -------------------------------------------------------


def test_defaults_are_the_documented_ones() -> None:
    assert HmacScheme() == HmacScheme(header="X-FeexPay-Signature", prefix="", encoding="hex", timestamp_header="")
    assert signatures.LEAST_SECRET_BYTES == {"header": 8, "url_token": 8, "hmac": 24, "standard_webhooks": 24}


def test_reprs_show_no_secret_and_nothing_of_the_request() -> None:
    request = signatures._Request(b"canary", {"Authorization": "canary"}, "canary", NOW, HmacScheme())

    assert "canary" not in f"{request!r} {WebhookSecret('canary')!r} {parse_secrets(['header:canary'])!r}"


# --- any request -----------------------------------------------------------------------------


def signed_request(mode: str, secret: str, body: bytes, stamp: int) -> dict[str, str]:
    """The headers of a request that is signed as the mode asks."""
    key = base64.b64decode(secret) if mode == "standard_webhooks" else secret.encode()
    if mode == "hmac":
        mac = hmac.new(key, f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        return {"X-FeexPay-Signature": mac, "X-FeexPay-Timestamp": str(stamp)}
    mac = base64.b64encode(hmac.new(key, f"msg_1.{stamp}.".encode() + body, hashlib.sha256).digest()).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": str(stamp), "webhook-signature": f"v1,{mac}"}


@given(data=st.data(), mode=st.sampled_from(["hmac", "standard_webhooks"]), body=st.binary(max_size=200))
def test_signed_request_passes_and_every_change_of_it_is_rejected(data: st.DataObject, mode: str, body: bytes) -> None:
    secret = base64.b64encode(data.draw(st.binary(min_size=24, max_size=64))).decode()
    offset = data.draw(st.integers(-300, 300))
    headers = signed_request(mode, secret, body, int(NOW) + offset)

    def cause(**changes: Any) -> str | None:
        given_request = {"secrets": [secret], "body": body, "headers": headers, "scheme": STAMPED} | changes
        return rejection(mode, **given_request)

    assert cause() is None
    changed = data.draw(st.sampled_from(sorted(headers)))
    position = data.draw(st.integers(0, len(headers[changed]) - 1))
    sign = data.draw(st.sampled_from("0123456789abcdefABCDEF+/=,._ "))
    other = headers[changed][:position] + sign + headers[changed][position + 1 :]
    if other.lower() != headers[changed].lower() or mode == "standard_webhooks" and other != headers[changed]:
        assert cause(headers=headers | {changed: other}) is not None
    assert cause(body=body + b" ") == f"{mode}_mismatch"
    assert cause(body=bytes([*body[:-1], body[-1] ^ 1]) if body else b"0") == f"{mode}_mismatch"
    assert cause(secrets=[base64.b64encode(secret.encode()).decode()]) == f"{mode}_mismatch"
    assert cause(headers=signed_request(mode, secret, body, int(NOW) + 301)) == f"{mode}_stale"
    assert cause(headers=signed_request(mode, secret, body, int(NOW) - 301)) == f"{mode}_stale"


NAMES = st.sampled_from(
    ["Authorization", "authorization", "X-FeexPay-Signature", "X-FeexPay-Timestamp", *STANDARD_HEADERS]
)
VALUES = st.text(max_size=80) | st.sampled_from([HEX_SIGNATURE, "1800000000", "v1,A", "v1,A v1,B"])


@given(
    mode=st.sampled_from([mode for mode in MODES if mode != "status"]),
    headers=st.dictionaries(NAMES, VALUES),
    body=st.binary(max_size=80),
    token=st.text(max_size=20),
    scheme=st.sampled_from([HmacScheme(), STAMPED, HmacScheme(encoding="base64", prefix="p=")]),
)
def test_any_request_without_the_secret_is_rejected_without_a_crash(
    mode: str, headers: dict[str, str], body: bytes, token: str, scheme: HmacScheme
) -> None:
    secrets = [SECRET + "!", STANDARD_SECRET]  # no strategy generates these

    cause = rejection(mode, secrets=secrets, headers=headers, body=body, url_token=token, scheme=scheme)

    assert cause is not None
    assert cause.startswith(mode)
