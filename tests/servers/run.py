"""Tests of the command line, of minibroker and of strangers' tools on s3://, in TAP.

    python3 run.py [WORD...]    only the tests whose sentence contains every word

The stores are versitygw and MinIO, as real processes. `make test-stores` builds what it takes.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The broker's own tests lend the means to start one, and to report.
sys.path.insert(0, str(ROOT / "bindings/c/examples/tests"))

import test_broker  # noqa: E402, F401 (each module registers its tests)
import test_commands  # noqa: E402, F401
import test_full  # noqa: E402, F401
import test_kept  # noqa: E402, F401
import test_pages  # noqa: E402, F401
import test_strangers  # noqa: E402, F401
import test_ways  # noqa: E402, F401
from tap import main  # noqa: E402

sys.exit(main())
