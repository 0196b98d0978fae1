variable "name" {
  description = "Name of the deployment."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "2 to 31 lower-case letters, digits and dashes, a letter first."
  }
}

variable "plugin" {
  description = "Where the archive of the MSK Data Generator (github.com/awslabs/amazon-msk-data-generator) is that you put into a bucket."
  type        = object({ bucket_arn = string, key = string })
}

variable "cluster" {
  description = "The cluster: its ARN, its bootstrap brokers for IAM, and its group, which the workers have, too."
  type        = object({ arn = string, bootstrap_brokers = string, security_group_id = string })
}

variable "subnet_ids" {
  description = "Private subnets of the workers."
  type        = list(string)
}

variable "connect_version" {
  description = "Version of Kafka Connect."
  type        = string
  default     = "2.7.1"
}

variable "topics" {
  description = "Topics that the connector writes to."
  type        = set(string)
  default     = ["impressions", "clicks"]
}

variable "configuration" {
  description = "What the connector makes up; by default impressions and clicks, as pipelines/adtech reads them."
  type        = map(string)
  default = {
    "genkp.impressions.with"                        = "#{Code.isbn10}"
    "genv.impressions.bid_id.with"                  = "#{Code.isbn10}"
    "genv.impressions.campaign_id.with"             = "#{Code.isbn10}"
    "genv.impressions.creative_details.with"        = "#{Color.name}"
    "genv.impressions.country_code.with"            = "#{Address.countryCode}"
    "genkp.clicks.with"                             = "#{Code.isbn10}"
    "genv.clicks.correlation_id.sometimes.matching" = "impressions.value.bid_id"
    "genv.clicks.correlation_id.sometimes.with"     = "NA"
    "genv.clicks.tracker.with"                      = "#{Lorem.characters '15'}"
    "global.throttle.ms"                            = "500"
    "global.history.records.max"                    = "1000"
  }
}

variable "kms_key_arn" {
  description = "Key for the logs; null takes AWS' own."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags for every resource."
  type        = map(string)
  default     = {}
}
