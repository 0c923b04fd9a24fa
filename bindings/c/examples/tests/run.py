"""Tests of minibroker, of the loader and of the installed files, in TAP.

    python3 run.py [WORD...]    only the tests whose sentence contains every word

SCALE=full repeats the crash test more often.
"""

import sys

import test_install  # noqa: F401 (each module registers its tests)
import test_loader  # noqa: F401
import test_log  # noqa: F401
import test_policy  # noqa: F401
import test_status  # noqa: F401
import test_tier  # noqa: F401
import test_crash  # noqa: F401
from tap import main

sys.exit(main())
