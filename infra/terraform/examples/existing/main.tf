# Only the functions and the tables: stream, bucket, VPC, cluster, key and topic are there.

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

locals {
  package_folder = var.package_folder != null ? var.package_folder : "${path.module}/../../../../target/lambda"
}

module "lake" {
  source = "../../modules/lake"

  name          = var.name
  bucket        = var.bucket
  create_bucket = false
  prefix        = var.prefix
  kms_key_arn   = var.kms_key_arn
  tables        = jsondecode(file("${path.module}/../../tables/${var.pipeline}.json"))
  athena        = { create = var.results_location != null, results_location = var.results_location }
}

# A group for the functions in your VPC. Your cluster's group has to let it in at port 443.
module "network" {
  source = "../../modules/network"
  count  = var.vpc == null ? 0 : 1

  name        = var.name
  existing    = var.vpc
  s3_endpoint = var.s3_endpoint
  endpoints   = var.endpoints
}

module "pipeline" {
  source = "../../modules/pipeline"

  name                     = var.name
  package_folder           = local.package_folder
  architecture             = var.architecture
  source_stream            = var.source_stream
  lake                     = { bucket = module.lake.bucket, prefix = module.lake.prefix, kms_key_arn = var.kms_key_arn }
  search                   = var.search
  separate_search          = var.search != null
  vpc                      = var.vpc == null ? null : module.network[0].vpc
  check_mapping            = var.check_mapping
  failure_bucket_arn       = var.failure_bucket_arn
  alarms                   = { topic_arn = var.alarm_topic_arn }
  permissions_boundary_arn = var.permissions_boundary_arn
}
