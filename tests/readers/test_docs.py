"""What the documents say of names and forms is so: keys, variables, options of other systems, languages of blocks."""

import json
import re

import pytest

from conftest import ROOT, run
from documents import DOCS, DOCUMENTS, blocks, inline_code

LOADER = ROOT / "crates" / "model" / "src" / "pipeline"
# `sh`: commands. `console`: commands behind `$`, and what they say. `text` is for nobody to run.
LANGUAGES = {"sh", "console", "text", "toml", "json", "sql", "python", "properties", "hcl", "ts"}


def test_every_block_says_in_which_language_it_is():
    for block in blocks():
        assert block.language in LANGUAGES, f"{block.place}: {block.language!r}"


def test_every_json_is_json():
    found = blocks("json")
    assert len(found) >= 2
    for block in found:
        try:
            json.loads(block.text)
        except ValueError as error:
            pytest.fail(f"{block.place}: {error}")


def test_a_mark_has_the_members_that_its_example_has(tmp_path):
    [example] = [json.loads(block.text) for block in blocks("json") if '"late_rows"' in block.text]
    run(tmp_path, source=ROOT / "events" / "kinesis-late.json")
    marks = [json.loads(mark.read_text()) for mark in tmp_path.glob("trip/**/_SUCCESS")]
    assert marks
    for mark in marks:
        assert mark.keys() == example.keys()


