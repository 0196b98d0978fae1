#!/usr/bin/env python3
"""Zips each function's `bootstrap` with a pipeline folder, the same bytes every time, once it is fit for Lambda.

usage: package.py FOLDER PIPELINE [--arch x86_64|arm64] [--most MB]
       package.py --architecture-of ZIP

FOLDER holds `ingest/bootstrap` and `publish/bootstrap`, as cargo-lambda leaves them; `ingest.zip` and `publish.zip` are
written beside them. The pipeline, `pipeline.toml` and its tables, goes to `pipeline/`, where the functions look for it.

A program is refused if it is for another processor than --arch (x86_64 if not given), needs a later glibc than
provided.al2023 has, or has its symbols left in; a zip, if it is larger than --most (7 if not given). Nothing is written
unless all of them are fit.
"""

import argparse
import io
import pathlib
import sys
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import elf  # noqa: E402

FUNCTIONS = ("ingest", "publish")
GLIBC = (2, 34)  # of provided.al2023

# Times and modes are fixed: a zip that differs only in them would be deployed for nothing.
EPOCH = (1980, 1, 1, 0, 0, 0)
UNIX = 3


def unfit(program, architecture):
    """What is wrong with a program, and what to do; None if nothing is."""
    try:
        found = elf.read(program)
    except elf.Unreadable as error:
        return f"{error}: build it with `make package`"
    if found.architecture != architecture:
        return f"it is built for {found.architecture}, not {architecture}: `make package ARCH={architecture}`"
    if found.glibc > GLIBC:
        needed, there = (".".join(map(str, version)) for version in (found.glibc, GLIBC))
        return f"it needs glibc {needed}, and provided.al2023 has {there}: build it with cargo-lambda and zig, as `make package` does"
    if not found.stripped:
        return "its symbols are left in: build it with the profile release, which strips them"
    return None


def add(archive, name, data, mode):
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.external_attr = (0o100000 | mode) << 16
    entry.create_system = UNIX
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, data, compresslevel=9)


def zipped(program, pipeline):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        add(archive, "bootstrap", program, 0o755)
        for file in [pipeline / "pipeline.toml", *sorted(pipeline.glob("*.csv"))]:
            add(archive, f"pipeline/{file.name}", file.read_bytes(), 0o644)
    return buffer.getvalue()


def main(arguments):
    if not (arguments.pipeline / "pipeline.toml").is_file():
        return [f"{arguments.pipeline}/pipeline.toml is not there: name a pipeline's folder"]
    zips, wrong = {}, []
    for function in FUNCTIONS:
        bootstrap = arguments.folder / function / "bootstrap"
        if not bootstrap.is_file():
            wrong.append(f"{bootstrap} is not there: `make package` builds it")
            continue
        program = bootstrap.read_bytes()
        if problem := unfit(program, arguments.arch):
            wrong.append(f"{bootstrap}: {problem}")
            continue
        zips[function] = zipped(program, arguments.pipeline)
        if len(zips[function]) > arguments.most * 1e6:
            wrong.append(f"{function}.zip has {len(zips[function]) / 1e6:.2f} MB, more than {arguments.most:g}: see [profile.release] in Cargo.toml")
    if wrong:
        return wrong
    for function, data in zips.items():
        target = arguments.folder / f"{function}.zip"
        target.write_bytes(data)
        found = elf.read((arguments.folder / function / "bootstrap").read_bytes())
        glibc = ".".join(map(str, found.glibc)) or "none"
        print(f"{target}  {len(data) / 1e6:.2f} MB, {found.architecture}, glibc {glibc}")
    return []


def architecture_of(file):
    with zipfile.ZipFile(file) as archive:
        return elf.read(archive.read("bootstrap")).architecture


if __name__ == "__main__":
    if sys.argv[1:2] == ["--architecture-of"] and len(sys.argv) == 3:
        print(architecture_of(sys.argv[2]))
        sys.exit()
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].partition("\n\n")[0], add_help=False)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("pipeline", type=pathlib.Path)
    parser.add_argument("--arch", choices=("x86_64", "arm64"), default="x86_64")
    parser.add_argument("--most", type=float, default=7)
    if wrong := main(parser.parse_args()):
        sys.exit("\n".join(f"package.py: {line}" for line in wrong))
