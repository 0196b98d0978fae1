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

  # Exactly these actions, on exactly these resources, in every role.
  assert {
    condition = jsonencode(jsondecode(file("../../../contract.json")).iam) == jsonencode({
      for role, policy in {
        ingest   = aws_iam_role_policy.ingest["ingest"].policy
        publish  = aws_iam_role_policy.publish.policy
        schedule = aws_iam_role_policy.schedule.policy
        } : role => {
        for statement in jsondecode(policy).Statement : statement.Sid => {
          actions = sort(flatten([statement.Action]))
          resources = sort([
            for arn in flatten([statement.Resource]) : replace(replace(replace(replace(replace(replace(arn,
              "arn:aws:s3:::trips-lake/taxi", "{lake}"), "arn:aws:s3:::trips-lake", "{lake_bucket}"), "arn:aws:s3:::mock-bucket", "{failed}"),
              var.source_stream.arn, "{stream}"), "arn:aws:logs:eu-central-1:111122223333:log-group:mock", "{log}"),
            "arn:aws:lambda:eu-central-1:111122223333:function:mock", "{publish}")
          ])
        }
      }
    })
    error_message = "A role may do something else than the contract says: ${aws_iam_role_policy.ingest["ingest"].policy} ${aws_iam_role_policy.publish.policy}"
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
        statistic  = alarm.statistic
        period     = alarm.period
        periods    = alarm.evaluation_periods
        datapoints = alarm.datapoints_to_alarm
        threshold  = alarm.threshold
        comparison = alarm.comparison_operator
        missing    = alarm.treat_missing_data
      }
    })
    error_message = "The alarms are not the contract's: ${jsonencode(aws_cloudwatch_metric_alarm.this)}"
  }

  # Every alarm and every widget looks at a metric that somebody tells: Lambda, or the function that it names.
  assert {
    condition = alltrue([
      for key, alarm in aws_cloudwatch_metric_alarm.this : alarm.namespace == "AWS/Lambda" || (
        alarm.namespace == jsondecode(file("../../../contract.json")).metrics.namespace &&
        alarm.dimensions == tomap({ FunctionName = "trips-${split("/", key)[0]}" }) &&
        contains(flatten([for part in values(jsondecode(file("../../../contract.json")).metrics) : try(keys(part), [])]), alarm.metric_name)
      )
    ])
    error_message = "An alarm looks at a metric that nobody tells."
  }

  assert {
    condition = alltrue(flatten([
      for widget in jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets : [
        for metric in widget.properties.metrics : try(
          metric[0] == "AWS/Lambda" || (
            metric[0] == jsondecode(file("../../../contract.json")).metrics.namespace && metric[2] == "FunctionName" &&
            startswith(metric[3], "trips-") &&
            contains(flatten([for part in values(jsondecode(file("../../../contract.json")).metrics) : try(keys(part), [])]), metric[1])
          ),
          contains(keys(jsondecode(file("../../../contract.json")).metrics.by_reason), regex("MetricName=\"(\\w+)\"", metric[0].expression)[0])
        )
      ]
    ]))
    error_message = "A widget shows a metric that nobody tells."
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

# The module as examples/kinesis-private calls it, beside the contract, which CDK's template is held to as well.
run "the_private_shape" {
  variables {
    separate_search = true
    search          = { url = "https://vpc-trips.eu-central-1.es.amazonaws.com", arn = "arn:aws:es:eu-central-1:111122223333:domain/trips" }
    vpc             = { subnet_ids = ["subnet-1", "subnet-2", "subnet-3"], security_group_ids = ["sg-1"] }
    kms_key_arn     = "arn:aws:kms:eu-central-1:111122223333:key/own"
    lake            = { bucket = "trips-lake", prefix = "taxi", kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/own" }
    source_stream   = { arn = "arn:aws:kinesis:eu-central-1:111122223333:stream/trips", kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/own", retention_hours = 72 }
  }

  assert {
    condition = jsonencode({
      for role, options in jsondecode(file("../../../contract.json")).shapes.kinesis-private.iam : role => merge(
        jsondecode(file("../../../contract.json")).iam[contains(["publish", "schedule"], role) ? role : "ingest"],
        [for option in options : jsondecode(file("../../../contract.json")).iam_options[option]]...
      )
      }) == jsonencode({
      for role, policy in {
        lake     = aws_iam_role_policy.ingest["lake"].policy
        search   = aws_iam_role_policy.ingest["search"].policy
        publish  = aws_iam_role_policy.publish.policy
        schedule = aws_iam_role_policy.schedule.policy
        } : role => {
        for statement in jsondecode(policy).Statement : statement.Sid => {
          actions = sort(flatten([statement.Action]))
          resources = sort(distinct([
            for arn in flatten([statement.Resource]) : replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(arn,
              "arn:aws:s3:::trips-lake/taxi", "{lake}"), "arn:aws:s3:::trips-lake", "{lake_bucket}"), "arn:aws:s3:::mock-bucket", "{failed}"),
              var.source_stream.arn, "{stream}"), "arn:aws:logs:eu-central-1:111122223333:log-group:mock", "{log}"),
              "arn:aws:lambda:eu-central-1:111122223333:function:mock", "{publish}"), var.kms_key_arn, "{key}"), var.search.arn, "{search}"),
            "arn:aws:ec2:eu-central-1:111122223333", "{ec2}"), "/subnet-[0-9]/", "{subnet}"), "sg-1", "{group}")
          ]))
        }
      }
    })
    error_message = "A role may do something else than the contract says: ${aws_iam_role_policy.ingest["search"].policy}"
  }

  assert {
    condition = jsonencode({
      for function in ["lake", "search"] : function => jsondecode(file("../../../contract.json")).environment.fixed[function]
      }) == jsonencode({
      for function in ["lake", "search"] : function => {
        for name, value in aws_lambda_function.ingest[function].environment[0].variables : name => value
        if !contains(jsondecode(file("../../../contract.json")).environment.of_the_deployment[function], name)
      }
    })
    error_message = "The functions' variables are not the contract's."
  }

  assert {
    condition = jsonencode(merge(
      { for key, alarm in jsondecode(file("../../../contract.json")).alarms : replace(key, "ingest/", "lake/") => alarm },
      { for key, alarm in jsondecode(file("../../../contract.json")).alarms : replace(key, "ingest/", "search/") => alarm },
      { for key, alarm in jsondecode(file("../../../contract.json")).sink_alarms : "search/${key}" => alarm },
      )) == jsonencode({
      for key, alarm in aws_cloudwatch_metric_alarm.this : key => {
        metric     = alarm.metric_name
        statistic  = alarm.statistic
        period     = alarm.period
        periods    = alarm.evaluation_periods
        datapoints = alarm.datapoints_to_alarm
        threshold  = alarm.threshold
        comparison = alarm.comparison_operator
        missing    = alarm.treat_missing_data
      }
    })
    error_message = "The alarms are not the contract's: ${join(" ", keys(aws_cloudwatch_metric_alarm.this))}"
  }

  assert {
    condition = jsonencode(jsondecode(file("../../../contract.json")).dashboard) == jsonencode({
      for widget in jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets : widget.properties.title => {
        stat    = widget.properties.stat
        metrics = sort(distinct([for metric in widget.properties.metrics : try(metric[1], regex("MetricName=\"(\\w+)\"", metric[0].expression)[0])]))
      }
    })
    error_message = "The dashboard is not the contract's: ${aws_cloudwatch_dashboard.this[0].dashboard_body}"
  }

  assert {
    condition     = aws_lambda_function.publish.reserved_concurrent_executions == jsondecode(file("../../../contract.json")).shapes.kinesis-private.publish_concurrency
    error_message = "publish has another reserved concurrency."
  }
}

