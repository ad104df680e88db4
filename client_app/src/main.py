"""Where packagers start: PyInstaller runs this file, and Android's bootstrap looks for it by this name."""

from __future__ import annotations

import sys

from feexpay_client.main import main

if __name__ == "__main__":
    sys.exit(main())
