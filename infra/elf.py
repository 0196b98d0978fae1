"""What a Linux program says of itself: processor, glibc that it needs, whether symbols are left in it.

Of the ELF format no more than that: 64 bits, little endian, as both of Lambda's processors are.
"""

import dataclasses
import re
import struct

MACHINES = {0x3E: "x86_64", 0xB7: "arm64"}
SYMBOLS, VERSIONS_NEEDED = 2, 0x6FFFFFFE  # types of sections


class Unreadable(Exception):
    """It is no program for 64-bit Linux, or damaged."""


@dataclasses.dataclass(frozen=True)
class Program:
    architecture: str
    glibc: tuple  # the latest version that a symbol wants, as (2, 34); () where none is wanted
    stripped: bool


def text(data, start):
    return data[start : data.index(b"\0", start)].decode("ascii")


def read(data):
    try:
        return parse(data)
    except (struct.error, IndexError, ValueError) as error:
        raise Unreadable(f"it is damaged: {error}") from error


def parse(data):
    if data[:6] != b"\x7fELF\x02\x01":
        raise Unreadable("it is no program for 64-bit Linux")
    (machine,) = struct.unpack_from("<H", data, 18)
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    # name, type, flags, address, offset, size, link, info, …
    sections = [struct.unpack_from("<IIQQQQII", data, table + size * index) for index in range(count)]
    return Program(
        architecture=MACHINES.get(machine, f"machine {machine:#x}"),
        glibc=max(glibc_versions(data, sections), default=()),
        stripped=all(section[1] != SYMBOLS for section in sections),
    )


def glibc_versions(data, sections):
    """The versions of glibc in the section .gnu.version_r: a list of libraries, each with a list of versions."""
    for _, kind, _, _, start, _, link, libraries in sections:
        if kind != VERSIONS_NEEDED:
            continue
        strings, library = sections[link][4], start
        for _ in range(libraries):
            _, versions, _, first, following = struct.unpack_from("<HHIII", data, library)
            version = library + first
            for _ in range(versions):
                _, _, _, name, after = struct.unpack_from("<IHHII", data, version)
                if found := re.fullmatch(r"GLIBC_(\d+(?:\.\d+)+)", text(data, strings + name)):
                    yield tuple(int(part) for part in found[1].split("."))
                version += after
            library += following
