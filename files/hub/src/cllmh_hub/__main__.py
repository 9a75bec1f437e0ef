"""`python -m cllmh_hub` is `cllmh-hub`."""

import sys

from cllmh_hub.cli import main

sys.exit(main())
