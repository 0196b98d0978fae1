#!/usr/bin/env python3
"""Zips each function's `bootstrap` with a pipeline folder, the same bytes every time.

usage: package.py FOLDER PIPELINE

FOLDER holds `ingest/bootstrap` and `publish/bootstrap`, as cargo-lambda leaves them; `ingest.zip` and
`publish.zip` are written beside them. The pipeline goes to `pipeline/`, where the functions look for it.
"""

import pathlib
import sys
import zipfile

# Times and modes are fixed: a zip that differs only in them would be deployed for nothing.
EPOCH = (1980, 1, 1, 0, 0, 0)
UNIX = 3


def add(archive, name, data, mode):
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.external_attr = (0o100000 | mode) << 16
    entry.create_system = UNIX
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, data, compresslevel=9)


def main(folder, pipeline):
    definition = pipeline / "pipeline.toml"
    files = [definition, *sorted(pipeline.glob("*.csv"))]
    for function in ("ingest", "publish"):
        target = folder / f"{function}.zip"
        with zipfile.ZipFile(target, "w") as archive:
            add(archive, "bootstrap", (folder / function / "bootstrap").read_bytes(), 0o755)
            for file in files:
                add(archive, f"pipeline/{file.name}", file.read_bytes(), 0o644)
        print(f"{target}  {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
