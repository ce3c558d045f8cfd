"""Parity with the original implementations: manifests and arrays in, one verdict a case out.

``python -m tests.parity [DIRECTORY ...]`` runs every case below the directories (default: tests/fixtures/parity).
A case is a manifest ``NAME.json`` and its arrays ``NAME.npz``. The network is built from the manifest's `build`, `call`
and `inputs` alone; its weights follow from the names and shapes of its state_dict (`fill`), which must be ours too.
"""
