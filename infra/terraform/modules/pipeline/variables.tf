variable "name" {
  description = "Name of the deployment: functions, roles, log groups, alarms and the dashboard are named by it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "2 to 31 lower-case letters, digits and dashes, a letter first."
  }
}

variable "package_folder" {
  description = "Folder with ingest.zip and publish.zip, as `make package` leaves them in target/lambda. The pipeline is in the zips."
  type        = string
}

variable "architecture" {
  description = "What the zips are built for: x86_64 (`make package`) or arm64."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "x86_64 or arm64."
  }
}

variable "lake" {
  description = "Where the lake is, and the customer managed key that its bucket encrypts with, if any."
  type        = object({ bucket = string, prefix = string, kms_key_arn = optional(string) })
}

variable "source_stream" {
  description = "The Kinesis stream to read, and the customer managed key that it is encrypted with, if any. Or source_kafka."
  type        = object({ arn = string, kms_key_arn = optional(string), retention_hours = optional(number) })
  default     = null

  validation {
    condition     = (var.source_stream == null) != (var.source_kafka == null)
    error_message = "Set source_stream or source_kafka, one of them."
  }
}

variable "source_kafka" {
  description = "The MSK cluster and the topics to read, a mapping for each. Only provisioned pollers take partial responses: without them one refused record fails its whole batch."
  type = object({
    cluster_arn = string
    topics      = set(string)
    pollers     = optional(object({ minimum = optional(number, 1), maximum = optional(number, 4) }), {})
    on_demand   = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.source_kafka == null || try(length(var.source_kafka.topics) > 0, false)
    error_message = "Name a topic."
  }
}

variable "source_epoch" {
  description = "TRIPLINE_SOURCE_EPOCH: change it when the stream or topic is made anew under its old name."
  type        = string
  default     = ""
}

# There is no variable for the parallelization factor: it is 1. A shard must be delivered in order, or records that come
# behind later ones are taken for duplicates and lost.
variable "mapping" {
  description = "Settings of the event source mapping. What Lambda gives up on, after these retries or this age, goes to the failure bucket and comes back by `tripline redrive --failed-batches`. Batches end at 6 MB whatever batch_size says."
  type = object({
    enabled               = optional(bool, true)
    starting_position     = optional(string, "TRIM_HORIZON")
    batch_size            = optional(number, 10000)
    batching_window       = optional(number, 5)
    maximum_retries       = optional(number, 1000)
    maximum_record_age    = optional(number, 86400)
    consumer_group_prefix = optional(string)
  })
  default = {}

  validation {
    condition     = var.mapping.batch_size >= 1 && var.mapping.batch_size <= 10000
    error_message = "batch_size is 1 to 10000."
  }

  validation {
    condition     = var.mapping.batching_window >= 1 && var.mapping.batching_window <= 300
    error_message = "batching_window is 1 to 300 seconds: each batch costs one PUT."
  }

  validation {
    condition     = var.mapping.maximum_retries >= 0 && var.mapping.maximum_retries <= 10000
    error_message = "maximum_retries is 0 to 10000: finite, so that a poison batch ends at the failure bucket and not with the stream's retention."
  }

  validation {
    condition     = var.mapping.maximum_record_age >= 60 && var.mapping.maximum_record_age <= 604800
    error_message = "maximum_record_age is 60 to 604800 seconds."
  }

  validation {
    condition     = try(var.mapping.maximum_record_age < var.source_stream.retention_hours * 3600, true)
    error_message = "maximum_record_age must be less than the stream's retention: what expires in the stream never comes to the failure bucket."
  }

  validation {
    condition     = contains(["TRIM_HORIZON", "LATEST"], var.mapping.starting_position)
    error_message = "TRIM_HORIZON or LATEST. What LATEST skips is not in the lake."
  }
}

variable "search" {
  description = "The OpenSearch domain or Serverless collection to index in, if any: its URL, its ARN, and its kind, domain or serverless."
  type        = object({ url = string, arn = string, kind = optional(string, "domain") })
  default     = null

  validation {
    condition     = var.search == null || can(regex("^https://", var.search.url))
    error_message = "The URL begins with https://."
  }

  validation {
    condition     = var.search == null || contains(["domain", "serverless"], try(var.search.kind, ""))
    error_message = "The kind is domain or serverless."
  }
}

variable "separate_search" {
  description = "Feed lake and search by a function each, with a position each in the stream, so that the lake does not wait while the cluster is out. Needs search."
  type        = bool
  default     = false

  validation {
    condition     = !var.separate_search || var.search != null
    error_message = "separate_search needs search."
  }
}

variable "sink_stream" {
  description = "A Kinesis stream that events go on into, if any, and the customer managed key that it is encrypted with."
  type        = object({ arn = string, kms_key_arn = optional(string) })
  default     = null
}

variable "sink_kafka" {
  description = "A Kafka topic that events go on into, if any: needs zips of `make package KAFKA=1`. With security msk-iam the function signs in with its role, which gets the rights on this topic of cluster_arn; what other ways need (TRIPLINE_KAFKA_USER, …) goes through environment. The function needs a way to the brokers: vpc."
  type        = object({ brokers = string, topic = string, security = optional(string, "msk-iam"), cluster_arn = optional(string) })
  default     = null

  validation {
    condition     = var.sink_kafka == null || contains(["msk-iam", "tls", "scram-sha-512", "scram-sha-256", "plain", "plaintext"], try(var.sink_kafka.security, ""))
    error_message = "security is msk-iam, tls, scram-sha-512, scram-sha-256, plain or plaintext."
  }

  validation {
    condition     = try(var.sink_kafka.security, "") != "msk-iam" || can(regex("^arn:[a-z-]+:kafka:[^:]+:[0-9]+:cluster/", var.sink_kafka.cluster_arn))
    error_message = "msk-iam needs the cluster's ARN, cluster_arn."
  }

  validation {
    condition     = var.sink_kafka == null || can(regex("^[a-zA-Z0-9._-]{1,249}$", var.sink_kafka.topic))
    error_message = "topic is one name: letters, digits, and any of . _ -"
  }
}

variable "backfill_sources" {
  description = "Where objects lie that the function for the lake may read to bring them in, each an ARN of bucket and prefix, as in arn:aws:s3:::archive/trips/. None by default. Objects under a key of yours need kms:Decrypt on it besides."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.backfill_sources : can(regex("^arn:[a-z-]+:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^*?]+/$", arn))])
    error_message = "ARNs of a bucket and a prefix that ends in a slash, without wildcards: arn:aws:s3:::archive/trips/"
  }
}

