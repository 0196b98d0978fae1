output "role_arns" {
  description = "ARNs of the functions' roles, by function. They are there before the functions: give search clusters these."
  value       = { for function, role in aws_iam_role.function : function => role.arn }
}

output "function_names" {
  description = "Names of the functions."
  value       = merge({ for key, function in aws_lambda_function.ingest : key => function.function_name }, { publish = aws_lambda_function.publish.function_name })
}

output "mapping_ids" {
  description = "UUIDs of the event source mappings."
  value       = { for key, mapping in aws_lambda_event_source_mapping.this : key => mapping.uuid }
}

output "failure_bucket_arn" {
  description = "Where batches are that the mapping gave up."
  value       = local.failure_bucket_arn
}

output "redrive_commands" {
  description = "What brings batches back that the mapping gave up, by function. Give it the pipeline's folder and the variables of the function."
  value = {
    for function in local.ingest : function => join(" ", compact([
      var.separate_search ? "TRIPLINE_SINKS=${local.environment[function].TRIPLINE_SINKS}" : "",
      "tripline redrive --pipeline <folder> --lake s3://${var.lake.bucket}/${var.lake.prefix}",
      "--failed-batches s3://${local.failure_bucket_arn == null ? "" : element(split(":", local.failure_bucket_arn), 5)}/aws/lambda",
      "--function ${local.function_name[function]}",
      local.feeds_search[function] ? "--opensearch ${var.search.url}" : "",
    ]))
  }
}

output "alarm_topic_arn" {
  description = "Where alarms go."
  value       = local.topic_arn
}

output "dashboard" {
  description = "Name of the dashboard, null where there is none."
  value       = var.dashboard ? aws_cloudwatch_dashboard.this[0].dashboard_name : null
}
