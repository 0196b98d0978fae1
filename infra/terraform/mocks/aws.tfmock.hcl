# What a mocked provider answers where the real one looks at ARNs and JSON, or where a module counts on what is there.

mock_data "aws_caller_identity" {
  defaults = {
    account_id = "111122223333"
  }
}

mock_data "aws_partition" {
  defaults = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
  }
}

mock_data "aws_region" {
  defaults = {
    name = "eu-central-1"
  }
}

mock_data "aws_availability_zones" {
  defaults = {
    names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  }
}

mock_data "aws_ssm_parameter" {
  defaults = {
    value = "ami-0123456789abcdef0"
  }
}

mock_resource "aws_iam_role" {
  defaults = {
    arn = "arn:aws:iam::111122223333:role/mock"
  }
}

mock_resource "aws_kms_key" {
  defaults = {
    arn = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  }
}

mock_resource "aws_kinesis_stream" {
  defaults = {
    arn = "arn:aws:kinesis:eu-central-1:111122223333:stream/mock"
  }
}

mock_resource "aws_s3_bucket" {
  defaults = {
    arn = "arn:aws:s3:::mock-bucket"
  }
}

mock_resource "aws_lambda_function" {
  defaults = {
    arn = "arn:aws:lambda:eu-central-1:111122223333:function:mock"
  }
}

mock_resource "aws_lambda_event_source_mapping" {
  defaults = {
    uuid = "00000000-0000-0000-0000-000000000001"
  }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = {
    arn = "arn:aws:logs:eu-central-1:111122223333:log-group:mock"
  }
}

mock_resource "aws_sns_topic" {
  defaults = {
    arn = "arn:aws:sns:eu-central-1:111122223333:mock"
  }
}

mock_resource "aws_msk_cluster" {
  defaults = {
    arn                        = "arn:aws:kafka:eu-central-1:111122223333:cluster/mock/00000000-0000-0000-0000-000000000002-1"
    bootstrap_brokers_sasl_iam = "b-1.mock.kafka.eu-central-1.amazonaws.com:9098"
  }
}

mock_resource "aws_msk_serverless_cluster" {
  defaults = {
    arn                        = "arn:aws:kafka:eu-central-1:111122223333:cluster/mock/00000000-0000-0000-0000-000000000003-s1"
    bootstrap_brokers_sasl_iam = "boot-mock.c1.kafka-serverless.eu-central-1.amazonaws.com:9098"
  }
}

mock_resource "aws_msk_configuration" {
  defaults = {
    arn             = "arn:aws:kafka:eu-central-1:111122223333:configuration/mock/00000000-0000-0000-0000-000000000004-1"
    latest_revision = 1
  }
}

mock_resource "aws_mskconnect_custom_plugin" {
  defaults = {
    arn             = "arn:aws:kafkaconnect:eu-central-1:111122223333:custom-plugin/mock/00000000-0000-0000-0000-000000000005-1"
    latest_revision = 1
  }
}

mock_resource "aws_opensearch_domain" {
  defaults = {
    arn      = "arn:aws:es:eu-central-1:111122223333:domain/mock"
    endpoint = "vpc-mock-0123456789.eu-central-1.es.amazonaws.com"
  }
}

mock_resource "aws_opensearchserverless_collection" {
  defaults = {
    arn                 = "arn:aws:aoss:eu-central-1:111122223333:collection/mock0123456789abcdef"
    collection_endpoint = "https://mock0123456789abcdef.eu-central-1.aoss.amazonaws.com"
  }
}

mock_resource "aws_vpc_endpoint" {
  defaults = {
    prefix_list_id = "pl-0123456789abcdef0"
  }
}
