"""A reproducibility benchmark for adversarial training that recycles adversarial examples."""
