output "security_group_id" {
  description = "Group of the clients: let it come in where they should."
  value       = aws_security_group.this.id
}

output "endpoint_id" {
  description = "The endpoint: `aws ec2 export-client-vpn-client-configuration` writes what clients need."
  value       = aws_ec2_client_vpn_endpoint.this.id
}
