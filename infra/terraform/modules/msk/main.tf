# An MSK cluster: TLS only, clients prove themselves with IAM, nobody anonymous.

locals {
  is_provisioned = var.kind == "provisioned"

  # Three copies of which two must be there: a broker may be away, and nothing that was acknowledged is lost.
  copies = min(3, var.brokers.count)
  properties = merge(
    {
      "auto.create.topics.enable"  = "false"
      "default.replication.factor" = tostring(local.copies)
      "min.insync.replicas"        = tostring(max(1, local.copies - 1))
      "num.partitions"             = "6"
      "log.retention.hours"        = "72"
    },
    var.server_properties,
  )
}

resource "aws_security_group" "this" {
  name        = "${var.name}-msk"
  description = "Brokers, and the pollers of event source mappings, which come with this group"
  vpc_id      = var.network.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-msk" })
}

# The pollers' interfaces lie in the cluster's subnets and have the cluster's group.
resource "aws_vpc_security_group_ingress_rule" "self" {
  security_group_id            = aws_security_group.this.id
  description                  = "Event source mapping"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = 9098
  to_port                      = 9098
}

resource "aws_vpc_security_group_egress_rule" "self" {
  security_group_id            = aws_security_group.this.id
  description                  = "Event source mapping"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = 9098
  to_port                      = 9098
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.network.client_security_group_ids

  security_group_id            = aws_security_group.this.id
  description                  = each.key
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 9098
  to_port                      = 9098
}

resource "aws_vpc_security_group_egress_rule" "clients" {
  for_each = var.network.client_security_group_ids

  security_group_id            = each.value
  description                  = "Kafka ${var.name}"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = 9098
  to_port                      = 9098
}

resource "aws_cloudwatch_log_group" "this" {
  count = local.is_provisioned ? 1 : 0

  name              = "/aws/msk/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_msk_configuration" "this" {
  count = local.is_provisioned ? 1 : 0

  name              = var.name
  kafka_versions    = [var.kafka_version]
  server_properties = join("\n", [for name, value in local.properties : "${name}=${value}"])

  lifecycle {
    # A cluster that uses it must have the new one first.
    create_before_destroy = true
  }
}

resource "aws_msk_cluster" "this" {
  count = local.is_provisioned ? 1 : 0

  cluster_name           = var.name
  kafka_version          = var.kafka_version
  number_of_broker_nodes = var.brokers.count
  enhanced_monitoring    = "PER_TOPIC_PER_BROKER"
  tags                   = var.tags

  broker_node_group_info {
    instance_type   = var.brokers.type
    client_subnets  = var.network.subnet_ids
    security_groups = [aws_security_group.this.id]

    storage_info {
      ebs_storage_info {
        volume_size = var.brokers.volume_gib
      }
    }

    connectivity_info {
      public_access {
        type = "DISABLED"
      }
    }
  }

  client_authentication {
    unauthenticated = false

    sasl {
      iam = true
    }
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = var.kms_key_arn

    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this[0].arn
    revision = aws_msk_configuration.this[0].latest_revision
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.this[0].name
      }
    }
  }
}

resource "aws_msk_serverless_cluster" "this" {
  count = local.is_provisioned ? 0 : 1

  cluster_name = var.name
  tags         = var.tags

  vpc_config {
    subnet_ids         = var.network.subnet_ids
    security_group_ids = [aws_security_group.this.id]
  }

  client_authentication {
    sasl {
      iam {
        enabled = true
      }
    }
  }
}
