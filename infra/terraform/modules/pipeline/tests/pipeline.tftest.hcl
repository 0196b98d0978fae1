# Nothing here needs an account. The contract (infra/contract.json) is what README.md asks of a deployment.

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name           = "trips"
  package_folder = "tests/package"
  lake           = { bucket = "trips-lake", prefix = "taxi" }
  source_stream  = { arn = "arn:aws:kinesis:eu-central-1:111122223333:stream/trips", retention_hours = 72 }
}

run "one_function_for_the_lake" {
  assert {
    condition = alltrue([
      for key, value in jsondecode(file("../../../contract.json")).mapping.kinesis :
      jsonencode(value) == jsonencode(lookup({
        BatchSize                      = aws_lambda_event_source_mapping.this["ingest"].batch_size
        MaximumBatchingWindowInSeconds = aws_lambda_event_source_mapping.this["ingest"].maximum_batching_window_in_seconds
        ParallelizationFactor          = aws_lambda_event_source_mapping.this["ingest"].parallelization_factor
        BisectBatchOnFunctionError     = aws_lambda_event_source_mapping.this["ingest"].bisect_batch_on_function_error
        MaximumRetryAttempts           = aws_lambda_event_source_mapping.this["ingest"].maximum_retry_attempts
        MaximumRecordAgeInSeconds      = aws_lambda_event_source_mapping.this["ingest"].maximum_record_age_in_seconds
        StartingPosition               = aws_lambda_event_source_mapping.this["ingest"].starting_position
        FunctionResponseTypes          = aws_lambda_event_source_mapping.this["ingest"].function_response_types
      }, key, "missing"))
    ])
    error_message = "The mapping is not the contract's."
  }

  assert {
    condition     = length(aws_lambda_event_source_mapping.this) == 1 && length(aws_lambda_function.ingest) == 1
    error_message = "One mapping per stream and lake."
  }

  assert {
    condition = (
      aws_lambda_function.ingest["ingest"].environment[0].variables == tomap({
        TRIPLINE_LAKE              = "s3://trips-lake/taxi"
        TRIPLINE_PARTIAL_RESPONSES = "true"
        TRIPLINE_CHECK_MAPPING     = "true"
      })
      && aws_lambda_function.publish.environment[0].variables == tomap({ TRIPLINE_LAKE = "s3://trips-lake/taxi" })
    )
    error_message = "The functions' variables are others."
  }

  assert {
    condition = (
      aws_lambda_function.ingest["ingest"].runtime == "provided.al2023"
      && aws_lambda_function.ingest["ingest"].timeout >= jsondecode(file("../../../contract.json")).functions.ingest.least_timeout
      && aws_lambda_function.publish.timeout == jsondecode(file("../../../contract.json")).functions.publish.timeout
      && length(aws_lambda_function.ingest["ingest"].vpc_config) == 0
    )
    error_message = "The functions are not as README.md wants them."
  }

  assert {
    condition = (
      aws_scheduler_schedule.publish.schedule_expression == "rate(5 minutes)"
      && aws_scheduler_schedule.publish.target[0].retry_policy[0].maximum_retry_attempts == 0
      && aws_lambda_function_event_invoke_config.publish.maximum_retry_attempts == 0
    )
    error_message = "publish is not invoked as it should be."
  }

  # Exactly these actions, on exactly these resources.
  assert {
    condition = jsonencode(jsondecode(file("../../../contract.json")).iam.ingest) == jsonencode({
      for statement in jsondecode(aws_iam_role_policy.ingest["ingest"].policy).Statement : statement.Sid => sort(flatten([statement.Action]))
    })
    error_message = "ingest may do something else than the contract says: ${aws_iam_role_policy.ingest["ingest"].policy}"
  }

  assert {
    condition = jsonencode(jsondecode(file("../../../contract.json")).iam.publish) == jsonencode({
      for statement in jsondecode(aws_iam_role_policy.publish.policy).Statement : statement.Sid => sort(flatten([statement.Action]))
    })
    error_message = "publish may do something else than the contract says: ${aws_iam_role_policy.publish.policy}"
  }

  assert {
    condition = {
      for statement in jsondecode(aws_iam_role_policy.publish.policy).Statement : statement.Sid => flatten([statement.Resource])
      } == {
      UseLake     = ["arn:aws:s3:::trips-lake/taxi/*"]
      DropEntries = ["arn:aws:s3:::trips-lake/taxi/_journal/*", "arn:aws:s3:::trips-lake/taxi/_tripline/probe/*"]
      ListLake    = ["arn:aws:s3:::trips-lake"]
      Log         = ["arn:aws:logs:eu-central-1:111122223333:log-group:mock:*"]
    }
    error_message = "publish may reach something else: ${aws_iam_role_policy.publish.policy}"
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.ingest["ingest"].policy).Statement :
      !contains(flatten([statement.Resource]), "*") || statement.Sid == "SeeOwnMappings"
    ])
    error_message = "ingest may reach everything: ${aws_iam_role_policy.ingest["ingest"].policy}"
  }

  assert {
    condition = jsonencode(jsondecode(file("../../../contract.json")).alarms) == jsonencode({
      for key, alarm in aws_cloudwatch_metric_alarm.this : key => {
        metric     = alarm.metric_name
        threshold  = alarm.threshold
        comparison = alarm.comparison_operator
        missing    = alarm.treat_missing_data
      }
    })
    error_message = "The alarms are not the contract's: ${jsonencode({ for key, alarm in aws_cloudwatch_metric_alarm.this : key => { metric = alarm.metric_name, threshold = alarm.threshold, comparison = alarm.comparison_operator, missing = alarm.treat_missing_data } })}"
  }

  # Every alarm and every widget looks at a metric that somebody writes: Lambda, or a filter of the module's.
  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.this : alarm.namespace == "AWS/Lambda" || anytrue([
        for filter in aws_cloudwatch_log_metric_filter.this :
        filter.metric_transformation[0].namespace == alarm.namespace && filter.metric_transformation[0].name == alarm.metric_name
      ])
    ])
    error_message = "An alarm looks at a metric that nobody writes."
  }

  assert {
    condition = alltrue(flatten([
      for widget in jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets : [
        for metric in widget.properties.metrics : metric[0] == "AWS/Lambda" || anytrue([
          for filter in aws_cloudwatch_log_metric_filter.this :
          filter.metric_transformation[0].namespace == metric[0] && filter.metric_transformation[0].name == metric[1]
        ])
      ]
    ]))
    error_message = "A widget shows a metric that nobody writes."
  }

  assert {
    condition = alltrue([
      for filter in aws_cloudwatch_log_metric_filter.this :
      filter.metric_transformation[0].value == "1" || contains(
        flatten(values(jsondecode(file("../../../contract.json")).log_fields)), trimprefix(filter.metric_transformation[0].value, "$.")
      )
    ])
    error_message = "A metric is made of a field that no log line has."
  }

  assert {
    condition     = output.redrive_commands.ingest == "tripline redrive --pipeline <folder> --lake s3://trips-lake/taxi --failed-batches s3://mock-bucket/aws/lambda --function trips-ingest"
    error_message = "Batches cannot be brought back by ${output.redrive_commands.ingest}."
  }
}

