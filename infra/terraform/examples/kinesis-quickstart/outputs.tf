output "stream" {
  description = "Where to send events."
  value       = module.stream.name
}

output "lake" {
  description = "Where the tables are."
  value       = module.lake.url
}

output "database" {
  description = "Where Athena finds them."
  value       = module.lake.database
}

output "workgroup" {
  description = "Athena's workgroup."
  value       = module.lake.workgroup
}

output "functions" {
  description = "Names of the functions."
  value       = module.pipeline.function_names
}

output "mappings" {
  description = "UUIDs of the event source mappings."
  value       = module.pipeline.mapping_ids
}

output "failure_bucket_arn" {
  description = "Where batches are that the mapping gave up."
  value       = module.pipeline.failure_bucket_arn
}

output "redrive" {
  description = "What brings batches back that the mapping gave up."
  value       = module.pipeline.redrive_commands
}

output "dashboard" {
  description = "Name of the CloudWatch dashboard."
  value       = module.pipeline.dashboard
}
