"""Golden data: what must not move while the house is rebuilt.

``python -m tests.golden --check`` makes everything again and compares. It goes through the outer doors (commands,
Python, the page in Chromium), so that a file can move without the check moving; what has to reach inside stands in
`inside`.

- ``values.json``: hashes of arrays, pixels, numbers of tables, bytes of PDF and SVG. They must never change.
- ``records.json``: hashes of texts. They may change by a commit of its own: ``--records`` stores them alone.
- ``short.npz``: a few numbers of each array of the quick cases, for machines on which the last bits differ.
- ``made.json``: the machine and the commit. On a machine of another kind ``--check`` runs that commit's own generator
  in a worktree and compares with that, exactly; ``--against COMMIT`` does the same with any commit.
- ``bundled.json``, ``bundled.npz``: what the bundled models said on three photographs when they were stored; compared
  with a tolerance, on every machine.
"""
