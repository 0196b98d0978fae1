"""Zips are the same bytes every time, and what Lambda could not start is not zipped."""

import importlib.util
import io
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile

ROOT = pathlib.Path(__file__).parents[2]
BUILT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "lambda"
X86_64, ARM64 = 0x3E, 0xB7


def module(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"infra/{name}.py")
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


elf = module("elf")


def program(machine=X86_64, versions=("GLIBC_2.4", "GLIBC_2.30", "GLIBC_2.9"), symbols=False, filling=b""):
    """As little of an ELF file as names its processor and the versions that it needs."""
    strings, places = b"\0", []
    for name in versions:
        places.append(len(strings))
        strings += name.encode() + b"\0"
    needed = struct.pack("<HHIII", 1, len(versions), 0, 16, 0)
    for index, place in enumerate(places):
        needed += struct.pack("<IHHII", 0, 0, 0, place, 16 if index + 1 < len(places) else 0)
    body = 64 + len(filling)
    sections = [(0, 0, 0, 0), (3, body, len(strings), 0), (elf.VERSIONS_NEEDED, body + len(strings), len(needed), 1)]
    libraries = {2: 1}
    if symbols:
        sections.append((elf.SYMBOLS, body, 0, 1))
    table = body + len(strings) + len(needed)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 0, table, 0, 64, 0, 0, 64, len(sections), 0)
    packed = b"".join(
        struct.pack("<IIQQQQIIQQ", 0, kind, 0, 0, start, size, link, libraries.get(index, 0), 0, 0)
        for index, (kind, start, size, link) in enumerate(sections)
    )
    return header + filling + strings + needed + packed


