# The Kinesis stream that records come from.

resource "aws_kinesis_stream" "this" {
  name             = var.name
  retention_period = var.retention_hours
  shard_count      = var.mode == "PROVISIONED" ? var.shard_count : null
  encryption_type  = "KMS"
  kms_key_id       = var.kms_key_arn == null ? "alias/aws/kinesis" : var.kms_key_arn

  # A stream with registered consumers could not be destroyed otherwise.
  enforce_consumer_deletion = true

  stream_mode_details {
    stream_mode = var.mode
  }

  tags = var.tags
}