variable "backfill_notifications" {
  description = "Let S3 invoke the function for the lake with objects of these buckets. The buckets' notifications are yours to set up."
  type        = bool
  default     = false

  validation {
    condition     = !var.backfill_notifications || length(var.backfill_sources) > 0
    error_message = "Notifications need backfill_sources."
  }
}

variable "environment" {
  description = "Further variables for all functions, as in README.md, Configuration."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.environment) : startswith(name, "TRIPLINE_")])
    error_message = "Names begin with TRIPLINE_."
  }

  validation {
    condition = length(setintersection(keys(var.environment), [
      "TRIPLINE_LAKE", "TRIPLINE_PARTIAL_RESPONSES", "TRIPLINE_CHECK_MAPPING", "TRIPLINE_SOURCE_EPOCH", "TRIPLINE_SINKS",
      "TRIPLINE_LAKE_ELSEWHERE", "TRIPLINE_OPENSEARCH_URL", "TRIPLINE_OPENSEARCH_AUTH", "TRIPLINE_OPENSEARCH_SERVICE",
      "TRIPLINE_KINESIS_STREAM", "TRIPLINE_KAFKA_BROKERS", "TRIPLINE_KAFKA_TOPIC", "TRIPLINE_KAFKA_SECURITY",
    ])) == 0
    error_message = "This module sets one of these itself, to what the mapping and the sinks are."
  }
}

variable "check_mapping" {
  description = "TRIPLINE_CHECK_MAPPING: ingest asks Lambda for its own mappings and refuses to work under one that loses records. In a VPC it needs a way to Lambda's API: the interface endpoint lambda."
  type        = bool
  default     = true
}

