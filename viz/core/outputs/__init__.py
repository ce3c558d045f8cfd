"""Output types, one per file, each as `OUTPUT`; `viz.core.output` finds them by this folder."""
