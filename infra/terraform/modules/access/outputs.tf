output "security_group_id" {
  description = "Group of the instance: let it come in where ports are to be forwarded to."
  value       = aws_security_group.this.id
}

output "instance_id" {
  description = "The instance to start sessions with."
  value       = aws_instance.this.id
}
