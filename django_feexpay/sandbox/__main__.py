from __future__ import annotations

import sys

from django_feexpay.sandbox.cli import main

sys.exit(main())
