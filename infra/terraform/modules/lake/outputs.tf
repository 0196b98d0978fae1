output "bucket" {
  description = "Name of the bucket."
  value       = local.bucket
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = local.bucket_arn
}

output "prefix" {
  description = "The lake's prefix."
  value       = var.prefix
}

output "url" {
  description = "Where the lake is, as TRIPLINE_LAKE has it."
  value       = local.lake_url
}

output "kms_key_arn" {
  description = "The customer managed key, null where it is S3's."
  value       = var.kms_key_arn
}

output "database" {
  description = "Name of the Glue database."
  value       = aws_glue_catalog_database.this.name
}

output "workgroup" {
  description = "Name of the Athena workgroup, null where there is none."
  value       = var.athena.create ? aws_athena_workgroup.this[0].name : null
}

output "success_pattern" {
  description = "Event pattern, as JSON, of a rule on the default bus that picks complete partitions."
  value       = jsonencode(local.success_pattern)
}

output "bucket_policy_statements" {
  description = "Statements for the policy of a bucket that is not made here."
  value       = concat(local.transport_statements, local.conditional_statements)
}
