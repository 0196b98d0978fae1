# A stream, a lake and the functions between them, without a VPC: minutes to put up, and destroyed whole.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { project = "tripline", deployment = var.name }
  }
}

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  package_folder = var.package_folder != null ? var.package_folder : "${path.module}/../../../../target/lambda"
  bucket         = "${var.name}-lake-${data.aws_caller_identity.current.account_id}-${data.aws_region.current.name}"
}

module "stream" {
  source = "../../modules/stream"

  name = var.name
}

module "lake" {
  source = "../../modules/lake"

  name          = var.name
  bucket        = local.bucket
  prefix        = var.pipeline
  tables        = jsondecode(file("${path.module}/../../tables/${var.pipeline}.json"))
  force_destroy = var.force_destroy
}

module "pipeline" {
  source = "../../modules/pipeline"

  name           = var.name
  package_folder = local.package_folder
  architecture   = var.architecture
  source_stream  = { arn = module.stream.arn, kms_key_arn = module.stream.kms_key_arn, retention_hours = module.stream.retention_hours }
  lake           = { bucket = module.lake.bucket, prefix = module.lake.prefix, kms_key_arn = module.lake.kms_key_arn }
  alarms         = { emails = var.alarm_emails }
  # A new account may have too few concurrent executions to reserve any.
  publish       = { reserved_concurrency = -1 }
  force_destroy = var.force_destroy
}
