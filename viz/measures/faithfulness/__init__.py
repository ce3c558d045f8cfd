"""Does the network use what a map shows? Reliance on gates, deletion, insertion, ROAD, random weights, stability.

from viz.measures.faithfulness import faithful
report = faithful(viz.load("NAME"), "photo.jpg", source="cam")
report.to_json(), report.to_csv()
"""

from __future__ import annotations

from viz.measures.faithfulness.control import PARTS, QUICK, QUICK_PARTS, THOROUGH, Options
from viz.measures.faithfulness.gates import GateBank, gate_bank
from viz.measures.faithfulness.report import Report, faithful, sample_bank
from viz.measures.faithfulness.sources import Source, source_of
from viz.measures.faithfulness.words import WORDS, Words, words_for

__all__ = [
    "PARTS",
    "QUICK",
    "QUICK_PARTS",
    "THOROUGH",
    "WORDS",
    "GateBank",
    "Options",
    "Report",
    "Source",
    "Words",
    "faithful",
    "gate_bank",
    "sample_bank",
    "source_of",
    "words_for",
]
