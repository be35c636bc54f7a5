"""Which of a user's files are images of a data set, and which are left by programs beside them.

Standard library only: the process that plans the workflow looks at the same files.
"""

from __future__ import annotations

from pathlib import Path

PARTS = ("train", "test")
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
# Text about images, not images.
NOTES = (".txt", ".md", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".html", ".log")
# Written beside a user's files by Windows, macOS and the systems of network drives, in lower case;
# Linux, macOS and Jupyter begin such names with a dot.
LEFT_BY_PROGRAMS = (
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("__macosx", "icon\r", "@eadir", "#recycle", "#snapshot", "lost+found"),
)


def hidden(name: str) -> bool:
    """Say whether the file or folder `name` is hidden or a program's own."""
    return name.startswith(".") or name.lower() in LEFT_BY_PROGRAMS


def visible(folder: Path) -> list[Path]:
    """Return what lies in `folder` and is not hidden, sorted; nothing where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if not hidden(entry.name))


def parquet_files(folder: Path) -> list[Path]:
    """Return the parquet files in `folder`, sorted."""
    return [path for path in visible(folder) if path.suffix == ".parquet"]


def image_folder_files(folder: Path) -> list[Path]:
    """Return what lies in the parts of `folder` and in their classes, but for notes, sorted."""
    found: list[Path] = []
    for part in PARTS:
        for entry in visible(folder / part):
            found += visible(entry) if entry.is_dir() else [entry]
    return [path for path in found if path.suffix.lower() not in NOTES]
