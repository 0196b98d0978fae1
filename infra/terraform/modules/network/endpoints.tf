# Ways to AWS' APIs that do not leave the network. Each lets through what is used and this account only, so that a function
# that was taken over cannot carry data into somebody else's bucket or stream.

locals {
  own_account = { StringEquals = { "aws:PrincipalAccount" = local.account } }

  # What is asked through each.
  endpoint_actions = {
    lambda          = ["lambda:ListEventSourceMappings", "lambda:InvokeFunction"]
    sts             = ["sts:AssumeRole", "sts:GetCallerIdentity"]
    kinesis-streams = ["kinesis:PutRecord", "kinesis:PutRecords", "kinesis:DescribeStreamSummary", "kinesis:ListShards", "kinesis:GetShardIterator", "kinesis:GetRecords"]
    logs            = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
    monitoring      = ["cloudwatch:PutMetricData"]
    secretsmanager  = ["secretsmanager:GetSecretValue"]
    glue            = ["glue:GetSchemaVersion"]
    ssm             = ["ssm:UpdateInstanceInformation", "ssm:ListInstanceAssociations", "ssm:ListAssociations", "ssm:GetDeployablePatchSnapshotForInstance", "ssm:GetDocument", "ssm:DescribeDocument"]
    ssmmessages     = ["ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"]
    ec2messages     = ["ec2messages:AcknowledgeMessage", "ec2messages:DeleteMessage", "ec2messages:FailMessage", "ec2messages:GetEndpoint", "ec2messages:GetMessages", "ec2messages:SendReply"]
  }

  # Pollers of on-demand Kafka mappings come as the service, before they have this account's role.
  endpoint_services = { for endpoint in var.endpoints : endpoint => endpoint == "sts" ? ["lambda.amazonaws.com"] : [] }
}

resource "aws_vpc_endpoint" "s3" {
  count = var.s3_endpoint ? 1 : 0

  vpc_id            = local.vpc_id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = local.route_table_ids

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OwnBuckets"
      Effect    = "Allow"
      Principal = "*"
      Action = [
        "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "s3:GetBucketLocation", "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts", "s3:ListBucketMultipartUploads",
      ]
      Resource = length(var.s3_bucket_arns) == 0 ? ["*"] : flatten([for arn in var.s3_bucket_arns : [arn, "${arn}/*"]])
      Condition = {
        StringEquals = { "aws:PrincipalAccount" = local.account, "aws:ResourceAccount" = local.account }
      }
    }]
  })

  tags = merge(var.tags, { Name = "${var.name}-s3" })
}

resource "aws_vpc_endpoint" "interface" {
  for_each = var.endpoints

  vpc_id              = local.vpc_id
  service_name        = "com.amazonaws.${local.region}.${each.value}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = local.subnet_ids
  security_group_ids  = [aws_security_group.endpoints[0].id]
  private_dns_enabled = true

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "OwnAccount"
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = local.endpoint_actions[each.value]
        Resource  = "*"
        Condition = local.own_account
      }],
      [for service in local.endpoint_services[each.value] : {
        Sid       = "Pollers"
        Effect    = "Allow"
        Principal = { Service = service }
        Action    = ["sts:AssumeRole"]
        Resource  = "*"
        Condition = {}
      }],
    )
  })

  tags = merge(var.tags, { Name = "${var.name}-${each.value}" })
}
