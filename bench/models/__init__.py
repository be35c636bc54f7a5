"""Architectures, one a file; images in [0, 1] go in and logits come out."""
