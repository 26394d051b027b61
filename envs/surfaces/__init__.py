"""Plug-in folder: one file per kind of machine, each exporting Surface; imported when it is asked for."""
