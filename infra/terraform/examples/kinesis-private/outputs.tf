output "stream" {
  description = "Where to send events."
  value       = module.stream.name
}

output "lake" {
  description = "Where the tables are."
  value       = module.lake.url
}

output "search" {
  description = "URL of the domain."
  value       = module.search.search.url
}

output "functions" {
  description = "Names of the functions."
  value       = var.deploy_pipeline ? module.pipeline[0].function_names : {}
}

output "search_role_arn" {
  description = "The role that the domain's fine-grained access has to know: infra/README.md says how."
  value       = var.deploy_pipeline ? module.pipeline[0].role_arns["search"] : null
}

output "dashboards" {
  description = "What forwards OpenSearch Dashboards to https://localhost:8443/_dashboards."
  value = join(" ", [
    "aws ssm start-session --target ${module.access.instance_id}",
    "--document-name AWS-StartPortForwardingSessionToRemoteHost",
    "--parameters host=${module.search.host},portNumber=443,localPortNumber=8443",
  ])
}

output "redrive" {
  description = "What brings batches back that the mapping gave up."
  value       = var.deploy_pipeline ? module.pipeline[0].redrive_commands : {}
}
