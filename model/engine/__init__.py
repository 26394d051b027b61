"""Inference: cached contexts, decoding, grammars and CUDA graphs."""