run "lake_and_search_by_a_function_each" {
  variables {
    separate_search = true
    search          = { url = "https://vpc-trips.eu-central-1.es.amazonaws.com", arn = "arn:aws:es:eu-central-1:111122223333:domain/trips" }
    sink_stream     = { arn = "arn:aws:kinesis:eu-central-1:111122223333:stream/on" }
    vpc             = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"] }
    source_epoch    = "2"
    environment     = { TRIPLINE_LOG = "debug" }
    tracing         = true
    kms_key_arn     = "arn:aws:kms:eu-central-1:111122223333:key/own"
    lake            = { bucket = "trips-lake", prefix = "taxi", kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/lake" }
  }

  assert {
    condition = aws_lambda_function.ingest["lake"].environment[0].variables == tomap({
      TRIPLINE_LAKE              = "s3://trips-lake/taxi"
      TRIPLINE_LOG               = "debug"
      TRIPLINE_PARTIAL_RESPONSES = "true"
      TRIPLINE_CHECK_MAPPING     = "true"
      TRIPLINE_SOURCE_EPOCH      = "2"
      TRIPLINE_SINKS             = "lake,kinesis"
      TRIPLINE_KINESIS_STREAM    = "arn:aws:kinesis:eu-central-1:111122223333:stream/on"
    })
    error_message = "The lake's function has other variables: ${jsonencode(aws_lambda_function.ingest["lake"].environment[0].variables)}"
  }

  assert {
    condition = aws_lambda_function.ingest["search"].environment[0].variables == tomap({
      TRIPLINE_LAKE               = "s3://trips-lake/taxi"
      TRIPLINE_LOG                = "debug"
      TRIPLINE_PARTIAL_RESPONSES  = "true"
      TRIPLINE_CHECK_MAPPING      = "true"
      TRIPLINE_SOURCE_EPOCH       = "2"
      TRIPLINE_SINKS              = "search"
      TRIPLINE_LAKE_ELSEWHERE     = "true"
      TRIPLINE_OPENSEARCH_URL     = "https://vpc-trips.eu-central-1.es.amazonaws.com"
      TRIPLINE_OPENSEARCH_AUTH    = "sigv4"
      TRIPLINE_OPENSEARCH_SERVICE = "es"
    })
    error_message = "The function for search has other variables: ${jsonencode(aws_lambda_function.ingest["search"].environment[0].variables)}"
  }

  assert {
    condition     = length(aws_lambda_event_source_mapping.this) == 2 && alltrue([for mapping in aws_lambda_event_source_mapping.this : mapping.parallelization_factor == 1])
    error_message = "Each function has its own mapping, with factor 1."
  }

  assert {
    condition = (
      !strcontains(aws_iam_role_policy.ingest["lake"].policy, "es:") && strcontains(aws_iam_role_policy.ingest["search"].policy, "\"es:ESHttpPost\"")
      && strcontains(aws_iam_role_policy.ingest["lake"].policy, "kinesis:PutRecords") && !strcontains(aws_iam_role_policy.ingest["search"].policy, "kinesis:PutRecords")
    )
    error_message = "A function may use the sink of another."
  }

  assert {
    condition = alltrue(flatten([
      for policy in concat(values(aws_iam_role_policy.ingest)[*].policy, [aws_iam_role_policy.publish.policy, aws_iam_role_policy.schedule.policy]) : [
        for statement in jsondecode(policy).Statement : [for action in flatten([statement.Action]) : !strcontains(action, "*")]
      ]
    ]))
    error_message = "An action has a wildcard."
  }

  assert {
    condition = alltrue(flatten([
      for policy in concat(values(aws_iam_role_policy.ingest)[*].policy, [aws_iam_role_policy.publish.policy]) : [
        for statement in jsondecode(policy).Statement :
        !contains(flatten([statement.Resource]), "*") || statement.Effect == "Deny" || contains(["SeeOwnMappings", "SeeInterfaces", "Trace"], statement.Sid)
      ]
    ]))
    error_message = "A role may reach everything."
  }

  assert {
    condition     = aws_lambda_function.publish.environment[0].variables == tomap({ TRIPLINE_LAKE = "s3://trips-lake/taxi", TRIPLINE_LOG = "debug" })
    error_message = "Further variables go to every function."
  }
}

run "kafka_with_provisioned_pollers" {
  variables {
    source_stream = null
    source_kafka  = { cluster_arn = "arn:aws:kafka:eu-central-1:111122223333:cluster/ads/abc-1", topics = ["impressions", "clicks"] }
  }

  assert {
    condition = (
      length(aws_lambda_event_source_mapping.this) == 2
      && alltrue([for mapping in aws_lambda_event_source_mapping.this : contains(mapping.function_response_types, "ReportBatchItemFailures")])
      && alltrue([for mapping in aws_lambda_event_source_mapping.this : length(mapping.provisioned_poller_config) == 1 && mapping.maximum_retry_attempts == 1000])
      && aws_lambda_function.ingest["ingest"].environment[0].variables.TRIPLINE_PARTIAL_RESPONSES == "true"
    )
    error_message = "Provisioned pollers take partial responses."
  }

  assert {
    condition = alltrue(flatten([
      for mapping in aws_lambda_event_source_mapping.this : [
        for key, value in jsondecode(file("../../../contract.json")).mapping.kafka_provisioned :
        jsonencode(value) == jsonencode(lookup({
          BatchSize                      = mapping.batch_size
          MaximumBatchingWindowInSeconds = mapping.maximum_batching_window_in_seconds
          BisectBatchOnFunctionError     = mapping.bisect_batch_on_function_error
          MaximumRetryAttempts           = mapping.maximum_retry_attempts
          MaximumRecordAgeInSeconds      = mapping.maximum_record_age_in_seconds
          StartingPosition               = mapping.starting_position
          FunctionResponseTypes          = mapping.function_response_types
        }, key, "missing"))
      ]
    ]))
    error_message = "A mapping is not the contract's."
  }

  assert {
    condition = {
      for statement in jsondecode(aws_iam_role_policy.ingest["ingest"].policy).Statement : statement.Sid => flatten([statement.Resource])
      if contains(["ReadTopics", "UseGroups"], statement.Sid)
      } == {
      ReadTopics = [
        "arn:aws:kafka:eu-central-1:111122223333:topic/ads/abc-1/clicks",
        "arn:aws:kafka:eu-central-1:111122223333:topic/ads/abc-1/impressions",
      ]
      UseGroups = [
        "arn:aws:kafka:eu-central-1:111122223333:group/ads/abc-1/trips-ingest-clicks",
        "arn:aws:kafka:eu-central-1:111122223333:group/ads/abc-1/trips-ingest-impressions",
      ]
    }
    error_message = "ingest may read other topics: ${aws_iam_role_policy.ingest["ingest"].policy}"
  }

  assert {
    condition = alltrue(flatten([
      for statement in jsondecode(aws_iam_role_policy.ingest["ingest"].policy).Statement : [for action in flatten([statement.Action]) : !strcontains(action, "*")]
    ]))
    error_message = "An action has a wildcard."
  }

  assert {
    condition     = !anytrue([for alarm in aws_cloudwatch_metric_alarm.this : contains(["IteratorAge", "DroppedEventCount"], alarm.metric_name)]) && anytrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.metric_name == "OffsetLag"])
    error_message = "Kafka's lag is counted in offsets."
  }
}

