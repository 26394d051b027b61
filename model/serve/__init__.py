"""An OpenAI-compatible server for a local model."""
