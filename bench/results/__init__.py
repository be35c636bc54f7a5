"""The contract of what lies on disk below results/."""
