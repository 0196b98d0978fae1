# Impressions and clicks from MSK into a lake and a domain of OpenSearch, all of it private; with a generator of events, if
# you bring its archive.
#
# Topics are made by who writes to them: the generator, or you. In two steps, if you like:
# `terraform apply -var deploy_pipeline=false` puts up what takes long, a later apply the functions.

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

  # lambda: ingest looks at its own mappings. ssm, ssmmessages: the way in to Dashboards. Provisioned pollers need neither
  # lambda nor sts.
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

module "msk" {
  source = "../../modules/msk"

  name        = var.name
  kind        = var.cluster_kind
  brokers     = var.brokers
  kms_key_arn = module.key.arn
  # The generator makes its topics by writing to them.
  server_properties = var.generator_plugin == null ? {} : { "auto.create.topics.enable" = "true" }

  network = {
    vpc_id                    = module.network.vpc_id
    subnet_ids                = module.network.subnet_ids
    client_security_group_ids = { access = module.access.security_group_id }
  }
}

module "generator" {
  source = "../../modules/generator"
  count  = var.generator_plugin == null ? 0 : 1

  name        = var.name
  plugin      = var.generator_plugin
  subnet_ids  = module.network.subnet_ids
  kms_key_arn = module.key.arn
  cluster     = { arn = module.msk.arn, bootstrap_brokers = module.msk.bootstrap_brokers, security_group_id = module.msk.security_group_id }
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
  source_kafka    = { cluster_arn = module.msk.arn, topics = var.topics }
  lake            = { bucket = module.lake.bucket, prefix = module.lake.prefix, kms_key_arn = module.lake.kms_key_arn }
  search          = module.search.search
  separate_search = true
  vpc             = module.network.vpc
  kms_key_arn     = module.key.arn
  tracing         = var.tracing
  alarms          = { emails = var.alarm_emails }
  force_destroy   = var.force_destroy
}
