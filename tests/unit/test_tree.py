"""What CONTRIBUTING.md asks of every file that people read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
READ = (".py", ".md", ".smk", ".yaml", ".yml", ".toml", ".html", ".css", ".js", ".rst")
FOLDERS = ("bench", "config", "docs", "profiles", "tests", "workflow")
LONGEST = 350


def files() -> list[Path]:
    found = [path for path in ROOT.iterdir() if path.is_file()]
    found += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    return [path for path in found if path.suffix in READ or path.name in ("Snakefile", "Makefile")]


def test_files_of_every_kind_are_looked_at():
    assert {path.suffix for path in files()} >= {".py", ".md", ".smk", ".yaml", ".html", ""}


def test_no_file_is_longer_than_a_reader_has_patience_for():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files()}
    assert [str(path) for path, count in lines.items() if count > LONGEST] == []