run "events_go_on_into_a_topic_and_objects_are_brought_in" {
  variables {
    separate_search = true
    search          = { url = "https://vpc-trips.eu-central-1.es.amazonaws.com", arn = "arn:aws:es:eu-central-1:111122223333:domain/trips" }
    sink_stream     = { arn = "arn:aws:kinesis:eu-central-1:111122223333:stream/on" }
    sink_kafka = {
      brokers     = "b-1.ads.kafka.eu-central-1.amazonaws.com:9098"
      topic       = "trips-clean"
      cluster_arn = "arn:aws:kafka:eu-central-1:111122223333:cluster/ads/abc-1"
    }
    backfill_sources       = ["arn:aws:s3:::archive/trips/2019/", "arn:aws:s3:::archive/trips/2018/"]
    backfill_notifications = true
  }

  assert {
    condition = jsonencode(merge([
      for option in ["sink_stream", "sink_kafka", "backfill"] : jsondecode(file("../../../contract.json")).iam_options[option]
      ]...)) == jsonencode({
      for statement in jsondecode(aws_iam_role_policy.ingest["lake"].policy).Statement : statement.Sid => {
        actions = sort(flatten([statement.Action]))
        resources = sort(distinct([
          for arn in flatten([statement.Resource]) : replace(replace(replace(replace(arn, var.sink_stream.arn, "{sink_stream}"),
            var.sink_kafka.cluster_arn, "{sink_cluster}"), "arn:aws:kafka:eu-central-1:111122223333:topic/ads/abc-1/trips-clean", "{sink_topic}"),
          "/^arn:aws:s3:::archive/trips/[0-9]+//", "{backfill}")
        ]))
      } if !contains(keys(jsondecode(file("../../../contract.json")).iam.ingest), statement.Sid)
    })
    error_message = "The function for the lake may do something else: ${aws_iam_role_policy.ingest["lake"].policy}"
  }

  assert {
    condition = [
      for statement in jsondecode(aws_iam_role_policy.ingest["lake"].policy).Statement : statement.Resource if statement.Sid == "ReadBackfill"
    ] == [["arn:aws:s3:::archive/trips/2018/*", "arn:aws:s3:::archive/trips/2019/*"]]
    error_message = "More than the prefixes can be read: ${aws_iam_role_policy.ingest["lake"].policy}"
  }

  assert {
    condition = length(setintersection(
      [for statement in jsondecode(aws_iam_role_policy.ingest["search"].policy).Statement : statement.Sid],
      ["SendOn", "SendOnToCluster", "SendOnToTopic", "ReadBackfill"],
    )) == 0
    error_message = "The function for search has no business in another's sinks."
  }

  assert {
    condition = aws_lambda_function.ingest["lake"].environment[0].variables == tomap({
      TRIPLINE_LAKE              = "s3://trips-lake/taxi"
      TRIPLINE_PARTIAL_RESPONSES = "true"
      TRIPLINE_CHECK_MAPPING     = "true"
      TRIPLINE_SINKS             = "lake,kinesis,kafka"
      TRIPLINE_KINESIS_STREAM    = "arn:aws:kinesis:eu-central-1:111122223333:stream/on"
      TRIPLINE_KAFKA_BROKERS     = "b-1.ads.kafka.eu-central-1.amazonaws.com:9098"
      TRIPLINE_KAFKA_TOPIC       = "trips-clean"
      TRIPLINE_KAFKA_SECURITY    = "msk-iam"
    })
    error_message = "The lake's function has other variables: ${jsonencode(aws_lambda_function.ingest["lake"].environment[0].variables)}"
  }

  assert {
    condition = (
      length(aws_lambda_permission.backfill) == 1 && aws_lambda_permission.backfill["archive"].source_arn == "arn:aws:s3:::archive"
      && aws_lambda_permission.backfill["archive"].source_account == "111122223333" && aws_lambda_permission.backfill["archive"].principal == "s3.amazonaws.com"
    )
    error_message = "Somebody else than the bucket may invoke the function."
  }
}

