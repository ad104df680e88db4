"""The sandbox's table of networks agrees with the catalogue, which is written separately."""

from __future__ import annotations

import pytest

from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.sandbox.networks import BY_SUFFIX, Network, masked

SPECS = {spec.suffix: spec for spec in CATALOGUE.values() if spec.suffix}


def test_both_tables_have_the_same_19_networks() -> None:
    assert set(SPECS) == set(BY_SUFFIX)
    assert len(BY_SUFFIX) == 19


@pytest.mark.parametrize("suffix", BY_SUFFIX)
def test_both_tables_have_the_same_row(suffix: str) -> None:
    network, spec = BY_SUFFIX[suffix], SPECS[suffix]
    assert (network.reseau, network.country, network.currency, network.flow) == (
        spec.wire_name,
        spec.country,
        spec.currency,
        spec.flow,
    )
    assert spec.phone is not None
    assert (network.calling_code, network.national_start) == (spec.phone.calling_code, spec.phone.starts)
    assert (network.national_digits,) == spec.phone.lengths


@pytest.mark.parametrize(
    ("network", "msisdn", "shown"),
    [
        (BY_SUFFIX["mtn"], "2290161234550", "+229 01 •••••• 50"),
        (BY_SUFFIX["moov_tg"], "22896123450", "+228 96 •••• 50"),
        (BY_SUFFIX["mtn_cg"], "242061234550", "+242 06 ••••• 50"),
    ],
)
def test_masked_number_shows_its_first_and_last_two_digits(network: Network, msisdn: str, shown: str) -> None:
    assert masked(msisdn, network) == shown
