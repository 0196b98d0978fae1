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
  default     = true
}
