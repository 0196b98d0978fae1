locals {
  domain_arn = "arn:${local.partition}:es:${local.region}:${local.account}:domain/${var.name}"
  log_types  = local.is_domain ? toset(["INDEX_SLOW_LOGS", "SEARCH_SLOW_LOGS", "ES_APPLICATION_LOGS", "AUDIT_LOGS"]) : toset([])

  # Who may ask at all. What they may ask is up to fine-grained access, within this.
  access_statements = concat(
    length(var.client_role_arns) == 0 ? [] : [{
      Sid       = "Index"
      Effect    = "Allow"
      Principal = { AWS = var.client_role_arns }
      Action    = ["es:ESHttpPost"]
      Resource  = "${local.domain_arn}/_bulk"
    }],
    [{
      Sid       = "Administer"
      Effect    = "Allow"
      Principal = { AWS = distinct(concat(compact([var.master_arn]), var.admin_arns)) }
      Action    = ["es:ESHttpGet", "es:ESHttpHead", "es:ESHttpPost", "es:ESHttpPut", "es:ESHttpPatch", "es:ESHttpDelete"]
      Resource  = "${local.domain_arn}/*"
    }],
  )
}

resource "aws_iam_service_linked_role" "this" {
  count = local.is_domain && var.service_linked_role ? 1 : 0

  aws_service_name = "opensearchservice.amazonaws.com"
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.log_types

  name              = "/aws/opensearch/${var.name}/${lower(replace(each.value, "_", "-"))}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_cloudwatch_log_resource_policy" "this" {
  count = local.is_domain && var.log_policy ? 1 : 0

  policy_name = "${var.name}-search"
  policy_document = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Log"
      Effect    = "Allow"
      Principal = { Service = "es.amazonaws.com" }
      Action    = ["logs:PutLogEvents", "logs:CreateLogStream"]
      Resource  = [for group in aws_cloudwatch_log_group.this : "${group.arn}:*"]
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = local.domain_arn }
      }
    }]
  })
}

resource "aws_opensearch_domain" "this" {
  count = local.is_domain ? 1 : 0

  domain_name    = var.name
  engine_version = var.engine_version
  tags           = var.tags

  cluster_config {
    instance_type            = var.instances.type
    instance_count           = var.instances.count
    zone_awareness_enabled   = var.instances.zones > 1
    dedicated_master_enabled = var.instances.master_type != null
    dedicated_master_type    = var.instances.master_type
    dedicated_master_count   = var.instances.master_type == null ? null : var.instances.master_count

    dynamic "zone_awareness_config" {
      for_each = var.instances.zones > 1 ? [1] : []

      content {
        availability_zone_count = var.instances.zones
      }
    }
  }

  ebs_options {
    ebs_enabled = true
    volume_type = "gp3"
    volume_size = var.instances.volume_gib
  }

  vpc_options {
    subnet_ids         = slice(var.network.subnet_ids, 0, var.instances.zones)
    security_group_ids = [aws_security_group.this.id]
  }

  encrypt_at_rest {
    enabled    = true
    kms_key_id = var.kms_key_arn
  }

  node_to_node_encryption {
    enabled = true
  }

  domain_endpoint_options {
    enforce_https       = true
    tls_security_policy = "Policy-Min-TLS-1-2-PFS-2023-10"
  }

  # Requests are signed with IAM roles. There is no user with a password.
  advanced_security_options {
    enabled                        = true
    internal_user_database_enabled = false

    master_user_options {
      master_user_arn = var.master_arn
    }
  }

  # Bulk requests name an index for each document.
  advanced_options = {
    "rest.action.multi.allow_explicit_index" = "true"
  }

  software_update_options {
    auto_software_update_enabled = true
  }

  dynamic "log_publishing_options" {
    for_each = local.log_types

    content {
      log_type                 = log_publishing_options.value
      cloudwatch_log_group_arn = aws_cloudwatch_log_group.this[log_publishing_options.value].arn
    }
  }

  depends_on = [aws_cloudwatch_log_resource_policy.this, aws_iam_service_linked_role.this]
}

# Apart from the domain, as the functions' roles may come later.
resource "aws_opensearch_domain_policy" "this" {
  count = local.is_domain ? 1 : 0

  domain_name     = aws_opensearch_domain.this[0].domain_name
  access_policies = jsonencode({ Version = "2012-10-17", Statement = local.access_statements })
}

locals {
  domain_alarms = local.is_domain && var.create_alarms ? {
    red            = { metric = "ClusterStatus.red", statistic = "Maximum", comparison = "GreaterThanOrEqualToThreshold", threshold = 1, description = "A primary shard is missing: writes to its index fail, and with them batches." }
    yellow         = { metric = "ClusterStatus.yellow", statistic = "Maximum", comparison = "GreaterThanOrEqualToThreshold", threshold = 1, description = "A replica is missing." }
    writes-blocked = { metric = "ClusterIndexWritesBlocked", statistic = "Maximum", comparison = "GreaterThanOrEqualToThreshold", threshold = 1, description = "The cluster takes no writes: it is out of disk or memory." }
    free-storage   = { metric = "FreeStorageSpace", statistic = "Minimum", comparison = "LessThanThreshold", threshold = var.alarms.free_storage_mib, description = "A node runs out of disk." }
    cpu            = { metric = "CPUUtilization", statistic = "Average", comparison = "GreaterThanThreshold", threshold = var.alarms.cpu_percent, description = "The nodes are busy: documents will be put off." }
    memory         = { metric = "JVMMemoryPressure", statistic = "Maximum", comparison = "GreaterThanThreshold", threshold = var.alarms.memory_percent, description = "A node runs out of memory." }
  } : {}
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.domain_alarms

  alarm_name          = "${var.name}-search-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/ES"
  metric_name         = each.value.metric
  dimensions          = { DomainName = var.name, ClientId = local.account }
  statistic           = each.value.statistic
  period              = 60
  evaluation_periods  = 10
  datapoints_to_alarm = 5
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = "notBreaching"
  alarm_actions       = compact([var.alarm_topic_arn])
  ok_actions          = compact([var.alarm_topic_arn])
  tags                = var.tags
}
