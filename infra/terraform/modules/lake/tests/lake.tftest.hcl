mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name   = "trips"
  bucket = "trips-lake"
  prefix = "taxi"
  tables = {
    trip = {
      columns = [{ name = "trip_id", type = "bigint" }, { name = "borough", type = "string" }]
      partitions = [
        { name = "pickup_borough", kind = "text", values = ["bronx", "outside-nyc"] },
        { name = "vendor", kind = "text" },
        { name = "year", kind = "year" },
        { name = "month", kind = "month" },
        { name = "day", kind = "day" },
        { name = "hour", kind = "hour" },
      ]
    }
    dead_letter = {
      columns    = [{ name = "stage", type = "string" }]
      partitions = [{ name = "year", kind = "year" }]
    }
  }
}

run "a_new_bucket" {
  assert {
    condition = jsonencode({
      for statement in jsondecode(aws_s3_bucket_policy.this[0].policy).Statement : statement.Sid => [statement.Effect, statement.Action, statement.Resource, statement.Condition]
      if contains(["JournalIsOnlyCreated", "StateIsWrittenUnderACondition"], statement.Sid)
      }) == jsonencode({
      JournalIsOnlyCreated = ["Deny", "s3:PutObject", "arn:aws:s3:::trips-lake/taxi/_journal/*", {
        Bool = { "s3:ObjectCreationOperation" = "true" }, Null = { "s3:if-none-match" = "true" }
      }]
      StateIsWrittenUnderACondition = ["Deny", "s3:PutObject", "arn:aws:s3:::trips-lake/taxi/_tripline/*", {
        Bool = { "s3:ObjectCreationOperation" = "true" }, Null = { "s3:if-match" = "true", "s3:if-none-match" = "true" }
      }]
    })
    error_message = "Journal and checkpoint may be written without a condition: ${aws_s3_bucket_policy.this[0].policy}"
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_s3_bucket_policy.this[0].policy).Statement : statement.Effect == "Deny"])
    error_message = "The bucket's policy lets nobody in: roles do."
  }

  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_lifecycle_configuration.this[0].rule :
      length(rule.expiration) == 0 || rule.filter[0].prefix == "athena-results/"
    ])
    error_message = "Nothing of a lake expires."
  }

  assert {
    condition     = one([for rule in aws_s3_bucket_lifecycle_configuration.this[0].rule : rule.abort_incomplete_multipart_upload[0].days_after_initiation if rule.id == "abort-old-uploads"]) >= jsondecode(file("../../../contract.json")).bucket.abort_incomplete_multipart_upload_least_days
    error_message = "Uploads that a commit lists must outlast a publisher that is away."
  }

  assert {
    condition = jsonencode({
      for key, value in aws_glue_catalog_table.this["trip"].parameters : key => value if startswith(key, "projection.") || startswith(key, "storage.")
      }) == jsonencode({
      "projection.enabled"               = "true"
      "projection.pickup_borough.type"   = "enum"
      "projection.pickup_borough.values" = "bronx,outside-nyc"
      "projection.vendor.type"           = "injected"
      "projection.year.type"             = "integer"
      "projection.year.range"            = "2009,2040"
      "projection.year.digits"           = "4"
      "projection.month.type"            = "integer"
      "projection.month.range"           = "1,12"
      "projection.month.digits"          = "2"
      "projection.day.type"              = "integer"
      "projection.day.range"             = "1,31"
      "projection.day.digits"            = "2"
      "projection.hour.type"             = "integer"
      "projection.hour.range"            = "0,23"
      "projection.hour.digits"           = "2"
      "storage.location.template"        = "s3://${output.bucket}/taxi/trip/pickup_borough=$${pickup_borough}/vendor=$${vendor}/year=$${year}/month=$${month}/day=$${day}/hour=$${hour}/"
    })
    error_message = "Athena would look elsewhere: ${jsonencode(aws_glue_catalog_table.this["trip"].parameters)}"
  }

  assert {
    condition     = join(", ", [for key in aws_glue_catalog_table.this["trip"].partition_keys : "${key.name} ${key.type}"]) == "pickup_borough string, vendor string, year int, month int, day int, hour int"
    error_message = "Partition keys are other columns."
  }

  assert {
    condition     = length(aws_athena_named_query.this) == 1 && aws_athena_workgroup.this[0].configuration[0].result_configuration[0].output_location == "s3://${output.bucket}/athena-results/"
    error_message = "Results go below the lake, or there is no query."
  }
}

run "complete_partitions_are_told_where_that_is_wanted" {
  variables {
    success_events = { enabled = true, target_arn = "arn:aws:sqs:eu-central-1:111122223333:hours" }
  }

  assert {
    condition     = aws_s3_bucket_notification.this[0].eventbridge && aws_cloudwatch_event_target.success[0].arn == "arn:aws:sqs:eu-central-1:111122223333:hours"
    error_message = "S3 tells EventBridge, and EventBridge the target."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.success[0].event_pattern).detail == { bucket = { name = ["trips-lake"] }, object = { key = [{ wildcard = "taxi/*/_SUCCESS" }] } } && output.success_pattern == aws_cloudwatch_event_rule.success[0].event_pattern
    error_message = "The rule picks something else: ${aws_cloudwatch_event_rule.success[0].event_pattern}"
  }
}

run "nobody_pays_for_events_that_nobody_wants" {
  assert {
    condition     = length(aws_s3_bucket_notification.this) + length(aws_cloudwatch_event_rule.success) + length(aws_cloudwatch_event_target.success) == 0
    error_message = "Events are on without being asked for."
  }
}

run "a_target_without_events_is_refused" {
  command = plan

  variables {
    success_events = { target_arn = "arn:aws:sqs:eu-central-1:111122223333:hours" }
  }

  expect_failures = [var.success_events]
}

run "a_bucket_that_is_there" {
  variables {
    create_bucket = false
    athena        = { results_location = "s3://results/" }
  }

  assert {
    condition     = length(aws_s3_bucket.this) == 0 && length(aws_s3_bucket_policy.this) == 0 && length(output.bucket_policy_statements) == 4
    error_message = "A bucket that is there is left as it is."
  }

  assert {
    condition     = output.url == "s3://trips-lake/taxi" && aws_glue_catalog_table.this["trip"].storage_descriptor[0].location == "s3://trips-lake/taxi/trip/"
    error_message = "The lake is elsewhere."
  }
}

run "conditions_can_be_left_to_the_functions" {
  variables {
    conditional_writes = false
    versioning         = true
    kms_key_arn        = "arn:aws:kms:eu-central-1:111122223333:key/own"
  }

  assert {
    condition     = length(output.bucket_policy_statements) == 2 && aws_s3_bucket_versioning.this[0].versioning_configuration[0].status == "Enabled"
    error_message = "Only transport is left in the policy, and versions are kept."
  }
}

run "wrong_settings_are_refused" {
  command = plan

  variables {
    bucket                   = "trips--euc1-az1--x-s3"
    prefix                   = "/taxi"
    abort_uploads_after_days = 1
    tables                   = {}
    years                    = { first = 2030, last = 2020 }
  }

  expect_failures = [var.bucket, var.prefix, var.abort_uploads_after_days, var.tables, var.years]
}

run "a_bucket_that_is_there_needs_a_place_for_results" {
  command = plan

  variables {
    create_bucket = false
  }

  expect_failures = [var.athena]
}
