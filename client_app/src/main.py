"""Entry point for PyInstaller and Android, which requires this file name."""

from __future__ import annotations

import sys

from feexpay_client.main import main

if __name__ == "__main__":
    sys.exit(main())
