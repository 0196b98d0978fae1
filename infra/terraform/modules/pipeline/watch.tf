# Metrics, alarms and a dashboard. Functions write one JSON line a batch and one a run, and metrics are made of these
# lines: the functions need neither a right nor a way to CloudWatch for them.

locals {
  batch     = "{ $.message = \"batch\" }"
  published = "{ $.message = \"published\" }"

  batch_metrics = {
    Records       = { pattern = local.batch, value = "$.records" }
    Rows          = { pattern = local.batch, value = "$.rows" }
    DeadLetters   = { pattern = local.batch, value = "$.dead_letters" }
    Duplicates    = { pattern = local.batch, value = "$.duplicates" }
    BatchMillis   = { pattern = local.batch, value = "$.millis", unit = "Milliseconds" }
    JournalBytes  = { pattern = local.batch, value = "$.bytes", unit = "Bytes" }
    PartialRetry  = { pattern = local.batch, value = "$.retried_from" }
    FailedBatches = { pattern = "{ $.message = \"batch failed\" }", value = "1" }
  }
  sink_metrics = {
    SinkDeadLetters = { pattern = local.batch, value = "$.sink_dead_letters" }
  }
  search_metrics = {
    Documents       = { pattern = local.batch, value = "$.documents" }
    SearchThrottled = { pattern = local.batch, value = "$.search_throttled" }
  }
  publish_metrics = {
    PublishRuns       = { pattern = "{ $.message = \"published\" && $.gave_way IS FALSE }", value = "1" }
    PublishedEntries  = { pattern = local.published, value = "$.entries" }
    PublishedRows     = { pattern = local.published, value = "$.rows" }
    PublishedFiles    = { pattern = local.published, value = "$.files" }
    PublishedBytes    = { pattern = local.published, value = "$.bytes", unit = "Bytes" }
    PublishMillis     = { pattern = local.published, value = "$.millis", unit = "Milliseconds" }
    PublishBacklog    = { pattern = "{ $.message = \"published\" && $.more IS TRUE }", value = "1" }
    StoppedLanes      = { pattern = local.published, value = "$.stopped_lanes" }
    FailedPublishRuns = { pattern = "{ $.message = \"publish failed\" }", value = "1" }
  }
  # In lines of both kinds, and in those about what failed.
  all_metrics = {
    InvariantViolations = { pattern = "{ $.invariant_violations > 0 }", value = "$.invariant_violations" }
  }

  namespace = { for function in keys(local.function_name) : function => "Tripline/${local.function_name[function]}" }

  metrics = merge([
    for function in keys(local.function_name) : {
      for metric, of in merge(
        local.all_metrics,
        function == "publish" ? local.publish_metrics : {},
        function == "publish" ? {} : local.batch_metrics,
        try(local.feeds_more[function], false) ? local.sink_metrics : {},
        try(local.feeds_search[function], false) ? local.search_metrics : {},
      ) : "${function}/${metric}" => merge({ unit = "Count" }, of, { function = function, metric = metric })
    }
  ]...)

  topic_arn = var.alarms.topic_arn != null ? var.alarms.topic_arn : try(aws_sns_topic.alarms[0].arn, null)

  # What all alarms have, unless they say otherwise.
  usual = {
    statistic  = "Sum"
    period     = 300
    evaluation = 1
    datapoints = 1
    comparison = "GreaterThanOrEqualToThreshold"
    missing    = "notBreaching"
  }

  lambda_alarms = merge([
    for function in local.ingest : {
      "${function}/lag" = merge(local.usual, {
        description = local.is_kafka ? "Records wait: ${local.function_name[function]} is behind its topic." : "Records wait: ${local.function_name[function]} is behind its stream. What gets older than ${var.mapping.maximum_record_age} s is given up."
        namespace   = "AWS/Lambda"
        metric      = local.is_kafka ? "OffsetLag" : "IteratorAge"
        dimensions  = { FunctionName = local.function_name[function] }
        statistic   = "Maximum"
        period      = 60
        evaluation  = 5
        datapoints  = 3
        comparison  = "GreaterThanThreshold"
        threshold   = local.is_kafka ? var.alarms.offset_lag : var.alarms.iterator_age_ms
      })
      "${function}/errors" = merge(local.usual, {
        description = "Batches fail in ${local.function_name[function]} and come again, or are given up in the end."
        namespace   = "AWS/Lambda"
        metric      = "Errors"
        dimensions  = { FunctionName = local.function_name[function] }
        threshold   = var.alarms.ingest_errors
      })
      "${function}/throttles" = merge(local.usual, {
        description = "${local.function_name[function]} is throttled: its concurrency, or the account's, is used up."
        namespace   = "AWS/Lambda"
        metric      = "Throttles"
        dimensions  = { FunctionName = local.function_name[function] }
        threshold   = var.alarms.throttles
      })
      "${function}/dead-letters" = merge(local.usual, {
        description = "Records of ${local.function_name[function]} became dead letters: see the table dead_letter."
        namespace   = local.namespace[function]
        metric      = "DeadLetters"
        dimensions  = {}
        threshold   = var.alarms.dead_letters
      })
      "${function}/invariants" = merge(local.usual, {
        description = "${local.function_name[function]} saw something that must never be: look for invariant_violations in its log, and report it."
        namespace   = local.namespace[function]
        metric      = "InvariantViolations"
        dimensions  = {}
        threshold   = var.alarms.invariant_violations
      })
    }
  ]...)

  sink_alarms = {
    for function in local.ingest : "${function}/sink-dead-letters" => merge(local.usual, {
      description = "A sink beside the lake refused events of ${local.function_name[function]} for good: see the table dead_letter."
      namespace   = local.namespace[function]
      metric      = "SinkDeadLetters"
      dimensions  = {}
      threshold   = var.alarms.dead_letters
    }) if local.feeds_more[function]
  }

  given_up_alarms = {
    for key, mapping in local.mappings : "${key}/given-up" => merge(local.usual, {
      description = "The mapping of ${local.function_name[mapping.function]} gave batches up: they are in the failure bucket, and tripline redrive --failed-batches brings them in."
      namespace   = "AWS/Lambda"
      metric      = "OnFailureDestinationDeliveredEventCount"
      dimensions  = { EventSourceMappingUUID = aws_lambda_event_source_mapping.this[key].uuid }
      threshold   = var.alarms.given_up_batches
    }) if !local.is_kafka
  }
  dropped_alarms = {
    for key, mapping in local.mappings : "${key}/dropped" => merge(local.usual, {
      description = "The mapping of ${local.function_name[mapping.function]} dropped records, and could not deliver them to the failure bucket either: they are in the stream until they expire."
      namespace   = "AWS/Lambda"
      metric      = "DroppedEventCount"
      dimensions  = { EventSourceMappingUUID = aws_lambda_event_source_mapping.this[key].uuid }
      threshold   = 1
    }) if !local.is_kafka
  }

  publish_alarms = {
    "publish/errors" = merge(local.usual, {
      description = "Runs of publish fail. Where a lane stands still, the error names it and why; the others are published."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = local.function_name["publish"] }
      period      = var.publish.every_minutes * 60
      evaluation  = 2
      datapoints  = 2
      threshold   = var.alarms.publish_errors
    })
    "publish/silence" = merge(local.usual, {
      description = "No run of publish ended well for ${var.alarms.publish_silence_runs} runs: rows wait in the journal, unseen."
      namespace   = local.namespace["publish"]
      metric      = "PublishRuns"
      dimensions  = {}
      period      = var.publish.every_minutes * 60
      evaluation  = var.alarms.publish_silence_runs
      datapoints  = var.alarms.publish_silence_runs
      comparison  = "LessThanThreshold"
      threshold   = 1
      missing     = "breaching"
    })
    "publish/backlog" = merge(local.usual, {
      description = "publish does not get to the end of the journal: give it memory and time, or let it run more often."
      namespace   = local.namespace["publish"]
      metric      = "PublishBacklog"
      dimensions  = {}
      period      = var.publish.every_minutes * 60
      evaluation  = var.alarms.publish_backlog_runs
      datapoints  = var.alarms.publish_backlog_runs
      threshold   = 1
    })
    "publish/stopped-lanes" = merge(local.usual, {
      description = "Lanes stand still: the log line \"lane stands still\" names each and the reason."
      namespace   = local.namespace["publish"]
      metric      = "StoppedLanes"
      dimensions  = {}
      statistic   = "Maximum"
      threshold   = var.alarms.stopped_lanes
    })
    "publish/invariants" = merge(local.usual, {
      description = "publish saw something that must never be: look for invariant_violations in its log, and report it."
      namespace   = local.namespace["publish"]
      metric      = "InvariantViolations"
      dimensions  = {}
      threshold   = var.alarms.invariant_violations
    })
  }

  alarms = var.alarms.create ? merge(
    local.lambda_alarms, local.sink_alarms, local.given_up_alarms, local.dropped_alarms, local.publish_alarms
  ) : {}
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = local.metrics

  name           = "${var.name}-${replace(each.key, "/", "-")}"
  log_group_name = aws_cloudwatch_log_group.this[each.value.function].name
  pattern        = each.value.pattern

  metric_transformation {
    namespace = local.namespace[each.value.function]
    name      = each.value.metric
    value     = each.value.value
    unit      = each.value.unit
  }
}

