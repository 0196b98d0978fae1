variable "name" {
  description = "Name of the domain or collection."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,27}$", var.name))
    error_message = "3 to 28 lower-case letters, digits and dashes, a letter first."
  }
}

variable "kind" {
  description = "domain, or serverless for a collection of type SEARCH, which takes ids of documents as time series collections do not."
  type        = string
  default     = "domain"

  validation {
    condition     = contains(["domain", "serverless"], var.kind)
    error_message = "domain or serverless."
  }
}

variable "network" {
  description = "The VPC, its private subnets (as many are used as there are zones), and the groups that may come in, by a name of your choice."
  type = object({
    vpc_id                    = string
    subnet_ids                = list(string)
    client_security_group_ids = map(string)
  })
}

variable "client_role_arns" {
  description = "Roles that index: those of the ingest functions. A domain with fine-grained access wants them mapped to a role of its own, too: infra/README.md."
  type        = list(string)
  default     = []
}

variable "admin_arns" {
  description = "Roles or users that may use every API of the cluster: for `tripline setup`, Dashboards, and mapping roles."
  type        = list(string)
  default     = []
}

variable "master_arn" {
  description = "The role or user that fine-grained access begins with. Needed for a domain."
  type        = string
  default     = null

  validation {
    condition     = var.kind == "serverless" || var.master_arn != null
    error_message = "A domain needs master_arn."
  }
}

variable "engine_version" {
  description = "Version of a domain's engine."
  type        = string
  default     = "OpenSearch_2.19"

  validation {
    condition     = can(regex("^OpenSearch_[2-9]\\.[0-9]+$", var.engine_version))
    error_message = "OpenSearch_2.x or later."
  }
}

variable "instances" {
  description = "Data nodes of a domain, one zone each up to three, and dedicated masters if any. Requests to small types (t3.small, *.large of older generations) may have 10 MiB at most; Tripline's have 5."
  type = object({
    type         = optional(string, "r7g.large.search")
    count        = optional(number, 3)
    zones        = optional(number, 3)
    volume_gib   = optional(number, 100)
    master_type  = optional(string)
    master_count = optional(number, 3)
  })
  default = {}

  validation {
    condition     = contains([1, 2, 3], var.instances.zones) && var.instances.count % var.instances.zones == 0
    error_message = "1, 2 or 3 zones, with equally many nodes in each."
  }

  validation {
    condition     = var.instances.volume_gib >= 10
    error_message = "10 GiB or more a node."
  }
}

variable "standby_replicas" {
  description = "Keep a serverless collection in a second zone, which costs twice as much."
  type        = bool
  default     = true
}

variable "kms_key_arn" {
  description = "Key to encrypt with; null takes AWS' own."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Days that a domain's logs are kept."
  type        = number
  default     = 30
}

variable "log_policy" {
  description = "Make the policy by which domains may write logs. false where the account has one: there may be ten in a region."
  type        = bool
  default     = true
}

variable "service_linked_role" {
  description = "Make the account's role AWSServiceRoleForAmazonOpenSearchService, which a domain in a VPC needs and which there is once per account."
  type        = bool
  default     = false
}

variable "alarm_topic_arn" {
  description = "Where alarms of a domain go."
  type        = string
  default     = null
}

variable "alarms" {
  description = "When a domain's alarms go off."
  type = object({
    free_storage_mib = optional(number, 20480)
    cpu_percent      = optional(number, 80)
    memory_percent   = optional(number, 85)
  })
  default = {}
}

variable "create_alarms" {
  description = "Make alarms for a domain. Needs alarm_topic_arn."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags for every resource."
  type        = map(string)
  default     = {}
}
