output "arn" {
  description = "ARN of the stream."
  value       = aws_kinesis_stream.this.arn
}

output "name" {
  description = "Name of the stream."
  value       = aws_kinesis_stream.this.name
}

output "retention_hours" {
  description = "How long records stay in the stream."
  value       = aws_kinesis_stream.this.retention_period
}

output "kms_key_arn" {
  description = "The customer managed key, null where it is AWS'."
  value       = var.kms_key_arn
}
