#!/usr/bin/env python3
"""Writes aggregated records, and what is in them, to vectors.json: see README.md.

AWS' own Python package packs the records and, where it can, says what is in them; protobuf's own library
writes what that package never would.
"""

import base64
import hashlib
import json
import pathlib

# In this order: the package's modules find each other only by what these two do to the path.
from aws_kinesis_agg.aggregator import RecordAggregator
from aws_kinesis_agg.deaggregator import deaggregate_records
from aws_kinesis_agg import messages_pb2

MAGIC = b"\xf3\x89\x9a\xc2"
HERE = pathlib.Path(__file__).resolve().parent


def packed(records):
    """What the package makes of (key, data) or (key, data, explicit hash key)."""
    aggregator = RecordAggregator()
    for record in records:
        assert aggregator.add_user_record(*record) is None, "it all goes into one"
    return aggregator.clear_and_get().get_contents()[2]


def wrapped(message):
    """An aggregate of these bytes."""
    return MAGIC + message + hashlib.md5(message).digest()


def message(keys=("key",), records=((0, b"data"),), hash_keys=(), **more):
    """A message whose tables and records are as they are given; each record (index, data)."""
    aggregated = messages_pb2.AggregatedRecord()
    aggregated.partition_key_table.extend(keys)
    aggregated.explicit_hash_key_table.extend(hash_keys)
    for index, data in records:
        record = aggregated.records.add(partition_key_index=index, data=data)
        for name, value in more.items():
            setattr(record, name, value)
    return aggregated.SerializeToString()


def field(number, value):
    """A field of wire type 2 that is shorter than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value


def taken_apart(data):
    """Key and data of the records that the package finds; None if it takes them for an ordinary one."""
    record = {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "sequenceNumber": "1",
            "partitionKey": "outer",
            "approximateArrivalTimestamp": 0,
            "data": base64.b64encode(data),
        }
    }
    found = deaggregate_records([record])
    if len(found) == 1 and "subSequenceNumber" not in found[0]["kinesis"]:
        return None
    assert [user["kinesis"]["subSequenceNumber"] for user in found] == list(range(len(found)))
    return [(user["kinesis"]["partitionKey"], base64.b64decode(user["kinesis"]["data"])) for user in found]


def aggregates():
    """Aggregates by name. The package's reading of them is what is expected."""
    yield "one record", packed([("key", b"data")])
    yield "keys that come again", packed([(key, key.encode() * 3) for key in "abacabad"])
    yield "explicit hash keys", packed([("a", b"1", "0"), ("b", b"2", str(2**128 - 1)), ("a", b"3", "0")])
    yield "a key of every kind of character", packed([("Zoë 🚕 \"\\\n\0", b"data"), ("k" * 256, b"data")])
    yield "no data, and bytes of every value", packed([("key", b""), ("key", bytes(range(256))), ("key", b"")])
    yield "lengths of one and of two bytes", packed([("key", bytes(length)) for length in (127, 128, 300)])
    yield "300 records", packed([(str(number % 150), str(number).encode()) for number in range(300)])
    yield "an aggregate within an aggregate", packed([("outer", packed([("inner", b"data")]))])
    # What a later version might write.
    tagged = messages_pb2.AggregatedRecord(partition_key_table=["key"])
    tags = tagged.records.add(partition_key_index=0, data=b"data").tags
    tags.add(key="name", value="value")
    tags.add(key="alone")
    yield "tags", wrapped(tagged.SerializeToString())
    unknown = b"\x78\x96\x01" + b"\x79........" + field(15, b"unknown") + b"\x7d...."
    yield "fields that are not known", wrapped(unknown + message() + unknown)
    record = unknown + b"\x08\x00" + unknown + field(3, b"data") + unknown
    yield "such fields in a record", wrapped(field(1, b"key") + field(3, record))
    yield "records before their tables", wrapped(field(3, b"\x1a\x04data\x08\x00\x10\x00") + field(2, b"0") + field(1, b"key"))
    yield "a field that is there twice", wrapped(field(1, b"a") + field(1, b"b") + field(3, b"\x08\x00\x1a\x01x\x08\x01\x1a\x01y"))
    yield "a known number with another type", wrapped(b"\x08\x01" + message() + b"\x18\x01")


def ordinary():
    """What begins like an aggregate and is none, by name."""
    whole = packed([("a", b"first"), ("b", b"second")])
    yield "the magic number alone", MAGIC
    yield "magic number and digest of nothing", wrapped(b"")
    yield "a digest one byte short", whole[:-1]
    yield "a wrong digest", whole[:-1] + bytes([whole[-1] ^ 1])
    yield "a message with a bit changed", whole[:9] + bytes([whole[9] ^ 1]) + whole[10:]
    yield "another magic number", b"\xf3\x89\x9a\xc3" + whole[4:]
    yield "something before the magic number", b"\0" + whole
    yield "something after the digest", whole + b"\0"
    yield "a message cut short", wrapped(message()[:-1])
    yield "no key at the index", wrapped(message(records=((0, b"first"), (1, b"second"))))
    yield "no table", wrapped(message(keys=()))
    yield "no hash key at the index", wrapped(message(hash_keys=("0",), explicit_hash_key_index=1))
    yield "an index of 64 bits", wrapped(message(records=((2**64 - 1, b"data"),)))
    yield "a record without data", wrapped(field(1, b"key") + field(3, b"\x08\x00"))
    yield "a record without a key", wrapped(field(1, b"key") + field(3, field(3, b"data")))
    yield "a packed index", wrapped(field(1, b"key") + field(3, b"\x0a\x01\x00" + field(3, b"data")))
    yield "a number of more than 64 bits", wrapped(field(1, b"key") + field(3, b"\x08" + b"\x80" * 9 + b"\x02" + field(3, b"data")))
    yield "a length beyond the end", wrapped(b"\x0a\x7fkey")
    yield "a key that is no UTF-8", wrapped(field(1, b"\xff") + field(3, b"\x08\x00" + field(3, b"data")))
    yield "a key longer than a stream's", wrapped(message(keys=("k" * 257,)))
    yield "a group", wrapped(message() + b"\x7b\x7c")
    yield "no record", wrapped(message(records=()))
    yield "nothing but what is not known", wrapped(field(15, b"unknown"))


def vectors():
    """All of them, as they stand in the file."""
    for name, data in aggregates():
        records = [{"key": key, "data": user.hex()} for key, user in taken_apart(data)]
        yield {"name": name, "aggregate": data.hex(), "records": records}
    for name, data in ordinary():
        yield {"name": name, "aggregate": data.hex(), "records": None}


def text():
    lines = ",\n".join(json.dumps(vector, ensure_ascii=True) for vector in vectors())
    return f"[\n{lines}\n]\n"


if __name__ == "__main__":
    (HERE / "vectors.json").write_text(text())
