"""Tests of Searchlight."""

import os

# Before torch is imported. Tests run beside each other, so each computes on one thread; where one takes more, its
# waiting threads must not spin, which costs minutes over a whole run.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