run "another_way_to_sign_in_needs_no_rights" {
  variables {
    sink_kafka = { brokers = "kafka.example.com:9096", topic = "trips-clean", security = "scram-sha-512" }
  }

  assert {
    condition = (
      !strcontains(aws_iam_role_policy.ingest["ingest"].policy, "kafka") && length(aws_lambda_permission.backfill) == 0
      && aws_lambda_function.ingest["ingest"].environment[0].variables.TRIPLINE_KAFKA_SECURITY == "scram-sha-512"
      && contains(keys(aws_cloudwatch_metric_alarm.this), "ingest/sink-dead-letters")
    )
    error_message = "The role may use a cluster of Amazon MSK, or what the topic refuses is not watched."
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

run "sinks_and_sources_of_backfills_are_checked" {
  command = plan

  variables {
    sink_kafka       = { brokers = "b-1.ads.kafka.eu-central-1.amazonaws.com:9098", topic = "trips-clean" }
    backfill_sources = ["arn:aws:s3:::archive/*"]
    environment      = { TRIPLINE_KAFKA_BROKERS = "other:9098" }
  }

  expect_failures = [var.sink_kafka, var.backfill_sources, var.environment]
}

run "notifications_come_from_somewhere" {
  command = plan

  variables {
    backfill_notifications = true
  }

  expect_failures = [var.backfill_notifications]
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
