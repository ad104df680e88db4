from __future__ import annotations

import sys

from feexpay_client.main import main

sys.exit(main())
