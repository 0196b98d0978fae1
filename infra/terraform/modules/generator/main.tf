# Made-up events for a trial: the MSK Data Generator in MSK Connect.

data "aws_caller_identity" "current" {}

locals {
  topic_arn = replace(var.cluster.arn, ":cluster/", ":topic/")
  group_arn = replace(var.cluster.arn, ":cluster/", ":group/")
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/tripline/${var.name}/generator"
  retention_in_days = 7
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_iam_role" "this" {
  name        = "${var.name}-generator"
  description = "Writes made-up events"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "kafkaconnect.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "write"
  role = aws_iam_role.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "UseCluster"
        Effect   = "Allow"
        Action   = ["kafka-cluster:Connect", "kafka-cluster:DescribeCluster"]
        Resource = [var.cluster.arn]
      },
      {
        Sid      = "WriteTopics"
        Effect   = "Allow"
        Action   = ["kafka-cluster:CreateTopic", "kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"]
        Resource = [for topic in sort(var.topics) : "${local.topic_arn}/${topic}"]
      },
      {
        # Where Kafka Connect keeps its own state.
        Sid      = "KeepState"
        Effect   = "Allow"
        Action   = ["kafka-cluster:CreateTopic", "kafka-cluster:DescribeTopic", "kafka-cluster:WriteData", "kafka-cluster:ReadData"]
        Resource = ["${local.topic_arn}/__amazon_msk_connect_*"]
      },
      {
        Sid      = "UseGroups"
        Effect   = "Allow"
        Action   = ["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"]
        Resource = ["${local.group_arn}/__amazon_msk_connect_*", "${local.group_arn}/connect-*"]
      },
    ]
  })
}

resource "aws_mskconnect_custom_plugin" "this" {
  name         = "${var.name}-generator"
  content_type = endswith(var.plugin.key, ".jar") ? "JAR" : "ZIP"
  tags         = var.tags

  location {
    s3 {
      bucket_arn = var.plugin.bucket_arn
      file_key   = var.plugin.key
    }
  }
}

resource "aws_mskconnect_connector" "this" {
  name                       = "${var.name}-generator"
  kafkaconnect_version       = var.connect_version
  service_execution_role_arn = aws_iam_role.this.arn
  tags                       = var.tags

  connector_configuration = merge(
    {
      "connector.class"                = "com.amazonaws.mskdatagen.GeneratorSourceConnector"
      "tasks.max"                      = "1"
      "key.converter"                  = "org.apache.kafka.connect.storage.StringConverter"
      "value.converter"                = "org.apache.kafka.connect.json.JsonConverter"
      "value.converter.schemas.enable" = "false"
    },
    var.configuration,
  )

  capacity {
    provisioned_capacity {
      mcu_count    = 1
      worker_count = 1
    }
  }

  kafka_cluster {
    apache_kafka_cluster {
      bootstrap_servers = var.cluster.bootstrap_brokers

      vpc {
        subnets         = var.subnet_ids
        security_groups = [var.cluster.security_group_id]
      }
    }
  }

  kafka_cluster_client_authentication {
    authentication_type = "IAM"
  }

  kafka_cluster_encryption_in_transit {
    encryption_type = "TLS"
  }

  plugin {
    custom_plugin {
      arn      = aws_mskconnect_custom_plugin.this.arn
      revision = aws_mskconnect_custom_plugin.this.latest_revision
    }
  }

  log_delivery {
    worker_log_delivery {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.this.name
      }
    }
  }

  depends_on = [aws_iam_role_policy.this]
}
