# S3 tells EventBridge of each new object, at least once, and a rule picks the `_SUCCESS` of a partition that is complete.
# The functions need no further right for it.

locals {
  success_pattern = {
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = {
      bucket = { name = [var.bucket] }
      object = { key = [{ wildcard = "${var.prefix}/*/_SUCCESS" }] }
    }
  }
}

resource "aws_s3_bucket_notification" "this" {
  count = var.create_bucket && var.success_events.enabled ? 1 : 0

  bucket      = aws_s3_bucket.this[0].id
  eventbridge = true
}

resource "aws_cloudwatch_event_rule" "success" {
  count = var.success_events.target_arn == null ? 0 : 1

  name          = "${var.name}-success"
  description   = "Partitions of ${local.lake_url} that are complete, or have more rows since."
  event_pattern = jsonencode(local.success_pattern)
  tags          = var.tags
}

resource "aws_cloudwatch_event_target" "success" {
  count = var.success_events.target_arn == null ? 0 : 1

  rule     = aws_cloudwatch_event_rule.success[0].name
  arn      = var.success_events.target_arn
  role_arn = var.success_events.role_arn
}
