"""Whether the robustness that an evaluation found is real; docs/diagnostics.md has every check."""
