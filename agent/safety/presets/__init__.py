"""The presets of `--policy`: policy files that come with the package."""
