variable "region" {
  description = "Region; null takes the one of the environment (AWS_REGION or the profile)."
  type        = string
  default     = null
}

variable "name" {
  description = "Name of the deployment and of its functions."
  type        = string
}

variable "pipeline" {
  description = "Which pipeline is in the zips, and so which tables there are: a file of infra/terraform/tables."
  type        = string
  default     = "taxi"
}

variable "package_folder" {
  description = "Folder with ingest.zip and publish.zip; null takes target/lambda, where `make package` leaves them."
  type        = string
  default     = null
}

variable "architecture" {
  description = "What the zips are built for."
  type        = string
  default     = "x86_64"
}

variable "source_stream" {
  description = "Your stream, its key if that is yours, too, and its retention."
  type        = object({ arn = string, kms_key_arn = optional(string), retention_hours = optional(number) })
}

variable "bucket" {
  description = "Your bucket. Put the output bucket_policy_statements into its policy, and a rule into its lifecycle that aborts uploads after 7 days or more."
  type        = string
}

variable "prefix" {
  description = "Where the lake begins in it."
  type        = string
}

variable "kms_key_arn" {
  description = "The key that your bucket encrypts with, if it is yours."
  type        = string
  default     = null
}

variable "results_location" {
  description = "Where Athena puts results (s3://…/); null makes no workgroup."
  type        = string
  default     = null
}

variable "search" {
  description = "Your domain or collection, if any."
  type        = object({ url = string, arn = string, kind = optional(string, "domain") })
  default     = null
}

variable "vpc" {
  description = "Your VPC, where the cluster is private."
  type        = object({ vpc_id = string, subnet_ids = list(string), route_table_ids = list(string) })
  default     = null
}

variable "s3_endpoint" {
  description = "Make a gateway endpoint for S3 in your VPC. false where it has one."
  type        = bool
  default     = false
}

variable "endpoints" {
  description = "Interface endpoints to make in your VPC."
  type        = set(string)
  default     = []
}

variable "check_mapping" {
  description = "Let ingest look at its own mapping. In a VPC it needs a way to Lambda's API."
  type        = bool
  default     = true
}

variable "failure_bucket_arn" {
  description = "Your bucket for batches that the mapping gives up; null makes one."
  type        = string
  default     = null
}

variable "alarm_topic_arn" {
  description = "Your topic for alarms; null makes one."
  type        = string
  default     = null
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles."
  type        = string
  default     = null
}
