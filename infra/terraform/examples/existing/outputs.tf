output "bucket_policy_statements" {
  description = "What belongs into your bucket's policy, as JSON."
  value       = jsonencode(module.lake.bucket_policy_statements)
}

output "function_security_group_id" {
  description = "The functions' group, which your cluster has to let in; null without a VPC."
  value       = var.vpc == null ? null : module.network[0].function_security_group_id
}

output "role_arns" {
  description = "The functions' roles, of which your cluster has to know the one for search."
  value       = module.pipeline.role_arns
}

output "redrive" {
  description = "What brings batches back that the mapping gave up."
  value       = module.pipeline.redrive_commands
}