variable "ingest" {
  description = "Size of each ingest function. Its concurrency is the number of shards."
  type = object({
    memory               = optional(number, 1024)
    timeout              = optional(number, 120)
    reserved_concurrency = optional(number, -1)
  })
  default = {}

  validation {
    condition     = var.ingest.timeout >= 60 && var.ingest.timeout <= 900
    error_message = "60 to 900 seconds: a request to S3 is given up after 30 seconds and repeated."
  }

  validation {
    condition     = var.ingest.memory >= 256 && var.ingest.memory <= 10240
    error_message = "256 to 10240 MB."
  }

  validation {
    condition     = var.ingest.reserved_concurrency == -1 || var.ingest.reserved_concurrency >= 1
    error_message = "-1 for none, or 1 or more."
  }
}

variable "publish" {
  description = "Size and schedule of publish. Runs may overlap; one of them gives way."
  type = object({
    memory               = optional(number, 1024)
    timeout              = optional(number, 900)
    reserved_concurrency = optional(number, 2)
    every_minutes        = optional(number, 5)
  })
  default = {}

  validation {
    condition     = var.publish.timeout >= 60 && var.publish.timeout <= 900
    error_message = "60 to 900 seconds. It stops by itself when its time runs out, and goes on in the next run."
  }

  validation {
    condition     = var.publish.memory >= 512 && var.publish.memory <= 10240
    error_message = "512 to 10240 MB: it holds about twice TRIPLINE_PUBLISH_BYTES."
  }

  validation {
    condition     = var.publish.every_minutes >= 5 && var.publish.every_minutes <= 15
    error_message = "Every 5 to 15 minutes: less makes small files, more lets rows wait."
  }

  validation {
    condition     = var.publish.reserved_concurrency == -1 || var.publish.reserved_concurrency >= 1
    error_message = "-1 for none, or 1 or more."
  }
}

variable "vpc" {
  description = "Subnets and security groups of the functions, where a private cluster wants them in a VPC. null: no VPC, no endpoints, no cost of them."
  type        = object({ subnet_ids = list(string), security_group_ids = list(string) })
  default     = null
}

variable "failure_bucket_arn" {
  description = "A bucket for batches that the mapping gives up, of nobody else's. null makes one."
  type        = string
  default     = null
}

variable "failure_days" {
  description = "Days after which batches that were given up are deleted from the bucket that is made here."
  type        = number
  default     = 30

  validation {
    condition     = var.failure_days >= 14
    error_message = "14 days or more: they are the only copy of their records."
  }
}

variable "force_destroy" {
  description = "Delete what is in the failure bucket when it is destroyed."
  type        = bool
  default     = false
}

variable "kms_key_arn" {
  description = "Key for log groups, environment variables, failure bucket and topic, as the module `key` makes it; null takes AWS' own."
  type        = string
  default     = null
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles, where the organisation wants one."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Days that log lines are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "One of the values that CloudWatch Logs takes: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, …"
  }
}

variable "tracing" {
  description = "Trace invocations with X-Ray."
  type        = bool
  default     = false
}

variable "alarms" {
  description = "Alarms, where they go, and when they go off. topic_arn: an SNS topic that is there, else one is made. watermark_lag_ms: none, as event times may be old."
  type = object({
    create               = optional(bool, true)
    topic_arn            = optional(string)
    emails               = optional(set(string), [])
    iterator_age_ms      = optional(number, 300000)
    offset_lag           = optional(number, 100000)
    ingest_errors        = optional(number, 5)
    publish_errors       = optional(number, 1)
    throttles            = optional(number, 10)
    dead_letters         = optional(number, 1)
    publish_silence_runs = optional(number, 4)
    publish_backlog_runs = optional(number, 6)
    given_up_batches     = optional(number, 1)
    stopped_lanes        = optional(number, 1)
    publish_lag_ms       = optional(number, 1800000)
    watermark_lag_ms     = optional(number)
    invariant_violations = optional(number, 1)
  })
  default = {}
}

variable "dashboard" {
  description = "Make a CloudWatch dashboard."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags for every resource."
  type        = map(string)
  default     = {}
}
