"""A process that reads the history as fast as it can (`test_throttle.py` runs four of them).

python -m tests.api.history_reader CACHES_AS_JSON TOKEN... reads 50 times with each token, in
a thread per token, and prints the number of answers by status.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import django

READS = 50


def main(caches: str, *tokens: str) -> None:
    from django.conf import settings

    settings.CACHES = json.loads(caches)
    django.setup()
    settings.FEEXPAY |= {"RATE_LIMIT": "100/min"}
    from django.db import connection
    from django.test import Client

    def read(token: str) -> Counter[int]:
        client = Client(headers={"Authorization": f"Bearer {token}"})
        codes = [client.get("/api/v1/payments/feexpay/history/").status_code for _ in range(READS)]
        connection.close()
        return Counter(codes)

    with ThreadPoolExecutor(len(tokens)) as threads:
        print(json.dumps(sum(threads.map(read, tokens), Counter())))


if __name__ == "__main__":
    main(*sys.argv[1:])
