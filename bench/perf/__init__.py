"""How fast training and evaluation are here, beside code as the papers released it."""

# Before matplotlib, which perf.figure imports: it decides which backend that takes.
import bench.analysis.figures  # noqa: F401
