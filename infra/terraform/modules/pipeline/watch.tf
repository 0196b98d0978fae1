# Alarms and a dashboard. Functions tell metrics in documents of CloudWatch's embedded metric format in their logs: they
# need neither a right nor a way to CloudWatch. docs/metrics.md has the names.

locals {
  # Metrics of a function's own.
  own = {
    for function, name in local.function_name : function => { namespace = "Tripline", dimensions = { FunctionName = name } }
  }

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
        namespace   = local.own[function].namespace
        metric      = "DeadLetters"
        dimensions  = local.own[function].dimensions
        threshold   = var.alarms.dead_letters
      })
      "${function}/invariants" = merge(local.usual, {
        description = "${local.function_name[function]} saw something that must never be: look for invariant_violations in its log, and report it."
        namespace   = local.own[function].namespace
        metric      = "InvariantViolations"
        dimensions  = local.own[function].dimensions
        threshold   = var.alarms.invariant_violations
      })
    }
  ]...)

  sink_alarms = {
    for function in local.ingest : "${function}/sink-dead-letters" => merge(local.usual, {
      description = "A sink beside the lake refused events of ${local.function_name[function]} for good: see the table dead_letter."
      namespace   = local.own[function].namespace
      metric      = "SinkDeadLetters"
      dimensions  = local.own[function].dimensions
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

  publish_alarms = merge({
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
      namespace   = local.own["publish"].namespace
      metric      = "PublishRuns"
      dimensions  = local.own["publish"].dimensions
      period      = var.publish.every_minutes * 60
      evaluation  = var.alarms.publish_silence_runs
      datapoints  = var.alarms.publish_silence_runs
      comparison  = "LessThanThreshold"
      threshold   = 1
      missing     = "breaching"
    })
    "publish/backlog" = merge(local.usual, {
      description = "publish does not get to the end of the journal: give it memory and time, or let it run more often."
      namespace   = local.own["publish"].namespace
      metric      = "PublishBacklog"
      dimensions  = local.own["publish"].dimensions
      period      = var.publish.every_minutes * 60
      evaluation  = var.alarms.publish_backlog_runs
      datapoints  = var.alarms.publish_backlog_runs
      threshold   = 1
    })
    "publish/stopped-lanes" = merge(local.usual, {
      description = "Lanes stand still: the log line \"lane stands still\" names each and the reason."
      namespace   = local.own["publish"].namespace
      metric      = "StoppedLanes"
      dimensions  = local.own["publish"].dimensions
      statistic   = "Maximum"
      threshold   = var.alarms.stopped_lanes
    })
    "publish/invariants" = merge(local.usual, {
      description = "publish saw something that must never be: look for invariant_violations in its log, and report it."
      namespace   = local.own["publish"].namespace
      metric      = "InvariantViolations"
      dimensions  = local.own["publish"].dimensions
      threshold   = var.alarms.invariant_violations
    })
    "publish/lag" = merge(local.usual, {
      description = "Rows wait long between their commit and their file: publish runs too seldom, or too slowly."
      namespace   = local.own["publish"].namespace
      metric      = "PublishLagMillis"
      dimensions  = local.own["publish"].dimensions
      statistic   = "Maximum"
      period      = var.publish.every_minutes * 60
      evaluation  = 2
      datapoints  = 2
      comparison  = "GreaterThanThreshold"
      threshold   = var.alarms.publish_lag_ms
    })
    "publish/reconcile-gap" = merge(local.usual, {
      description = "A run's files have not the rows of its entries: run tripline audit, and report it."
      namespace   = local.own["publish"].namespace
      metric      = "ReconcileGap"
      dimensions  = local.own["publish"].dimensions
      statistic   = "Maximum"
      threshold   = 1
    })
    }, var.alarms.watermark_lag_ms == null ? {} : {
    "publish/watermark-lag" = merge(local.usual, {
      description = "The watermark stands still or is far behind: a shard sends nothing new, and hours do not get complete."
      namespace   = local.own["publish"].namespace
      metric      = "WatermarkLagMillis"
      dimensions  = local.own["publish"].dimensions
      statistic   = "Maximum"
      period      = var.publish.every_minutes * 60
      evaluation  = 3
      datapoints  = 3
      comparison  = "GreaterThanThreshold"
      threshold   = var.alarms.watermark_lag_ms
    })
  })

  alarms = var.alarms.create ? merge(
    local.lambda_alarms, local.sink_alarms, local.given_up_alarms, local.dropped_alarms, local.publish_alarms
  ) : {}
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
  # Metrics of functions as a widget has them.
  own_metrics = { for function, name in local.function_name : function => {
    for metric in [
      "Records", "Rows", "Duplicates", "DeadLetters", "SinkDeadLetters", "Documents", "SearchThrottled", "FailedBatches",
      "PartialResponses", "BatchMillis", "LakeMillis", "SearchMillis", "KinesisMillis", "KafkaMillis", "PublishedRows",
      "PublishedFiles", "PublishedEntries", "PublishRuns", "PublishBacklog", "FailedPublishRuns", "StoppedLanes",
      "PublishLagMillis", "WatermarkLagMillis", "LateRows", "CompletedPartitions", "ReconcileGap", "InvariantViolations",
    ] : metric => ["Tripline", metric, "FunctionName", name]
  } }

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
      metrics = concat([], [for function in local.ingest : [for metric in ["Records", "Rows", "Duplicates"] : local.own_metrics[function][metric]]]...)
    },
    {
      title = "Dead letters"
      stat  = "Sum"
      metrics = concat(
        [for function in local.ingest : local.own_metrics[function].DeadLetters],
        [for function in local.ingest : local.own_metrics[function].SinkDeadLetters if local.feeds_more[function]],
      )
    },
    {
      title = "Dead letters by reason"
      stat  = "Sum"
      metrics = [
        for function in local.ingest : [{
          expression = "SEARCH('{Tripline,FunctionName,Reason} MetricName=\"DeadLettersByReason\" FunctionName=\"${local.function_name[function]}\"', 'Sum', 300)"
        }]
      ]
    },
    {
      title   = "Published rows and files"
      stat    = "Sum"
      metrics = [for metric in ["PublishedRows", "PublishedFiles", "PublishedEntries"] : local.own_metrics.publish[metric]]
    },
    {
      title   = "Runs of publish"
      stat    = "Sum"
      metrics = [for metric in ["PublishRuns", "PublishBacklog", "FailedPublishRuns", "StoppedLanes"] : local.own_metrics.publish[metric]]
    },
    {
      title = "Batch and sinks, longest (ms)"
      stat  = "Maximum"
      metrics = concat([], [
        for function in local.ingest : [
          for metric in concat(
            ["BatchMillis"], function == "search" ? [] : ["LakeMillis"],
            local.feeds_search[function] ? ["SearchMillis"] : [],
          ) : local.own_metrics[function][metric]
        ]
      ]...)
    },
    {
      title   = "From commit to file, and watermark behind the clock, longest (ms)"
      stat    = "Maximum"
      metrics = [for metric in ["PublishLagMillis", "WatermarkLagMillis"] : local.own_metrics.publish[metric]]
    },
    {
      title   = "Late rows, partitions completed"
      stat    = "Sum"
      metrics = [for metric in ["LateRows", "CompletedPartitions"] : local.own_metrics.publish[metric]]
    },
    {
      title = "What must not be"
      stat  = "Sum"
      metrics = concat(
        [for function in keys(local.function_name) : local.own_metrics[function].InvariantViolations],
        [local.own_metrics.publish.ReconcileGap],
      )
    },
    {
      title   = "Batches that come again, whole or in part"
      stat    = "Sum"
      metrics = concat([], [for function in local.ingest : [for metric in ["FailedBatches", "PartialResponses"] : local.own_metrics[function][metric]]]...)
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
        for function in local.ingest : [for metric in ["Documents", "SearchThrottled"] : local.own_metrics[function][metric]] if local.feeds_search[function]
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
