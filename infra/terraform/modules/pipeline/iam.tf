# One role per function, and nothing in it that the function or its mapping does not do. Policies are written out, so
# that tests can look at them; no action has a wildcard. "*" as a resource is where the service knows no other, and says
# so.
#
# Lists of statements of different shapes are filtered rather than chosen, as Terraform wants both sides of a choice to be
# of one type.

locals {
  bucket_arn = "arn:${local.partition}:s3:::${var.lake.bucket}"
  lake_arn   = "${local.bucket_arn}/${var.lake.prefix}"

  list_lake = {
    # Also turns 403 for an absent object into 404, which the protocol needs.
    Sid       = "ListLake"
    Effect    = "Allow"
    Action    = "s3:ListBucket"
    Resource  = local.bucket_arn
    Condition = { StringLike = { "s3:prefix" = "${var.lake.prefix}/*" } }
  }

  log_statement = {
    for function in keys(local.function_name) : function => {
      Sid      = "Log"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.this[function].arn}:*"
    }
  }

  trace_statements = var.tracing ? [{
    Sid      = "Trace"
    Effect   = "Allow"
    Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
    Resource = "*" # X-Ray knows no resources for these.
  }] : []

  cluster_arn = try(var.source_kafka.cluster_arn, "")
  eni_arn     = "arn:${local.partition}:ec2:${local.region}:${local.account}:network-interface/*"

  # Lambda puts interfaces into the subnets with the function's role. The function's own code may not.
  vpc_statements = {
    for function, arn in local.function_arn : function => [for statement in [
      {
        Sid    = "MakeInterfaces"
        Effect = "Allow"
        Action = ["ec2:CreateNetworkInterface"]
        Resource = concat(
          [local.eni_arn],
          [for id in try(var.vpc.subnet_ids, []) : "arn:${local.partition}:ec2:${local.region}:${local.account}:subnet/${id}"],
          [for id in try(var.vpc.security_group_ids, []) : "arn:${local.partition}:ec2:${local.region}:${local.account}:security-group/${id}"],
        )
      },
      {
        Sid      = "KeepInterfaces"
        Effect   = "Allow"
        Action   = ["ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"]
        Resource = local.eni_arn
      },
      {
        Sid      = "SeeInterfaces"
        Effect   = "Allow"
        Action   = ["ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"]
        Resource = "*" # EC2 knows no resources for what describes.
      },
      {
        Sid    = "NotByCode"
        Effect = "Deny"
        Action = [
          "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces",
          "ec2:DescribeSubnets", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
        ]
        Resource  = "*"
        Condition = { ArnEquals = { "lambda:SourceFunctionArn" = arn } }
      },
    ] : statement if var.vpc != null]
  }

  stream_statements = var.source_stream == null ? [] : [{
    Sid    = "ReadStream"
    Effect = "Allow"
    Action = [
      "kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator",
      "kinesis:ListShards", "kinesis:SubscribeToShard",
    ]
    Resource = var.source_stream.arn
  }]

  kafka_statements = {
    for function in local.ingest : function => [for statement in [
      {
        Sid      = "FindCluster"
        Effect   = "Allow"
        Action   = ["kafka:DescribeCluster", "kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers"]
        Resource = local.cluster_arn
      },
      {
        Sid      = "UseCluster"
        Effect   = "Allow"
        Action   = ["kafka-cluster:Connect", "kafka-cluster:DescribeClusterDynamicConfiguration"]
        Resource = local.cluster_arn
      },
      {
        Sid      = "ReadTopics"
        Effect   = "Allow"
        Action   = ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"]
        Resource = [for topic in sort(try(var.source_kafka.topics, [])) : "${replace(local.cluster_arn, ":cluster/", ":topic/")}/${topic}"]
      },
      {
        Sid    = "UseGroups"
        Effect = "Allow"
        Action = ["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"]
        Resource = [
          for key, mapping in local.mappings : "${replace(local.cluster_arn, ":cluster/", ":group/")}/${local.groups[key]}"
          if mapping.function == function
        ]
      },
      {
        # The mapping puts interfaces into the cluster's subnets, which are not known here.
        Sid    = "PollerInterfaces"
        Effect = "Allow"
        Action = ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"]
        Resource = [
          local.eni_arn,
          "arn:${local.partition}:ec2:${local.region}:${local.account}:subnet/*",
          "arn:${local.partition}:ec2:${local.region}:${local.account}:security-group/*",
        ]
      },
      {
        Sid      = "SeeNetwork"
        Effect   = "Allow"
        Action   = ["ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DescribeSecurityGroups", "ec2:DescribeVpcs"]
        Resource = "*" # EC2 knows no resources for what describes.
      },
    ] : statement if local.is_kafka]
  }

  search_statements = {
    for function in local.ingest : function => !local.feeds_search[function] ? [] : [{
      Sid      = "Index"
      Effect   = "Allow"
      Action   = var.search.kind == "serverless" ? "aoss:APIAccessAll" : "es:ESHttpPost"
      Resource = var.search.kind == "serverless" ? var.search.arn : "${var.search.arn}/_bulk"
    }]
  }

  sink_stream_statements = {
    for function in local.ingest : function => !local.feeds_stream[function] ? [] : [{
      Sid      = "SendOn"
      Effect   = "Allow"
      Action   = "kinesis:PutRecords"
      Resource = var.sink_stream.arn
    }]
  }

  # The producer is idempotent, which is a right of its own.
  sink_kafka_statements = {
    for function in local.ingest : function => [for statement in [
      {
        Sid      = "SendOnToCluster"
        Effect   = "Allow"
        Action   = ["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"]
        Resource = try(var.sink_kafka.cluster_arn, null)
      },
      {
        Sid      = "SendOnToTopic"
        Effect   = "Allow"
        Action   = ["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"]
        Resource = try("${replace(var.sink_kafka.cluster_arn, ":cluster/", ":topic/")}/${var.sink_kafka.topic}", null)
      },
    ] : statement if local.feeds_kafka[function] && try(var.sink_kafka.security, "") == "msk-iam"]
  }

  # What lies in a bucket already, to be brought in: by the function that feeds the lake.
  backfills        = var.separate_search ? "lake" : "ingest"
  backfill_buckets = toset([for arn in var.backfill_sources : split("/", element(split(":::", arn), 1))[0]])
  backfill_statements = {
    for function in local.ingest : function => function != local.backfills || length(var.backfill_sources) == 0 ? [] : [{
      Sid      = "ReadBackfill"
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:GetObjectVersion"]
      Resource = sort([for arn in var.backfill_sources : "${arn}*"])
    }]
  }

  check_statements = var.check_mapping ? [{
    Sid      = "SeeOwnMappings"
    Effect   = "Allow"
    Action   = "lambda:ListEventSourceMappings"
    Resource = "*" # Lambda grants it on no other.
  }] : []

  # Keys, each for what it is used for.
  writes_keys = { for function in local.ingest : function => distinct(compact([
    var.lake.kms_key_arn, var.failure_bucket_arn == null ? var.kms_key_arn : null, local.feeds_stream[function] ? var.sink_stream.kms_key_arn : null,
  ])) }
  reads_keys = { for function in local.ingest : function => distinct(compact([
    var.lake.kms_key_arn, try(var.source_stream.kms_key_arn, null), var.kms_key_arn,
  ])) }

  key_statements = {
    for function in local.ingest : function => concat(
      length(local.writes_keys[function]) == 0 ? [] : [{
        Sid      = "Encrypt"
        Effect   = "Allow"
        Action   = "kms:GenerateDataKey"
        Resource = local.writes_keys[function]
      }],
      length(local.reads_keys[function]) == 0 ? [] : [{
        Sid      = "Decrypt"
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = local.reads_keys[function]
      }],
    )
  }
  publish_reads_keys = distinct(compact([var.lake.kms_key_arn, var.kms_key_arn]))
}

