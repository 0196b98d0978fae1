variable "name" {
  description = "Name of the stream. A stream that is made anew under its old name needs another source_epoch in the pipeline module."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9_.-]{1,128}$", var.name))
    error_message = "1 to 128 letters, digits, and any of _ . -"
  }
}

variable "mode" {
  description = "ON_DEMAND, or PROVISIONED with shard_count shards."
  type        = string
  default     = "ON_DEMAND"

  validation {
    condition     = contains(["ON_DEMAND", "PROVISIONED"], var.mode)
    error_message = "ON_DEMAND or PROVISIONED."
  }
}

variable "shard_count" {
  description = "Shards of a PROVISIONED stream. Each takes 1 MB or 1,000 records a second, and is one lane of the journal."
  type        = number
  default     = 1

  validation {
    condition     = var.shard_count >= 1 && floor(var.shard_count) == var.shard_count
    error_message = "A whole number, 1 or more."
  }
}

variable "retention_hours" {
  description = "How long records stay in the stream: the longest outage that can be sat out. Longer than the mapping's maximum_record_age_in_seconds, so that what is given up is given up to the failure bucket and not lost."
  type        = number
  default     = 72

  validation {
    condition     = var.retention_hours >= 24 && var.retention_hours <= 8760
    error_message = "24 to 8760 hours."
  }
}

variable "kms_key_arn" {
  description = "Key to encrypt with; null takes the AWS managed key alias/aws/kinesis."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags for every resource."
  type        = map(string)
  default     = {}
}