def package(folder, *arguments, pipeline=ROOT / "pipelines/taxi"):
    command = [sys.executable, ROOT / "infra/package.py", folder, pipeline, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


class Package(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def put(self, **programs):
        for function, data in programs.items():
            (self.folder / function).mkdir(exist_ok=True)
            (self.folder / function / "bootstrap").write_bytes(data)

    def refused(self, reason, *arguments):
        done = package(self.folder, *arguments)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(reason, done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        self.assertEqual(list(self.folder.glob("*.zip")), [], "a zip was written all the same")

    def test_the_same_files_are_the_same_bytes_whenever_and_by_whomever_they_were_written(self):
        self.put(ingest=program(), publish=program(filling=b"publish"))
        self.assertEqual(package(self.folder).stderr, "")
        before = {file.name: file.read_bytes() for file in self.folder.glob("*.zip")}
        self.assertEqual(sorted(before), ["ingest.zip", "publish.zip"])
        copied = self.folder / "copied"
        shutil.copytree(ROOT / "pipelines/taxi", copied)
        for file in [*copied.rglob("*"), *self.folder.glob("*/bootstrap")]:
            if file.is_file():
                os.utime(file, (1_000_000_000, 1_000_000_000))
                file.chmod(0o600)
        self.assertEqual(package(self.folder, pipeline=copied).returncode, 0)
        self.assertEqual({file.name: file.read_bytes() for file in self.folder.glob("*.zip")}, before)

    def test_a_zip_holds_the_program_and_its_pipeline(self):
        self.put(ingest=program(), publish=program())
        package(self.folder)
        with zipfile.ZipFile(self.folder / "ingest.zip") as archive:
            found = {entry.filename: entry for entry in archive.infolist()}
            self.assertEqual(sorted(found), ["bootstrap", "pipeline/pipeline.toml", "pipeline/taxi_zone_lookup.csv"])
            self.assertEqual(archive.read("bootstrap"), program())
            table = (ROOT / "pipelines/taxi/pipeline.toml").read_bytes()
            self.assertEqual(archive.read("pipeline/pipeline.toml"), table)
            self.assertEqual(found["bootstrap"].external_attr >> 16, 0o100755)

    def test_another_processor_is_refused(self):
        self.put(ingest=program(machine=ARM64), publish=program())
        self.refused("it is built for arm64, not x86_64: `make package ARCH=x86_64`")
        self.put(ingest=program(machine=ARM64), publish=program(machine=ARM64))
        self.assertEqual(package(self.folder, "--arch", "arm64").returncode, 0)
        done = subprocess.run([sys.executable, ROOT / "infra/package.py", "--architecture-of", self.folder / "ingest.zip"], capture_output=True, text=True)
        self.assertEqual(done.stdout, "arm64\n")

    def test_a_later_glibc_than_lambda_s_is_refused(self):
        self.put(ingest=program(versions=("GLIBC_2.4", "GLIBC_2.34")), publish=program(versions=("GLIBC_2.35", "GLIBC_2.9")))
        self.refused("publish/bootstrap: it needs glibc 2.35, and provided.al2023 has 2.34")
        self.put(publish=program(versions=("GLIBC_2.34", "GLIBC_PRIVATE")))
        self.assertEqual(package(self.folder).returncode, 0)

    def test_symbols_are_refused(self):
        self.put(ingest=program(symbols=True), publish=program())
        self.refused("ingest/bootstrap: its symbols are left in")

    def test_a_zip_that_is_too_large_is_refused(self):
        self.put(ingest=program(filling=os.urandom(200_000)), publish=program())
        self.refused("ingest.zip has 0.2", "--most", "0.1")
        self.assertEqual(package(self.folder, "--most", "0.3").returncode, 0)

    def test_what_is_no_program_or_not_there_is_refused(self):
        self.put(ingest=b"#!/bin/sh\n")
        self.refused("ingest/bootstrap: it is no program for 64-bit Linux")
        self.refused("publish/bootstrap is not there: `make package` builds it")
        self.put(ingest=program()[:-70], publish=program())
        self.refused("it is damaged")
        done = package(self.folder, pipeline=ROOT / "pipelines")
        self.assertIn("pipelines/pipeline.toml is not there", done.stderr)

    @unittest.skipUnless(shutil.which("readelf") and sys.platform == "linux", "readelf is not installed")
    def test_a_real_program_is_read_as_readelf_reads_it(self):
        for file in {shutil.which("readelf"), shutil.which("bash")}:
            found = elf.read(pathlib.Path(file).resolve().read_bytes())
            said = subprocess.run(["readelf", "--version-info", file], capture_output=True, text=True, check=True).stdout
            wanted = [part.split()[0] for part in said.split("Name: ")[1:]]
            self.assertEqual(found.glibc, max(tuple(map(int, name[6:].split("."))) for name in wanted if name.startswith("GLIBC_2")))
            sections = subprocess.run(["readelf", "--section-headers", "--wide", file], capture_output=True, text=True, check=True).stdout
            self.assertEqual(found.stripped, " SYMTAB " not in sections)

    @unittest.skipUnless(all((BUILT / function / "bootstrap").is_file() for function in ("ingest", "publish")), "`make package` has not been run")
    def test_what_make_package_built_is_fit_and_the_same_bytes_twice(self):
        programs = {function: (BUILT / function / "bootstrap").read_bytes() for function in ("ingest", "publish")}
        architecture = elf.read(programs["ingest"]).architecture
        self.put(**programs)
        zips = []
        for _ in range(2):
            done = package(self.folder, "--arch", architecture)
            self.assertEqual(done.stderr, "")
            zips.append([(self.folder / f"{function}.zip").read_bytes() for function in programs])
        self.assertEqual(*zips)
        with zipfile.ZipFile(io.BytesIO(zips[0][0])) as archive:
            self.assertIsNone(archive.testzip())


class Prerequisites(unittest.TestCase):
    """What a machine lacks is said, with the command that helps."""

    def says(self, script, *arguments, tools=(), **environment):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for tool in ("bash", "sh", "env", "dirname", "ls", "paste", "sed", "awk", "tr", "grep", "python3", *tools):
                (folder / tool).symlink_to(shutil.which(tool))
            (folder / "cargo").write_text("#!/bin/sh\nexit 1\n")
            (folder / "cargo").chmod(0o755)
            done = subprocess.run(
                [ROOT / "infra" / script, *arguments],
                capture_output=True, text=True, env={"PATH": str(folder), "HOME": str(folder), "CARGO_TARGET_DIR": str(folder / "none")} | environment,
            )
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stdout, "")
        return done.stderr

    def test_of_make_package(self):
        self.assertIn("Rust is not installed: https://rustup.rs", self.says("build.sh", "x86_64", "pipelines/taxi", CARGO="no-cargo"))
        self.assertIn("cargo-lambda is not installed", self.says("build.sh", "x86_64", "pipelines/taxi"))
        self.assertIn("ARCH=riscv: x86_64 or arm64", self.says("build.sh", "riscv", "pipelines/taxi"))
        self.assertIn("pipelines/none/pipeline.toml is not there", self.says("build.sh", "x86_64", "pipelines/none"))

    def test_of_make_deploy(self):
        self.assertIn("one of existing, kinesis-private, kinesis-quickstart, msk-full", self.says("deploy.sh", "apply", "none"))
        self.assertIn("Terraform 1.9 or later is not installed", self.says("deploy.sh", "apply", "kinesis-quickstart"))
        if shutil.which("terraform"):
            said = self.says("deploy.sh", "destroy", "kinesis-quickstart", tools=["terraform"])
            self.assertRegex(said, r"make destroy: .*/ingest.zip is not there: make package")


if __name__ == "__main__":
    unittest.main()