resource "aws_iam_role" "function" {
  for_each = local.function_name

  name                 = each.value
  description          = "Tripline's function ${each.value}"
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "lambda.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "ingest" {
  for_each = local.ingest

  name = "ingest"
  role = aws_iam_role.function[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid    = "ReadJournal"
          Effect = "Allow"
          Action = "s3:GetObject"
          Resource = [
            "${local.lake_arn}/_journal/*", "${local.lake_arn}/_tripline/checkpoint.json", "${local.lake_arn}/_tripline/identity.json",
            "${local.lake_arn}/_tripline/probe/*", "${local.lake_arn}/_tripline/schemas.json",
          ]
        },
        {
          # It has no business in the tables, and what is published is not its to say.
          Sid    = "Append"
          Effect = "Allow"
          Action = "s3:PutObject"
          Resource = [
            "${local.lake_arn}/_journal/*", "${local.lake_arn}/_tripline/identity.json", "${local.lake_arn}/_tripline/probe/*",
            "${local.lake_arn}/_tripline/schemas.json",
          ]
        },
        {
          # The objects by which the first use proves the store.
          Sid      = "DropProbe"
          Effect   = "Allow"
          Action   = "s3:DeleteObject"
          Resource = "${local.lake_arn}/_tripline/probe/*"
        },
        local.list_lake,
        {
          # Lambda delivers what the mapping gives up with the function's role.
          Sid      = "GiveUp"
          Effect   = "Allow"
          Action   = "s3:PutObject"
          Resource = "${local.failure_bucket_arn}/*"
        },
        {
          Sid      = "SeeGivenUp"
          Effect   = "Allow"
          Action   = "s3:ListBucket"
          Resource = local.failure_bucket_arn
        },
        local.log_statement[each.key],
      ],
      local.stream_statements,
      local.kafka_statements[each.key],
      local.search_statements[each.key],
      local.sink_stream_statements[each.key],
      local.sink_kafka_statements[each.key],
      local.backfill_statements[each.key],
      local.check_statements,
      local.key_statements[each.key],
      local.vpc_statements[each.key],
      local.trace_statements,
    )
  })
}

