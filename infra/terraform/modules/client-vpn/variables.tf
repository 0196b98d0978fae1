variable "name" {
  description = "Name of the deployment."
  type        = string
}

variable "network" {
  description = "The VPC, its addresses, and the private subnet that clients are let into: each costs by the hour."
  type        = object({ vpc_id = string, cidr = string, subnet_id = string })
}

variable "client_cidr" {
  description = "Addresses for clients, from /12 to /22, overlapping with nobody's."
  type        = string
  default     = "10.250.0.0/22"

  validation {
    condition     = can(cidrhost(var.client_cidr, 0)) && try(tonumber(split("/", var.client_cidr)[1]) >= 12 && tonumber(split("/", var.client_cidr)[1]) <= 22, false)
    error_message = "A CIDR block from /12 to /22."
  }
}

variable "server_certificate_arn" {
  description = "Certificate of the endpoint, in ACM."
  type        = string
}

variable "saml_provider_arn" {
  description = "IAM's SAML provider that users sign in with. Or client_certificate_arn."
  type        = string
  default     = null

  validation {
    condition     = (var.saml_provider_arn == null) != (var.client_certificate_arn == null)
    error_message = "Set saml_provider_arn or client_certificate_arn, one of them."
  }
}

variable "client_certificate_arn" {
  description = "Certificate of the authority, in ACM, whose clients may sign in. Or saml_provider_arn."
  type        = string
  default     = null
}

variable "kms_key_arn" {
  description = "Key for the log of connections; null takes AWS' own."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Days that the log of connections is kept."
  type        = number
  default     = 90
}

variable "tags" {
  description = "Tags for every resource."
  type        = map(string)
  default     = {}
}