def test_every_variable_in_a_block_is_there():
    known = set(re.findall(r"^\| `(TRIPLINE_\w+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert len(known) > 40
    named = [(block.place, name) for block in blocks() for name in re.findall(r"\bTRIPLINE_\w+", block.text)]
    assert len(named) > 5
    for place, name in named:
        assert name in known, f"{place}: there is no {name}"


def known_keys():
    """The keys that the loader asks its sections for; what it does not ask for it refuses."""
    asked = r'\.(?:text|texts|flag|integer|choice|duration_ms|section|sections|optional_section)\(\s*"(\w+)"'
    keys = {"kinesis", "kafka"}  # Targets, by their names.
    for file in LOADER.glob("*.rs"):
        if file.name != "tests.rs":
            keys |= set(re.findall(asked + r'|\blimit\("(\w+)"', file.read_text()))
    return {key for pair in keys for key in ([pair] if isinstance(pair, str) else pair) if key}


def test_the_reference_has_every_key_of_the_loader_and_no_other():
    cells = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", (DOCS / "pipeline.md").read_text(), re.MULTILINE)
    told = {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}
    assert len(told) > 40
    assert told == known_keys()


# What people come with, by the heading under which it stands. Names as their systems have them.
OPTIONS = {
    "The Flink streaming ETL sample": """
        InputKinesisStream InputStreamRegion InputStreamInitalPosition InputKafkaBootstrapServers InputKafkaTopic
        OutputKinesisStream OutputStreamRegion OutputKafkaBootstrapServers OutputKafkaTopic OutputBucket OutputPrefix
        ParquetConversion OutputElasticsearchEndpoint ElasticsearchRegion ElasticsearchBulkFlushMaxSizeMb
        ElasticsearchBulkFlushMaxActions ElasticsearchBulkFlushInterval OutputDiscarding""",
    "Flink's OpenSearch connector": """
        hosts index allow-insecure document-id.key-delimiter username password sink.delivery-guarantee
        sink.flush-on-checkpoint sink.bulk-flush.max-actions sink.bulk-flush.max-size sink.bulk-flush.interval
        sink.bulk-flush.backoff.strategy sink.bulk-flush.backoff.max-retries sink.bulk-flush.backoff.delay
        connection.path-prefix connection.request-timeout connection.timeout socket.timeout format""",
    "Kafka Connect": """
        topics topics.regex tasks.max key.converter value.converter transforms errors.tolerance
        errors.deadletterqueue.topic.name errors.deadletterqueue.context.headers.enable errors.retry.timeout
        errors.retry.delay.max.ms offset.flush.interval.ms""",
    "Aiven's OpenSearch sink": """
        connection.url connection.username connection.password connection.timeout.ms read.timeout.ms connection.ssl.*
        connection.trust.all.certificates aws.access_key_id aws.secret_access_key aws.region aws.service.signing.name
        aws.sts.role.arn aws.sts.role.session.name aws.sts.role.session.duration aws.sts.role.external.id batch.size
        linger.ms max.buffered.records max.in.flight.requests max.retries retry.backoff.ms flush.timeout.ms key.ignore
        topic.key.ignore key.ignore.id.strategy index.write.method schema.ignore topic.schema.ignore
        compact.map.entries drop.invalid.message behavior.on.null.values behavior.on.malformed.documents
        behavior.on.version.conflict routing.type routing.type.record.value.path data.stream.enabled
        data.stream.prefix data.stream.timestamp.field data.streams.existing.index.template.name
        existing.resource.type topic.to.existing.resource.mapping type.name""",
    "Confluent's S3 sink": """
        aws.access.key.id aws.secret.access.key behavior.on.null.values enable.conditional.writes
        format.bytearray.extension format.bytearray.separator headers.format.class json.decimal.format
        keys.format.class max.files.scan.limit max.write.duration.ms partitioner.max.open.files
        report.null.values.to.dlq rotate.file.on.partition.change s3.acl.canned s3.bucket.name s3.compression.level
        s3.compression.type s3.credentials.provider.class s3.elastic.buffer.enable s3.elastic.buffer.init.capacity
        s3.http.send.expect.continue s3.object.behavior.on.tagging.error s3.object.tagging
        s3.object.tagging.key.value.pairs s3.part.retries s3.part.size s3.path.style.access.enabled s3.proxy.password
        s3.proxy.url s3.proxy.user s3.region s3.retry.backoff.ms s3.schema.partition.affix.type s3.send.digest
        s3.sse.customer.key s3.sse.kms.key.id s3.ssea.name s3.wan.mode store.kafka.headers store.kafka.keys
        tombstone.encoded.partition flush.size rotate.interval.ms rotate.schedule.interval.ms retry.backoff.ms
        schema.cache.size filename.offset.zero.pad.width format.class store.url topics.dir directory.delim file.delim
        partitioner.class partition.field.name partition.duration.ms path.format locale timezone timestamp.extractor
        timestamp.field schema.compatibility parquet.codec avro.codec enhanced.avro.schema.support connect.meta.data
        allow.optional.map.keys schema.generator.class""",
    "The MSK data generator": """
        genk.<topic> genkp.<topic> genv.<topic>.<field>.with genv.<topic>.<field>.matching genvp.<topic>.with
        sometimes attrk.<topic> attrkp.<topic> attrv.<topic>.<field>.null.rate attrvp.<topic>.null.rate
        attrv.<topic>.<field>.matching.rate topic.<topic>.throttle.ms topic.<topic>.history.records.max
        topic.<topic>.tombstone.rate topic.<topic>.records.exactly global.throttle.ms global.history.records.max
        global.matching.rate""",
    "Amazon Data Firehose": """
        RoleARN BucketARN Prefix ErrorOutputPrefix BufferingHints SizeInMBs IntervalInSeconds CompressionFormat
        EncryptionConfiguration CloudWatchLoggingOptions ProcessingConfiguration S3BackupMode S3BackupConfiguration
        DataFormatConversionConfiguration DynamicPartitioningConfiguration FileExtension CustomTimeZone
        RecordDeAggregation MetadataExtraction AppendDelimiterToRecord Decompression CloudWatchLogProcessing
        DomainARN ClusterEndpoint IndexName TypeName IndexRotationPeriod RetryOptions VpcConfiguration
        DocumentIdOptions KinesisStreamSourceConfiguration MSKSourceConfiguration ReadFromTimestamp
        DeliveryStreamEncryptionConfigurationInput""",
}


def test_every_option_of_what_people_come_from_is_told_once():
    sections = re.split(r"^##+ ", (DOCS / "migrating.md").read_text(), flags=re.MULTILINE)
    tables = {section.split("\n", 1)[0]: re.findall(r"^\| (.*) \|$", section, re.MULTILINE) for section in sections}
    for heading, names in OPTIONS.items():
        rows = [re.split(r"(?<!\\) \| ", row) for row in tables[heading]]
        assert all(len(row) == 2 and all(row) for row in rows[2:]), heading
        # `ReadFromTimestamp` stands beside what it is, not before it.
        told = [name for there, here in rows for name in re.findall(r"`([^`]+)`", f"{there} {here}")]
        for name in names.split():
            assert told.count(name) >= 1, f"{heading}: nothing is said of {name}"
        there = [name for row in rows for name in re.findall(r"`([^`]+)`", row[0])]
        assert len(there) == len(set(there)), f"{heading}: told twice: {sorted(there)}"


PARTS = ["Context", "Decision", "Consequences", "Alternatives"]


def test_every_decision_has_its_number_and_parts_and_is_listed():
    files = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    assert len(files) >= 19
    index = (DOCS / "decisions" / "README.md").read_text()
    listed = (ROOT / "ARCHITECTURE.md").read_text()
    for number, file in enumerate(files, 1):
        text = file.read_text()
        title = re.match(rf"# {number}\. (.+)\n\nStatus: (accepted|superseded by \d+)\.\n", text)
        assert title and file.name.startswith(f"{number:04}-"), file.name
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS, file.name
        assert all(part.strip() for part in re.split(r"^## .+$", text, flags=re.MULTILINE)), file.name
        assert f"| {number} | [{title[1]}]({file.name}) |\n" in index, file.name
        assert f"- [{title[1]}](docs/decisions/{file.name})\n" in listed, file.name


def test_every_path_of_the_repository_that_is_named_is_there():
    folders = "crates functions tests infra benches pipelines events local docs fuzz".split()
    paths = [
        (place, code)
        for place, code in inline_code(DOCUMENTS)
        if code.partition("/")[0] in folders and re.fullmatch(r"[\w./-]+", code)
    ]
    assert len(paths) > 60
    for place, path in paths:
        assert (ROOT / path).exists(), f"{place}: there is no {path}"


def test_no_document_is_left_out_of_the_list():
    index = (DOCS / "README.md").read_text()
    for document in DOCUMENTS:
        if document.parent == DOCS and document.name != "README.md":
            assert f"]({document.name}" in index, document.name
