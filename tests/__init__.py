"""Tests of Searchlight."""

import os

# Before torch is imported: waiting threads of a busy machine otherwise spin, which costs minutes over a whole run.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
