"""Plug-in folder of importers for other harnesses' predictions; `evals.importers.base` defines what one exports."""
