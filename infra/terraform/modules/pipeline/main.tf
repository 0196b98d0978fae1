# The functions, what invokes them, and what the mapping gives up.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  is_kafka = var.source_kafka != null
  # Kafka's mappings read partial responses only with provisioned pollers.
  partial_responses = !(local.is_kafka && try(var.source_kafka.on_demand, false))

  # One function for all sinks, or one for search apart from the others.
  ingest = var.separate_search ? toset(["lake", "search"]) : toset(["ingest"])

  function_name = { for function in setunion(local.ingest, ["publish"]) : function => "${var.name}-${function}" }
  function_arn = {
    for function, name in local.function_name : function => "arn:${local.partition}:lambda:${local.region}:${local.account}:function:${name}"
  }

  feeds_search = { for function in local.ingest : function => var.search != null && (function == "search" || !var.separate_search) }
  feeds_stream = { for function in local.ingest : function => var.sink_stream != null && function != "search" }
  feeds_kafka  = { for function in local.ingest : function => var.sink_kafka != null && function != "search" }
  # Sinks whose refusals are dead letters of their own.
  feeds_more = {
    for function in local.ingest : function => local.feeds_search[function] || local.feeds_stream[function] || local.feeds_kafka[function]
  }

  common = merge(var.environment, { TRIPLINE_LAKE = "s3://${var.lake.bucket}/${var.lake.prefix}" })
  environment = {
    for function in local.ingest : function => merge(
      local.common,
      {
        # Says to the function what the mapping below is.
        TRIPLINE_PARTIAL_RESPONSES = tostring(local.partial_responses)
        TRIPLINE_CHECK_MAPPING     = tostring(var.check_mapping)
      },
      var.source_epoch == "" ? {} : { TRIPLINE_SOURCE_EPOCH = var.source_epoch },
      local.feeds_search[function] ? {
        TRIPLINE_OPENSEARCH_URL     = var.search.url
        TRIPLINE_OPENSEARCH_AUTH    = "sigv4"
        TRIPLINE_OPENSEARCH_SERVICE = var.search.kind == "serverless" ? "aoss" : "es"
      } : {},
      local.feeds_stream[function] ? { TRIPLINE_KINESIS_STREAM = var.sink_stream.arn } : {},
      local.feeds_kafka[function] ? {
        TRIPLINE_KAFKA_BROKERS  = var.sink_kafka.brokers
        TRIPLINE_KAFKA_TOPIC    = var.sink_kafka.topic
        TRIPLINE_KAFKA_SECURITY = var.sink_kafka.security
      } : {},
      !var.separate_search ? {} : function == "search" ? {
        TRIPLINE_SINKS          = "search"
        TRIPLINE_LAKE_ELSEWHERE = "true"
        } : {
        TRIPLINE_SINKS = join(",", compact(["lake", var.sink_stream == null ? "" : "kinesis", var.sink_kafka == null ? "" : "kafka"]))
      },
    )
  }

  # A mapping for each function, and for Kafka for each topic of it.
  mappings = {
    for pair in setproduct(local.ingest, local.is_kafka ? var.source_kafka.topics : toset([""])) :
    join("/", compact(pair)) => { function = pair[0], topic = pair[1] }
  }
  group_prefix = coalesce(var.mapping.consumer_group_prefix, var.name)
  groups       = { for key, mapping in local.mappings : key => "${local.group_prefix}-${mapping.function}-${mapping.topic}" }

  failure_bucket_arn = coalesce(var.failure_bucket_arn, try(aws_s3_bucket.failed[0].arn, null))
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.function_name

  name              = "/aws/lambda/${each.value}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_lambda_function" "ingest" {
  for_each = local.ingest

  function_name                  = local.function_name[each.key]
  description                    = "Tripline: appends batches to the journal${local.feeds_search[each.key] ? ", indexes them" : ""}"
  role                           = aws_iam_role.function[each.key].arn
  runtime                        = "provided.al2023"
  handler                        = "bootstrap"
  architectures                  = [var.architecture]
  filename                       = "${var.package_folder}/ingest.zip"
  source_code_hash               = filebase64sha256("${var.package_folder}/ingest.zip")
  memory_size                    = var.ingest.memory
  timeout                        = var.ingest.timeout
  reserved_concurrent_executions = var.ingest.reserved_concurrency
  kms_key_arn                    = var.kms_key_arn
  tags                           = var.tags

  environment {
    variables = local.environment[each.key]
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.this[each.key].name
  }

  tracing_config {
    mode = var.tracing ? "Active" : "PassThrough"
  }

  dynamic "vpc_config" {
    for_each = var.vpc == null ? [] : [var.vpc]

    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  # Without its rights a function cannot be put into a VPC, nor a mapping be made.
  depends_on = [aws_iam_role_policy.ingest]
}

resource "aws_lambda_event_source_mapping" "this" {
  for_each = local.mappings

  event_source_arn = local.is_kafka ? var.source_kafka.cluster_arn : var.source_stream.arn
  function_name    = aws_lambda_function.ingest[each.value.function].arn
  enabled          = var.mapping.enabled
  tags             = var.tags

  starting_position                  = var.mapping.starting_position
  batch_size                         = var.mapping.batch_size
  maximum_batching_window_in_seconds = var.mapping.batching_window

  # One batch of a shard at a time, always: see the variable `mapping`.
  parallelization_factor = local.is_kafka ? null : 1

  bisect_batch_on_function_error = local.partial_responses ? true : null
  function_response_types        = local.partial_responses ? ["ReportBatchItemFailures"] : null
  maximum_retry_attempts         = local.partial_responses ? var.mapping.maximum_retries : null
  maximum_record_age_in_seconds  = local.partial_responses ? var.mapping.maximum_record_age : null

  topics = local.is_kafka ? [each.value.topic] : null

  # S3, as SQS and SNS would only say where the records are in the stream, and not for long.
  destination_config {
    on_failure {
      destination_arn = local.failure_bucket_arn
    }
  }

  dynamic "amazon_managed_kafka_event_source_config" {
    for_each = local.is_kafka ? [1] : []

    content {
      consumer_group_id = local.groups[each.key]
    }
  }

  dynamic "provisioned_poller_config" {
    for_each = local.is_kafka && local.partial_responses ? [var.source_kafka.pollers] : []

    content {
      minimum_pollers = provisioned_poller_config.value.minimum
      maximum_pollers = provisioned_poller_config.value.maximum
    }
  }

  # Counts what was given up. Kinesis only.
  dynamic "metrics_config" {
    for_each = local.is_kafka ? [] : [1]

    content {
      metrics = ["EventCount"]
    }
  }

  depends_on = [aws_iam_role_policy.ingest]
}

resource "aws_lambda_function" "publish" {
  function_name                  = local.function_name["publish"]
  description                    = "Tripline: turns the journal into files of the lake"
  role                           = aws_iam_role.function["publish"].arn
  runtime                        = "provided.al2023"
  handler                        = "bootstrap"
  architectures                  = [var.architecture]
  filename                       = "${var.package_folder}/publish.zip"
  source_code_hash               = filebase64sha256("${var.package_folder}/publish.zip")
  memory_size                    = var.publish.memory
  timeout                        = var.publish.timeout
  reserved_concurrent_executions = var.publish.reserved_concurrency
  kms_key_arn                    = var.kms_key_arn
  tags                           = var.tags

  environment {
    variables = local.common
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.this["publish"].name
  }

  tracing_config {
    mode = var.tracing ? "Active" : "PassThrough"
  }

  dynamic "vpc_config" {
    for_each = var.vpc == null ? [] : [var.vpc]

    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  depends_on = [aws_iam_role_policy.publish]
}

# The next run comes by itself, and does what a retry would.
resource "aws_lambda_function_event_invoke_config" "publish" {
  function_name                = aws_lambda_function.publish.function_name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 300
}

resource "aws_scheduler_schedule" "publish" {
  name                = local.function_name["publish"]
  description         = "Publishes the journal of ${var.name}"
  schedule_expression = "rate(${var.publish.every_minutes} minutes)"
  kms_key_arn         = var.kms_key_arn

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.publish.arn
    role_arn = aws_iam_role.schedule.arn
    input    = "{}"

    retry_policy {
      maximum_retry_attempts       = 0
      maximum_event_age_in_seconds = 300
    }
  }
}

# What the mapping gives up: invocation records with the batch itself, below aws/lambda/<mapping>/.
resource "aws_s3_bucket" "failed" {
  count = var.failure_bucket_arn == null ? 1 : 0

  bucket        = "${var.name}-failed-${local.account}-${local.region}"
  force_destroy = var.force_destroy
  tags          = var.tags
}

resource "aws_s3_bucket_public_access_block" "failed" {
  count = var.failure_bucket_arn == null ? 1 : 0

  bucket                  = aws_s3_bucket.failed[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "failed" {
  count = var.failure_bucket_arn == null ? 1 : 0

  bucket = aws_s3_bucket.failed[0].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "failed" {
  count = var.failure_bucket_arn == null ? 1 : 0

  bucket = aws_s3_bucket.failed[0].id

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "failed" {
  count = var.failure_bucket_arn == null ? 1 : 0

  bucket = aws_s3_bucket.failed[0].id

  rule {
    id     = "drop-old-batches"
    status = "Enabled"

    filter {}

    expiration {
      days = var.failure_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

resource "aws_s3_bucket_policy" "failed" {
  count = var.failure_bucket_arn == null ? 1 : 0

  bucket = aws_s3_bucket.failed[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.failed[0].arn, "${aws_s3_bucket.failed[0].arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.failed]
}

# S3 may hand objects that are to be brought in to the function, where that is asked for.
resource "aws_lambda_permission" "backfill" {
  for_each = var.backfill_notifications ? local.backfill_buckets : toset([])

  statement_id   = "backfill-${replace(each.value, ".", "-")}"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.ingest[local.backfills].function_name
  principal      = "s3.amazonaws.com"
  source_arn     = "arn:${local.partition}:s3:::${each.value}"
  source_account = local.account
}
