variable "name" {
  description = "Name of the deployment."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "2 to 31 lower-case letters, digits and dashes, a letter first."
  }
}

variable "network" {
  description = "The VPC and one of its private subnets, and the group of the endpoints ssm and ssmmessages there."
  type        = object({ vpc_id = string, subnet_id = string, endpoint_security_group_id = string })
}

variable "instance_type" {
  description = "Type of the instance, of ARM. It does nothing but forward."
  type        = string
  default     = "t4g.nano"
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the role, where the organisation wants one."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags for every resource."
  type        = map(string)
  default     = {}
}