resource "aws_iam_role_policy" "publish" {
  name = "publish"
  role = aws_iam_role.function["publish"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          # Uploads in parts and conditional writes are covered by these two.
          Sid      = "UseLake"
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:PutObject"]
          Resource = "${local.lake_arn}/*"
        },
        {
          # Tables have names of the pipeline's: it writes everywhere but here.
          Sid      = "NeverAppend"
          Effect   = "Deny"
          Action   = "s3:PutObject"
          Resource = "${local.lake_arn}/_journal/*"
        },
        {
          # Old entries, and the probe's objects. Files of tables are never deleted.
          Sid      = "DropEntries"
          Effect   = "Allow"
          Action   = "s3:DeleteObject"
          Resource = ["${local.lake_arn}/_journal/*", "${local.lake_arn}/_tripline/probe/*"]
        },
        local.list_lake,
        local.log_statement["publish"],
      ],
      var.lake.kms_key_arn == null ? [] : [{
        Sid      = "Encrypt"
        Effect   = "Allow"
        Action   = "kms:GenerateDataKey"
        Resource = [var.lake.kms_key_arn]
      }],
      length(local.publish_reads_keys) == 0 ? [] : [{
        Sid      = "Decrypt"
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = local.publish_reads_keys
      }],
      local.vpc_statements["publish"],
      local.trace_statements,
    )
  })
}

resource "aws_iam_role" "schedule" {
  name                 = "${var.name}-schedule"
  description          = "Invokes ${local.function_name["publish"]}"
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "schedule" {
  name = "invoke"
  role = aws_iam_role.schedule.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "Invoke"
        Effect   = "Allow"
        Action   = "lambda:InvokeFunction"
        Resource = aws_lambda_function.publish.arn
      }],
      # With a key of one's own, the schedule's input is read with this role.
      var.kms_key_arn == null ? [] : [{
        Sid      = "Decrypt"
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = var.kms_key_arn
      }],
    )
  })
}
