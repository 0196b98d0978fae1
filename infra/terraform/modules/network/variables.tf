variable "name" {
  description = "Name of the deployment."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "2 to 31 lower-case letters, digits and dashes, a letter first."
  }
}

variable "cidr" {
  description = "Addresses of the VPC. For peering it must overlap with no other network's."
  type        = string
  default     = "10.42.0.0/16"

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "A CIDR block from /16 to /20."
  }
}

variable "zones" {
  description = "Availability zones: 3, or 2 to save on endpoints, which cost per zone."
  type        = number
  default     = 3

  validation {
    condition     = contains([2, 3], var.zones)
    error_message = "2 or 3."
  }
}

variable "zone_names" {
  description = "The zones by name, as in [\"eu-central-1a\", …]: pins them where the region may get further ones, or where a service is not in all. null takes the region's first."
  type        = list(string)
  default     = null

  validation {
    condition     = var.zone_names == null || try(length(var.zone_names), 0) == var.zones
    error_message = "As many names as there are zones."
  }
}

variable "existing" {
  description = "A VPC that is there, its private subnets and their route tables: only security groups and endpoints are made in it. DNS resolution and DNS host names must be on."
  type        = object({ vpc_id = string, subnet_ids = list(string), route_table_ids = list(string) })
  default     = null
}

variable "endpoints" {
  description = "Interface endpoints, each with private DNS: any of lambda, sts, kinesis-streams, logs, monitoring, secretsmanager, glue, ssm, ssmmessages, ec2messages. Each costs per zone and hour, so there is none unless it is needed: infra/README.md tells who needs which."
  type        = set(string)
  default     = []

  validation {
    condition = length(setsubtract(var.endpoints, [
      "lambda", "sts", "kinesis-streams", "logs", "monitoring", "secretsmanager", "glue", "ssm", "ssmmessages", "ec2messages",
    ])) == 0
    error_message = "One of them is not known here."
  }
}

variable "s3_endpoint" {
  description = "Make the S3 gateway endpoint, which costs nothing. false where an existing VPC has one."
  type        = bool
  default     = true
}

variable "s3_bucket_arns" {
  description = "Buckets that the S3 endpoint lets through. None: all of this account."
  type        = list(string)
  default     = []
}

variable "nat" {
  description = "A way out into the internet: none, single (one gateway for all zones) or zonal (one in each). Tripline needs none."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "single", "zonal"], var.nat)
    error_message = "none, single or zonal."
  }

  validation {
    condition     = var.nat == "none" || var.existing == null
    error_message = "A VPC that is there has its own ways out."
  }
}

variable "flow_log_days" {
  description = "Days that flow logs are kept; 0 for no flow logs."
  type        = number
  default     = 0
}

variable "kms_key_arn" {
  description = "Key for the flow logs; null takes AWS' own."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags for every resource."
  type        = map(string)
  default     = {}
}
