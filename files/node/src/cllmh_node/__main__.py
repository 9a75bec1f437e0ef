"""Lets `python -m cllmh_node` stand for `cllmh-node`."""

import sys

from cllmh_node.cli import main

sys.exit(main())
