# A stream, a lake and a domain of OpenSearch that no address outside of the VPC reaches. The functions are in the VPC, and
# lake and search have one each, so that the lake goes on while the cluster is out.
#
# In two steps, if you like: `terraform apply -var deploy_pipeline=false` puts up what takes long, a later apply the
# functions.

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
  account        = data.aws_caller_identity.current.account_id
  package_folder = var.package_folder != null ? var.package_folder : "${path.module}/../../../../target/lambda"
  bucket         = "${var.name}-lake-${local.account}-${data.aws_region.current.name}"
  # With a pipeline, its topic takes the cluster's alarms, too.
  topic_arn = var.deploy_pipeline ? module.pipeline[0].alarm_topic_arn : null
}

module "key" {
  source = "../../modules/key"

  name = var.name
}

module "network" {
  source = "../../modules/network"

  name           = var.name
  cidr           = var.cidr
  kms_key_arn    = module.key.arn
  flow_log_days  = 14
  s3_bucket_arns = ["arn:aws:s3:::${local.bucket}"]

  # lambda: ingest looks at its own mapping. ssm, ssmmessages: the way in to Dashboards. Kinesis needs none: the mapping
  # reads the stream from AWS' side, and delivers what it gives up from there.
  endpoints = ["lambda", "ssm", "ssmmessages"]
}

module "access" {
  source = "../../modules/access"

  name = var.name
  network = {
    vpc_id                     = module.network.vpc_id
    subnet_id                  = module.network.subnet_ids[0]
    endpoint_security_group_id = module.network.endpoint_security_group_id
  }
}

module "stream" {
  source = "../../modules/stream"

  name        = var.name
  kms_key_arn = module.key.arn
}

module "lake" {
  source = "../../modules/lake"

  name          = var.name
  bucket        = local.bucket
  prefix        = var.pipeline
  kms_key_arn   = module.key.arn
  tables        = jsondecode(file("${path.module}/../../tables/${var.pipeline}.json"))
  force_destroy = var.force_destroy
}

module "search" {
  source = "../../modules/search"

  name                = var.name
  engine_version      = var.engine_version
  instances           = var.instances
  kms_key_arn         = module.key.arn
  master_arn          = var.search_master_arn
  admin_arns          = var.search_admin_arns
  client_role_arns    = var.deploy_pipeline ? [module.pipeline[0].role_arns["search"]] : []
  service_linked_role = var.service_linked_role
  alarm_topic_arn     = local.topic_arn
  create_alarms       = var.deploy_pipeline

  network = {
    vpc_id                    = module.network.vpc_id
    subnet_ids                = module.network.subnet_ids
    client_security_group_ids = { functions = module.network.function_security_group_id, access = module.access.security_group_id }
  }
}

module "pipeline" {
  source = "../../modules/pipeline"
  count  = var.deploy_pipeline ? 1 : 0

  name            = var.name
  package_folder  = local.package_folder
  architecture    = var.architecture
  source_stream   = { arn = module.stream.arn, kms_key_arn = module.stream.kms_key_arn, retention_hours = module.stream.retention_hours }
  lake            = { bucket = module.lake.bucket, prefix = module.lake.prefix, kms_key_arn = module.lake.kms_key_arn }
  search          = module.search.search
  separate_search = true
  vpc             = module.network.vpc
  kms_key_arn     = module.key.arn
  tracing         = var.tracing
  alarms          = { emails = var.alarm_emails }
  force_destroy   = var.force_destroy
}
