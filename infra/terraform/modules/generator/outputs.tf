output "connector_arn" {
  description = "ARN of the connector."
  value       = aws_mskconnect_connector.this.arn
}
