variable "region" {
  description = "Region; null takes the one of the environment (AWS_REGION or the profile)."
  type        = string
  default     = null
}

variable "name" {
  description = "Name of the deployment, of its stream and of its functions."
  type        = string
  default     = "tripline-trips"
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

variable "alarm_emails" {
  description = "Who gets alarms. Each address has to be confirmed."
  type        = set(string)
  default     = []
}

variable "force_destroy" {
  description = "Let `terraform destroy` delete the lake and the batches that were given up, too."
  type        = bool
  default     = false
}

variable "deploy_pipeline" {
  description = "Put up the functions. false puts up only what they need, which takes longer."
  type        = bool
  default     = true
}

variable "cidr" {
  description = "Addresses of the VPC."
  type        = string
  default     = "10.42.0.0/16"
}

variable "search_master_arn" {
  description = "The role or user that the domain's fine-grained access begins with: yours."
  type        = string
}

variable "search_admin_arns" {
  description = "Further roles or users that may use every API of the domain."
  type        = list(string)
  default     = []
}

variable "engine_version" {
  description = "Version of the domain's engine."
  type        = string
  default     = "OpenSearch_2.19"
}

variable "instances" {
  description = "Nodes of the domain, as the module `search` takes them."
  type = object({
    type         = optional(string, "r7g.large.search")
    count        = optional(number, 3)
    zones        = optional(number, 3)
    volume_gib   = optional(number, 100)
    master_type  = optional(string)
    master_count = optional(number, 3)
  })
  default = {}
}

variable "service_linked_role" {
  description = "Make the account's role for domains in a VPC. Once per account: true if `terraform apply` says that it is missing."
  type        = bool
  default     = false
}

variable "tracing" {
  description = "Trace invocations with X-Ray."
  type        = bool
  default     = false
}
