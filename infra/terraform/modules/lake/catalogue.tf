# Tables for Athena. Partitions are worked out from the query (partition projection): no crawler, nothing to register,
# and a file is seen as soon as it is there.

locals {
  bucket   = var.create_bucket ? aws_s3_bucket.this[0].id : var.bucket
  lake_url = "s3://${local.bucket}/${var.prefix}"
  database = replace(var.name, "-", "_")

  # Parts of the time are written with leading zeros.
  ranges = {
    year  = { range = "${var.years.first},${var.years.last}", digits = "4" }
    month = { range = "1,12", digits = "2" }
    day   = { range = "1,31", digits = "2" }
    hour  = { range = "0,23", digits = "2" }
  }

  projection = {
    for table, of in var.tables : table => merge(
      {
        for level in of.partitions : "projection.${level.name}.type" => (
          level.kind != "text" ? "integer" : length(level.values) == 0 ? "injected" : "enum"
        )
      },
      {
        for level in of.partitions : "projection.${level.name}.values" => join(",", level.values)
        if level.kind == "text" && length(level.values) > 0
      },
      { for level in of.partitions : "projection.${level.name}.range" => local.ranges[level.kind].range if level.kind != "text" },
      { for level in of.partitions : "projection.${level.name}.digits" => local.ranges[level.kind].digits if level.kind != "text" },
    )
  }

  queries = merge(
    {
      "${var.name}-dead-letters" = "SELECT stage, reason, count(*) AS letters, min(failed_at) AS first, max(failed_at) AS last FROM dead_letter WHERE year = year(current_date) GROUP BY 1, 2 ORDER BY letters DESC"
    },
    var.queries,
  )
}

resource "aws_glue_catalog_database" "this" {
  name         = local.database
  description  = "Tripline's lake ${local.lake_url}"
  location_uri = "${local.lake_url}/"
  tags         = var.tags
}

resource "aws_glue_catalog_table" "this" {
  for_each = var.tables

  name          = each.key
  database_name = aws_glue_catalog_database.this.name
  table_type    = "EXTERNAL_TABLE"

  parameters = merge(local.projection[each.key], {
    EXTERNAL                    = "TRUE"
    classification              = "parquet"
    "parquet.compression"       = "ZSTD"
    "projection.enabled"        = "true"
    "storage.location.template" = join("/", concat(["${local.lake_url}/${each.key}"], [for level in each.value.partitions : "${level.name}=$${${level.name}}"], [""]))
  })

  dynamic "partition_keys" {
    for_each = each.value.partitions

    content {
      name = partition_keys.value.name
      type = partition_keys.value.kind == "text" ? "string" : "int"
    }
  }

  storage_descriptor {
    location      = "${local.lake_url}/${each.key}/"
    input_format  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
      parameters            = { "serialization.format" = "1" }
    }

    dynamic "columns" {
      for_each = each.value.columns

      content {
        name = columns.value.name
        type = columns.value.type
      }
    }
  }
}

resource "aws_athena_workgroup" "this" {
  count = var.athena.create ? 1 : 0

  name          = var.name
  description   = "Queries on Tripline's lake ${local.lake_url}"
  force_destroy = true
  tags          = var.tags

  configuration {
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.athena.bytes_scanned_stop

    result_configuration {
      # Outside of the lake's prefix, below which nobody but Tripline writes.
      output_location = coalesce(var.athena.results_location, "s3://${local.bucket}/athena-results/")

      encryption_configuration {
        encryption_option = var.kms_key_arn == null ? "SSE_S3" : "SSE_KMS"
        kms_key_arn       = var.kms_key_arn
      }
    }
  }
}

resource "aws_athena_named_query" "this" {
  for_each = var.athena.create ? local.queries : {}

  name      = each.key
  workgroup = aws_athena_workgroup.this[0].id
  database  = aws_glue_catalog_database.this.name
  query     = each.value
}
