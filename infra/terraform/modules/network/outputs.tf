output "vpc_id" {
  description = "Id of the VPC."
  value       = local.vpc_id
}

output "cidr" {
  description = "Addresses of the VPC that is made here, null for one that is there."
  value       = local.made ? var.cidr : null
}

output "subnet_ids" {
  description = "Private subnets, one in each zone."
  value       = local.subnet_ids
}

output "route_table_ids" {
  description = "Their route tables: routes to a peered network go here."
  value       = local.route_table_ids
}

output "function_security_group_id" {
  description = "Group of the functions."
  value       = aws_security_group.functions.id
}

output "endpoint_security_group_id" {
  description = "Group of the interface endpoints, null where there are none."
  value       = length(aws_security_group.endpoints) > 0 ? aws_security_group.endpoints[0].id : null
}

output "vpc" {
  description = "What the module `pipeline` takes as `vpc`."
  value       = { subnet_ids = local.subnet_ids, security_group_ids = [aws_security_group.functions.id] }
}
