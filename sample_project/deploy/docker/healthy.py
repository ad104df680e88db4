"""Exit with 0 if the web server of this container answers and reaches its database. Docker runs it every 10 s."""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException


def main() -> int:
    host = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0]
    connection = HTTPConnection("127.0.0.1", 8000, timeout=4)
    try:
        headers = {"Host": host, "X-Forwarded-Proto": "https"}
        connection.request("GET", "/api/v1/payments/feexpay/health/", headers=headers)
        return 0 if connection.getresponse().status == 200 else 1
    except (OSError, HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
