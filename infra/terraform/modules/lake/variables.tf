variable "name" {
  description = "Name of the deployment: names the Glue database and the Athena workgroup."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "2 to 31 lower-case letters, digits and dashes, a letter first."
  }
}

variable "bucket" {
  description = "Name of the bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket)) && !endswith(var.bucket, "--x-s3")
    error_message = "A name of a general purpose bucket. Tripline refuses directory buckets (S3 Express)."
  }
}

variable "create_bucket" {
  description = "false takes a bucket that is there. Nothing of it is changed: put the output `bucket_policy_statements` into its policy and see to its lifecycle yourself."
  type        = bool
  default     = true
}

variable "prefix" {
  description = "Where the lake begins in the bucket. Each pipeline needs one of its own, and nobody else writes below it."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9_./-]*[a-z0-9]$|^[a-z0-9]$", var.prefix)) && !strcontains(var.prefix, "//") && !startswith(var.prefix, "athena-results")
    error_message = "Lower-case letters, digits and any of _ . - / but no slash at either end, and not below athena-results."
  }
}

variable "kms_key_arn" {
  description = "Key to encrypt with; null encrypts with keys of S3 (SSE-S3), which costs nothing."
  type        = string
  default     = null
}

variable "versioning" {
  description = "Keep what is overwritten or deleted. Entries of the journal that publish deletes are then kept for noncurrent_days as well."
  type        = bool
  default     = false
}

variable "noncurrent_days" {
  description = "With versioning: days after which older versions are deleted."
  type        = number
  default     = 14

  validation {
    condition     = var.noncurrent_days >= 1
    error_message = "1 day or more."
  }
}

variable "abort_uploads_after_days" {
  description = "Days after which unfinished multipart uploads are aborted. Tripline never aborts one, as after a lost answer nobody knows whose it is; and it completes those of a commit days later if need be."
  type        = number
  default     = 7

  validation {
    condition     = var.abort_uploads_after_days >= 7
    error_message = "7 days or more: uploads that a commit lists must outlast a publisher that is away."
  }
}

variable "conditional_writes" {
  description = "Deny writes to journal and checkpoint that state no condition. Every write of Tripline's states one."
  type        = bool
  default     = true
}

variable "force_destroy" {
  description = "Delete what is in the bucket when it is destroyed."
  type        = bool
  default     = false
}

variable "tables" {
  description = "The pipeline's tables, as `tripline ddl --dialect glue-json` writes them from a pipeline file: columns with Glue's types, partition levels from the outermost in, each a part of the event time or a text with its values (none: queries must name one)."
  type = map(object({
    columns = list(object({ name = string, type = string }))
    partitions = list(object({
      name   = string
      kind   = string
      values = optional(list(string), [])
    }))
  }))

  validation {
    condition = alltrue(flatten([
      for table in var.tables : [for level in table.partitions : contains(["year", "month", "day", "hour", "text"], level.kind)]
    ]))
    error_message = "A partition level's kind is year, month, day, hour or text."
  }

  validation {
    condition = alltrue(flatten([
      for table in var.tables : [for column in table.columns : contains(["boolean", "int", "bigint", "double", "string", "timestamp", "binary"], column.type)]
    ]))
    error_message = "A column's type is boolean, int, bigint, double, string, timestamp or binary."
  }

  validation {
    condition     = contains(keys(var.tables), "dead_letter")
    error_message = "The table dead_letter is missing: tripline ddl writes it, too."
  }
}

variable "years" {
  description = "Years that queries look into. Rows outside of them are in the lake, but Athena does not find them."
  type        = object({ first = number, last = number })
  default     = { first = 2009, last = 2040 }

  validation {
    condition     = var.years.first >= 1 && var.years.last <= 9999 && var.years.first <= var.years.last
    error_message = "Two years, the first not after the last."
  }
}

variable "queries" {
  description = "Named queries for Athena, by name."
  type        = map(string)
  default     = {}
}

variable "athena" {
  description = "A workgroup for Athena, whose results go to athena-results/ of the same bucket, or with a bucket that is there to results_location."
  type = object({
    create             = optional(bool, true)
    results_location   = optional(string)
    results_days       = optional(number, 7)
    bytes_scanned_stop = optional(number, 100 * 1024 * 1024 * 1024)
  })
  default = {}

  validation {
    condition     = !var.athena.create || var.create_bucket || var.athena.results_location != null
    error_message = "With a bucket that is there, say where results go (results_location), or create no workgroup."
  }
}

variable "success_events" {
  description = "Let S3 tell EventBridge of new objects, each of which EventBridge counts; and what is to be told of complete partitions: the ARN of a function, queue or state machine, and the role by which EventBridge may, where it needs one. A bucket that is there must be set to tell EventBridge by its owner."
  type = object({
    enabled    = optional(bool, false)
    target_arn = optional(string)
    role_arn   = optional(string)
  })
  default = {}

  validation {
    condition     = var.success_events.target_arn == null || var.success_events.enabled || !var.create_bucket
    error_message = "With a target S3 must tell EventBridge (enabled)."
  }
}

variable "tags" {
  description = "Tags for every resource."
  type        = map(string)
  default     = {}
}
