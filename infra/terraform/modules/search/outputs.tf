output "search" {
  description = "What the module `pipeline` takes as `search`."
  value = {
    url  = local.is_domain ? "https://${aws_opensearch_domain.this[0].endpoint}" : aws_opensearchserverless_collection.this[0].collection_endpoint
    arn  = local.is_domain ? aws_opensearch_domain.this[0].arn : aws_opensearchserverless_collection.this[0].arn
    kind = var.kind
  }
}

output "host" {
  description = "Host name of the cluster, to forward a port to."
  value       = local.is_domain ? aws_opensearch_domain.this[0].endpoint : trimprefix(aws_opensearchserverless_collection.this[0].collection_endpoint, "https://")
}

output "security_group_id" {
  description = "Group of the cluster."
  value       = aws_security_group.this.id
}