run "kafka_on_demand_takes_no_partial_responses" {
  variables {
    source_stream = null
    source_kafka  = { cluster_arn = "arn:aws:kafka:eu-central-1:111122223333:cluster/ads/abc-1", topics = ["clicks"], on_demand = true }
  }

  assert {
    condition = (
      alltrue([for mapping in aws_lambda_event_source_mapping.this : try(length(mapping.function_response_types), 0) == 0 && length(mapping.provisioned_poller_config) == 0])
      && aws_lambda_function.ingest["ingest"].environment[0].variables.TRIPLINE_PARTIAL_RESPONSES == "false"
    )
    error_message = "A mapping that reads no partial responses must not be given any: failures would be taken as success."
  }
}

run "a_collection_of_serverless" {
  variables {
    search = { url = "https://abc.eu-central-1.aoss.amazonaws.com", arn = "arn:aws:aoss:eu-central-1:111122223333:collection/abc", kind = "serverless" }
  }

  assert {
    condition     = strcontains(aws_iam_role_policy.ingest["ingest"].policy, "\"aoss:APIAccessAll\"") && aws_lambda_function.ingest["ingest"].environment[0].variables.TRIPLINE_OPENSEARCH_SERVICE == "aoss"
    error_message = "Serverless is signed for as aoss."
  }
}

