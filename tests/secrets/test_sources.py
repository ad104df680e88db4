"""Every source gives its secrets, says clearly what is wrong, and shows no secret."""

from __future__ import annotations

import logging
import os
import pickle
import traceback
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_feexpay import conf
from django_feexpay.conf import feexpay
from django_feexpay.secrets import cache as secrets_cache
from django_feexpay.secrets.source import SecretsError
from tests.conftest import Configure
from tests.secrets.conftest import Use
from tests.secrets.stores import FileStore, Store, VaultStore

KEY = "fp_canary_of_the_key_of_the_shop"
FIELD_KEYS = ["dGVzdGluZy1maWVsZC1rZXktMzItYnl0ZXMtbG9uZyE=", "dGVzdGluZy1maWVsZC1rZXktMzItYnl0ZXMtbG9uZz8="]
CANARY = "canary"


def put(store: Store, key: str = KEY) -> None:
    store.put(FEEXPAY_API_KEY=key, FEEXPAY_FIELD_KEYS=FIELD_KEYS, FEEXPAY_WEBHOOK_SECRETS=f"header:{KEY}")


def let_it_grow_old(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    started = secrets_cache.time.monotonic
    monkeypatch.setattr(secrets_cache.time, "monotonic", lambda: started() + seconds)


def shown(error: BaseException) -> str:
    """All that a reporter may show of an error: its text, its causes, and the variables of every frame of ours."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(report.format())


def test_secrets_are_read_and_win_over_the_settings(store: Store, configure: Configure) -> None:
    configure(SHOP_ID="SHOP-OF-THE-SETTINGS", API_KEY="test_of_the_settings")
    put(store)

    conf.load_secrets()

    assert feexpay.api_key.reveal() == KEY
    assert [key.reveal() for key in feexpay.field_keys] == FIELD_KEYS
    assert [(secret.mode, secret.value) for secret in feexpay.webhook_secrets] == [("header", KEY)]
    assert feexpay.shop_id == "SHOP-OF-THE-SETTINGS"


def test_rotated_secret_is_used_when_the_old_one_is_as_old_as_the_setting_says(
    store: Store, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(SECRETS_TTL_SECONDS="60")
    put(store)
    assert feexpay.api_key.reveal() == KEY

    put(store, "fp_new")
    let_it_grow_old(monkeypatch, 50)
    assert feexpay.api_key.reveal() == KEY
    let_it_grow_old(monkeypatch, 20)
    assert feexpay.api_key.reveal() == "fp_new"


@pytest.mark.parametrize("trouble", ["spoil", "remove"])
def test_server_does_not_start_without_its_secrets_and_says_why(store: Store, trouble: str) -> None:
    put(store)
    getattr(store, trouble)()

    with pytest.raises(ImproperlyConfigured, match=r"The secrets of django_feexpay cannot be read\. .+\.") as refused:
        conf.load_secrets()

    assert any(name in str(refused.value) for name in ("FEEXPAY_API_KEY", "shop/feexpay"))
    with pytest.raises(SecretsError) as unread:
        conf.secrets().values()
    assert CANARY not in shown(refused.value) + shown(unread.value)


@pytest.mark.parametrize("trouble", ["spoil", "remove"])
def test_running_server_keeps_the_last_secrets_and_asks_again_soon(
    store: Store, trouble: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(store)
    assert feexpay.api_key.reveal() == KEY
    getattr(store, trouble)()

    let_it_grow_old(monkeypatch, 301)
    assert feexpay.api_key.reveal() == KEY

    state = conf.secrets().state()
    assert state is not None
    assert state.problem
    assert "the last secrets are kept" in caplog.text
    put(store, "fp_new")
    let_it_grow_old(monkeypatch, secrets_cache.RETRY_SECONDS + 1)
    assert feexpay.api_key.reveal() == "fp_new"
    assert conf.secrets().state().problem == ""  # type: ignore[union-attr]  # as above


def test_no_secret_is_logged_shown_or_pickled(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("botocore", "urllib3", "requests", "hvac", "boto3"):
        caplog.set_level(logging.DEBUG, logger=name)
    put(store)
    caplog.clear()

    conf.load_secrets()
    key = feexpay.api_key

    assert CANARY not in caplog.text
    for value in (key, conf.secrets(), conf.secrets().values(), vars(conf.secrets()), feexpay.api_keys):
        assert CANARY not in repr(value)
        assert CANARY not in str(value)
    with pytest.raises(TypeError):
        pickle.dumps(key)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"VAULT_TOKEN": "hvs.other"}, "Forbidden"),
        ({"VAULT_TOKEN": ""}, "neither VAULT_TOKEN nor VAULT_TOKEN_FILE is set"),
        ({"VAULT_ADDR": "http://vault.example:8200"}, "not an https address"),
        ({"VAULT_ADDR": "http://127.0.0.1:9"}, "ConnectionError"),
    ],
    ids=["wrong token", "no token", "in clear", "away"],
)
def test_vault_that_refuses_is_named(
    vault: VaultStore, variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(vault)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ImproperlyConfigured, match=words):
        conf.load_secrets()


def test_token_of_vault_agent_is_read_from_its_file_each_time(
    vault: VaultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(vault)
    (tmp_path / "token").write_text(f"{vault.environment['VAULT_TOKEN']}\n")
    monkeypatch.setenv("VAULT_TOKEN", "hvs.expired")
    monkeypatch.setenv("VAULT_TOKEN_FILE", str(tmp_path / "token"))

    conf.load_secrets()

    assert feexpay.api_key.reveal() == KEY


def test_credential_of_systemd_is_read_and_a_file_wins_over_it(
    use: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configure: Configure
) -> None:
    (tmp_path / "FEEXPAY_API_KEY").write_text("fp_of_systemd\n")
    (tmp_path / "FEEXPAY_SHOP_ID").write_text("SHOP-OF-SYSTEMD")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert (feexpay.api_key.reveal(), feexpay.shop_id) == ("fp_of_systemd", "SHOP-OF-SYSTEMD")

    monkeypatch.setattr(conf, "_secrets", None)
    (folder := tmp_path / "files").mkdir()
    put(use(FileStore(folder)))
    assert (feexpay.api_key.reveal(), feexpay.shop_id) == (KEY, "SHOP-OF-SYSTEMD")


@pytest.mark.parametrize("backend", ["aws", "vault", "paper", "shop.no_such.Source"])
def test_backend_that_is_not_set_up_is_refused(backend: str, configure: Configure) -> None:
    configure(SECRETS_BACKEND=backend, SECRETS_NAME="")

    with pytest.raises(ImproperlyConfigured, match=r"SECRETS_(NAME|BACKEND)"):
        conf.load_secrets()


def test_forked_process_does_not_wait_for_a_thread_that_it_does_not_have(
    vault: VaultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(vault)
    conf.load_secrets()
    put(vault, "fp_new")
    with conf.secrets()._own_lock():  # another thread reads while the process forks
        parent = os.getpid()
        monkeypatch.setattr(os, "getpid", lambda: parent + 1)
        let_it_grow_old(monkeypatch, 301)

        assert feexpay.api_key.reveal() == "fp_new"


def test_other_threads_use_the_last_secrets_while_one_reads(vault: VaultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(vault)
    conf.load_secrets()
    put(vault, "fp_new")
    let_it_grow_old(monkeypatch, 301)

    with conf.secrets()._own_lock():
        assert feexpay.api_key.reveal() == KEY
    assert feexpay.api_key.reveal() == "fp_new"


class OwnSource:
    """A host's own source."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self) -> dict[str, str]:
        return {"FEEXPAY_API_KEY": f"fp_of_{self.name}"}


def test_host_may_name_a_source_of_its_own(configure: Configure) -> None:
    configure(SECRETS_BACKEND=f"{__name__}.OwnSource", SECRETS_NAME="shop")

    assert feexpay.api_key.reveal() == "fp_of_shop"
