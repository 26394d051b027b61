"""See: read images with a model, without acting."""