run "a_failure_bucket_and_a_topic_that_are_there" {
  variables {
    failure_bucket_arn = "arn:aws:s3:::ours"
    alarms             = { topic_arn = "arn:aws:sns:eu-central-1:111122223333:ours" }
  }

  assert {
    condition     = length(aws_s3_bucket.failed) == 0 && length(aws_sns_topic.alarms) == 0 && strcontains(aws_iam_role_policy.ingest["ingest"].policy, "arn:aws:s3:::ours/*")
    error_message = "What is there is not made again."
  }
}

run "wrong_settings_are_refused" {
  command = plan

  variables {
    mapping         = { batching_window = 0, maximum_retries = -1 }
    separate_search = true
    environment     = { TRIPLINE_SINKS = "search" }
    ingest          = { timeout = 30 }
    publish         = { every_minutes = 1 }
    failure_days    = 1
  }

  expect_failures = [
    var.mapping, var.separate_search, var.environment, var.ingest, var.publish, var.failure_days,
  ]
}

run "one_source_only" {
  command = plan

  variables {
    source_kafka = { cluster_arn = "arn:aws:kafka:eu-central-1:111122223333:cluster/ads/abc-1", topics = ["clicks"] }
  }

  expect_failures = [var.source_stream]
}

run "records_are_given_up_before_they_expire" {
  command = plan

  variables {
    mapping = { maximum_record_age = 259200 }
  }

  expect_failures = [var.mapping]
}
