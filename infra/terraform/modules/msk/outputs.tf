output "arn" {
  description = "ARN of the cluster."
  value       = local.is_provisioned ? aws_msk_cluster.this[0].arn : aws_msk_serverless_cluster.this[0].arn
}

output "bootstrap_brokers" {
  description = "Bootstrap brokers for clients that prove themselves with IAM."
  value       = local.is_provisioned ? aws_msk_cluster.this[0].bootstrap_brokers_sasl_iam : aws_msk_serverless_cluster.this[0].bootstrap_brokers_sasl_iam
}

output "security_group_id" {
  description = "Group of the brokers, and of what polls them."
  value       = aws_security_group.this.id
}
