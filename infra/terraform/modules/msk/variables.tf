variable "name" {
  description = "Name of the cluster."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "2 to 31 lower-case letters, digits and dashes, a letter first."
  }
}

variable "kind" {
  description = "provisioned, or serverless."
  type        = string
  default     = "provisioned"

  validation {
    condition     = contains(["provisioned", "serverless"], var.kind)
    error_message = "provisioned or serverless."
  }
}

variable "network" {
  description = "The VPC, private subnets in as many zones as there are brokers or a divisor of that, and the groups that may come in, by a name of your choice."
  type = object({
    vpc_id                    = string
    subnet_ids                = list(string)
    client_security_group_ids = optional(map(string), {})
  })
}

variable "kafka_version" {
  description = "Version of Kafka of a provisioned cluster."
  type        = string
  default     = "3.8.x"
}

variable "brokers" {
  description = "Brokers of a provisioned cluster: how many, of which type, with how much disk."
  type = object({
    count      = optional(number, 3)
    type       = optional(string, "kafka.m7g.large")
    volume_gib = optional(number, 100)
  })
  default = {}

  validation {
    condition     = var.brokers.count % length(var.network.subnet_ids) == 0
    error_message = "Equally many brokers in each subnet."
  }
}

variable "server_properties" {
  description = "Properties of the brokers, over those that are set here."
  type        = map(string)
  default     = {}
}

variable "kms_key_arn" {
  description = "Key to encrypt data and logs with; null takes AWS' own."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Days that the brokers' logs are kept."
  type        = number
  default     = 14
}

variable "tags" {
  description = "Tags for every resource."
  type        = map(string)
  default     = {}
}