resource "aws_sns_topic" "alarms" {
  count = var.alarms.create && var.alarms.topic_arn == null ? 1 : 0

  name = "${var.name}-alarms"
  # AWS' own key for SNS would keep alarms out: CloudWatch may not use it.
  kms_master_key_id = var.kms_key_arn
  tags              = var.tags
}

resource "aws_sns_topic_subscription" "alarms" {
  for_each = length(aws_sns_topic.alarms) == 0 ? toset([]) : var.alarms.emails

  topic_arn = aws_sns_topic.alarms[0].arn
  protocol  = "email"
  endpoint  = each.value
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${replace(each.key, "/", "-")}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.evaluation
  datapoints_to_alarm = each.value.datapoints
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = [local.topic_arn]
  ok_actions          = [local.topic_arn]
  tags                = var.tags
}

locals {
  # Title, its metrics as CloudWatch has them, how they are summed up.
  widgets = [
    {
      title = local.is_kafka ? "Offset lag" : "Iterator age (ms)"
      stat  = "Maximum"
      metrics = [
        for function in local.ingest : ["AWS/Lambda", local.is_kafka ? "OffsetLag" : "IteratorAge", "FunctionName", local.function_name[function]]
      ]
    },
    {
      title   = "Records in, rows, duplicates dropped"
      stat    = "Sum"
      metrics = concat([], [for function in local.ingest : [for metric in ["Records", "Rows", "Duplicates"] : [local.namespace[function], metric]]]...)
    },
    {
      title = "Dead letters"
      stat  = "Sum"
      metrics = concat(
        [for function in local.ingest : [local.namespace[function], "DeadLetters"]],
        [for function in local.ingest : [local.namespace[function], "SinkDeadLetters"] if local.feeds_more[function]],
      )
    },
    {
      title   = "Published rows and files"
      stat    = "Sum"
      metrics = [for metric in ["PublishedRows", "PublishedFiles", "PublishedEntries"] : [local.namespace["publish"], metric]]
    },
    {
      title   = "Runs of publish"
      stat    = "Sum"
      metrics = [for metric in ["PublishRuns", "PublishBacklog", "FailedPublishRuns", "StoppedLanes"] : [local.namespace["publish"], metric]]
    },
    {
      title = "Errors and throttles"
      stat  = "Sum"
      metrics = concat([], [
        for name in values(local.function_name) : [for metric in ["Errors", "Throttles"] : ["AWS/Lambda", metric, "FunctionName", name]]
      ]...)
    },
    {
      title   = "Duration, longest (ms)"
      stat    = "Maximum"
      metrics = [for name in values(local.function_name) : ["AWS/Lambda", "Duration", "FunctionName", name]]
    },
    {
      title   = "Concurrent executions"
      stat    = "Maximum"
      metrics = [for name in values(local.function_name) : ["AWS/Lambda", "ConcurrentExecutions", "FunctionName", name]]
    },
    {
      title = "Given up by the mapping"
      stat  = "Sum"
      metrics = concat([], [
        for key in keys(local.mappings) : [
          for metric in ["OnFailureDestinationDeliveredEventCount", "DroppedEventCount"] :
          ["AWS/Lambda", metric, "EventSourceMappingUUID", aws_lambda_event_source_mapping.this[key].uuid]
        ] if !local.is_kafka
      ]...)
    },
    {
      title = "Documents, and times the cluster was busy"
      stat  = "Sum"
      metrics = concat([], [
        for function in local.ingest : [for metric in ["Documents", "SearchThrottled"] : [local.namespace[function], metric]] if local.feeds_search[function]
      ]...)
    },
  ]
  shown = [for widget in local.widgets : widget if length(widget.metrics) > 0]
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.dashboard ? 1 : 0

  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [
      for index, widget in local.shown : {
        type   = "metric"
        x      = index % 2 * 12
        y      = floor(index / 2) * 6
        width  = 12
        height = 6
        properties = {
          title   = widget.title
          region  = local.region
          stat    = widget.stat
          period  = 300
          view    = "timeSeries"
          metrics = widget.metrics
        }
      }
    ]
  })
}
